"""The boards that picolink is for, and the MicroPython that each needs.

docs/boards.md says what has been built and what has run.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Board:
    """One that firmware is made for.

    build: MicroPython's name for it, as in `make firmware BOARD=...`.
    oldest: MicroPython (major, minor) from which on it works.  tuned: can it have the tuned firmware?
    """

    build: str
    oldest: tuple[int, int]
    tuned: bool = True


BOARDS = (
    Board("RPI_PICO_W", (1, 24)),
    Board("RPI_PICO2_W", (1, 25)),
    Board("RPI_PICO2_W-RISCV", (1, 25)),
    Board("RPI_PICO", (1, 24), tuned=False),
)

OLDEST_MICROPYTHON = (*min(board.oldest for board in BOARDS), 0)
"""Of 1.23 the firmware's aioble cannot connect; older ones do not load the native modules either."""

NEWEST_MICROPYTHON = (1, 28)
"""The newest release that all of this was tried with."""
