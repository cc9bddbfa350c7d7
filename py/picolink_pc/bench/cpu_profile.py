"""`picolink bench cpu --profile`: where the CPU of an emulated Pico is while it sends and receives."""

from collections import Counter
from pathlib import Path

from .. import products
from ..emulator import Emulator
from ..emulator.symbols import Symbols
from ..radio.air import RadioSettings
from . import cpu
from .report import Result

_BOARD = "RPI_PICO"
_SAMPLE_CYCLES = 997
"""A prime: what repeats is not always seen at the same place."""

_ROWS = 30
_WAYS = (cpu.WAYS[0], cpu.WAYS[-1])

_OTHERS = "(the program, or in no function)"


def elf() -> Path | None:
    """Names and addresses of the functions in the firmware for a Pico; None: it was not built here."""
    return next((products.OUT / "firmware" / _BOARD / "with_picolink").rglob("firmware.elf"), None)


def profile(settings: RadioSettings, keyed: bool) -> list[Result]:
    """Tables of cycles for a message, by function in C and by function in Python. elf() is there."""
    symbols = Symbols(elf())
    ways, notes = {}, []
    for sender, reader in _WAYS:
        pico = Emulator(
            products.firmware(_BOARD), sample_cycles=_SAMPLE_CYCLES, python_types=symbols.python_types
        )
        with pico:
            found = cpu.measure(pico, "native", sender, reader, settings, keyed)
        total = sum(count for _, _, count in pico.samples)
        cycles = found["cycles"] / total
        native, python = Counter(), Counter()
        for address, bytecode, count in pico.samples:
            native[symbols.function(address)] += count * cycles
            python[symbols.python_function(bytecode) or _OTHERS] += count * cycles
        way = f"{sender}, {reader}"
        ways[way] = native, python
        notes.append(
            f"{way}: {found['cycles']:,.0f} cycles at {found['rate']:,.0f} messages/s; {total:,} samples."
        )
    return [
        _table(
            "cpu-profile", "by function in C", settings, {way: both[0] for way, both in ways.items()}, notes
        ),
        _table(
            "cpu-profile-python",
            "by function in Python",
            settings,
            {way: both[1] for way, both in ways.items()},
            [*notes, "The innermost Python function that the stack shows; what it calls in C is its own."],
        ),
    ]


def _table(name: str, by: str, settings: RadioSettings, ways: dict[str, Counter], notes: list[str]) -> Result:
    names = sum(ways.values(), Counter()).most_common(_ROWS)
    return Result(
        name=name,
        title=f"Cycles for a message sent and one read on an emulated Pico, {by}",
        parameters={"interval_ms": settings.interval_ms, "sample_cycles": _SAMPLE_CYCLES},
        columns={"function": "function", **{way: way for way in ways}},
        rows=[
            {"function": function, **{way: round(counts[function]) for way, counts in ways.items()}}
            for function, _ in names
        ],
        notes=[
            f"A look every {_SAMPLE_CYCLES:,} cycles; the {_ROWS} dearest functions. Native engine.",
            *notes,
        ],
    )
