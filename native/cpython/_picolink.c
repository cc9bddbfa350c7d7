/*
 * The module _picolink for CPython 3.11 and newer (limited API, abi3): the C engine as a class with the
 * interface of py/picolink/pyengine.py. What its flags and states mean is in py/picolink/flags.py.
 */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <stdlib.h>
#include <string.h>

#include "picolink.h"

typedef struct {
    PyObject ob_base;          /* as PyObject_HEAD has it */
    picolink_engine_t *engine; /* a block of its own, so that a sanitizer sees its end */
} engine_object;

static picolink_engine_t *engine_of(PyObject *self) {
    return ((engine_object *)self)->engine;
}

/*
 * Converting an argument can run the program's code (`__index__`, `__buffer__`), and so can a new object, by
 * collecting garbage. That code may call this engine. So: first whatever can, then the engine, and nothing in
 * between. A buffer cannot be resized while it is held.
 */

/* -- arguments ------------------------------------------------------------------------------------------ */

/* An int from `low` to `high`, not a bool. -1 with an exception set otherwise. */
static int64_t checked_int(const char *name, PyObject *value, uint32_t low, uint32_t high) {
    if (!PyLong_Check(value) || PyBool_Check(value)) {
        PyErr_Format(PyExc_TypeError, "%s must be an int, not %R", name, value);
        return -1;
    }
    int overflow;
    long long number = PyLong_AsLongLongAndOverflow(value, &overflow);
    if (overflow || number < low || number > high) {
        PyErr_Format(PyExc_ValueError, "%s must be %lu to %lu, not %S", name, (unsigned long)low,
                     (unsigned long)high, value);
        return -1;
    }
    return number;
}

static int64_t checked_ring_size(const char *name, PyObject *value) {
    int64_t size = value ? checked_int(name, value, PICOLINK_RING_MIN, PICOLINK_RING_MAX) : 8192;
    if (size >= 0 && size & (size - 1)) {
        PyErr_Format(PyExc_ValueError, "%s must be a power of two from 256 to 32768, not %S", name, value);
        return -1;
    }
    return size;
}

/* False with an exception set when it is no int. */
static bool get_milliseconds(PyObject *now, uint32_t *ms) {
    unsigned long bits = PyLong_AsUnsignedLongMask(now);
    *ms = (uint32_t)bits;
    return bits != (unsigned long)-1 || !PyErr_Occurred();
}

/* A buffer that is held until PyBuffer_Release(). False with TypeError set when there is none. */
static bool get_buffer(PyObject *value, Py_buffer *buffer, int flags, const char *what) {
    if (PyObject_GetBuffer(value, buffer, flags) == 0) {
        return true;
    }
    if (PyErr_ExceptionMatches(PyExc_TypeError) || PyErr_ExceptionMatches(PyExc_BufferError)) {
        PyErr_Format(PyExc_TypeError, "%s, not %R", what, value);
    }
    return false;
}

/* Likewise, to read, and of bytes. */
static bool get_bytes(PyObject *value, Py_buffer *bytes, const char *what) {
    if (!get_buffer(value, bytes, PyBUF_SIMPLE, what)) {
        return false;
    }
    if (bytes->itemsize == 1) {
        return true;
    }
    PyBuffer_Release(bytes);
    PyErr_Format(PyExc_TypeError, "%s, not %R", what, value);
    return false;
}

/* 8 bytes, not all 0, to `identity`. False with an exception set otherwise. */
static bool get_identity(PyObject *value, uint8_t *identity) {
    Py_buffer bytes;
    if (!get_bytes(value, &bytes, "identity must be bytes")) {
        return false;
    }
    bool fits = picolink_is_identity(bytes.buf, (size_t)bytes.len);
    if (fits) {
        memcpy(identity, bytes.buf, PICOLINK_IDENTITY_BYTES);
    }
    PyBuffer_Release(&bytes);
    if (!fits) {
        PyErr_Format(PyExc_ValueError, "identity must be 8 bytes that are not all 0, not %R", value);
    }
    return fits;
}

