#include "objects.h"

#include <string.h>

#include "msgpack.h"

/* -- types ---------------------------------------------------------------------------------------------- */

#if MICROPY_ENABLE_DYNRUNTIME

/* A native module passes no floats: how they are passed differs between firmware. It looks into them. */
typedef struct {
    mp_obj_base_t base;
#if UINTPTR_MAX > UINT32_MAX
    double value;
#else
    uint32_t bits;
#endif
} float_t;

/* Looked up once: a program may have a "dict" of its own. Global: MicroPython's native modules want it so. */
__attribute__((used)) const mp_obj_type_t *picolink_dict;
__attribute__((used)) const mp_obj_type_t *picolink_float; /* NULL where floats are not as float_t has them */

void picolink_objects_init(void) {
    picolink_dict = mp_obj_get_type(mp_obj_new_dict(0));
    mp_obj_t one = mp_binary_op(MP_BINARY_OP_TRUE_DIVIDE, MP_OBJ_NEW_SMALL_INT(1), MP_OBJ_NEW_SMALL_INT(1));
    const float_t *number = MP_OBJ_TO_PTR(one);
    picolink_float = number->base.type;
#if UINTPTR_MAX == UINT32_MAX
    if (number->bits != 0x3F800000) {
        picolink_float = NULL;
    }
#endif
}

#define DICT  picolink_dict
#define FLOAT picolink_float
#define INT   mp_obj_get_type(MP_OBJ_NEW_SMALL_INT(0))
#define TUPLE mp_obj_get_type(mp_const_empty_tuple)

#else

#define DICT  &mp_type_dict
#define FLOAT &mp_type_float
#define INT   &mp_type_int
#define TUPLE &mp_type_tuple

#endif

mp_obj_t picolink_call(qstr module, qstr name, size_t count, const mp_obj_t *args) {
    mp_obj_t package = mp_import_name(MP_QSTR_picolink, mp_const_none, MP_OBJ_NEW_SMALL_INT(0));
    return mp_call_function_n_kw(mp_load_attr(mp_import_from(package, module), name), count, 0, args);
}

mp_obj_str_t *picolink_new_bytes(size_t size, byte **data) {
    byte *block = m_malloc(size + 1);
    block[size] = 0;                                                   /* as behind all of MicroPython's */
    mp_obj_str_t *bytes = MP_OBJ_TO_PTR(mp_obj_new_bytes(NULL, size)); /* without data */
    bytes->hash = 0;                                                   /* computed when somebody needs it */
    bytes->data = *data = block;
    return bytes;
}

bool picolink_is_bytes(mp_obj_t value, mp_buffer_info_t *bytes) {
    return mp_get_buffer(value, bytes, MP_BUFFER_READ) &&
           (bytes->typecode == 'B' || bytes->typecode == 'b' || bytes->typecode == BYTEARRAY_TYPECODE);
}

bool picolink_is_text(const byte *bytes, size_t size) {
    size_t more = 0; /* bytes of this character that are to come */
    for (; size; size--) {
        uint32_t next = *bytes++;
        if (more) {
            if (next >> 6 != 2) {
                return false;
            }
            more--;
        } else if (next >= 0x80) {
            if (next < 0xC0 || next >= 0xF8) {
                return false;
            }
            more = 1u + (next >= 0xE0) + (next >= 0xF0);
        }
    }
    return !more;
}

/* -- packing -------------------------------------------------------------------------------------------- */

typedef struct {
    byte *to;
    size_t room;
    size_t size; /* all that was put: more than there is room for is only counted */
} out_t;

static void put(out_t *out, const void *bytes, size_t size) {
    if (out->room >= size && out->size <= out->room - size) {
        memcpy(out->to + out->size, bytes, size);
    }
    out->size += size;
}

/* An int of at most 64 bits; false for more. */
static bool get_int(mp_obj_t value, picolink_item_t *item) {
    if (mp_obj_is_small_int(value)) {
        mp_int_t number = MP_OBJ_SMALL_INT_VALUE(value);
        item->low = (uint32_t)number;
        item->high = (uint32_t)(number >> 16 >> 16); /* not by 32: it may have no more */
    } else {
        mp_obj_t bits = MP_OBJ_NEW_SMALL_INT(16);
        mp_obj_t high =
            mp_binary_op(MP_BINARY_OP_RSHIFT, mp_binary_op(MP_BINARY_OP_RSHIFT, value, bits), bits);
        mp_obj_t over =
            mp_binary_op(MP_BINARY_OP_RSHIFT, mp_binary_op(MP_BINARY_OP_RSHIFT, high, bits), bits);
        item->low = (uint32_t)mp_obj_get_int_truncated(value);
        item->high = (uint32_t)mp_obj_get_int_truncated(high);
        if (over == MP_OBJ_NEW_SMALL_INT(0)) {
            return true;
        }
        item->type = PICOLINK_INT;
        return over == MP_OBJ_NEW_SMALL_INT(-1) && item->high >> 31;
    }
    if (item->high >> 31) {
        item->type = PICOLINK_INT;
    }
    return true;
}

