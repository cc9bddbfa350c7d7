"""Objects as MessagePack: docs/protocol.md, "Objects". The reference for native/objects.c, and its errors.

Loaded only where there is no native module, or to say what is wrong with an object or with bytes.
"""

import struct

try:
    from micropython import const
except ImportError:  # CPython

    def const(value):
        return value


_TEXT = const(1)  # kinds of messages: flags.py
_OBJECT = const(2)

_DEPTH = const(16)  # containers inside each other
_NO_KEY = "a key that is neither str nor int"
_INFINITE = (b"\x7f\x80\0\0", b"\xff\x80\0\0")  # as a float of 32 bits

_NIL = const(0xC0)
_FALSE = const(0xC2)
_TRUE = const(0xC3)
_FLOAT32 = const(0xCA)
_FLOAT64 = const(0xCB)
_UINT = const(0xCC)
_INT = const(0xD0)

# Types of items; for each its longer headers: the first byte of that with 1 byte of length.
_STR = const(0xD9)
_BIN = const(0xC4)
_ARRAY = const(0xDB)  # there is none with 1 byte: arrays and maps begin with 2
_MAP = const(0xDD)

# First bytes 0xC0 to 0xDF: the type, and the bytes of its length or value.
_TYPES = (
    b"\xc0\0\xc2\xc3\xc4\xc4\xc4\0\0\0\xca\xcb\xcc\xcc\xcc\xcc"
    b"\xd0\xd0\xd0\xd0\0\0\0\0\0\xd9\xd9\xd9\xdb\xdb\xdd\xdd"
)
_WIDTHS = b"\0\0\0\0\1\2\4\0\0\0\4\x08\1\2\4\x08\1\2\4\x08\0\0\0\0\0\1\2\4\2\4\2\4"


def pack(value):
    """The object as MessagePack, bytes.

    value: None, bool, int (-2^63 to 2^64 - 1), float, str, bytes, bytearray, memoryview, or a list, tuple or
        dict of them, at most 16 inside each other; the keys of a dict are str or int. Floats are rounded to
        32 bits.
    Raises TypeError or ValueError for anything else, which says where it is: "message['a'][3] is a set".
    """
    out = bytearray()
    around = []  # the containers that it is in: [iterator of (place, value), whether a dict, place]
    while True:
        inside = _put(out, value, around)
        if inside:
            around.append([inside, isinstance(value, dict), None])
        while around:
            top = around[-1]
            item = next(top[0], None)
            if item is None:
                around.pop()
                continue
            place, value = item
            if top[1]:
                if type(place) is bool or not isinstance(place, (str, int)):
                    where = _path(around[:-1])
                    raise TypeError("%s has the key %r: keys are str or int" % (where, place))
                _put(out, place, around)
            top[2] = place
            break
        else:
            return bytes(out)


def unpack(data):
    """The object that these bytes are: lists for lists and tuples, bytes for all kinds of bytes.

    data: bytes, bytearray or memoryview.
    Raises ValueError for what pack() would not have made, and says at which byte; but it takes floats of 64
    bits, and headers that are longer than needed.
    """
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise TypeError("unpack() takes bytes, not %r" % (data,))
    data = bytes(data)
    end = len(data)
    at = 0
    owed = 1  # items that are still to come: each takes a byte or more
    around = []  # [container, items or pairs still to come, key]
    while True:
        start = at
        kind, length, at = _head(data, at)
        owed -= 1
        if kind in (_STR, _BIN):
            value = data[at : at + length]
            at += length
        elif kind == _ARRAY:
            owed += length
            value = []
        elif kind == _MAP:
            owed += 2 * length
            value = {}
        else:
            value = length
        if at + owed > end:
            raise _wrong(start, "it ends before what it announces")
        if kind == _STR:
            try:
                value = str(value, "utf8")
            except UnicodeError:
                raise _wrong(start, "a text that is not UTF-8")
        elif kind in (_ARRAY, _MAP):
            if around and isinstance(around[-1][0], dict) and around[-1][2] is None:
                raise _wrong(start, _NO_KEY)
            if len(around) == _DEPTH:
                raise _wrong(start, "more than %d containers inside each other" % _DEPTH)
            around.append([value, length, None])
            if length:
                continue
            around.pop()
        # Into the container that it is in; and that one, when it is full, into the one around it.
        while around:
            top = around[-1]
            if isinstance(top[0], list):
                top[0].append(value)
            elif top[2] is None:
                if not isinstance(value, (str, int)) or isinstance(value, bool):
                    raise _wrong(start, _NO_KEY)
                top[2] = value
                break
            else:
                top[0][top[2]] = value
                top[2] = None
            top[1] -= 1
            if top[1]:
                break
            value = around.pop()[0]
        else:
            if at < end:
                raise _wrong(at, "more follows the object")
            return value


