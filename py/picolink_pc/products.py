"""Where `make` leaves what goes onto boards."""

from importlib.metadata import version
from pathlib import Path

_ROOT = Path(__file__).parents[2]
OUT = _ROOT / "build" / "out"
PACKAGE = _ROOT / "py" / "picolink"
MICROPYTHON = OUT / "bin" / "micropython"
MPY_CROSS = OUT / "bin" / "mpy-cross"


def firmware(board: str) -> Path:
    """The firmware with picolink inside for a board of MicroPython's rp2 port, such as "RPI_PICO_W"."""
    return OUT / "firmware" / f"picolink-{version('picolink')}-{board}.uf2"


def native_module(architecture: str) -> Path:
    """The native engine for an architecture as MicroPython names it, such as "armv6m"."""
    return OUT / "native" / architecture / "_picolink.mpy"