/* depth: containers that may be inside each other in here; 0 for a key, too.
 * False: picolink.objects has to do it. Allocating memory may change a container: it is looked at anew. */
static bool pack_into(out_t *out, mp_obj_t value, size_t depth) {
    picolink_item_t item = {PICOLINK_UINT, 0, 0};
    const mp_obj_type_t *type = mp_obj_get_type(value);
    byte head[PICOLINK_MSGPACK_HEAD];
    mp_buffer_info_t bytes = {head, 0, 0}; /* none, but somewhere */
    if (type == INT) {
        if (!get_int(value, &item)) {
            return false;
        }
    } else if (value == mp_const_none || value == mp_const_false || value == mp_const_true) {
        head[0] = value == mp_const_none ? 0xC0 : value == mp_const_false ? 0xC2 : 0xC3;
        put(out, head, 1);
        return true;
    } else if (type == FLOAT) {
        item.type = PICOLINK_FLOAT32;
#if MICROPY_ENABLE_DYNRUNTIME && UINTPTR_MAX == UINT32_MAX
        item.low = ((const float_t *)MP_OBJ_TO_PTR(value))->bits;
#else
#if MICROPY_ENABLE_DYNRUNTIME
        double number = ((const float_t *)MP_OBJ_TO_PTR(value))->value;
#else
        mp_float_t number = mp_obj_get_float(value);
#endif
        float single = (float)number;
        memcpy(&item.low, &single, sizeof(item.low));
        if ((item.low & 0x7FFFFFFF) == 0x7F800000 && single != number) {
            return false; /* it is infinite only with 32 bits */
        }
#endif
    } else if (type == DICT || type == &mp_type_list || type == TUPLE) {
        if (!depth) {
            return false;
        }
        const mp_map_t *map = type == DICT ? &((mp_obj_dict_t *)MP_OBJ_TO_PTR(value))->map : NULL;
        const mp_obj_list_t *list = type == &mp_type_list ? MP_OBJ_TO_PTR(value) : NULL;
        const mp_obj_tuple_t *tuple = MP_OBJ_TO_PTR(value);
        item.type = map ? PICOLINK_MAP : PICOLINK_ARRAY;
        item.low = (uint32_t)(map ? map->used : list ? list->len : tuple->len);
        put(out, head, picolink_msgpack_head(head, &item));
        for (size_t i = 0;; i++) {
            mp_obj_t inside;
            if (map) {
                if (i >= map->alloc) {
                    return true;
                }
                mp_obj_t key = map->table[i].key;
                if (key == MP_OBJ_NULL || key == MP_OBJ_SENTINEL) {
                    continue;
                }
                inside = map->table[i].value; /* before the key can be an int that takes memory */
                const mp_obj_type_t *key_type = mp_obj_get_type(key);
                if ((key_type != INT && key_type != &mp_type_str) || !pack_into(out, key, 0)) {
                    return false;
                }
            } else {
                if (i >= (list ? list->len : tuple->len)) {
                    return true;
                }
                inside = (list ? list->items : tuple->items)[i];
            }
            if (!pack_into(out, inside, depth - 1)) {
                return false;
            }
        }
    } else {
        if (mp_obj_is_instance_type(type) || !picolink_is_bytes(value, &bytes)) {
            return false;
        }
        item.type = type == &mp_type_str ? PICOLINK_STR : PICOLINK_BIN;
        item.low = (uint32_t)bytes.len;
    }
    put(out, head, picolink_msgpack_head(head, &item));
    put(out, bytes.buf, bytes.len);
    return true;
}

void picolink_pack(picolink_packed_t *packed, mp_obj_t object) {
    out_t out = {packed->room, sizeof(packed->room), 0};
    packed->bytes = packed->room;
    packed->kept = NULL;
    bool done = pack_into(&out, object, PICOLINK_OBJECT_DEPTH);
    packed->size = out.size;
    if (done && out.size > out.room) {
        out = (out_t){NULL, packed->size, 0};
        packed->kept = picolink_new_bytes(packed->size, &out.to);
        packed->bytes = out.to;
        done = pack_into(&out, object, PICOLINK_OBJECT_DEPTH) && out.size == packed->size;
    }
    if (!done) {
        mp_buffer_info_t buffer;
        mp_obj_t made = picolink_call(MP_QSTR_objects, MP_QSTR_pack, 1, &object);
        mp_get_buffer(made, &buffer, MP_BUFFER_READ);
        packed->kept = MP_OBJ_TO_PTR(made);
        packed->bytes = buffer.buf;
        packed->size = buffer.len;
    }
}

/* -- unpacking ------------------------------------------------------------------------------------------ */

