/*
 * Fuzz target: arbitrary bytes to native/objects.c, as an object that has come.
 *
 * What is taken must be whole, and is packed, unpacked and packed again, which must give the same bytes. What
 * it may ask memory for is what the bytes justify: an item, a key or a value takes one of them or more.
 */
#include <string.h>

#include "check.h"
#include "msgpack.h"
#include "objects.h"

/* repack() without a result: picolink.objects would have had to look at the bytes, or at the object. */
enum { REFUSED = -1, NOT_PACKED = -2 };

long repack(const uint8_t *data, size_t size, uint8_t *packed);

__extension__ typedef __int128 wide_t;

/* -- memory --------------------------------------------------------------------------------------------- */

typedef union block {
    union block *older;
    wide_t aligned;
} block_t;

static block_t *newest;
static size_t justified; /* the bytes that are unpacked; without a limit while packing */
static size_t items;     /* that there was memory asked for; for a pair, two */
static size_t bytes;     /* of texts and bytes */
static bool asked;       /* picolink.objects was */

void *m_malloc(size_t size) {
    block_t *block = calloc(1, sizeof(*block) + size);
    CHECK(block);
    block->older = newest;
    newest = block;
    return block + 1;
}

static void free_all(void) {
    while (newest) {
        block_t *older = newest->older;
        free(newest);
        newest = older;
    }
}

/* -- objects -------------------------------------------------------------------------------------------- */

#define TYPE(name) const mp_obj_type_t mp_type_##name = {#name}
TYPE(bool);
TYPE(bytes);
TYPE(dict);
TYPE(float);
TYPE(int);
TYPE(list);
TYPE(none);
TYPE(str);
TYPE(tuple);

const mp_obj_base_t fuzz_none = {&mp_type_none};
const mp_obj_base_t fuzz_false = {&mp_type_bool};
const mp_obj_base_t fuzz_true = {&mp_type_bool};

typedef struct {
    mp_obj_base_t base;
    wide_t value;
} int_t;

typedef struct {
    mp_obj_base_t base;
    mp_float_t value;
} number_t;

enum { SMALL = 0x40000000 }; /* as on a Pico: small ints are words whose lowest bit is 1 */

bool mp_obj_is_small_int(mp_obj_t object) {
    return (uintptr_t)object & 1;
}

mp_int_t fuzz_small_int(mp_obj_t object) {
    return (mp_int_t)((intptr_t)object >> 1);
}

static wide_t value_of(mp_obj_t object) {
    return mp_obj_is_small_int(object) ? fuzz_small_int(object) : ((int_t *)object)->value;
}

static mp_obj_t new_int(wide_t value) {
    if (value >= -SMALL && value < SMALL) {
        return (mp_obj_t)((uintptr_t)value << 1 | 1);
    }
    int_t *made = m_malloc(sizeof(*made));
    *made = (int_t){{&mp_type_int}, value};
    return made;
}

mp_obj_t mp_obj_new_int(mp_int_t value) {
    return new_int(value);
}

mp_obj_t mp_obj_new_int_from_uint(mp_uint_t value) {
    return new_int(value);
}

mp_obj_t mp_obj_new_float(mp_float_t value) {
    number_t *made = m_malloc(sizeof(*made));
    *made = (number_t){{&mp_type_float}, value};
    return made;
}

static mp_obj_t new_text(const mp_obj_type_t *type, const byte *data, size_t size) {
    mp_obj_str_t *made = m_malloc(sizeof(*made));
    byte *copy = NULL;
    bytes += size;
    CHECK(!size || bytes < justified);
    if (data) {
        copy = m_malloc(size);
        memcpy(copy, data, size);
    }
    *made = (mp_obj_str_t){{type}, 0, size, copy};
    return made;
}

mp_obj_t mp_obj_new_str(const char *data, size_t size) {
    return new_text(&mp_type_str, (const byte *)data, size);
}

mp_obj_t mp_obj_new_bytes(const byte *data, size_t size) {
    return new_text(&mp_type_bytes, data, size);
}

mp_obj_t mp_obj_new_list(size_t size, mp_obj_t *from) {
    CHECK(!from);
    items += size;
    CHECK(!size || items < justified);
    mp_obj_list_t *made = m_malloc(sizeof(*made));
    *made = (mp_obj_list_t){{&mp_type_list}, size, m_malloc(size * sizeof(mp_obj_t))};
    return made;
}

mp_obj_t mp_obj_new_dict(size_t size) {
    items += 2 * size;
    CHECK(!size || items < justified);
    mp_obj_dict_t *made = m_malloc(sizeof(*made));
    *made = (mp_obj_dict_t){{&mp_type_dict}, {0, size, m_malloc(size * sizeof(mp_map_elem_t))}};
    return made;
}

static bool same_key(mp_obj_t one, mp_obj_t other) {
    if (mp_obj_get_type(one) != mp_obj_get_type(other)) {
        return false;
    }
    if (mp_obj_get_type(one) == &mp_type_int) {
        return value_of(one) == value_of(other);
    }
    const mp_obj_str_t *a = one;
    const mp_obj_str_t *b = other;
    return a->len == b->len && !memcmp(a->data, b->data, a->len);
}