/* 32 bytes, of which nothing is shown, to `to`. False with an exception set otherwise. */
static bool get_secret(const char *name, PyObject *value, uint8_t *to) {
    Py_buffer bytes = {.len = 0};
    bool fits = value && PyObject_GetBuffer(value, &bytes, PyBUF_SIMPLE) == 0;
    if (fits) {
        fits = bytes.len == PICOLINK_KEY_BYTES && bytes.itemsize == 1;
        if (fits) {
            memcpy(to, bytes.buf, PICOLINK_KEY_BYTES);
        }
        PyBuffer_Release(&bytes);
    }
    if (!fits) {
        PyErr_Clear();
        PyErr_Format(PyExc_ValueError, "%s must be 32 bytes", name);
    }
    return fits;
}

static bool has_arguments(const char *name, Py_ssize_t wanted, Py_ssize_t given) {
    if (given != wanted) {
        PyErr_Format(PyExc_TypeError, "%s() takes %zd arguments, not %zd", name, wanted, given);
    }
    return given == wanted;
}

/* -- the type Engine ------------------------------------------------------------------------------------ */

static PyObject *engine_new(PyTypeObject *type, PyObject *args, PyObject *keywords) {
    static char *names[] = {"session", "identity", "tx_size", "rx_size", "window",
                            "commit",  "key",      "seed",    NULL};
    PyObject *values[7] = {NULL};
    int commit = 0;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "OO|OOOpOO:Engine", names, &values[0], &values[1],
                                     &values[2], &values[3], &values[4], &commit, &values[5], &values[6])) {
        return NULL;
    }
    int64_t session = checked_int("session", values[0], 1, UINT32_MAX);
    if (session < 0) {
        return NULL;
    }
    int64_t tx_size = checked_ring_size("tx_size", values[2]);
    if (tx_size < 0) {
        return NULL;
    }
    int64_t rx_size = checked_ring_size("rx_size", values[3]);
    if (rx_size < 0) {
        return NULL;
    }
    int64_t window = 4096;
    if (values[4]) {
        window = checked_int("window", values[4], PICOLINK_WINDOW_MIN, PICOLINK_WINDOW_MAX);
        if (window < 0) {
            return NULL;
        }
    }
    uint8_t identity[PICOLINK_IDENTITY_BYTES];
    if (!get_identity(values[1], identity)) {
        return NULL;
    }
    bool keyed = values[5] && values[5] != Py_None;
    uint8_t key[PICOLINK_KEY_BYTES];
    uint8_t seed[PICOLINK_SEED_BYTES];
    if (keyed && (!get_secret("key", values[5], key) || !get_secret("seed", values[6], seed))) {
        return NULL;
    }

    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    PyObject *self = allocate(type, 0);
    if (!self) {
        return NULL;
    }
    size_t size = picolink_engine_bytes((size_t)tx_size, (size_t)rx_size);
    picolink_engine_t *engine = malloc(size + (keyed ? sizeof(picolink_keys_t) : 0));
    if (!engine) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    picolink_init(engine, (uint32_t)session, identity, (size_t)tx_size, (size_t)rx_size, (size_t)window,
                  commit != 0);
    if (keyed) {
        picolink_set_key(engine, (picolink_keys_t *)((uint8_t *)engine + size), key, seed);
    }
    ((engine_object *)self)->engine = engine;
    return self;
}

static void engine_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    free(engine_of(self));
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

static PyObject *engine_start(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    uint32_t now;
    if (!has_arguments("start", 2, count)) {
        return NULL;
    }
    int64_t mtu = checked_int("mtu", args[0], PICOLINK_MTU_MIN, PICOLINK_MTU_MAX);
    if (mtu < 0 || !get_milliseconds(args[1], &now)) {
        return NULL;
    }
    picolink_start(engine_of(self), (size_t)mtu, now);
    Py_RETURN_NONE;
}

static PyObject *engine_set_partner(PyObject *self, PyObject *value) {
    uint8_t identity[PICOLINK_IDENTITY_BYTES];
    if (value != Py_None && !get_identity(value, identity)) {
        return NULL;
    }
    picolink_set_partner(engine_of(self), value == Py_None ? NULL : identity);
    Py_RETURN_NONE;
}

static PyObject *engine_bye(PyObject *self, PyObject *value) {
    int64_t reason = checked_int("reason", value, 1, 255);
    if (reason < 0) {
        return NULL;
    }
    picolink_bye(engine_of(self), (uint32_t)reason);
    Py_RETURN_NONE;
}

/* The first byte of a record: channel | kind << 4. Both may be NULL. -1 with an exception set when one is
 * wrong. */
