"""The engines that a simulation can have, by the names that links use."""

import importlib.util
from functools import cache
from pathlib import Path

from picolink import pyengine

KINDS = ("native", "python", "mixed")

_C_ENGINE = Path(__file__).parents[3] / "tests" / "host_engine.py"


def engines(kind: str, seed: int) -> tuple[type, type]:
    """The engine classes of the central and of the peripheral.

    kind: "native", "python", or "mixed": one of each, on the sides that `seed` says.
    Raises FileNotFoundError without the project's folder or its C compiler.
    """
    if kind == "native":
        return c_engine(), c_engine()
    if kind == "python":
        return pyengine.Engine, pyengine.Engine
    return (c_engine(), pyengine.Engine) if seed % 2 else (pyengine.Engine, c_engine())


@cache
def c_engine() -> type:
    """The native engine's core, run by ctypes as in the tests (tests/host_engine.py); compiled if need be."""
    specification = importlib.util.spec_from_file_location("host_engine", _C_ENGINE)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    module.HostEngine(1)  # compiles it
    return module.HostEngine