static mp_obj_t new_int(const picolink_item_t *item) {
    bool negative = item->type == PICOLINK_INT;
    mp_obj_t low = mp_obj_new_int_from_uint(item->low);
    if (item->high == (negative ? UINT32_MAX : 0)) {
        if (!negative) {
            return low;
        }
        if (item->low >> 31) {
            return mp_obj_new_int((mp_int_t)(int32_t)item->low);
        }
    }
    mp_obj_t high =
        negative ? mp_obj_new_int((mp_int_t)(int32_t)item->high) : mp_obj_new_int_from_uint(item->high);
    high = mp_binary_op(MP_BINARY_OP_LSHIFT, high, MP_OBJ_NEW_SMALL_INT(32));
    return mp_binary_op(MP_BINARY_OP_OR, high, low);
}

/* MP_OBJ_NULL: picolink.objects has to do it. Boards have no doubles: what those need takes flash. */
static mp_obj_t new_float(const picolink_item_t *item) {
#if MICROPY_ENABLE_DYNRUNTIME && UINTPTR_MAX == UINT32_MAX
    if (item->type != PICOLINK_FLOAT32 || !FLOAT) {
        return MP_OBJ_NULL;
    }
    float_t *number = m_malloc(sizeof(*number));
    number->base.type = FLOAT;
    number->bits = item->low;
    return MP_OBJ_FROM_PTR(number);
#elif !MICROPY_ENABLE_DYNRUNTIME && MICROPY_FLOAT_IMPL == MICROPY_FLOAT_IMPL_FLOAT
    mp_float_t number;
    if (item->type != PICOLINK_FLOAT32) {
        return MP_OBJ_NULL;
    }
    memcpy(&number, &item->low, sizeof(number));
    return mp_obj_new_float(number);
#else
    float single;
    double number;
    if (item->type == PICOLINK_FLOAT32) {
        memcpy(&single, &item->low, sizeof(single));
        number = (double)single;
    } else {
        uint64_t bits = (uint64_t)item->high << 32 | item->low;
        memcpy(&number, &bits, sizeof(number));
    }
#if MICROPY_ENABLE_DYNRUNTIME
    float_t *made = m_malloc(sizeof(*made));
    made->base.type = FLOAT;
    made->value = number;
    return MP_OBJ_FROM_PTR(made);
#else
    return mp_obj_new_float((mp_float_t)number);
#endif
#endif
}

/* depth: as in pack_into(). MP_OBJ_NULL: picolink.objects has to do it. */
static mp_obj_t unpack_next(picolink_reader_t *reader, size_t depth) {
    picolink_item_t item;
    if (!picolink_msgpack_next(reader, &item)) {
        return MP_OBJ_NULL;
    }
    size_t left = item.low;
    const byte *bytes = reader->at;
    switch (item.type) {
    case PICOLINK_STR:
    case PICOLINK_BIN:
        reader->at += left;
        if (item.type == PICOLINK_BIN) {
            return mp_obj_new_bytes(bytes, left);
        }
        return picolink_is_text(bytes, left) ? mp_obj_new_str((const char *)bytes, left) : MP_OBJ_NULL;
    case PICOLINK_ARRAY:
    case PICOLINK_MAP: {
        if (!depth) {
            return MP_OBJ_NULL;
        }
        mp_obj_t container;
        mp_obj_t *next = NULL;
        if (item.type == PICOLINK_ARRAY) {
            container = mp_obj_new_list(left, NULL);
            next = ((mp_obj_list_t *)MP_OBJ_TO_PTR(container))->items;
        } else {
            container = mp_obj_new_dict(left);
        }
        for (; left; left--) {
            mp_obj_t key = MP_OBJ_NULL;
            if (!next) {
                key = unpack_next(reader, 0);
                if (key == MP_OBJ_NULL ||
                    (mp_obj_get_type(key) != &mp_type_str && mp_obj_get_type(key) != INT)) {
                    return MP_OBJ_NULL;
                }
            }
            mp_obj_t value = unpack_next(reader, depth - 1);
            if (value == MP_OBJ_NULL) {
                return MP_OBJ_NULL;
            }
            if (next) {
                *next++ = value;
            } else {
                mp_obj_dict_store(container, key, value);
            }
        }
        return container;
    }
    case PICOLINK_NIL:
        return mp_const_none;
    case PICOLINK_FALSE:
        return mp_const_false;
    case PICOLINK_TRUE:
        return mp_const_true;
    case PICOLINK_UINT:
    case PICOLINK_INT:
        return new_int(&item);
    default:
        return new_float(&item);
    }
}

mp_obj_t picolink_unpack(const byte *bytes, size_t size) {
    picolink_reader_t reader = {bytes, bytes + size, 1};
    mp_obj_t object = unpack_next(&reader, PICOLINK_OBJECT_DEPTH);
    return reader.at == reader.end ? object : MP_OBJ_NULL;
}
