"""The engines that a simulation can have, by the names that links use."""

import importlib.util
import subprocess
from functools import cache
from pathlib import Path

from picolink import pyengine

from ..products import CHECKOUT

KINDS = ("native", "python", "mixed")

_C_ENGINE = Path(__file__).parents[3] / "tests" / "host_engine.py"


class CompileError(Exception):
    """The native engine's core cannot be compiled for this PC; says why."""


def engines(kind: str, seed: int) -> tuple[type, type]:
    """The engine classes of the central and of the peripheral.

    kind: "native", "python", or "mixed": one of each, on the sides that `seed` says.
    Raises CompileError where the C core is wanted and cannot be had.
    """
    if kind == "native":
        return c_engine(), c_engine()
    if kind == "python":
        return pyengine.Engine, pyengine.Engine
    return (c_engine(), pyengine.Engine) if seed % 2 else (pyengine.Engine, c_engine())


@cache
def c_engine() -> type:
    """The native engine's core, run by ctypes as in the tests (tests/host_engine.py); compiled if need be.

    Raises CompileError.
    """
    if not CHECKOUT:
        raise CompileError(
            "the native engine is compiled from picolink's source, which is not here: use --engine python"
        )
    specification = importlib.util.spec_from_file_location("host_engine", _C_ENGINE)
    module = importlib.util.module_from_spec(specification)
    try:
        specification.loader.exec_module(module)
        module.HostEngine(1)  # compiles it
    except (OSError, subprocess.SubprocessError) as error:
        raise CompileError(f"the native engine cannot be compiled for this PC: {error}") from None
    return module.HostEngine