static int64_t get_first(PyObject *channel_object, PyObject *kind_object) {
    int64_t channel = 0;
    if (channel_object) {
        channel = checked_int("channel", channel_object, 0, PICOLINK_CHANNEL_MAX);
        if (channel < 0) {
            return -1;
        }
    }
    int64_t kind = 0;
    if (kind_object && kind_object != Py_None) {
        kind = checked_int("kind", kind_object, 0, PICOLINK_NEWEST | PICOLINK_OBJECT);
        if (kind < 0 ? PyErr_ExceptionMatches(PyExc_ValueError) : kind == 3) {
            PyErr_Format(PyExc_ValueError, "kind must be 0, 1, 2, 4, 5 or 6, not %S", kind_object);
            kind = -1;
        }
    }
    return kind < 0 ? -1 : channel | kind << 4;
}

/* Calls a function of picolink.objects: what takes long anyway is not done in C here. */
static PyObject *call_objects(const char *function, PyObject *argument) {
    PyObject *module = PyImport_ImportModule("picolink.objects");
    PyObject *result = module ? PyObject_CallMethod(module, function, "(O)", argument) : NULL;
    Py_XDECREF(module);
    return result;
}

static PyObject *engine_send(PyObject *self, PyObject *args, PyObject *keywords) {
    static char *names[] = {"data", "channel", "kind", NULL};
    PyObject *data;
    PyObject *channel = NULL;
    PyObject *kind = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O|OO:send", names, &data, &channel, &kind)) {
        return NULL;
    }
    Py_buffer message = {.buf = NULL};
    const void *bytes;
    Py_ssize_t size;
    PyObject *packed = NULL;
    bool typed = !kind || kind == Py_None; /* by what it is */
    int64_t type = 0;
    if (PyUnicode_Check(data)) {
        bytes = PyUnicode_AsUTF8AndSize(data, &size);
        if (!bytes) {
            return NULL;
        }
        type = PICOLINK_TEXT;
    } else if ((!typed || PyObject_CheckBuffer(data)) &&
               get_bytes(data, &message, "a message must be bytes, bytearray, memoryview or str")) {
        bytes = message.buf;
        size = message.len;
    } else {
        if (PyErr_Occurred() && (!typed || !PyErr_ExceptionMatches(PyExc_TypeError))) {
            return NULL;
        }
        PyErr_Clear();
        packed = call_objects("pack", data);
        char *start;
        if (!packed || PyBytes_AsStringAndSize(packed, &start, &size)) {
            Py_XDECREF(packed);
            return NULL;
        }
        bytes = start;
        type = PICOLINK_OBJECT;
    }
    PyObject *result = NULL;
    int64_t first = get_first(channel, kind);
    if (typed && first >= 0) {
        first |= type << 4;
    }
    if (first >= 0) {
        picolink_engine_t *engine = engine_of(self);
        picolink_send_t sent = picolink_send(engine, (uint32_t)first, bytes, (size_t)size);
        if (sent == PICOLINK_SEND_NEVER) {
            PyErr_Format(PyExc_ValueError, "a message of %zd bytes never fits: %zu with its header at most",
                         size, picolink_record_limit(engine));
        } else {
            result = PyBool_FromLong(sent == PICOLINK_SEND_QUEUED);
        }
    }
    if (message.obj) {
        PyBuffer_Release(&message);
    }
    Py_XDECREF(packed);
    return result;
}

static PyObject *engine_end(PyObject *self, PyObject *unused) {
    (void)unused;
    return PyBool_FromLong(picolink_end(engine_of(self)));
}

