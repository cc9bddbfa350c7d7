"""What to do about what is on a board, in words that a person can follow as they stand."""

import shlex
import shutil
import sys
from importlib.metadata import version

from . import products
from .findings import MPY_VERSION, TOO_OLD, Findings
from .supported import OLDEST_MICROPYTHON

# Builds of MicroPython, without a radio and with, for boards that look much the same.
_WITH_RADIO = {"RPI_PICO": ("Pico W", "RPI_PICO_W"), "RPI_PICO2": ("Pico 2 W", "RPI_PICO2_W")}

_BUILDS = {
    "Raspberry Pi Pico with": "RPI_PICO",
    "Raspberry Pi Pico W with": "RPI_PICO_W",
    "Raspberry Pi Pico 2 with": "RPI_PICO2",
    "Raspberry Pi Pico 2 W with": "RPI_PICO2_W",
}
"""By how `machine` begins: before MicroPython 1.25 nothing else tells."""


def next_step(port: str, found: Findings) -> str | None:
    """The first thing to do with the board at `port`; None: a link can start there."""
    return blocker(port, found) or _no_radio(port, found) or _missing(port, found)


def blocker(port: str, found: Findings) -> str | None:
    """What is in the way of picolink on this board, and what to do about it; None: nothing."""
    if found.implementation != "micropython":
        name = {"circuitpython": "CircuitPython"}.get(found.implementation, found.implementation)
        return (
            f"the board runs {name} {found.version_text}, picolink needs MicroPython: get its UF2 file for "
            f"your board from {_download('')}, connect the board with its BOOTSEL button held, then: "
            "picolink flash FILE.uf2 (this erases the files on the board)"
        )
    if found.version < OLDEST_MICROPYTHON:
        oldest = ".".join(str(part) for part in OLDEST_MICROPYTHON[:2])
        return (
            f"the board runs MicroPython {found.version_text}, picolink needs {oldest} or newer: "
            f"{_flash_newest(port, build(found))}"
        )
    if found.hidden:
        (file, *_) = found.hidden
        module = file.rpartition("/")[2].partition(".")[0]
        return (
            f"{file} on the board hides MicroPython's own module {module}, which picolink needs. "
            f"Rename it: {_rename(port, file)}"
        )
    if found.hiding is not None:
        return f"{found.hiding} on the board hides the package. Rename it: {_rename(port, found.hiding)}"
    return None


def old_aioble(port: str, found: Findings) -> str | None:
    """What to do when the aioble in the firmware is too old: no file can take its place; None: it is not."""
    if found.aioble != f"{TOO_OLD}, firmware":
        return None
    return (
        f"the aioble in this firmware (MicroPython {found.version_text}) is too old for picolink: "
        f"{_flash_newest(port, build(found))}"
    )


def build(found: Findings) -> str:
    """The name of the firmware's build, such as "RPI_PICO_W"; "" where nothing tells."""
    return found.build or next(
        (name for start, name in _BUILDS.items() if found.machine.startswith(start)), ""
    )


def mpremote(port: str, *words: str) -> str:
    """A command line for mpremote, which came with picolink, for a shell."""
    program = ["mpremote"] if shutil.which("mpremote") else [sys.executable, "-m", "mpremote"]
    return shlex.join([*program, "connect", port, *words])


def _no_radio(port: str, found: Findings) -> str | None:
    if found.bluetooth:
        return None
    board, with_radio = _WITH_RADIO.get(build(found), ("", ""))
    if not board:
        return "no link can start here: this firmware has no Bluetooth. That of a Pico W or a Pico 2 W has."
    return (
        f"no link can start here: this is the firmware of a board without Bluetooth. If yours is a {board} "
        f"(it says so on the board), give it its own firmware: {_flash_newest(port, with_radio)} "
        "(this erases the files on it)"
    )


def _missing(port: str, found: Findings) -> str | None:
    install, flash = f"picolink install --port {port}", f"picolink flash --port {port}"
    if found.engine is None:
        return install
    if found.package_version != version("picolink"):
        command = flash if found.package == "firmware" else install
        return f"{command} puts picolink {version('picolink')} there, as on this PC."
    loads = found.mpy_version == MPY_VERSION and products.native_for(found.architecture) is not None
    if found.engine == "python" and loads:
        return f"{install} puts the native engine beside the Python one, which works but is slow."
    if not found.aioble_ready:
        return old_aioble(port, found) or _aioble_in_files(install, found)
    return None


def _aioble_in_files(install: str, found: Findings) -> str:
    if found.aioble is not None and found.aioble.startswith(TOO_OLD):
        return f"{found.aioble.removeprefix(TOO_OLD + ', ')} is too old: {install} fetches a newer one."
    return f"{install} fetches aioble."


def _flash_newest(port: str, build_name: str) -> str:
    return (
        f"get the newest UF2 file from {_download(build_name)}, then: picolink flash FILE.uf2 --port {port}"
    )


def _download(build_name: str) -> str:
    return f"https://micropython.org/download/{build_name}{'/' if build_name else ''}"


def _rename(port: str, file: str) -> str:
    folder, _, name = file.rpartition("/")
    return mpremote(port, "exec", f"import os; os.rename('{file}', '{folder}/my_{name}')")
