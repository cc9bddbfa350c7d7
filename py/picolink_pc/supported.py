"""The boards that picolink is for, and the MicroPython that each needs.

docs/boards.md says what has been built and what has run.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Board:
    """One that firmware is made for.

    build: MicroPython's name for it, as in `make firmware BOARD=...`.  name: the board's.
    oldest: MicroPython (major, minor) from which on it works.  tuned: can it have the tuned firmware?
    """

    build: str
    name: str
    oldest: tuple[int, int]
    tuned: bool = True


BOARDS = (
    Board("RPI_PICO_W", "Pico W", (1, 23)),
    Board("RPI_PICO2_W", "Pico 2 W", (1, 25)),
    Board("RPI_PICO2_W-RISCV", "Pico 2 W in RISC-V mode", (1, 25)),
    Board("RPI_PICO", "Pico, without a radio: for the emulator", (1, 23), tuned=False),
)

OLDEST_MICROPYTHON = (*min(board.oldest for board in BOARDS), 0)
"""Older ones cannot load the native modules."""

NEWEST_MICROPYTHON = (1, 28)
"""The newest release that all of this was tried with."""
