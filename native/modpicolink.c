/*
 * The module _picolink: the C engine as a MicroPython type, with the interface of py/picolink/pyengine.py.
 * What its flags and states mean is in py/picolink/flags.py.
 * One source for the native module (.mpy) and for firmware (user C module).
 */
#include "picolink.h"

#include <string.h>

#include "crc32.h"
#include "objects.h"
#include "py/objarray.h"
#include "py/objexcept.h"

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

#if MICROPY_ENABLE_DYNRUNTIME
/* Global, also where the whole module is one source: mpy_ld wants it so. */
__attribute__((used)) mp_obj_full_type_t engine_type;
#define mp_type_StopIteration (*(mp_obj_type_t *)mp_load_global(MP_QSTR_StopIteration))
#else
extern const mp_obj_type_t engine_type;
#endif

/* -- arguments ------------------------------------------------------------------------------------------ */

/* What is wrong: the places in py/picolink/checks.py, which has the texts. */
enum {
    WRONG_INT,
    WRONG_BYTES,
    WRONG_MESSAGE,
    WRONG_RANGE,
    WRONG_POWER,
    WRONG_IDENTITY,
    WRONG_SECRET,
    WRONG_KIND,
    WRONG_COMMIT,
    WRONG_LONG,
    WRONG_BUFFER,
    WRONG_PACKET
};

/* Raises TypeError or ValueError.   a, b: see picolink.checks.wrong(). */
static MP_NOINLINE void wrong(int what, mp_obj_t a, mp_obj_t b) {
    mp_obj_t values[] = {MP_OBJ_NEW_SMALL_INT(what), a, b};
    picolink_call(MP_QSTR_checks, MP_QSTR_wrong, MP_ARRAY_SIZE(values), values);
}

static MP_NOINLINE void wrong_sizes(int what, size_t a, size_t b) {
    wrong(what, MP_OBJ_NEW_SMALL_INT(a), MP_OBJ_NEW_SMALL_INT(b));
}

/* Whether `value` is an int that fits in 32 bits, put into `bits`. Raises TypeError when it is no int. */
static bool get_uint32(qstr name, mp_obj_t value, mp_uint_t *bits) {
    if (mp_obj_is_small_int(value)) {
        mp_int_t number = MP_OBJ_SMALL_INT_VALUE(value);
        *bits = (mp_uint_t)number;
        return number >= 0 && *bits <= UINT32_MAX;
    }
    if (mp_obj_get_type(value) != mp_obj_get_type(MP_OBJ_NEW_SMALL_INT(0))) {
        wrong(WRONG_INT, MP_OBJ_NEW_QSTR(name), value);
    }
    *bits = (uint32_t)mp_obj_get_int_truncated(value);
    return mp_binary_op(MP_BINARY_OP_EQUAL, value, mp_obj_new_int_from_uint(*bits)) == mp_const_true;
}

/* An int from `low` to `high`. */
static uint32_t checked_int(qstr name, mp_obj_t value, uint32_t low, uint32_t high) {
    mp_uint_t bits;
    if (!get_uint32(name, value, &bits) || bits < low || bits > high) {
        wrong(WRONG_RANGE, MP_OBJ_NEW_QSTR(name), value);
    }
    return bits;
}

static uint32_t checked_ring_size(qstr name, mp_obj_t value) {
    uint32_t size = checked_int(name, value, PICOLINK_RING_MIN, PICOLINK_RING_MAX);
    if (size & (size - 1)) {
        wrong(WRONG_POWER, MP_OBJ_NEW_QSTR(name), value);
    }
    return size;
}

/* Whether it has a buffer of bytes, and is no text. */
static bool is_binary(mp_obj_t value, mp_buffer_info_t *bytes) {
    return mp_obj_get_type(value) != &mp_type_str && picolink_is_bytes(value, bytes);
}

static MP_NOINLINE void get_buffer(mp_obj_t value, mp_buffer_info_t *bytes, mp_uint_t flags) {
    mp_get_buffer_raise(value, bytes, flags);
}

static uint32_t milliseconds(mp_obj_t now) {
    return mp_obj_get_int_truncated(now);
}