def value_of(first, data):
    """What a message is.   first: its record's first byte.   data: bytes.   Raises ValueError."""
    kind = first >> 4 & 3
    return unpack(data) if kind == _OBJECT else str(data, "utf8") if kind == _TEXT else data


def _put(out, value, around):
    """Append one item. For a container, returns the iterator of what is in it, (place, value) each."""
    if value is None:
        out.append(_NIL)
    elif isinstance(value, bool):
        out.append(_TRUE if value else _FALSE)
    elif isinstance(value, int):
        if not -0x8000000000000000 <= value < 0x10000000000000000:
            raise ValueError("%s is an int of more than 64 bits" % _path(around))
        if 0 <= value < 0x80 or -0x20 <= value < 0:
            out.append(value & 0xFF)
        elif value > 0:
            _put_head(out, _UINT, value, value)
        else:
            _put_head(out, _INT, ~value << 1, value)
    elif isinstance(value, float):
        try:
            data = struct.pack(">f", value)
        except OverflowError:
            data = _INFINITE[0]
        if data in _INFINITE and value / 2 != value:
            raise ValueError("%s is too large for a float of 32 bits: %r" % (_path(around), value))
        out.append(_FLOAT32)
        out.extend(data)
    elif isinstance(value, str):
        data = value.encode()
        _put_length(out, 0xA0, 0x20, _STR, len(data))
        out.extend(data)
    elif isinstance(value, (list, tuple, dict)):
        if len(around) == _DEPTH:
            raise ValueError("%s: more than %d containers inside each other" % (_path(around), _DEPTH))
        if isinstance(value, dict):
            _put_length(out, 0x80, 0x10, _MAP, len(value))
            return iter(value.items())
        _put_length(out, 0x90, 0x10, _ARRAY, len(value))
        return enumerate(value)
    else:
        data = _bytes(value)
        if data is None:
            name = type(value).__name__
            raise TypeError("%s is a%s %s" % (_path(around), "n" if name[0] in "aeiou" else "", name))
        _put_length(out, 0, 0, _BIN, len(data))
        out.extend(data)
    return None


def _put_length(out, short, limit, long, length):
    if length < limit:
        out.append(short | length)
    else:
        _put_head(out, long, max(length, 0x100) if long >= _ARRAY else length, length)


def _put_head(out, code, needs, value):
    """needs: a number that takes as many bytes as this one has to have."""
    log = 0 if needs < 0x100 else 1 if needs < 0x10000 else 2 if needs < 0x100000000 else 3
    out.append(code + log)
    for shift in range((8 << log) - 8, -8, -8):
        out.append(value >> shift & 0xFF)


def _head(data, at):
    """The header there: the type, its length or value, and where it ends."""
    if at >= len(data):
        raise _wrong(at, "nothing is there")
    first = data[at]
    if first < 0x80:
        return _UINT, first, at + 1
    if first >= 0xE0:
        return _INT, first - 0x100, at + 1
    if first < 0xC0:
        if first >= 0xA0:
            return _STR, first & 0x1F, at + 1
        return _ARRAY if first >= 0x90 else _MAP, first & 0x0F, at + 1
    kind = _TYPES[first - 0xC0]
    width = _WIDTHS[first - 0xC0]
    if not kind:
        raise _wrong(at, "0x%02x is no type that picolink takes" % first)
    start = at + 1
    end = start + width
    if end > len(data):
        raise _wrong(at, "it ends before what it announces")
    if kind == _FLOAT32:
        value = struct.unpack_from(">f", data, start)[0]
    elif kind == _FLOAT64:
        value = struct.unpack_from(">d", data, start)[0]
    elif kind <= _TRUE:
        value = None if kind == _NIL else kind == _TRUE
    else:
        value = int.from_bytes(data[start:end], "big")
        if kind == _INT and data[start] & 0x80:
            value -= 1 << 8 * width
    return kind, value, end


def _bytes(value):
    """A copy of something whose items are bytes; None for anything else."""
    try:
        copy = bytes(memoryview(value))
        if len(copy) == len(value):  # else its items are larger than bytes
            return copy
    except TypeError:
        pass
    return None


def _path(around):
    return "message" + "".join("[%r]" % (place,) for _, _, place in around)


def _wrong(at, what):
    return ValueError("no object for picolink at byte %d: %s" % (at, what))
