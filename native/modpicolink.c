/*
 * The module _picolink: the C engine as a MicroPython type, with the interface of py/picolink/pyengine.py.
 * What its flags and states mean is in py/picolink/flags.py.
 * One source for the native module (.mpy) and for firmware (user C module).
 */
#include "picolink.h"

#include <string.h>

#include "crc32.h"
#include "objects.h"

typedef struct {
    mp_obj_base_t base;
    picolink_engine_t engine; /* its rings follow */
} engine_obj_t;

static picolink_engine_t *engine_of(mp_obj_t self) {
    return &((engine_obj_t *)MP_OBJ_TO_PTR(self))->engine;
}

/*
 * Converting an argument can run the program's code (`__int__`, or `__del__` when memory is allocated), which
 * may resize a buffer or call this engine. So: first whatever can, then the buffers, then the engine, and
 * nothing in between.
 */

/* -- arguments ------------------------------------------------------------------------------------------ */

/* Raises `type` with the text `format % values`, which native modules have no function for. */
static void raise_text(const mp_obj_type_t *type, const char *format, size_t length, size_t n,
                       const mp_obj_t *values) {
    mp_obj_t text =
        mp_binary_op(MP_BINARY_OP_MODULO, mp_obj_new_str(format, length), mp_obj_new_tuple(n, values));
    nlr_raise(mp_obj_new_exception_arg1(type, text));
}

#define RAISE(type, format, ...)                                                                             \
    do {                                                                                                     \
        mp_obj_t values_[] = {__VA_ARGS__};                                                                  \
        raise_text(&type, format, sizeof(format) - 1, MP_ARRAY_SIZE(values_), values_);                      \
    } while (0)

/* Whether `value` is an int that fits in 32 bits, put into `bits`. Raises TypeError when it is no int. */
static bool get_uint32(qstr name, mp_obj_t value, mp_uint_t *bits) {
    if (mp_obj_is_small_int(value)) {
        mp_int_t number = MP_OBJ_SMALL_INT_VALUE(value);
        *bits = (mp_uint_t)number;
        return number >= 0 && *bits <= UINT32_MAX;
    }
    if (mp_obj_get_type(value) != mp_obj_get_type(MP_OBJ_NEW_SMALL_INT(0))) {
        RAISE(mp_type_TypeError, "%s must be an int, not %r", MP_OBJ_NEW_QSTR(name), value);
    }
    *bits = (uint32_t)mp_obj_get_int_truncated(value);
    return mp_binary_op(MP_BINARY_OP_EQUAL, value, mp_obj_new_int_from_uint(*bits)) == mp_const_true;
}

/* An int from `low` to `high`. */
static uint32_t checked_int(qstr name, mp_obj_t value, uint32_t low, uint32_t high) {
    mp_uint_t bits;
    if (!get_uint32(name, value, &bits) || bits < low || bits > high) {
        RAISE(mp_type_ValueError, "%s must be %d to %d, not %d", MP_OBJ_NEW_QSTR(name),
              mp_obj_new_int_from_uint(low), mp_obj_new_int_from_uint(high), value);
    }
    return bits;
}

static uint32_t checked_ring_size(qstr name, mp_obj_t value) {
    uint32_t size = checked_int(name, value, PICOLINK_RING_MIN, PICOLINK_RING_MAX);
    if (size & (size - 1)) {
        RAISE(mp_type_ValueError, "%s must be a power of two from 256 to 32768, not %d",
              MP_OBJ_NEW_QSTR(name), value);
    }
    return size;
}

static uint32_t milliseconds(mp_obj_t now) {
    return mp_obj_get_int_truncated(now);
}

