# Simulator code for virtual boards, never installed on a board: takes the place of MicroPython's `machine`.
#
# Pins print their changes. The watchdog switches the virtual board off where a real one restarts the board.
# Deep sleep is the PC's business: it switches the board on again.

import _standin
import micropython
import standin_pins
import standin_sleep
import standin_timer
from umachine import *  # noqa: F403 - all of MicroPython's own

Pin = standin_pins.Pin
Signal = standin_pins.Signal  # MicroPython's own wants pins in C
Timer = standin_timer.Timer


class WDT:
    def __init__(self, id=0, timeout=5000):
        self._seconds = -(-timeout // 1000)
        self.feed()

    def feed(self):
        _standin.alarm(self._seconds)


def deepsleep(time_ms=None):
    _standin.leave(standin_sleep.begin(time_ms))


def _schedule(function, argument):
    micropython.schedule(function, argument)
    _standin.interrupt()


standin_timer.pause = _standin.pause
standin_timer.schedule = _schedule
