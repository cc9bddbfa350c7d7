"""Vectors of objects, tests/vectors/objects/, on MicroPython and CPython:

    micropython objects_suite.py MODULE FILE...      MODULE: picolink.objects, or _picolink for the C in it

Each step is [who, call, [argument], what it gives]: "pack", "unpack", and "refuse": the byte at which
unpack() finds a fault. Bytes are hexadecimal. Values are JSON's, but {"int": "5"}, {"float64": hex},
{"bytes": hex} and {"dict": [[key, value]...]}.
"""

import json
import struct
import sys
from binascii import hexlify, unhexlify


def value_of(tagged):
    """The value that is written so."""
    if isinstance(tagged, list):
        return [value_of(each) for each in tagged]
    if not isinstance(tagged, dict):
        return tagged
    ((tag, what),) = tagged.items()
    if tag == "int":
        return int(what)
    if tag == "float64":
        return struct.unpack(">d", unhexlify(what))[0]
    if tag == "bytes":
        return unhexlify(what)
    return {value_of(key): value_of(value) for key, value in what}


def tagged(value):
    """How a value is written in a file."""
    if isinstance(value, (list, tuple)):
        return [tagged(each) for each in value]
    if isinstance(value, dict):
        return {"dict": [[tagged(key), tagged(each)] for key, each in value.items()]}
    if isinstance(value, (bytes, bytearray)):
        return {"bytes": hexlify(value).decode()}
    if isinstance(value, float):
        return {"float64": hexlify(struct.pack(">d", value)).decode()}
    if isinstance(value, int) and not isinstance(value, bool):
        return {"int": str(value)}
    return value


def same(one, other):
    """Whether they are equal and of one type, inside too; NaN is equal to itself."""
    if type(one) is not type(other):
        return False
    if isinstance(one, list):
        return len(one) == len(other) and all([same(*pair) for pair in zip(one, other)])  # noqa: B905, C419
    if isinstance(one, dict):
        return len(one) == len(other) and all([key in other and same(one[key], other[key]) for key in one])  # noqa: C419
    return one == other or (one != one and other != other)


def step(module, call, argument, wanted):
    if call == "pack":
        packed = module.pack(value_of(argument))
        wanted = unhexlify(wanted)
        # MicroPython's dicts have no order.
        unordered = sys.implementation.name == "micropython" and len(packed) == len(wanted)
        if unordered and same(module.unpack(packed), module.unpack(wanted)):
            packed = wanted
        return hexlify(packed).decode()
    if call == "unpack":
        return module.unpack(unhexlify(argument))
    try:
        module.unpack(unhexlify(argument))
    except ValueError as e:
        return int(str(e).split("at byte ")[1].split(":")[0])
    return None


def play(module, path):
    """Raises AssertionError at the first step that gives something else. Returns how many there are."""
    with open(path) as file:  # noqa: PTH123 - MicroPython has no pathlib
        steps = json.load(file)["steps"]
    for number, (_, call, (argument,), wanted) in enumerate(steps):
        got = step(module, call, argument, wanted)
        if not (same(got, value_of(wanted)) if call == "unpack" else got == wanted):
            raise AssertionError(f"step {number}, {call}({argument!r}): {got!r}, not {wanted!r}")
    return len(steps)


def main(name, *files):
    module = __import__(name, None, None, ("pack",))
    for file in files:
        print("ok", play(module, file))


if __name__ == "__main__":
    main(*sys.argv[1:])