/* 8 bytes, not all 0. */
static const uint8_t *checked_identity(mp_obj_t value) {
    mp_buffer_info_t bytes;
    if (!is_binary(value, &bytes)) {
        wrong(WRONG_BYTES, MP_OBJ_NEW_QSTR(MP_QSTR_identity), value);
    }
    if (!picolink_is_identity(bytes.buf, bytes.len)) {
        wrong(WRONG_IDENTITY, MP_OBJ_NEW_QSTR(MP_QSTR_identity), value);
    }
    return bytes.buf;
}

/* 32 bytes, of which nothing is shown, to `to`. */
static void copy_secret(qstr name, mp_obj_t value, uint8_t *to) {
    mp_buffer_info_t bytes;
    if (!is_binary(value, &bytes) || bytes.len != PICOLINK_KEY_BYTES) {
        wrong(WRONG_SECRET, MP_OBJ_NEW_QSTR(name), MP_OBJ_NEW_QSTR(name));
    }
    memcpy(to, bytes.buf, PICOLINK_KEY_BYTES);
}

/* Once each: what MicroPython has is far for a native module. */
static MP_NOINLINE mp_obj_t none(void) {
    return mp_const_none;
}

static MP_NOINLINE mp_obj_t truth(bool value) {
    return mp_obj_new_bool(value);
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

    /* Copied before memory is allocated, which can run the program's code. */
    uint8_t identity[PICOLINK_IDENTITY_BYTES];
    uint8_t key[PICOLINK_KEY_BYTES];
    uint8_t seed[PICOLINK_SEED_BYTES];
    memcpy(identity, checked_identity(values[IDENTITY].u_obj), PICOLINK_IDENTITY_BYTES);
    bool keyed = values[KEY].u_obj != mp_const_none;
    size_t size = picolink_engine_bytes(tx_size, rx_size);
    size_t keys_size = 0;
    if (keyed) {
        copy_secret(MP_QSTR_key, values[KEY].u_obj, key);
        copy_secret(MP_QSTR_seed, values[SEED].u_obj, seed);
        keys_size = sizeof(picolink_keys_t);
    }

    engine_obj_t *self = m_malloc(offsetof(engine_obj_t, engine) + size + keys_size);
    self->base.type = type;
    picolink_init(&self->engine, session, identity, tx_size, rx_size, window, values[COMMIT].u_bool);
    if (keyed) {
        picolink_set_key(&self->engine, (picolink_keys_t *)((byte *)&self->engine + size), key, seed);
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
        dest[0] = truth(engine->ended);
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
    return none();
}

static mp_obj_t engine_set_partner(mp_obj_t self, mp_obj_t identity) {
    picolink_set_partner(engine_of(self), identity == mp_const_none ? NULL : checked_identity(identity));
    return none();
}

static mp_obj_t engine_bye(mp_obj_t self, mp_obj_t reason) {
    picolink_bye(engine_of(self), checked_int(MP_QSTR_reason, reason, 1, 255));
    return none();
}

static mp_obj_t engine_queue(picolink_engine_t *engine, uint32_t first, const void *bytes, size_t size) {
    picolink_send_t sent = picolink_send(engine, first, bytes, size);
    if (sent == PICOLINK_SEND_NEVER) {
        wrong_sizes(WRONG_LONG, size, picolink_record_limit(engine));
    }
    return truth(sent == PICOLINK_SEND_QUEUED);
}

/* Not inlined: its bytes are not to lie on the stack for other messages. */
static MP_NOINLINE mp_obj_t engine_send_object(mp_obj_t self, mp_obj_t data, mp_obj_t channel) {
    picolink_packed_t packed;
    picolink_pack(&packed, data);
    uint32_t first = checked_int(MP_QSTR_channel, channel, 0, PICOLINK_CHANNEL_MAX);
    return engine_queue(engine_of(self), first | PICOLINK_OBJECT << 4, packed.bytes, packed.size);
}

/* send(data, channel=0, kind=None): by position only, which is the quickest */
static mp_obj_t engine_send(size_t n_args, const mp_obj_t *args) {
    mp_obj_t data = args[1];
    mp_obj_t channel = n_args > 2 ? args[2] : MP_OBJ_NEW_SMALL_INT(0);
    mp_obj_t kind = n_args > 3 ? args[3] : mp_const_none;
    mp_buffer_info_t message;
    /* The buffer of a str is UTF-8. */
    if (!picolink_is_bytes(data, &message)) {
        if (kind == mp_const_none) {
            return engine_send_object(args[0], data, channel);
        }
        wrong(WRONG_MESSAGE, data, data);
    }
    uint32_t first = checked_int(MP_QSTR_channel, channel, 0, PICOLINK_CHANNEL_MAX);
    if (kind != mp_const_none) {
        mp_uint_t bits;
        if (!get_uint32(MP_QSTR_kind, kind, &bits) || bits == 3 ||
            bits > (PICOLINK_NEWEST | PICOLINK_OBJECT)) {
            wrong(WRONG_KIND, MP_OBJ_NEW_QSTR(MP_QSTR_kind), kind);
        }
        first |= bits << 4;
    } else if (mp_obj_get_type(data) == &mp_type_str) {
        first |= PICOLINK_TEXT << 4;
    }
    return engine_queue(engine_of(args[0]), first, message.buf, message.len);
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(engine_send_obj, 2, 4, engine_send);

static mp_obj_t engine_end(mp_obj_t self) {
    return truth(picolink_end(engine_of(self)));
}

static mp_obj_t engine_commit(mp_obj_t self) {
    if (!picolink_commit(engine_of(self))) {
        wrong_sizes(WRONG_COMMIT, 0, 0);
    }
    return none();
}

static mp_obj_t engine_readable(mp_obj_t self) {
    picolink_message_t message;
    return MP_OBJ_NEW_SMALL_INT(picolink_peek(engine_of(self), &message) ? 0x100 | message.kind_and_channel
                                                                         : 0);
}

static size_t size_of(const picolink_message_t *message) {
    return (size_t)message->first_size + message->second_size;
}

static void copy(byte *to, const picolink_message_t *message) {
    memcpy(to, message->first, message->first_size);
    if (message->second_size) {
        memcpy(to + message->first_size, message->second, message->second_size);
    }
}

/* Takes the next message: items[0] is its kind and channel, items[1] the message. False when there is none.
 */
static bool take(picolink_engine_t *engine, bool raw, mp_obj_t *items) {
    picolink_message_t message;
    while (picolink_peek(engine, &message)) {
        size_t size = size_of(&message);
        /* In one block also where the ring wraps. */
        byte *data;
        mp_obj_str_t *bytes = picolink_new_bytes(size, &data);
        /* Only now: when memory runs out above, the message stays. And it may have been read there. */
        if (!picolink_peek(engine, &message) || size_of(&message) != size) {
            continue;
        }
        items[0] = MP_OBJ_NEW_SMALL_INT(message.kind_and_channel);
        items[1] = MP_OBJ_FROM_PTR(bytes);
        copy(data, &message);
        uint32_t kind = message.kind_and_channel >> 4 & 3;
        if (kind && !raw) {
            mp_obj_t value = MP_OBJ_NULL;
            if (kind == PICOLINK_OBJECT) {
                const uint8_t *first = message.first;
                value = picolink_unpack(data, size);
                if (!picolink_peek(engine, &message) || message.first != first) {
                    continue; /* it was read in there */
                }
            } else if (picolink_is_text(data, size)) {
                bytes->base.type = &mp_type_str;
                value = items[1];
            }
            if (value == MP_OBJ_NULL) {
                picolink_release(engine);
                items[1] = picolink_call(MP_QSTR_objects, MP_QSTR_value_of, 2, items);
                return true;
            }
            items[1] = value;
        }
        picolink_release(engine);
        return true;
    }
    return false;
}

/* recv(raw=False) */
static mp_obj_t engine_recv(size_t n_args, const mp_obj_t *args) {
    picolink_engine_t *engine = engine_of(args[0]);
    picolink_message_t message;
    if (!picolink_peek(engine, &message)) {
        return none();
    }
    mp_obj_t items[] = {MP_OBJ_NEW_SMALL_INT(0), MP_OBJ_NEW_SMALL_INT(0)};
    mp_obj_tuple_t *pair = MP_OBJ_TO_PTR(mp_obj_new_tuple(2, items));
    return take(engine, n_args > 1 && args[1] != mp_const_false, pair->items) ? MP_OBJ_FROM_PTR(pair)
                                                                              : none();
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(engine_recv_obj, 1, 2, engine_recv);

static mp_obj_t engine_recv_into(mp_obj_t self, mp_obj_t buf) {
    picolink_engine_t *engine = engine_of(self);
    picolink_message_t message;
    if (!picolink_peek(engine, &message)) {
        return MP_OBJ_NEW_SMALL_INT(-1);
    }
    mp_buffer_info_t room;
    get_buffer(buf, &room, MP_BUFFER_WRITE);
    size_t size = size_of(&message);
    if (room.len < size) {
        wrong_sizes(WRONG_BUFFER, size, room.len);
    }
    copy(room.buf, &message);
    picolink_release(engine);
    return MP_OBJ_NEW_SMALL_INT((mp_int_t)message.kind_and_channel << 16 | size);
}

static mp_obj_t engine_pull_into(mp_obj_t self, mp_obj_t buf, mp_obj_t now) {
    uint32_t now_ms = milliseconds(now);
    mp_buffer_info_t room;
    get_buffer(buf, &room, MP_BUFFER_WRITE);
    if (room.len < PICOLINK_PULL_MAX) {
        wrong_sizes(WRONG_PACKET, PICOLINK_PULL_MAX, room.len);
    }
    return MP_OBJ_NEW_SMALL_INT(picolink_pull(engine_of(self), room.buf, room.len, now_ms));
}

static mp_obj_t engine_feed(mp_obj_t self, mp_obj_t packet, mp_obj_t now) {
    uint32_t now_ms = milliseconds(now);
    mp_buffer_info_t bytes;
    get_buffer(packet, &bytes, MP_BUFFER_READ);
    return MP_OBJ_NEW_SMALL_INT(picolink_feed(engine_of(self), bytes.buf, bytes.len, now_ms));
}

static mp_obj_t engine_take_flags(mp_obj_t self) {
    return MP_OBJ_NEW_SMALL_INT(picolink_take_flags(engine_of(self)));
}

static mp_obj_t engine_wait(mp_obj_t self, mp_obj_t now) {
    return MP_OBJ_NEW_SMALL_INT(picolink_wait(engine_of(self), milliseconds(now)));
}

static mp_obj_t engine_pending(mp_obj_t self) {
    return MP_OBJ_NEW_SMALL_INT(picolink_pending(engine_of(self)));
}

static mp_obj_t engine_acknowledged(mp_obj_t self) {
    return MP_OBJ_NEW_SMALL_INT(picolink_acknowledged(engine_of(self)));
}

static mp_obj_t engine_stats(mp_obj_t self) {
    const picolink_stats_t *stats = picolink_stats(engine_of(self));
    mp_obj_t values[sizeof(*stats) / sizeof(uint32_t)];
    for (size_t i = 0; i < MP_ARRAY_SIZE(values); i++) {
        values[i] = mp_obj_new_int_from_uint(((const uint32_t *)stats)[i]);
    }
    mp_obj_t tuple = mp_obj_new_tuple(MP_ARRAY_SIZE(values), values);
    return picolink_call(MP_QSTR_flags, MP_QSTR_stats, 1, &tuple);
}

/* -- the type Path -------------------------------------------------------------------------------------- */

/* What most messages of a link take, without a call of Python: see picolink.engine.new_path(). */
typedef struct {
    mp_obj_base_t base;
    mp_obj_t engine;
    mp_obj_t path; /* its items are `state` */
    mp_obj_t next, have_read, wake;
    mp_obj_t send[2], append[2]; /* what is returned when a message is queued, and who else is called */
    mp_obj_t feed, readable, hand_over;
    mp_obj_t buffer; /* for packets: keeps the memory */
    mp_obj_t packet; /* what waits for the host stack, in that memory, and as long as it is */
    mp_obj_t stop;   /* a StopIteration, made once */
    mp_int_t *state;
    bool ready; /* __anext__() has a message */
} path_obj_t;

enum { PATH_ARGUMENTS = 13 };
/* Places in `state`. */
enum {
    SENDS,
    READS,
    IDLE,
    BURST,
    CHANNEL,
    FEEDS,
    HEARD_AT,
    WORKS,
    FLAGS,
    PROGRESS_AT,
    MOST,
    SIZE,
    PASSED,
    SENT_AT,
    DUE_AT,
    PLACES
};

static MP_NOINLINE mp_obj_t call(mp_obj_t function) {
    return mp_call_function_n_kw(function, 0, 0, NULL);
}

static mp_obj_t path_make_new(const mp_obj_type_t *type, size_t n_args, size_t n_kw, const mp_obj_t *args) {
    mp_buffer_info_t state, buffer;
    if (n_args != PATH_ARGUMENTS || mp_obj_get_type(args[0]) != (const mp_obj_type_t *)&engine_type ||
        !mp_get_buffer(args[1], &state, MP_BUFFER_RW) || state.typecode != 'l' ||
        state.len != PLACES * sizeof(mp_int_t) ||
        !mp_get_buffer(args[PATH_ARGUMENTS - 1], &buffer, MP_BUFFER_RW) || buffer.len < PICOLINK_PULL_MAX) {
        mp_raise_msg(&mp_type_TypeError, MP_ERROR_TEXT("Path")); /* only picolink.link makes one */
    }
    path_obj_t *self = m_malloc(sizeof(path_obj_t));
    self->base.type = type;
    memcpy(&self->engine, args, PATH_ARGUMENTS * sizeof(*args));
    self->packet = mp_obj_new_bytearray_by_ref(buffer.len, buffer.buf);
    self->stop = mp_obj_new_exception_arg1(&mp_type_StopIteration, mp_const_none);
    self->state = state.buf;
    self->ready = false;
    return MP_OBJ_FROM_PTR(self);
}

static MP_NOINLINE bool path_takes(path_obj_t *self, mp_obj_t *items) {
    if (!self->state[READS] || !take(engine_of(self->engine), false, items)) {
        return false;
    }
    self->state[CHANNEL] = MP_OBJ_SMALL_INT_VALUE(items[0]) & PICOLINK_CHANNEL_MAX;
    return true;
}

static mp_obj_t path_anext(mp_obj_t self_in) {
    path_obj_t *self = MP_OBJ_TO_PTR(self_in);
    mp_obj_t items[2];
    if (!self->state[BURST] || !path_takes(self, items)) {
        return call(self->next);
    }
    self->state[BURST]--;
    ((mp_obj_exception_t *)MP_OBJ_TO_PTR(self->stop))->args->items[0] = items[1];
    self->ready = true; /* nothing can come before it is awaited */
    return self_in;
}

/* Of what __anext__() returns; otherwise all messages that are here. */
static mp_obj_t path_iternext(mp_obj_t self_in) {
    path_obj_t *self = MP_OBJ_TO_PTR(self_in);
    if (self->ready) {
        self->ready = false;
        nlr_raise(self->stop);
    }
    mp_obj_t items[2];
    if (path_takes(self, items)) {
        return items[1];
    }
    if (self->state[IDLE]) {
        call(self->have_read);
    }
    return MP_OBJ_STOP_ITERATION;
}

/* Queues a message. Python does what is not usual, and finds out what is wrong. */
static mp_obj_t path_queue(size_t n_args, const mp_obj_t *args, const mp_map_t *kw, const mp_obj_t *ways) {
    path_obj_t *self = MP_OBJ_TO_PTR(args[0]);
    mp_obj_t channel = n_args > 2 ? args[2] : MP_OBJ_NEW_SMALL_INT(0);
    mp_uint_t first = MP_OBJ_SMALL_INT_VALUE(channel);
    mp_buffer_info_t message;
    picolink_engine_t *engine = engine_of(self->engine);
    if (self->state[SENDS] && !engine->ended && !kw->used && n_args <= 3 && mp_obj_is_small_int(channel) &&
        first <= PICOLINK_CHANNEL_MAX && picolink_is_bytes(args[1], &message)) {
        if (mp_obj_get_type(args[1]) == &mp_type_str) {
            first |= PICOLINK_TEXT << 4;
        }
        if (picolink_send(engine, first, message.buf, message.len) == PICOLINK_SEND_QUEUED) {
            if (self->state[IDLE]) {
                self->state[IDLE] = false;
                call(self->wake);
            }
            return ways[0];
        }
    }
    return mp_call_function_n_kw(ways[1], n_args - 1, kw->used, args + 1);
}

static mp_obj_t path_send(size_t n_args, const mp_obj_t *args, mp_map_t *kw) {
    return path_queue(n_args, args, kw, ((path_obj_t *)MP_OBJ_TO_PTR(args[0]))->send);
}
static MP_DEFINE_CONST_FUN_OBJ_KW(path_send_obj, 2, path_send);

static mp_obj_t path_append(size_t n_args, const mp_obj_t *args, mp_map_t *kw) {
    return path_queue(n_args, args, kw, ((path_obj_t *)MP_OBJ_TO_PTR(args[0]))->append);
}
static MP_DEFINE_CONST_FUN_OBJ_KW(path_append_obj, 2, path_append);

static void path_pull(path_obj_t *self, mp_int_t now) {
    mp_obj_array_t *packet = MP_OBJ_TO_PTR(self->packet);
    self->state[SIZE] = picolink_pull(engine_of(self->engine), packet->items, PICOLINK_PULL_MAX, now);
}

/* As Policy._take_over(). */
static bool path_takes_over(path_obj_t *self, mp_int_t now) {
    enum { ROUTINE = PICOLINK_READABLE | PICOLINK_WRITABLE | PICOLINK_PULL };
    mp_int_t *state = self->state;
    picolink_engine_t *engine = engine_of(self->engine);
    mp_uint_t flags = picolink_take_flags(engine) | state[FLAGS];
    if (flags > ROUTINE) {
        state[FLAGS] = flags;
        return false;
    }
    if (flags & PICOLINK_READABLE) {
        call(self->readable);
    }
    bool all = true;
    if (flags & PICOLINK_WRITABLE) {
        state[PROGRESS_AT] = now;
        if (!state[SIZE]) {
            path_pull(self, now);
            all = !state[SIZE];
        }
    }
    if (state[SIZE]) {
        ((mp_obj_array_t *)MP_OBJ_TO_PTR(self->packet))->len = state[SIZE];
        if (mp_call_function_n_kw(self->hand_over, 1, 0, &self->packet) == mp_const_true) {
            state[PASSED]++;
            state[SENT_AT] = now;
            path_pull(self, now);
            state[IDLE] = !state[SIZE];
        }
    } else {
        /* Times have two bits less than an int. */
        mp_int_t left = (mp_int_t)((mp_uint_t)(state[DUE_AT] - now) << 2) >> 2;
        int32_t wait = picolink_wait(engine, now);
        all = wait < 0 || wait >= left;
    }
    if (flags & PICOLINK_WRITABLE && (mp_int_t)picolink_pending(engine) <= state[MOST]) {
        state[FLAGS] = PICOLINK_WRITABLE;
        all = false;
    }
    return all;
}

/*
 * asyncio may have asked a flag already that this packet has set, and ask another one, in Python, while the
 * handler runs. It would sleep then until something else happens.
 */
static void wake_cpu(void) {
#ifdef __arm__
    __asm volatile("sev");
#endif
}

/* feed(packet, now) */
static mp_obj_t path_feed(mp_obj_t self_in, mp_obj_t packet, mp_obj_t now) {
    path_obj_t *self = MP_OBJ_TO_PTR(self_in);
    mp_int_t *state = self->state;
    if (!state[FEEDS]) {
        mp_obj_t args[] = {packet, now};
        return mp_call_function_n_kw(self->feed, 2, 0, args);
    }
    mp_int_t now_ms = MP_OBJ_SMALL_INT_VALUE(now);
    state[HEARD_AT] = now_ms;
    mp_buffer_info_t bytes;
    get_buffer(packet, &bytes, MP_BUFFER_READ);
    if (bytes.len && picolink_feed(engine_of(self->engine), bytes.buf, bytes.len, now_ms) &&
        (state[WORKS] || !path_takes_over(self, now_ms))) {
        call(self->wake);
    }
    wake_cpu();
    return none();
}

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
    if (is_binary(data, &bytes)) {
        object = picolink_unpack(bytes.buf, bytes.len);
    }
    return object != MP_OBJ_NULL ? object : picolink_call(MP_QSTR_objects, MP_QSTR_unpack, 1, &data);
}
static MP_DEFINE_CONST_FUN_OBJ_1(module_unpack_obj, module_unpack);

/* Those with a fixed number of arguments. The most frequent first: they are searched in this order. */
#define METHODS(X)                                                                                           \
    X(MP_QSTR_recv_into, 2, engine_recv_into)                                                                \
    X(MP_QSTR_feed, 3, engine_feed)                                                                          \
    X(MP_QSTR_pull_into, 3, engine_pull_into)                                                                \
    X(MP_QSTR_wait, 2, engine_wait)                                                                          \
    X(MP_QSTR_take_flags, 1, engine_take_flags)                                                              \
    X(MP_QSTR_readable, 1, engine_readable)                                                                  \
    X(MP_QSTR_pending, 1, engine_pending)                                                                    \
    X(MP_QSTR_acknowledged, 1, engine_acknowledged)                                                          \
    X(MP_QSTR_start, 3, engine_start)                                                                        \
    X(MP_QSTR_end, 1, engine_end)                                                                            \
    X(MP_QSTR_bye, 2, engine_bye)                                                                            \
    X(MP_QSTR_commit, 1, engine_commit)                                                                      \
    X(MP_QSTR_set_partner, 2, engine_set_partner)                                                            \
    X(MP_QSTR_stats, 1, engine_stats)

#if MICROPY_ENABLE_DYNRUNTIME

/* A native module has no C library: what it needs of it comes from the firmware. */
__attribute__((used)) void *memcpy(void *to, const void *from, size_t size) {
    return mp_fun_table.memmove_(to, from, size);
}

__attribute__((used)) void *memset(void *to, int byte, size_t size) {
    return mp_fun_table.memset_(to, byte, size);
}

#define FUNCTION(name, arguments, function) {{&mp_type_fun_builtin_##arguments}, {._##arguments = function}},
static const mp_obj_fun_builtin_fixed_t functions[] = {METHODS(FUNCTION)};
enum { FUNCTIONS = MP_ARRAY_SIZE(functions) };

/* Global, also where the whole module is one source: mpy_ld wants it so. */
__attribute__((used)) mp_map_elem_t engine_methods[2 + FUNCTIONS];
static MP_DEFINE_CONST_DICT(engine_locals, engine_methods);

static const mp_obj_fun_builtin_fixed_t path_anext_obj = {{&mp_type_fun_builtin_1}, {._1 = path_anext}};
static const mp_obj_fun_builtin_fixed_t path_feed_obj = {{&mp_type_fun_builtin_3}, {._3 = path_feed}};
__attribute__((used)) mp_obj_full_type_t path_type;
__attribute__((used)) mp_map_elem_t path_methods[4];
static MP_DEFINE_CONST_DICT(path_locals, path_methods);

static void set_method(mp_map_elem_t *method, qstr name, const void *function) {
    method->key = MP_OBJ_NEW_QSTR(name);
    method->value = MP_OBJ_FROM_PTR(function);
}

__attribute__((used)) mp_obj_t mpy_init(mp_obj_fun_bc_t *self, size_t n_args, size_t n_kw, mp_obj_t *args) {
    MP_DYNRUNTIME_INIT_ENTRY
    picolink_crc32_fill();
    picolink_objects_init();
#define NAME(name, arguments, function) name,
    const uint16_t names[] = {METHODS(NAME)}; /* not static: a native module only knows them when it runs */
    set_method(&engine_methods[0], MP_QSTR_send, &engine_send_obj);
    set_method(&engine_methods[1], MP_QSTR_recv, &engine_recv_obj);
    for (size_t i = 0; i < FUNCTIONS; i++) {
        set_method(&engine_methods[2 + i], names[i], &functions[i]);
    }
    set_method(&path_methods[0], MP_QSTR_send, &path_send_obj);
    set_method(&path_methods[1], MP_QSTR_append, &path_append_obj);
    set_method(&path_methods[2], MP_QSTR___anext__, &path_anext_obj);
    set_method(&path_methods[3], MP_QSTR_feed, &path_feed_obj);
    path_type.base.type = &mp_type_type;
    path_type.flags = MP_TYPE_FLAG_ITER_IS_ITERNEXT;
    path_type.name = MP_QSTR_Path;
    MP_OBJ_TYPE_SET_SLOT(&path_type, make_new, path_make_new, 0);
    MP_OBJ_TYPE_SET_SLOT(&path_type, iter, path_iternext, 1);
    MP_OBJ_TYPE_SET_SLOT(&path_type, locals_dict, (void *)&path_locals, 2);
    engine_type.base.type = &mp_type_type;
    engine_type.name = MP_QSTR_Engine;
    MP_OBJ_TYPE_SET_SLOT(&engine_type, make_new, engine_make_new, 0);
    MP_OBJ_TYPE_SET_SLOT(&engine_type, attr, engine_attr, 1);
    MP_OBJ_TYPE_SET_SLOT(&engine_type, locals_dict, (void *)&engine_locals, 2);
    mp_store_global(MP_QSTR_Engine, MP_OBJ_FROM_PTR(&engine_type));
    mp_store_global(MP_QSTR_Path, MP_OBJ_FROM_PTR(&path_type));
    mp_store_global(MP_QSTR_pack, MP_OBJ_FROM_PTR(&module_pack_obj));
    mp_store_global(MP_QSTR_unpack, MP_OBJ_FROM_PTR(&module_unpack_obj));
    MP_DYNRUNTIME_INIT_EXIT
}

#else

#define FUNCTION(name, arguments, function)                                                                  \
    static MP_DEFINE_CONST_FUN_OBJ_##arguments(function##_obj, function);
METHODS(FUNCTION)
#define METHOD(name, arguments, function) {MP_ROM_QSTR(name), MP_ROM_PTR(&function##_obj)},
static const mp_rom_map_elem_t engine_methods[] = {{MP_ROM_QSTR(MP_QSTR_send), MP_ROM_PTR(&engine_send_obj)},
                                                   {MP_ROM_QSTR(MP_QSTR_recv), MP_ROM_PTR(&engine_recv_obj)},
                                                   METHODS(METHOD)};
static MP_DEFINE_CONST_DICT(engine_locals, engine_methods);
MP_DEFINE_CONST_OBJ_TYPE(engine_type, MP_QSTR_Engine, MP_TYPE_FLAG_NONE, make_new, engine_make_new, attr,
                         engine_attr, locals_dict, &engine_locals);

static MP_DEFINE_CONST_FUN_OBJ_1(path_anext_obj, path_anext);
static MP_DEFINE_CONST_FUN_OBJ_3(path_feed_obj, path_feed);
static const mp_rom_map_elem_t path_methods[] = {
    {MP_ROM_QSTR(MP_QSTR_send), MP_ROM_PTR(&path_send_obj)},
    {MP_ROM_QSTR(MP_QSTR_append), MP_ROM_PTR(&path_append_obj)},
    {MP_ROM_QSTR(MP_QSTR___anext__), MP_ROM_PTR(&path_anext_obj)},
    {MP_ROM_QSTR(MP_QSTR_feed), MP_ROM_PTR(&path_feed_obj)},
};
static MP_DEFINE_CONST_DICT(path_locals, path_methods);
static MP_DEFINE_CONST_OBJ_TYPE(path_type, MP_QSTR_Path, MP_TYPE_FLAG_ITER_IS_ITERNEXT, make_new,
                                path_make_new, iter, path_iternext, locals_dict, &path_locals);

static const mp_rom_map_elem_t module_globals_table[] = {
    {MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR__picolink)},
    {MP_ROM_QSTR(MP_QSTR_Engine), MP_ROM_PTR(&engine_type)},
    {MP_ROM_QSTR(MP_QSTR_Path), MP_ROM_PTR(&path_type)},
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
