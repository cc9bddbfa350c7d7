"""Inputs of the fuzz targets: seeds, the corpus in this folder, and random changes of them."""

import json
import random
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
TARGETS = ("feed", "structured")
KEYED = "keyed"
"""A target, too, with the inputs of "structured"; the Python engine is not compared on it."""
OBJECTS = "objects"
"""A target without an engine: objects that have come."""

# Programs for fuzz_structured.c: rings, options and sessions, then steps.
_TALK = "610210 710314 6014 e2 f2"  # each side sends, four connection events, both read
_PROGRAMS = (
    "00 86 00" + 4 * _TALK,
    "ff 8a 00" + "e100ff" + 3 * "6014" + "f2 e2",  # the largest messages
    "55 da 00 f0ff f0ff" + 4 * _TALK,  # ring, stream and clock wrap
    "aa 8a 06" + 3 * (_TALK + "a10060 44 06 6014 0f 47ff"),  # a packet is lost; both commit
    "aa 8a 00"
    + _TALK
    + "610250 44 26 56 6600 89 ff"
    + _TALK
    + "69 80"
    + _TALK,  # late packets, restart, drop
    "aa 8a 00" + _TALK + "8a 40e0 0a 200000ffff 0a 10ff00 6b 0050" + _TALK,  # forged data
    "aa 8a 00" + _TALK + "0c 0000 6c ff0000 8c 0102 03 13 6014 e2 f2",  # forged greetings, END
    # A packet of a dead session, to its successor that has the same first tag.
    "aa 8a 00 010005 04 36 12 071e 14 05 bf 34 25 24 96 56 54 45 010007 15 12" + _TALK,
    "aa 8a 00 0100ff 0100ff 64 0a200a0008 0a200b0008" + _TALK,  # gaps that nobody has reported
    "aa 8a 00 0100ff 0100ff 64 16 35 0a20000010" + _TALK,  # no credit, while a gap is reported
    "09 8a 00 21007d 01003c 04 15 071e 14 05 0a20000100" + _TALK,  # too much credit
    "aa 8a 01" + _TALK,  # both sides have drawn the same session id
    "aba00061059f640061059f6464b60596646496",  # two gaps at once
    "aa 8a 18 7f 33 44" + _TALK + "7f 8b" + _TALK,  # handshakes in the partner's and a stranger's name
)


def _vectors() -> Iterator[bytes]:
    """What engine a of tests/vectors is fed there, for fuzz_feed.c."""
    for path in sorted((HERE.parent / "vectors").glob("*.json")):
        now, data = 1000, bytes([0x08])  # the application reads
        for engine, call, arguments, *_ in json.loads(path.read_text())["steps"]:
            if (engine, call) == ("a", "feed"):
                packet, then = bytes.fromhex(arguments[0]), arguments[1]
                data += bytes([min(then - now, 255), min(len(packet), 255)]) + packet
                now = then
        yield data


def _objects() -> Iterator[bytes]:
    """What tests/vectors has of objects."""
    for path in sorted((HERE.parent / "vectors/objects").glob("*.json")):
        for _, call, (argument,), _ in json.loads(path.read_text())["steps"]:
            if call != "pack" and len(argument) < 2000:
                yield bytes.fromhex(argument)


def seeds(target: str) -> list[bytes]:
    """Inputs that are made, not found."""
    if target == OBJECTS:
        return list(_objects())
    return list(_vectors()) if target == "feed" else [bytes.fromhex(program) for program in _PROGRAMS]


def corpus(target: str, folder: Path = HERE / "corpus") -> list[bytes]:
    """The seeds, and the inputs in folder/target by their names' order."""
    return seeds(target) + [path.read_bytes() for path in sorted(folder_of(target, folder).iterdir())]


def folder_of(target: str, folder: Path) -> Path:
    """Where the inputs of a target are."""
    return folder / ("structured" if target == KEYED else target)


def mutants(inputs: list[bytes], seed: int) -> Iterator[bytes]:
    """Inputs with one to six random changes each, for ever: the same for the same seed."""
    numbers = random.Random(seed)
    while True:
        data = bytearray(numbers.choice(inputs))
        for _ in range(numbers.randint(1, 6)):
            at = numbers.randint(0, len(data))
            some = slice(at, at + numbers.randint(1, 8))
            match numbers.randrange(6):
                case 0:
                    data[some] = b""
                case 1:
                    data[at:at] = numbers.randbytes(numbers.randint(1, 4))
                case 2:
                    data[at:at] = data[some]
                case 3:
                    other = numbers.choice(inputs)
                    data[at:] = other[numbers.randint(0, len(other)) :]
                case 4:
                    data[at : at + 1] = numbers.randbytes(1)
                case 5 if at < len(data):
                    data[at] ^= 1 << numbers.randrange(8)
        yield bytes(data)
