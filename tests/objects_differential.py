"""Compares picolink's MessagePack in C with that in Python, on MicroPython: objects, damaged objects, noise.

    micropython objects_differential.py SEED COUNT

Each of COUNT objects is packed by both, which must give the same bytes or the same error, and unpacked by
both; so are eight damaged copies of what was packed, and noise. Prints how often what came out.
"""

import sys

import _picolink
from picolink import objects

TEXTS = ("", "t", "on", "temperature", "\xfc\u20ac\U0001f600", "x" * 31, "x" * 32, "x" * 300)
EDGES = (0, 7, 8, 15, 16, 30, 31, 32, 63, 64)


class Numbers:
    """xorshift, the same everywhere."""

    def __init__(self, seed):
        self.state = seed * 0x9E3779B9 + 1 & 0xFFFFFFFF or 1

    def below(self, n):
        x = self.state
        x ^= x << 13 & 0xFFFFFFFF
        x ^= x >> 17
        x ^= x << 5 & 0xFFFFFFFF
        self.state = x
        return (x >> 3) % n


def an_int(numbers):
    value = (1 << EDGES[numbers.below(len(EDGES))]) + numbers.below(5) - 2
    return value if numbers.below(2) else -value


def an_object(numbers, depth=0):
    what = numbers.below(20)
    if what < 4 or (what > 12 and depth > 17):
        return an_int(numbers)
    if what < 6:
        return (None, True, False)[numbers.below(3)]
    if what < 8:
        exponent = numbers.below(80) - 40
        value = (numbers.below(1 << 24) - (1 << 23)) * (2.0**exponent)
        return value if numbers.below(20) else (float("inf"), float("nan"), -0.0, 3e38 * 10)[numbers.below(4)]
    if what < 11:
        return TEXTS[numbers.below(len(TEXTS))]
    if what < 13:
        size = (0, 1, 20, 255, 256)[numbers.below(5)]
        data = bytes(numbers.below(256) for _ in range(size))
        return (data, bytearray(data), memoryview(data))[numbers.below(3)]
    if not numbers.below(60):
        return ({1, 2}, 1j, object, range(3))[numbers.below(4)]
    size = numbers.below(5) if numbers.below(20) else 14 + numbers.below(5)
    if depth > 2 and what < 15:
        size = min(size, 1)
    if what < 17:
        items = [an_object(numbers, depth + 1) for _ in range(size)]
        return items if what < 16 else tuple(items)
    result = {}
    for _ in range(size):
        key = TEXTS[numbers.below(len(TEXTS))] if numbers.below(3) else an_int(numbers)
        if not numbers.below(200):
            key = (None, (1,), True)[numbers.below(3)]
        result[key] = an_object(numbers, depth + 1)
    return result


def outcome(function, argument):
    try:
        return function(argument)
    except (TypeError, ValueError) as error:
        return type(error).__name__, str(error)


def shown(value):
    """A text that tells 1 from 1.0 and True, and finds a NaN equal; MicroPython's dicts have no order."""
    if isinstance(value, dict):
        return "{" + ", ".join(sorted(f"{key!r}: {shown(value[key])}" for key in value)) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(shown(each) for each in value) + "]"
    return repr(value)


def compare(counts, native, python, argument):
    one, other = outcome(native, argument), outcome(python, argument)
    if shown(one) != shown(other):
        raise AssertionError(f"{argument!r}\nnative: {shown(one)}\nPython: {shown(other)}")
    failed = isinstance(one, tuple)  # nothing else gives one
    counts[failed] += 1
    return None if failed else one


def damaged(numbers, data):
    data = bytearray(data)
    for _ in range(1 + numbers.below(3)):
        if data:
            at = numbers.below(len(data))
            if numbers.below(3):
                data[at] = (numbers.below(256), 0xC0 + numbers.below(0x20), 0xFF)[numbers.below(3)]
            elif numbers.below(2):
                data = data[:at]
            else:
                data = data[:at] + bytes((0x90 + numbers.below(3),)) + data[at:]
    return bytes(data)


def run(seed, count):
    numbers = Numbers(seed)
    packed = [0, 0]
    unpacked = [0, 0]
    for _ in range(count):
        data = compare(packed, _picolink.pack, objects.pack, an_object(numbers))
        if data is None:
            data = bytes(numbers.below(256) for _ in range(numbers.below(12)))
        else:
            back = compare(unpacked, _picolink.unpack, objects.unpack, data)
            if shown(objects.unpack(objects.pack(back))) != shown(back):
                raise AssertionError(f"{back!r} is packed otherwise when it comes back")
        for _ in range(8):
            compare(unpacked, _picolink.unpack, objects.unpack, damaged(numbers, data))
    return packed, unpacked


if __name__ == "__main__":
    packed, unpacked = run(int(sys.argv[1]), int(sys.argv[2]))
    print("packed", packed[0], "refused", packed[1], "unpacked", unpacked[0], "refused", unpacked[1])
