"""Copies of Python engines in the middle of their work, so that a test can go on from there in many ways."""

from engine_suite import Wire
from picolink import pyengine


def copied(engine):
    """A Python engine in the same state, with rings of its own."""
    copy = pyengine.Engine.__new__(pyengine.Engine)
    for name, value in vars(engine).items():
        if isinstance(value, memoryview):
            setattr(copy, name, memoryview(bytearray(value)))
        elif value is None or isinstance(value, (int, bytes)):
            setattr(copy, name, value)
        elif callable(value):
            setattr(copy, name, getattr(pyengine.Engine, name).__get__(copy))
        else:
            setattr(copy, name, value[:])  # lists and arrays
    return copy


class Continued(Wire):
    """A wire between two engines that are connected already."""

    def start(self):
        pass