/* 8 bytes, not all 0. */
static const uint8_t *checked_identity(mp_obj_t value) {
    mp_buffer_info_t bytes;
    if (mp_obj_get_type(value) == &mp_type_str || !picolink_is_bytes(value, &bytes)) {
        RAISE(mp_type_TypeError, "identity must be bytes, not %r", value);
    }
    if (!picolink_is_identity(bytes.buf, bytes.len)) {
        RAISE(mp_type_ValueError, "identity must be 8 bytes that are not all 0, not %r", value);
    }
    return bytes.buf;
}

/* 32 bytes, of which nothing is shown. */
static const uint8_t *checked_secret(qstr name, mp_obj_t value) {
    mp_buffer_info_t bytes;
    if (mp_obj_get_type(value) == &mp_type_str || !picolink_is_bytes(value, &bytes) ||
        bytes.len != PICOLINK_KEY_BYTES) {
        RAISE(mp_type_ValueError, "%s must be 32 bytes", MP_OBJ_NEW_QSTR(name));
    }
    return bytes.buf;
}

/* -- the type Engine ------------------------------------------------------------------------------------ */

/* All the memory of an engine is this one block. */
static mp_obj_t engine_make_new(const mp_obj_type_t *type, size_t n_args, size_t n_kw, const mp_obj_t *args) {
    enum { SESSION, IDENTITY, TX_SIZE, RX_SIZE, WINDOW, COMMIT, KEY, SEED, ARGUMENTS };
    /* Not static: a native module only knows its qstrs when it runs. */
    const mp_arg_t allowed[ARGUMENTS] = {
        {MP_QSTR_session, MP_ARG_REQUIRED | MP_ARG_OBJ, {.u_int = 0}},
        {MP_QSTR_identity, MP_ARG_REQUIRED | MP_ARG_OBJ, {.u_int = 0}},
        {MP_QSTR_tx_size, MP_ARG_OBJ, {.u_obj = MP_OBJ_NEW_SMALL_INT(8192)}},
        {MP_QSTR_rx_size, MP_ARG_OBJ, {.u_obj = MP_OBJ_NEW_SMALL_INT(8192)}},
        {MP_QSTR_window, MP_ARG_OBJ, {.u_obj = MP_OBJ_NEW_SMALL_INT(4096)}},
        {MP_QSTR_commit, MP_ARG_BOOL, {.u_bool = false}},
        {MP_QSTR_key, MP_ARG_OBJ, {.u_obj = mp_const_none}},
        {MP_QSTR_seed, MP_ARG_OBJ, {.u_obj = mp_const_none}},
    };
    mp_arg_val_t values[ARGUMENTS];
    mp_arg_parse_all_kw_array(n_args, n_kw, args, ARGUMENTS, allowed, values);
    uint32_t session = checked_int(MP_QSTR_session, values[SESSION].u_obj, 1, UINT32_MAX);
    uint32_t tx_size = checked_ring_size(MP_QSTR_tx_size, values[TX_SIZE].u_obj);
    uint32_t rx_size = checked_ring_size(MP_QSTR_rx_size, values[RX_SIZE].u_obj);
    uint32_t window =
        checked_int(MP_QSTR_window, values[WINDOW].u_obj, PICOLINK_WINDOW_MIN, PICOLINK_WINDOW_MAX);

    checked_identity(values[IDENTITY].u_obj);
    bool keyed = values[KEY].u_obj != mp_const_none;
    size_t size = picolink_engine_bytes(tx_size, rx_size);
    size_t keys_size = 0;
    if (keyed) {
        checked_secret(MP_QSTR_key, values[KEY].u_obj);
        checked_secret(MP_QSTR_seed, values[SEED].u_obj);
        keys_size = sizeof(picolink_keys_t);
    }

    engine_obj_t *self = m_malloc(offsetof(engine_obj_t, engine) + size + keys_size);
    self->base.type = type;
    const uint8_t *identity = checked_identity(values[IDENTITY].u_obj); /* where it is now */
    picolink_init(&self->engine, session, identity, tx_size, rx_size, window, values[COMMIT].u_bool);
    if (keyed) {
        picolink_set_key(&self->engine, (picolink_keys_t *)((byte *)&self->engine + size),
                         checked_secret(MP_QSTR_key, values[KEY].u_obj),
                         checked_secret(MP_QSTR_seed, values[SEED].u_obj));
    }
    return MP_OBJ_FROM_PTR(self);
}