mp_obj_t mp_obj_dict_store(mp_obj_t dict, mp_obj_t key, mp_obj_t value) {
    mp_map_t *map = &((mp_obj_dict_t *)dict)->map;
    size_t i = 0;
    while (i < map->used && !same_key(map->table[i].key, key)) {
        i++;
    }
    if (i == map->used) {
        CHECK(map->used < map->alloc);
        map->table[map->used++].key = key;
    }
    map->table[i].value = value;
    return dict;
}

const mp_obj_type_t *mp_obj_get_type(mp_obj_t object) {
    return mp_obj_is_small_int(object) ? &mp_type_int : ((mp_obj_base_t *)object)->type;
}

bool mp_obj_is_instance_type(const mp_obj_type_t *type) {
    (void)type;
    return false;
}

mp_int_t mp_obj_get_int_truncated(mp_obj_t object) {
    return (mp_int_t)(uint32_t)value_of(object);
}

mp_float_t mp_obj_get_float(mp_obj_t object) {
    return ((number_t *)object)->value;
}

bool mp_get_buffer(mp_obj_t object, mp_buffer_info_t *buffer, int flags) {
    (void)flags;
    const mp_obj_type_t *type = mp_obj_get_type(object);
    if (type != &mp_type_str && type != &mp_type_bytes) {
        return false;
    }
    const mp_obj_str_t *text = object;
    *buffer = (mp_buffer_info_t){(void *)(uintptr_t)text->data, text->len, 'B'};
    return true;
}

mp_obj_t mp_binary_op(mp_binary_op_t operation, mp_obj_t left, mp_obj_t right) {
    wide_t value = value_of(left);
    switch (operation) {
    case MP_BINARY_OP_RSHIFT:
        return new_int(value >> value_of(right));
    case MP_BINARY_OP_LSHIFT:
        return new_int(value * ((wide_t)1 << value_of(right)));
    default:
        return new_int(value | value_of(right));
    }
}

/* -- picolink.objects ----------------------------------------------------------------------------------- */

mp_obj_t mp_import_name(qstr name, mp_obj_t from_list, mp_obj_t level) {
    (void)name, (void)from_list, (void)level;
    return mp_const_none;
}

mp_obj_t mp_import_from(mp_obj_t module, qstr name) {
    (void)name;
    return module;
}

mp_obj_t mp_load_attr(mp_obj_t object, qstr name) {
    (void)name;
    return object;
}

mp_obj_t mp_call_function_n_kw(mp_obj_t function, size_t count, size_t keywords, const mp_obj_t *arguments) {
    (void)function, (void)count, (void)keywords, (void)arguments;
    asked = true;
    return mp_obj_new_bytes((const byte *)"", 0);
}

/* -- the target ----------------------------------------------------------------------------------------- */

/* Whether all that is in it is there, and not too deep. */
static void check(mp_obj_t object, size_t depth) {
    CHECK(object);
    const mp_obj_type_t *type = mp_obj_get_type(object);
    if (type == &mp_type_list) {
        CHECK(depth < PICOLINK_OBJECT_DEPTH);
        const mp_obj_list_t *list = object;
        for (size_t i = 0; i < list->len; i++) {
            check(list->items[i], depth + 1);
        }
    } else if (type == &mp_type_dict) {
        CHECK(depth < PICOLINK_OBJECT_DEPTH);
        const mp_map_t *map = &((mp_obj_dict_t *)object)->map;
        for (size_t i = 0; i < map->used; i++) {
            const mp_obj_type_t *key = mp_obj_get_type(map->table[i].key);
            CHECK(key == &mp_type_str || key == &mp_type_int);
            check(map->table[i].value, depth + 1);
        }
    }
}

static mp_obj_t unpack(const uint8_t *data, size_t size) {
    items = bytes = 0;
    justified = size;
    mp_obj_t object = picolink_unpack(data, size);
    justified = SIZE_MAX;
    return object;
}

/* The bytes that the object is packed to, of which `packed` has room for `size`; or REFUSED, NOT_PACKED. */
long repack(const uint8_t *data, size_t size, uint8_t *packed) {
    picolink_packed_t first;
    picolink_packed_t second;
    long result = REFUSED;
    mp_obj_t object = unpack(data, size);
    if (object) {
        check(object, 0);
        asked = false;
        picolink_pack(&first, object);
        result = NOT_PACKED;
        if (!asked) {
            CHECK(first.size <= size);
            memcpy(packed, first.bytes, first.size);
            picolink_pack(&second, unpack(packed, first.size));
            CHECK(!asked && second.size == first.size && !memcmp(second.bytes, packed, first.size));
            result = (long)first.size;
        }
    }
    free_all();
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint8_t *packed = malloc(size);
    repack(data, size, packed);
    free(packed);
    return 0;
}
