"""Doing something before each bytecode of the Python engine: where an interrupt may come on a board."""

import sys
from collections.abc import Callable
from types import FrameType

from picolink import pyengine


def before_each(action: Callable[[FrameType], object], function: Callable, *args: object) -> object:
    """function(*args), with action(frame) before each bytecode of the engine's code in it.

    What `action` itself runs is not interrupted.
    """

    def trace(frame: FrameType, event: str, _: object) -> Callable | None:
        if frame.f_code.co_filename != pyengine.__file__:
            return None
        # f_trace_lines stays on: Python 3.12 and 3.13 have no events for bytecodes without those for lines.
        frame.f_trace_opcodes = True
        if event == "opcode":
            action(frame)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        return function(*args)
    finally:
        sys.settrace(before)
