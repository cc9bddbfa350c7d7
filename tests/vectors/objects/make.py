"""Writes messagepack.json beside this file, with the bytes of PyPI's msgpack. Format: tests/objects_suite.py.

python tests/vectors/objects/make.py
"""

import json
import struct
import sys
from pathlib import Path

import msgpack

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))

from objects_suite import tagged  # noqa: E402

BITS = (5, 7, 8, 15, 16, 31, 32, 53, 63)
EDGES = sorted(
    {0, -33, (1 << 64) - 1}
    | {sign * (1 << bits) - less for bits in BITS for less in (0, 1) for sign in (1, -1)}
)
EDGES = [number for number in EDGES if number >= -(1 << 63)]


def depth(levels, inside):
    for level in range(levels):
        inside = {"in": inside} if level & 1 else [inside]
    return inside


PACKED = [
    None,
    False,
    True,
    *EDGES,
    0.5,
    -21.75,
    struct.unpack(">f", b"\x41\xad\x99\x9a")[0],
    float("inf"),
    float("-inf"),
    *("x" * size for size in (0, 1, 31, 32, 255, 256, 65536)),
    "t\xfc\u4e16\U0001f600",
    *(bytes(size) for size in (0, 1, 255, 256, 65536)),
    *([None] * size for size in (0, 1, 15, 16, 65536)),
    {},
    {"t": 21.5, "on": True},
    dict.fromkeys(range(15)),
    dict.fromkeys(range(16)),
    {str(number): number for number in range(300)},
    {7: "seven", "7": [7], -1: {"a": b"b"}},
    [1, "two", b"three", [None, {"four": [4.5]}]],
    depth(15, []),
    depth(16, 1),
]
# Floats without a fraction, which JavaScript sends as ints, and NaN, whose bits are not the same everywhere.
ONLY_READ = {
    "ca00000000": 0.0,
    "ca80000000": -0.0,
    "ca3f800000": 1.0,
    "ca7fc00000": float("nan"),
    # Longer than needed.
    "cc05": 5,
    "cd0005": 5,
    "ce00000005": 5,
    "cf0000000000000005": 5,
    "d005": 5,
    "d10005": 5,
    "d200000005": 5,
    "d30000000000000005": 5,
    "d0ff": -1,
    "d1ffff": -1,
    "d2ffffffff": -1,
    "d3ffffffffffffffff": -1,
    "d90161": "a",
    "da000161": "a",
    "db0000000161": "a",
    "c50001ff": b"\xff",
    "c600000001ff": b"\xff",
    "dc000101": [1],
    "dd0000000101": [1],
    "de00010102": {1: 2},
    "df000000010102": {1: 2},
    "cb3fe0000000000000": 0.5,
    "8201020103": {1: 3},
}
# What is refused, and at which byte.
REFUSED = {
    "": 0,
    "c1": 0,
    "c7000a": 0,
    "d40a00": 0,
    "d6ff00000000": 0,
    "cc": 0,
    "cd00": 0,
    "cb3fe000": 0,
    "a261": 0,
    "d9": 0,
    "d90261": 0,
    "dbffffffff": 0,
    "c6ffffffff": 0,
    "ddffffffff": 0,
    "dfffffffff": 0,
    "ddffffffff" * 20: 0,
    "9201": 0,
    "929201": 1,
    "8101": 0,
    "0102": 1,
    "c0c0": 1,
    "9201c1": 2,
    "a2c328": 0,
    "91a1ff": 1,
    "81c001": 1,
    "819001": 1,
    "81910501": 1,
    "92cd0001": 1,
    "81c301": 1,
    "81ca0000000001": 1,
    "81c4000001": 1,
    "91" * 17 + "01": 16,
    "81a16181a161" * 8 + "9001": 16 * 3,
}


def text():
    steps = []
    for value in PACKED:
        data = msgpack.packb(value, use_single_float=True)
        steps += [["pack", [tagged(value)], data.hex()], ["unpack", [data.hex()], tagged(value)]]
    steps += [["unpack", [data], tagged(value)] for data, value in ONLY_READ.items()]
    steps += [["refuse", [data], at] for data, at in REFUSED.items()]
    lines = ",\n".join(
        json.dumps(["", *step], ensure_ascii=False) for step in steps if len(str(step)) < 20_000
    )
    return '{"steps": [\n' + lines + "\n]}\n"


if __name__ == "__main__":
    (HERE / "messagepack.json").write_text(text())
