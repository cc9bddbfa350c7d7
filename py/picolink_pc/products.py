"""Where things are that go onto boards: `make` leaves them in build/out, a wheel brings its own."""

import platform
import re
from importlib.metadata import version
from pathlib import Path

from platformdirs import user_cache_path

_ROOT = Path(__file__).parents[2]
_INSTALLED = Path(__file__).parent / "files"  # what build/hatch_build.py puts into a wheel

CHECKOUT = (_ROOT / "native" / "picolink.c").exists()
"""Is this picolink's source, where `make` works?  Otherwise it is an installed package."""

OUT = _ROOT / "build" / "out" if CHECKOUT else user_cache_path("picolink", appauthor=False)
"""Folder for what is made once and kept."""

RESULTS = OUT / "bench" if CHECKOUT else Path("picolink-results")
"""Folder for results, unless the user names one."""

PACKAGE = Path(__file__).parents[1] / "picolink"
"""Source of the package for boards."""

PC_ONLY = ("blocking.py", "radio/bleak/")
"""What no board gets of the package: files and folders in it."""

BYTECODE = None if CHECKOUT else _INSTALLED / "picolink"
"""The same as bytecode (.mpy), where it has been compiled already."""

ON_BOARDS = PACKAGE.parent if CHECKOUT else _INSTALLED
"""What virtual boards have on their sys.path: the package is in it."""

DISSECTOR = Path(__file__).parent / "wireshark" / "picolink.lua"
"""Shows picolink's packets in Wireshark."""

WEB = (OUT if CHECKOUT else _INSTALLED) / "web"
"""The page, with picolink.js and its engine."""

EXAMPLES = (_ROOT if CHECKOUT else _INSTALLED) / "examples"
MICROPYTHON = (OUT if CHECKOUT else _INSTALLED) / "bin" / "micropython"
MPY_CROSS = OUT / "bin" / "mpy-cross"


TUNED = "-tuned"
"""At the end of a firmware's build: it has been made with TUNED=1."""


def firmware(build: str) -> Path:
    """The firmware with picolink inside for a board of MicroPython's rp2 port.

    build: such as "RPI_PICO_W" or "RPI_PICO_W-tuned".
    """
    return OUT / "firmware" / f"picolink-{version('picolink')}-{build}.uf2"


def firmware_without(build: str) -> Path:
    """The image of the same firmware without picolink, which `make firmware` builds beside it."""
    return OUT / "firmware" / build / "without_picolink" / "firmware.bin"


def compiler(board: str) -> str:
    """What compiled that firmware, such as "GCC 12.2.1": CPU cycles depend on it.

    FileNotFoundError: `make firmware` has not made it here.
    """
    for path in (OUT / "firmware" / board / "with_picolink").rglob("native/picolink.c.o"):
        return "GCC " + re.search(rb"GCC: \([^)]*\) ([0-9.]+)", path.read_bytes())[1].decode()
    raise FileNotFoundError(f"the firmware for {board} has not been compiled here: {how_to_get('firmware')}")


def board_sources() -> list[Path]:
    """The files of the package that boards get."""
    files = {file.relative_to(PACKAGE).as_posix(): file for file in PACKAGE.rglob("*.py")}
    return [files[name] for name in sorted(files) if not name.startswith(PC_ONLY)]


def native_module(architecture: str) -> Path:
    """The native engine for an architecture as MicroPython names it, such as "armv6m"."""
    return (OUT if CHECKOUT else _INSTALLED) / "native" / architecture / "_picolink.mpy"


# A board loads native modules of its own architecture, and an ARM board those of smaller ARM cores.
_SMALLER_ARCHITECTURES = {
    "armv7m": ["armv6m"],
    "armv7em": ["armv7m", "armv6m"],
    "armv7emsp": ["armv7m", "armv6m"],
    "armv7emdp": ["armv7m", "armv6m"],
}


def native_for(architecture: str) -> Path | None:
    """The native module that a board of this architecture gets; None: none is here that it could load."""
    for candidate in (architecture, *_SMALLER_ARCHITECTURES.get(architecture, [])):
        if native_module(candidate).exists():
            return native_module(candidate)
    return None


def native_on_this_pc() -> Path:
    """What gives virtual boards in MicroPython the native engine: its folder goes onto their sys.path.

    On aarch64 the engine is inside the MicroPython of a wheel, under another name: no .mpy file can hold it.
    """
    if platform.machine() == "aarch64":
        return native_module("aarch64").with_suffix(".py")
    return native_module("x64")


def how_to_get(target: str) -> str:
    """What to do about something missing that `make TARGET` makes: the end of an error message."""
    return f"run make {target}" if CHECKOUT else f"it is made from picolink's source, with make {target}"