static PyObject *engine_commit(PyObject *self, PyObject *unused) {
    (void)unused;
    if (!picolink_commit(engine_of(self))) {
        PyErr_SetString(PyExc_ValueError, "this engine was made without commit=True");
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *engine_readable(PyObject *self, PyObject *unused) {
    (void)unused;
    picolink_message_t message;
    return PyLong_FromLong(picolink_peek(engine_of(self), &message) ? 0x100 | message.kind_and_channel : 0);
}

static size_t size_of(const picolink_message_t *message) {
    return (size_t)message->first_size + message->second_size;
}

static void copy(char *to, const picolink_message_t *message) {
    memcpy(to, message->first, message->first_size);
    memcpy(to + message->first_size, message->second, message->second_size);
}

/* What a message is, of these bytes. */
static PyObject *value_of(long kind_and_channel, PyObject *data) {
    long kind = kind_and_channel >> 4 & 3;
    if (kind == PICOLINK_OBJECT) {
        return call_objects("unpack", data);
    }
    if (kind == PICOLINK_TEXT) {
        return PyUnicode_DecodeUTF8(PyBytes_AsString(data), PyBytes_Size(data), NULL);
    }
    Py_INCREF(data);
    return data;
}

/* recv(raw=False) */
static PyObject *engine_recv(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    if (count > 1) {
        return PyErr_Format(PyExc_TypeError, "recv() takes at most 1 argument, not %zd", count);
    }
    int raw = count ? PyObject_IsTrue(args[0]) : 0;
    if (raw < 0) {
        return NULL;
    }
    picolink_engine_t *engine = engine_of(self);
    picolink_message_t message;
    while (picolink_peek(engine, &message)) {
        const uint8_t *place = message.first;
        size_t size = size_of(&message);
        long first = message.kind_and_channel;
        PyObject *data = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size);
        PyObject *value = NULL;
        if (data && picolink_peek(engine, &message) && message.first == place && size_of(&message) == size) {
            copy(PyBytes_AsString(data), &message);
            value = raw ? Py_NewRef(data) : value_of(first, data);
        }
        PyObject *pair = value ? Py_BuildValue("(lO)", first, value) : NULL;
        Py_XDECREF(value);
        Py_XDECREF(data);
        /* Where it was read meanwhile, the next one, if there is any. */
        bool there = picolink_peek(engine, &message) && message.first == place && size_of(&message) == size;
        if (there && (pair || (PyErr_Occurred() && PyErr_ExceptionMatches(PyExc_ValueError)))) {
            picolink_release(engine);
            return pair;
        }
        Py_XDECREF(pair);
        if (PyErr_Occurred()) {
            return NULL;
        }
    }
    Py_RETURN_NONE;
}

static PyObject *engine_recv_into(PyObject *self, PyObject *buf) {
    picolink_engine_t *engine = engine_of(self);
    picolink_message_t message;
    if (!picolink_peek(engine, &message)) {
        return PyLong_FromLong(-1);
    }
    Py_buffer room;
    if (!get_buffer(buf, &room, PyBUF_WRITABLE, "a message needs a bytearray or memoryview")) {
        return NULL;
    }
    long result = -1;
    size_t size = 0;
    size_t space = (size_t)room.len;
    if (picolink_peek(engine, &message)) { /* once more: it may have been read meanwhile */
        size = size_of(&message);
        if (size <= space) {
            copy(room.buf, &message);
            picolink_release(engine);
            result = (long)message.kind_and_channel << 16 | (long)size;
        }
    }
    PyBuffer_Release(&room);
    if (size > space) {
        return PyErr_Format(PyExc_ValueError, "the next message has %zu bytes, the buffer only %zu", size,
                            space);
    }
    return PyLong_FromLong(result);
}

static PyObject *engine_pull_into(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    uint32_t now;
    Py_buffer room;
    if (!has_arguments("pull_into", 2, count) || !get_milliseconds(args[1], &now) ||
        !get_buffer(args[0], &room, PyBUF_WRITABLE, "a packet needs a bytearray or memoryview")) {
        return NULL;
    }
    Py_ssize_t space = room.len;
    size_t size = picolink_pull(engine_of(self), room.buf, (size_t)space, now);
    PyBuffer_Release(&room);
    if (space < PICOLINK_PULL_MAX) {
        return PyErr_Format(PyExc_ValueError, "the packet buffer must have %d bytes, not %zd",
                            PICOLINK_PULL_MAX, space);
    }
    return PyLong_FromSize_t(size);
}

static PyObject *engine_feed(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    uint32_t now;
    Py_buffer packet;
    if (!has_arguments("feed", 2, count) || !get_milliseconds(args[1], &now) ||
        !get_buffer(args[0], &packet, PyBUF_SIMPLE, "a packet must be bytes, bytearray or memoryview")) {
        return NULL;
    }
    uint32_t flags = picolink_feed(engine_of(self), packet.buf, (size_t)packet.len, now);
    PyBuffer_Release(&packet);
    return PyLong_FromUnsignedLong(flags);
}

static PyObject *engine_take_flags(PyObject *self, PyObject *unused) {
    (void)unused;
    return PyLong_FromUnsignedLong(picolink_take_flags(engine_of(self)));
}

static PyObject *engine_wait(PyObject *self, PyObject *value) {
    uint32_t now;
    return get_milliseconds(value, &now) ? PyLong_FromLong(picolink_wait(engine_of(self), now)) : NULL;
}

static PyObject *engine_pending(PyObject *self, PyObject *unused) {
    (void)unused;
    return PyLong_FromSize_t(picolink_pending(engine_of(self)));
}

static PyObject *engine_acknowledged(PyObject *self, PyObject *unused) {
    (void)unused;
    return PyLong_FromLong(picolink_acknowledged(engine_of(self)));
}

static PyObject *engine_stats(PyObject *self, PyObject *unused) {
    (void)unused;
#define NAME(name) #name,
    static const char *const names[] = {PICOLINK_STATS(NAME)};
    picolink_stats_t stats = *picolink_stats(engine_of(self));
    uint32_t values[sizeof(stats) / sizeof(uint32_t)];
    memcpy(values, &stats, sizeof(values));
    PyObject *dict = PyDict_New();
    for (size_t i = 0; dict && i < sizeof(values) / sizeof(values[0]); i++) {
        PyObject *value = PyLong_FromUnsignedLong(values[i]);
        if (!value || PyDict_SetItemString(dict, names[i], value)) {
            Py_CLEAR(dict);
        }
        Py_XDECREF(value);
    }
    return dict;
}

static PyObject *get_state(PyObject *self, void *unused) {
    (void)unused;
    return PyLong_FromLong(engine_of(self)->state);
}

static PyObject *get_ended(PyObject *self, void *unused) {
    (void)unused;
    return PyBool_FromLong(engine_of(self)->ended);
}

static PyObject *get_peer_version(PyObject *self, void *unused) {
    (void)unused;
    return PyLong_FromLong(engine_of(self)->peer_version);
}

static PyObject *get_reason(PyObject *self, void *unused) {
    (void)unused;
    return PyLong_FromLong(engine_of(self)->reason);
}

static PyObject *get_partner(PyObject *self, void *unused) {
    (void)unused;
    const uint8_t *partner = picolink_partner(engine_of(self));
    if (!partner) {
        Py_RETURN_NONE;
    }
    return PyBytes_FromStringAndSize((const char *)partner, PICOLINK_IDENTITY_BYTES);
}

/* -- the module ----------------------------------------------------------------------------------------- */

#define METHOD(name, flags) {#name, (PyCFunction)(void (*)(void))engine_##name, flags, NULL}
static PyMethodDef methods[] = {
    METHOD(start, METH_FASTCALL),
    METHOD(send, METH_VARARGS | METH_KEYWORDS),
    METHOD(recv, METH_FASTCALL),
    METHOD(recv_into, METH_O),
    METHOD(feed, METH_FASTCALL),
    METHOD(pull_into, METH_FASTCALL),
    METHOD(wait, METH_O),
    METHOD(take_flags, METH_NOARGS),
    METHOD(readable, METH_NOARGS),
    METHOD(pending, METH_NOARGS),
    METHOD(acknowledged, METH_NOARGS),
    METHOD(end, METH_NOARGS),
    METHOD(bye, METH_O),
    METHOD(commit, METH_NOARGS),
    METHOD(set_partner, METH_O),
    METHOD(stats, METH_NOARGS),
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef attributes[] = {
    {"state", get_state, NULL, NULL, NULL},
    {"ended", get_ended, NULL, NULL, NULL},
    {"peer_version", get_peer_version, NULL, NULL, NULL},
    {"reason", get_reason, NULL, NULL, NULL},
    {"partner", get_partner, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "One side of a link: picolink.pyengine.Engine, done by native/picolink.c."},
    {Py_tp_new, (void *)engine_new},
    {Py_tp_dealloc, (void *)engine_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_getset, attributes},
    {0, NULL},
};

static PyType_Spec specification = {
    .name = "_picolink.Engine",
    .basicsize = sizeof(engine_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = slots,
};

static int add_engine(PyObject *module) {
    PyObject *type = PyType_FromModuleAndSpec(module, &specification, NULL);
    int failed = !type || PyModule_AddObjectRef(module, "Engine", type);
    Py_XDECREF(type);
    return failed ? -1 : 0;
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, (void *)add_engine},
    {0, NULL},
};

static PyModuleDef module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_picolink",
    .m_doc = "picolink's engine in C.",
    .m_slots = module_slots,
};

PyMODINIT_FUNC PyInit__picolink(void) {
    return PyModuleDef_Init(&module);
}
