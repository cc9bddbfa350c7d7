"""The engine in C for CPython: the module _picolink, compiled from native/cpython in a checkout."""

import importlib.machinery
import importlib.util
import subprocess
import sysconfig
import tempfile
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from types import ModuleType

from .products import CHECKOUT, OUT

NATIVE = Path(__file__).parents[2] / "native"
CORE = tuple(NATIVE / f"{name}.c" for name in ("picolink", "crc32", "aes", "sha256"))
MODULE = NATIVE / "cpython" / "_picolink.c"
FOLDER = OUT / "native" / "cpython"

_COMPILE = ("gcc", "-std=c99", "-O2", "-g", "-shared", "-fPIC")
_WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror")


class CompileError(Exception):
    """The engine in C cannot be compiled for this PC; says why."""


@cache
def engine_class() -> type:
    """The class Engine, with the interface of picolink.pyengine.Engine.  Raises CompileError."""
    if CHECKOUT:
        return load(extension(FOLDER)).Engine
    try:
        from _picolink import Engine  # a wheel may have brought it
    except ImportError:
        raise CompileError(
            "the native engine is compiled from picolink's source, which is not here: use --engine python"
        ) from None
    return Engine


def install() -> str:
    """Put the module where this Python imports it, unless it is there; what was done, for a person."""
    try:
        return f"made {extension(Path(sysconfig.get_path('platlib')))}"
    except CompileError as error:
        return f"skipped: {error}"


def extension(
    folder: Path, core: Iterable[Path] = CORE, flags: Iterable[str] = (), module: Path = MODULE
) -> Path:
    """Compile the module into a folder, unless what is there is newer than its sources.  Returns its path.

    core: C sources of the engine.   flags: further ones for the compiler.   module: C source of the module.
    Raises CompileError.
    """
    include = sysconfig.get_path("include")
    if not Path(include, "Python.h").exists():
        raise CompileError(f"the native engine needs Python.h, which {include} lacks: install python3-dev")
    flags = ("-isystem", include, *flags)
    return shared_library(folder / "_picolink.abi3.so", (module, *core), flags)


def shared_library(
    made: Path, sources: Iterable[Path], flags: Iterable[str] = (), headers: Iterable[Path] = ()
) -> Path:
    """Compile C sources with warnings as errors, unless what is there is newer.  Returns `made`.

    headers: what they include beyond native/.   Raises CompileError.
    """
    sources = tuple(sources)
    newest = max(file.stat().st_mtime for file in (*sources, *headers, *NATIVE.glob("*.h")))
    if made.exists() and made.stat().st_mtime > newest:
        return made
    made.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=made.parent) as folder:
        new = Path(folder, made.name)
        command = [*_COMPILE, f"-I{NATIVE}", *_WARNINGS, *flags, *sources, "-o", new]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)
        except OSError as error:
            raise CompileError(f"the native engine cannot be compiled for this PC: {error}") from None
        except subprocess.CalledProcessError as error:
            first = next((line for line in error.stderr.splitlines() if "error" in line), error)
            raise CompileError(f"the native engine cannot be compiled for this PC: {first}") from None
        new.replace(made)  # in one move: another process may be loading it
    return made


def load(path: Path) -> ModuleType:
    """The module _picolink at this path; sys.modules does not know it."""
    loader = importlib.machinery.ExtensionFileLoader("_picolink", str(path))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("_picolink", loader))
    loader.exec_module(module)
    return module
