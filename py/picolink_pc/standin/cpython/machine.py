"""What boards in CPython have of MicroPython's module of the same name."""

import os
import sys
import threading

import interrupts
import standin_sleep
import standin_timer
from standin_pins import Pin, Signal  # noqa: F401
from standin_timer import Timer  # noqa: F401

_SIGALRM = 128 + 14  # as a shell tells of the signal that ends a board in MicroPython


class WDT:
    """Switches the virtual board off where a real one restarts the board."""

    def __init__(self, id=0, timeout=5000):  # noqa: A002, ARG002 - MicroPython's names
        self._seconds = timeout / 1000
        self._timer = None
        self.feed()

    def feed(self):
        timer = threading.Timer(self._seconds, os._exit, (_SIGALRM,))
        timer.daemon = True
        timer.start()
        if self._timer:
            self._timer.cancel()
        self._timer = timer


def deepsleep(time_ms=None):
    """The PC switches the board on again."""
    code = standin_sleep.begin(time_ms)
    sys.stdout.flush()
    os._exit(code)


standin_timer.pause = lambda ms: threading.Event().wait(ms / 1000)
standin_timer.schedule = interrupts.schedule
