"""How long emulated boards take on this PC: said before they start, and when they are done."""

import asyncio
import contextlib
import os
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from .emulator.firmware import Firmware

_REAL_S = (1.5, 3.5)
"""For one second of two boards at work, on 2 cores with nothing else running."""


@contextlib.contextmanager
def told(console: Console, firmware: "Firmware | None", boards_s: float) -> Iterator[None]:
    """Around what boards.play() runs.

    firmware: of the boards; None: they are not emulated, and nothing is said.
    boards_s: how long it will take on them, about.
    """
    if firmware is None:
        yield
        return
    least, most = (_in_words(boards_s * each) for each in _REAL_S)
    console.print(
        f"Emulated boards: about {_in_words(boards_s)} of their time, which takes {least} to {most} "
        "on 2 free cores.",
        style="dim",
    )
    loop = asyncio.get_running_loop()
    began_s, there_s, worked_s = time.monotonic(), loop.time(), _cpu_s()
    yield
    took = _in_words(time.monotonic() - began_s)
    worked = "" if os.name == "nt" else f", and {_cpu_s() - worked_s:.0f} s of its CPU"
    console.print(f"{loop.time() - there_s:.1f} s on the boards took {took} here{worked}.", style="dim")


def _cpu_s() -> float:
    """Of this process and of those of boards that have ended; Windows does not tell of these."""
    return sum(os.times()[:4])


def _in_words(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 100 else f"{seconds:.0f} s"
