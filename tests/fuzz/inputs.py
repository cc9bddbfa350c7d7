"""Inputs of the fuzz targets: the corpus in this folder, and random changes of it."""

import random
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
TARGETS = ("feed", "structured")


def corpus(target: str, folder: Path = HERE / "corpus") -> list[bytes]:
    """The inputs in folder/target and, of this folder, the regressions; sorted by name."""
    regressions = HERE / "regressions" / target
    return [
        path.read_bytes()
        for path in (*sorted((folder / target).iterdir()), *sorted(regressions.glob("*.bin")))
    ]


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