static void engine_attr(mp_obj_t self, qstr name, mp_obj_t *dest) {
    if (dest[0] != MP_OBJ_NULL) {
        return; /* attributes are read-only */
    }
    const picolink_engine_t *engine = engine_of(self);
    if (name == MP_QSTR_state) {
        dest[0] = MP_OBJ_NEW_SMALL_INT(engine->state);
    } else if (name == MP_QSTR_ended) {
        dest[0] = mp_obj_new_bool(engine->ended);
    } else if (name == MP_QSTR_peer_version) {
        dest[0] = MP_OBJ_NEW_SMALL_INT(engine->peer_version);
    } else if (name == MP_QSTR_reason) {
        dest[0] = MP_OBJ_NEW_SMALL_INT(engine->reason);
    } else if (name == MP_QSTR_partner) {
        const uint8_t *partner = picolink_partner(engine);
        dest[0] = partner ? mp_obj_new_bytes(partner, PICOLINK_IDENTITY_BYTES) : mp_const_none;
    } else {
        dest[1] = MP_OBJ_SENTINEL; /* a method */
    }
}

static mp_obj_t engine_start(mp_obj_t self, mp_obj_t mtu, mp_obj_t now) {
    uint32_t size = checked_int(MP_QSTR_mtu, mtu, PICOLINK_MTU_MIN, PICOLINK_MTU_MAX);
    uint32_t now_ms = milliseconds(now);
    picolink_start(engine_of(self), size, now_ms);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_3(engine_start_obj, engine_start);

static mp_obj_t engine_set_partner(mp_obj_t self, mp_obj_t identity) {
    picolink_set_partner(engine_of(self), identity == mp_const_none ? NULL : checked_identity(identity));
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_2(engine_set_partner_obj, engine_set_partner);

static mp_obj_t engine_bye(mp_obj_t self, mp_obj_t reason) {
    picolink_bye(engine_of(self), checked_int(MP_QSTR_reason, reason, 1, 255));
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_2(engine_bye_obj, engine_bye);

static mp_obj_t engine_queue(picolink_engine_t *engine, uint32_t first, const void *bytes, size_t size) {
    picolink_send_t sent = picolink_send(engine, first, bytes, size);
    if (sent == PICOLINK_SEND_NEVER) {
        RAISE(mp_type_ValueError, "a message of %d bytes never fits: %d with its header at most",
              MP_OBJ_NEW_SMALL_INT(size), MP_OBJ_NEW_SMALL_INT(picolink_record_limit(engine)));
    }
    return mp_obj_new_bool(sent == PICOLINK_SEND_QUEUED);
}

/* Not inlined: its bytes are not to lie on the stack for other messages. */
static MP_NOINLINE mp_obj_t engine_send_object(mp_obj_t self, mp_obj_t data, mp_obj_t channel) {
    picolink_packed_t packed;
    picolink_pack(&packed, data);
    uint32_t first = checked_int(MP_QSTR_channel, channel, 0, PICOLINK_CHANNEL_MAX);
    return engine_queue(engine_of(self), first | PICOLINK_OBJECT << 4, packed.bytes, packed.size);
}

/* send(data, channel=0, kind=None) */
static mp_obj_t engine_send(size_t n_args, const mp_obj_t *args, mp_map_t *keywords) {
    enum { DATA, CHANNEL, KIND, ARGUMENTS };
    mp_arg_val_t values[ARGUMENTS];
    if (!keywords->used && n_args >= 2 && n_args <= 1 + ARGUMENTS) {
        /* Without the general parser, which takes longer than picolink_send(). */
        values[DATA].u_obj = args[1];
        values[CHANNEL].u_obj = n_args > 2 ? args[2] : MP_OBJ_NEW_SMALL_INT(0);
        values[KIND].u_obj = n_args > 3 ? args[3] : mp_const_none;
    } else {
        const mp_arg_t allowed[ARGUMENTS] = {
            {MP_QSTR_data, MP_ARG_REQUIRED | MP_ARG_OBJ, {.u_int = 0}},
            {MP_QSTR_channel, MP_ARG_OBJ, {.u_obj = MP_OBJ_NEW_SMALL_INT(0)}},
            {MP_QSTR_kind, MP_ARG_OBJ, {.u_obj = mp_const_none}},
        };
        mp_arg_parse_all(n_args - 1, args + 1, keywords, ARGUMENTS, allowed, values);
    }
    mp_obj_t data = values[DATA].u_obj;
    mp_obj_t kind = values[KIND].u_obj;
    mp_buffer_info_t message;
    /* The buffer of a str is UTF-8. */
    if (!picolink_is_bytes(data, &message)) {
        if (kind == mp_const_none) {
            return engine_send_object(args[0], data, values[CHANNEL].u_obj);
        }
        RAISE(mp_type_TypeError, "a message must be bytes, bytearray, memoryview or str, not %r", data);
    }
    uint32_t first = checked_int(MP_QSTR_channel, values[CHANNEL].u_obj, 0, PICOLINK_CHANNEL_MAX);
    if (kind != mp_const_none) {
        mp_uint_t bits;
        if (!get_uint32(MP_QSTR_kind, kind, &bits) || bits == 3 ||
            bits > (PICOLINK_NEWEST | PICOLINK_OBJECT)) {
            RAISE(mp_type_ValueError, "kind must be 0, 1, 2, 4, 5 or 6, not %d", kind);
        }
        first |= bits << 4;
    } else if (mp_obj_get_type(data) == &mp_type_str) {
        first |= PICOLINK_TEXT << 4;
    }
    return engine_queue(engine_of(args[0]), first, message.buf, message.len);
}
static MP_DEFINE_CONST_FUN_OBJ_KW(engine_send_obj, 1, engine_send);

static mp_obj_t engine_end(mp_obj_t self) {
    return mp_obj_new_bool(picolink_end(engine_of(self)));
}
static MP_DEFINE_CONST_FUN_OBJ_1(engine_end_obj, engine_end);

static mp_obj_t engine_commit(mp_obj_t self) {
    if (!picolink_commit(engine_of(self))) {
        mp_raise_ValueError(MP_ERROR_TEXT("this engine was made without commit=True"));
    }
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_1(engine_commit_obj, engine_commit);

static mp_obj_t engine_readable(mp_obj_t self) {
    picolink_message_t message;
    return MP_OBJ_NEW_SMALL_INT(picolink_peek(engine_of(self), &message) ? 0x100 | message.kind_and_channel
                                                                         : 0);
}
static MP_DEFINE_CONST_FUN_OBJ_1(engine_readable_obj, engine_readable);

static size_t size_of(const picolink_message_t *message) {
    return (size_t)message->first_size + message->second_size;
}

static void copy(byte *to, const picolink_message_t *message) {
    memcpy(to, message->first, message->first_size);
    if (message->second_size) {
        memcpy(to + message->first_size, message->second, message->second_size);
    }
}

/* recv(raw=False) */
static mp_obj_t engine_recv(size_t n_args, const mp_obj_t *args) {
    picolink_engine_t *engine = engine_of(args[0]);
    picolink_message_t message;
    if (!picolink_peek(engine, &message)) {
        return mp_const_none;
    }
    size_t size = size_of(&message);
    /* In one block also where the ring wraps. */
    byte *data;
    mp_obj_str_t *bytes = picolink_new_bytes(size, &data);
    mp_obj_t items[] = {MP_OBJ_NEW_SMALL_INT(0), MP_OBJ_FROM_PTR(bytes)};
    mp_obj_tuple_t *pair = MP_OBJ_TO_PTR(mp_obj_new_tuple(2, items));
    /* Only now: when memory runs out above, the message stays. And it may have been read there. */
    if (!picolink_peek(engine, &message) || size_of(&message) != size) {
        return engine_recv(n_args, args);
    }
    pair->items[0] = MP_OBJ_NEW_SMALL_INT(message.kind_and_channel);
    copy(data, &message);
    uint32_t kind = message.kind_and_channel >> 4 & 3;
    if (kind && (n_args < 2 || args[1] == mp_const_false)) {
        mp_obj_t value = MP_OBJ_NULL;
        if (kind == PICOLINK_OBJECT) {
            const uint8_t *first = message.first;
            value = picolink_unpack(data, size);
            if (!picolink_peek(engine, &message) || message.first != first) {
                return engine_recv(n_args, args); /* it was read in there */
            }
        } else if (picolink_is_text(data, size)) {
            bytes->base.type = &mp_type_str;
            value = MP_OBJ_FROM_PTR(bytes);
        }
        if (value == MP_OBJ_NULL) {
            picolink_release(engine);
            value = picolink_objects_call(MP_QSTR_value_of, 2, pair->items);
            pair->items[1] = value;
            return MP_OBJ_FROM_PTR(pair);
        }
        pair->items[1] = value;
    }
    picolink_release(engine);
    return MP_OBJ_FROM_PTR(pair);
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(engine_recv_obj, 1, 2, engine_recv);

static mp_obj_t engine_recv_into(mp_obj_t self, mp_obj_t buf) {
    picolink_engine_t *engine = engine_of(self);
    picolink_message_t message;
    if (!picolink_peek(engine, &message)) {
        return MP_OBJ_NEW_SMALL_INT(-1);
    }
    mp_buffer_info_t room;
    mp_get_buffer_raise(buf, &room, MP_BUFFER_WRITE);
    size_t size = size_of(&message);
    if (room.len < size) {
        RAISE(mp_type_ValueError, "the next message has %d bytes, the buffer only %d",
              MP_OBJ_NEW_SMALL_INT(size), MP_OBJ_NEW_SMALL_INT(room.len));
    }
    copy(room.buf, &message);
    picolink_release(engine);
    return MP_OBJ_NEW_SMALL_INT((mp_int_t)message.kind_and_channel << 16 | size);
}
static MP_DEFINE_CONST_FUN_OBJ_2(engine_recv_into_obj, engine_recv_into);

static mp_obj_t engine_pull_into(mp_obj_t self, mp_obj_t buf, mp_obj_t now) {
    uint32_t now_ms = milliseconds(now);
    mp_buffer_info_t room;
    mp_get_buffer_raise(buf, &room, MP_BUFFER_WRITE);
    if (room.len < PICOLINK_PULL_MAX) {
        RAISE(mp_type_ValueError, "the packet buffer must have %d bytes, not %d",
              MP_OBJ_NEW_SMALL_INT(PICOLINK_PULL_MAX), MP_OBJ_NEW_SMALL_INT(room.len));
    }
    return MP_OBJ_NEW_SMALL_INT(picolink_pull(engine_of(self), room.buf, room.len, now_ms));
}
static MP_DEFINE_CONST_FUN_OBJ_3(engine_pull_into_obj, engine_pull_into);

static mp_obj_t engine_feed(mp_obj_t self, mp_obj_t packet, mp_obj_t now) {
    uint32_t now_ms = milliseconds(now);
    mp_buffer_info_t bytes;
    mp_get_buffer_raise(packet, &bytes, MP_BUFFER_READ);
    return MP_OBJ_NEW_SMALL_INT(picolink_feed(engine_of(self), bytes.buf, bytes.len, now_ms));
}
static MP_DEFINE_CONST_FUN_OBJ_3(engine_feed_obj, engine_feed);

static mp_obj_t engine_take_flags(mp_obj_t self) {
    return MP_OBJ_NEW_SMALL_INT(picolink_take_flags(engine_of(self)));
}
static MP_DEFINE_CONST_FUN_OBJ_1(engine_take_flags_obj, engine_take_flags);

static mp_obj_t engine_wait(mp_obj_t self, mp_obj_t now) {
    return MP_OBJ_NEW_SMALL_INT(picolink_wait(engine_of(self), milliseconds(now)));
}
static MP_DEFINE_CONST_FUN_OBJ_2(engine_wait_obj, engine_wait);

static mp_obj_t engine_pending(mp_obj_t self) {
    return MP_OBJ_NEW_SMALL_INT(picolink_pending(engine_of(self)));
}
static MP_DEFINE_CONST_FUN_OBJ_1(engine_pending_obj, engine_pending);

static mp_obj_t engine_acknowledged(mp_obj_t self) {
    return MP_OBJ_NEW_SMALL_INT(picolink_acknowledged(engine_of(self)));
}
static MP_DEFINE_CONST_FUN_OBJ_1(engine_acknowledged_obj, engine_acknowledged);

static mp_obj_t engine_stats(mp_obj_t self) {
#define NAME(name) #name " "
    static const char names[] = PICOLINK_STATS(NAME);
    const picolink_stats_t *stats = picolink_stats(engine_of(self));
    const uint32_t *value = (const uint32_t *)stats;
    mp_obj_t dict = mp_obj_new_dict(sizeof(*stats) / sizeof(*value));
    for (const char *name = names; *name; value++) {
        size_t length = 0;
        while (name[length] != ' ') {
            length++;
        }
        mp_obj_dict_store(dict, mp_obj_new_str(name, length), mp_obj_new_int_from_uint(*value));
        name += length + 1;
    }
    return dict;
}
static MP_DEFINE_CONST_FUN_OBJ_1(engine_stats_obj, engine_stats);

/* -- the module ----------------------------------------------------------------------------------------- */

static mp_obj_t module_pack(mp_obj_t object) {
    picolink_packed_t packed;
    picolink_pack(&packed, object);
    return packed.kept ? MP_OBJ_FROM_PTR(packed.kept) : mp_obj_new_bytes(packed.bytes, packed.size);
}
static MP_DEFINE_CONST_FUN_OBJ_1(module_pack_obj, module_pack);

static mp_obj_t module_unpack(mp_obj_t data) {
    mp_buffer_info_t bytes;
    mp_obj_t object = MP_OBJ_NULL;
    if (mp_obj_get_type(data) != &mp_type_str && picolink_is_bytes(data, &bytes)) {
        object = picolink_unpack(bytes.buf, bytes.len);
    }
    return object != MP_OBJ_NULL ? object : picolink_objects_call(MP_QSTR_unpack, 1, &data);
}
static MP_DEFINE_CONST_FUN_OBJ_1(module_unpack_obj, module_unpack);

/* The most frequent first: they are searched in this order. */
#define METHODS(X)                                                                                           \
    X(MP_QSTR_send, engine_send_obj)                                                                         \
    X(MP_QSTR_recv_into, engine_recv_into_obj)                                                               \
    X(MP_QSTR_recv, engine_recv_obj)                                                                         \
    X(MP_QSTR_feed, engine_feed_obj)                                                                         \
    X(MP_QSTR_pull_into, engine_pull_into_obj)                                                               \
    X(MP_QSTR_wait, engine_wait_obj)                                                                         \
    X(MP_QSTR_take_flags, engine_take_flags_obj)                                                             \
    X(MP_QSTR_readable, engine_readable_obj)                                                                 \
    X(MP_QSTR_pending, engine_pending_obj)                                                                   \
    X(MP_QSTR_acknowledged, engine_acknowledged_obj)                                                         \
    X(MP_QSTR_start, engine_start_obj)                                                                       \
    X(MP_QSTR_end, engine_end_obj)                                                                           \
    X(MP_QSTR_bye, engine_bye_obj)                                                                           \
    X(MP_QSTR_commit, engine_commit_obj)                                                                     \
    X(MP_QSTR_set_partner, engine_set_partner_obj)                                                           \
    X(MP_QSTR_stats, engine_stats_obj)

#if MICROPY_ENABLE_DYNRUNTIME

/* A native module has no C library: what it needs of it comes from the firmware. */
void *memcpy(void *to, const void *from, size_t size) {
    return mp_fun_table.memmove_(to, from, size);
}

void *memset(void *to, int byte, size_t size) {
    return mp_fun_table.memset_(to, byte, size);
}

#define ONE(name, value) +1
enum { METHOD_COUNT = 0 METHODS(ONE) };

/* Not static: mpy_ld wants it so. */
mp_map_elem_t engine_methods[METHOD_COUNT];
mp_obj_full_type_t engine_type;
static MP_DEFINE_CONST_DICT(engine_locals, engine_methods);

static mp_map_elem_t *add_method(mp_map_elem_t *method, qstr name, const void *function) {
    method->key = MP_OBJ_NEW_QSTR(name);
    method->value = (mp_obj_t)function;
    return method + 1;
}

mp_obj_t mpy_init(mp_obj_fun_bc_t *self, size_t n_args, size_t n_kw, mp_obj_t *args) {
    MP_DYNRUNTIME_INIT_ENTRY
    picolink_crc32_fill();
    picolink_objects_init();
    mp_map_elem_t *method = engine_methods;
#define ADD_METHOD(name, function) method = add_method(method, name, &function);
    METHODS(ADD_METHOD)
    engine_type.base.type = &mp_type_type;
    engine_type.name = MP_QSTR_Engine;
    MP_OBJ_TYPE_SET_SLOT(&engine_type, make_new, engine_make_new, 0);
    MP_OBJ_TYPE_SET_SLOT(&engine_type, attr, engine_attr, 1);
    MP_OBJ_TYPE_SET_SLOT(&engine_type, locals_dict, (void *)&engine_locals, 2);
    mp_store_global(MP_QSTR_Engine, MP_OBJ_FROM_PTR(&engine_type));
    mp_store_global(MP_QSTR_pack, MP_OBJ_FROM_PTR(&module_pack_obj));
    mp_store_global(MP_QSTR_unpack, MP_OBJ_FROM_PTR(&module_unpack_obj));
    MP_DYNRUNTIME_INIT_EXIT
}

#else

#define METHOD(name, function) {MP_ROM_QSTR(name), MP_ROM_PTR(&function)},
static const mp_rom_map_elem_t engine_methods[] = {METHODS(METHOD)};
static MP_DEFINE_CONST_DICT(engine_locals, engine_methods);
static MP_DEFINE_CONST_OBJ_TYPE(engine_type, MP_QSTR_Engine, MP_TYPE_FLAG_NONE, make_new, engine_make_new,
                                attr, engine_attr, locals_dict, &engine_locals);

static const mp_rom_map_elem_t module_globals_table[] = {
    {MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR__picolink)},
    {MP_ROM_QSTR(MP_QSTR_Engine), MP_ROM_PTR(&engine_type)},
    {MP_ROM_QSTR(MP_QSTR_pack), MP_ROM_PTR(&module_pack_obj)},
    {MP_ROM_QSTR(MP_QSTR_unpack), MP_ROM_PTR(&module_unpack_obj)},
};
static MP_DEFINE_CONST_DICT(module_globals, module_globals_table);

const mp_obj_module_t picolink_user_cmodule = {
    .base = {&mp_type_module},
    .globals = (mp_obj_dict_t *)&module_globals,
};
MP_REGISTER_MODULE(MP_QSTR__picolink, picolink_user_cmodule);

#endif
