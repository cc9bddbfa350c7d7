"""What is on a MicroPython board: its firmware, and how far picolink is installed."""

import ast
from dataclasses import dataclass, replace
from typing import Any

from mpremote.transport import TransportError, TransportExecError
from mpremote.transport_serial import SerialTransport

from . import device
from .device import DeviceError

TOO_OLD = "too old"
MPY_VERSION = "6.3"
"""Format of the native modules that we build, and of every MicroPython that we support."""

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

# Modules of MicroPython that picolink and aioble import. A file of the same name in a folder that an import
# searches before the firmware hides them.
_STANDARD = (
    "asyncio",
    "binascii",
    "bluetooth",
    "collections",
    "errno",
    "hashlib",
    "io",
    "json",
    "machine",
    "os",
    "random",
    "struct",
    "time",
)

# As an import looks for a module, but nothing of a file is loaded: a damaged one may never come to an end.
_LOOK = """
import gc, os, sys

def exists(path):
    try:
        os.stat(path)
        return True
    except OSError:
        return False

def in_firmware(name, path):
    saved, loaded = sys.path[:], dict(sys.modules)
    sys.path[:] = path
    sys.modules.clear()
    try:
        __import__(name)
        return True
    except ImportError:
        return False
    except Exception:
        return True
    finally:
        sys.path[:] = saved
        sys.modules.clear()
        sys.modules.update(loaded)

def file_of(name, folder):
    for ending in ("", ".py", ".mpy"):
        path = (folder or os.getcwd()).rstrip("/") + "/" + name + ending
        if exists(path):
            return path

# Also when a file on the board has the same name.
def firmware_build():
    saved = sys.path[:]
    sys.path[:] = [".frozen"]
    try:
        return __import__("_picolink_firmware").BUILD
    except Exception:
        return None
    finally:
        sys.path[:] = saved
        sys.modules.pop("_picolink_firmware", None)

def where(name):
    if in_firmware(name, []):
        return "firmware"
    for folder in sys.path:
        if folder == ".frozen":
            if in_firmware(name, [folder]):
                return "firmware"
        elif file_of(name, folder):
            return file_of(name, folder)

def hidden(names):
    found = []
    for folder in sys.path:
        if folder == ".frozen" or folder.endswith("/lib"):
            break
        found += [file_of(name, folder) for name in names if file_of(name, folder)]
    return found

# Size, and the modules that the first lines import.
def about_program(path):
    try:
        with open(path) as file:
            words = [file.readline().split() for _ in range(60)]
        imports = [line[1].rstrip(",") for line in words if line[:1] in (["import"], ["from"])]
        return [os.stat(path)[6]] + imports[:8]
    except Exception:
        return None

gc.collect()
free = gc.mem_free()
heap = free + gc.mem_alloc()
try:
    import machine
    clock = machine.freq()
except Exception:
    clock = 0
about = sys.implementation
lib = ([path for path in sys.path if path.endswith("/lib") and path[:4] != "/rom"] or [None])[0]
try:
    disk = os.statvfs(lib and lib.rpartition("/")[0] or "/")
except OSError:
    disk = (0, 0, 0, 0)
print({
    "implementation": about[0],
    "version": about[1][:3],
    "machine": getattr(about, "_machine", sys.platform),
    "build": getattr(about, "_build", ""),
    "own_build": firmware_build(),
    "mpy": getattr(about, "_mpy", 0),
    "clock": clock if isinstance(clock, int) else clock[0],
    "memory": heap,
    "memory_free": free,
    "lib": lib,
    "block_size": disk[0],
    "files_free": disk[0] * disk[3],
    "bluetooth": where("bluetooth"),
    "aioble": where("aioble"),
    "native": where("_picolink"),
    "package": where("picolink"),
    "hidden": hidden(STANDARD),
    "programs": {name: about_program(name) for name in ("boot.py", "main.py") if exists(name)},
})
"""

_IMPORT_S = 30
"""Longest for an import; of source files it takes seconds."""

# None when the module imports and has these names.
_IMPORT = """
def broken(module, names):
    try:
        module = __import__(module)
    except Exception as error:
        return "broken: %r" % error
    if [name for name in names if not hasattr(module, name)]:
        return "broken: incomplete"

print(repr(broken({module!r}, {names})))
"""

