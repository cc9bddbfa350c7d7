"""What is on a MicroPython board: its firmware, and how far picolink is installed."""

import ast
from dataclasses import dataclass

from mpremote.transport_serial import SerialTransport

from . import device

OLDEST_MICROPYTHON = (1, 23, 0)
MPY_VERSION = "6.3"
"""Format of the native modules that we build, and of every MicroPython from OLDEST_MICROPYTHON on."""

# sys.implementation._mpy >> 10 (MicroPython, py/persistentcode.h).
_ARCHITECTURES = (
    "none",
    "x86",
    "x64",
    "armv6",
    "armv6m",
    "armv7m",
    "armv7em",
    "armv7emsp",
    "armv7emdp",
    "xtensa",
    "xtensawin",
    "rv32imc",
    "rv64imc",
)

_LOOK = """
import gc, os, sys

def where(name):
    try:
        module = __import__(name)
    except ImportError:
        return None
    except Exception as error:
        return "broken: %r" % error
    file = getattr(module, "__file__", "")
    try:
        os.stat(file or "no file")
    except OSError:
        return "firmware"
    return "/" + file.lstrip("/")

gc.collect()
free = gc.mem_free()
about = sys.implementation
try:
    disk = os.statvfs("/")
except OSError:
    disk = (0, 0, 0, 0)
found = {
    "version": about.version[:3],
    "machine": getattr(about, "_machine", sys.platform),
    "build": getattr(about, "_build", ""),
    "mpy": getattr(about, "_mpy", 0),
    "memory_free": free,
    "lib": ([path for path in sys.path if path.endswith("/lib") and path[:4] != "/rom"] or [None])[0],
    "block_size": disk[0],
    "files_free": disk[0] * disk[3],
    "bluetooth": where("bluetooth"),
    "aioble": where("aioble"),
    "native": where("_picolink"),
    "package": where("picolink"),
    "package_version": None,
    "engine": None,
}
try:
    import picolink, picolink.engine
    found["package_version"] = picolink.__version__
    found["engine"] = picolink.engine.load()[1]
except Exception:
    pass
print(found)
"""


@dataclass(frozen=True)
class Findings:
    """Of a board.

    version: of MicroPython.  machine: board and chip as MicroPython prints them.
    build: name of the firmware's build, such as "RPI_PICO_W"; "" before MicroPython 1.25.
    mpy: sys.implementation._mpy.
    memory_free: bytes of heap, with nothing imported.  files_free, block_size: bytes of the filesystem.
    lib: folder for libraries; None when sys.path has none.
    bluetooth, aioble, native, package: where the module is: a file, "firmware", "broken: ...", or None.
    package_version: of picolink.  engine: "native" or "python"; None when picolink does not import.
    """

    version: tuple[int, int, int]
    machine: str
    build: str
    mpy: int
    memory_free: int
    lib: str | None
    block_size: int
    files_free: int
    bluetooth: str | None
    aioble: str | None
    native: str | None
    package: str | None
    package_version: str | None
    engine: str | None

    @property
    def architecture(self) -> str:
        """As MicroPython names it; "none": this firmware loads no native modules."""
        number = self.mpy >> 10 & 0xF
        return _ARCHITECTURES[number] if number < len(_ARCHITECTURES) else f"unknown ({number})"

    @property
    def mpy_version(self) -> str:
        """Format of the native modules that it loads, such as "6.3"."""
        return f"{self.mpy & 0xFF}.{self.mpy >> 8 & 3}"

    @property
    def version_text(self) -> str:
        """Of MicroPython, such as "1.25.0"."""
        return ".".join(str(part) for part in self.version)


def look(board: SerialTransport) -> Findings:
    """Asks the board.  Imports picolink there, so memory_free is what it was before."""
    return Findings(**ast.literal_eval(device.run(board, _LOOK)))
