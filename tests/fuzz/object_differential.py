"""native/objects.c, in the harness of fuzz_objects.c, beside picolink.objects: the same bytes, or none."""

import ctypes
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import host_engine
from picolink import objects
from picolink_pc import c_engine

HERE = Path(__file__).parent
FOLDER = c_engine.OUT / "fuzz" / "compared"
SOURCES = (c_engine.NATIVE / "objects.c", c_engine.NATIVE / "msgpack.c")
_REFUSED = -1  # as in fuzz_objects.c
_NOT_PACKED = -2


def build(sanitized: bool = False, folder: Path = FOLDER, sources: Iterable[Path] = SOURCES) -> Path:
    """Compile the shared library of the fuzz target into a folder. Returns its path."""
    target = HERE / "fuzz_objects.c"
    micropython = HERE / "micropython"
    flags = ("-I", micropython, *(host_engine.SANITIZERS if sanitized else ()))
    made = folder / f"libobjects{'-sanitized' if sanitized else ''}.so"
    included = (HERE / "check.h", *micropython.glob("py/*.h"))
    return c_engine.shared_library(made, (target, *sources), flags, included)


@cache
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(str(build()))
    library.repack.argtypes = (ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p)
    library.repack.restype = ctypes.c_long
    return library


def in_c(data: bytes) -> bytes | int:
    """The object in these bytes, packed again; or why not."""
    packed = ctypes.create_string_buffer(len(data))
    size = _library().repack(data, len(data), packed)
    return size if size < 0 else packed.raw[:size]


def in_python(data: bytes) -> bytes | int | None:
    """Likewise. None: a text that CPython does not take and MicroPython may."""
    try:
        value = objects.unpack(data)
    except ValueError as error:
        assert 0 <= int(re.search(r"at byte (\d+): ", str(error))[1]) <= len(data)
        return None if "UTF-8" in str(error) else _REFUSED
    try:
        return objects.pack(value)
    except ValueError as error:
        assert "too large for a float" in str(error)
        return _NOT_PACKED


def compare(data: bytes) -> None:
    """Raise AssertionError where they differ."""
    python, c = in_python(data), in_c(data)
    if python is not None:
        assert c == python, f"{data.hex()}: C gives {c!r}, Python {python!r}"