# What picolink needs of aioble, which leaves out the parts that are not there.
_AIOBLE_NAMES = ("advertise", "scan", "Service", "Characteristic")

# Until 0.5 a connection's interval could not be asked for. A coroutine that is called does not begin; it only
# takes its arguments or not. None when it takes them.
_AIOBLE_AGE = """
def too_old():
    try:
        from aioble.device import Device
        Device.connect(None, 0, 0, 0, 0).close()
    except TypeError:
        return "too old"
    except Exception as error:
        return "broken: %r" % error

print(repr(too_old()))
"""

_ENGINE = """
version = engine = None
try:
    import picolink, picolink.engine
    version = picolink.__version__
    engine = picolink.engine.load()[1]
except Exception:
    pass
print({"package_version": version, "engine": engine})
"""


@dataclass(frozen=True)
class Findings:
    """Of a board.

    implementation: "micropython", or another.  version: of it.  machine: board and chip as it prints them.
    build: name of the firmware's build, such as "RPI_PICO_W"; "" before MicroPython 1.25.
    own_build: of picolink's own firmware, such as "RPI_PICO_W-tuned"; None for any other.
    mpy: sys.implementation._mpy.
    clock: Hz, 0: unknown.
    memory, memory_free: bytes of heap, with nothing imported.
    files_free, block_size: bytes of the filesystem.
    lib: folder for libraries; None when sys.path has none.
    bluetooth, aioble, native, package: where the module is: a folder or file, "firmware", or None; after
        try_imports "broken: ..." or "too old", too.
    hidden: files that hide modules of MicroPython which picolink needs.
    programs: of boot.py and main.py those that are there: size in bytes, and some modules that it imports.
    package_version: of picolink.  engine: "native" or "python".  Both None before try_imports, and when
        picolink does not import.
    """

    implementation: str
    version: tuple[int, int, int]
    machine: str
    build: str
    own_build: str | None
    mpy: int
    clock: int
    memory: int
    memory_free: int
    lib: str | None
    block_size: int
    files_free: int
    bluetooth: str | None
    aioble: str | None
    native: str | None
    package: str | None
    hidden: list[str]
    programs: dict[str, list | None]
    package_version: str | None = None
    engine: str | None = None

    @property
    def aioble_ready(self) -> bool:
        """After try_imports: whether aioble is there, with what picolink needs of it."""
        return self.aioble is not None and not self.aioble.startswith(("broken", TOO_OLD))

    @property
    def hiding(self) -> str | None:
        """A file that an import finds before the folder picolink, wherever that is put; or None."""
        file = self.package or ""
        return file if file.endswith((".py", ".mpy")) and not file.startswith(f"{self.lib}/") else None

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
    """Asks the board.  Loads no file there, so it works whatever is broken."""
    return Findings(**ast.literal_eval(device.run(board, f"STANDARD = {_STANDARD}\n{_LOOK}")))


def try_imports(board: SerialTransport, found: Findings) -> Findings:
    """`found`, with what came of importing the modules.  Raises DeviceError when that does not end."""
    modules = {"aioble": ("aioble", _AIOBLE_NAMES), "native": ("_picolink", ()), "package": ("picolink", ())}
    news = {}
    for field, (module, names) in modules.items():
        if getattr(found, field) is not None:
            broken = _run_import(board, _IMPORT.format(module=module, names=names), module, found)
            if broken is not None:
                news[field] = broken
    if found.aioble is not None and "aioble" not in news:
        age = _run_import(board, _AIOBLE_AGE, "aioble", found)
        if age is not None:
            news["aioble"] = f"{age}, {found.aioble}"
    return replace(found, **news, **_run_import(board, _ENGINE, "picolink", found))


def _run_import(board: SerialTransport, program: str, module: str, found: Findings) -> Any:
    try:
        return ast.literal_eval(device.run(board, program, _IMPORT_S))
    except TransportExecError:
        raise
    except TransportError:
        first = f"remove it (mpremote fs rm -r :{found.aioble}), then " if module == "aioble" else ""
        raise DeviceError(
            f"importing {module} hangs: reset the board, then {first}picolink install"
        ) from None
