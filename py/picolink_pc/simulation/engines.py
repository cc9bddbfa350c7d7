"""The engines that a simulation can have, by the names that links use."""

from picolink import pyengine

from .. import c_engine

KINDS = ("native", "python", "mixed")


def engines(kind: str, seed: int) -> tuple[type, type]:
    """The engine classes of the central and of the peripheral.

    kind: "native", "python", or "mixed": one of each, on the sides that `seed` says.
    Raises c_engine.CompileError where the engine in C is wanted and cannot be had.
    """
    if kind == "python":
        return pyengine.Engine, pyengine.Engine
    native = c_engine.engine_class()
    if kind == "native":
        return native, native
    return (native, pyengine.Engine) if seed % 2 else (pyengine.Engine, native)
