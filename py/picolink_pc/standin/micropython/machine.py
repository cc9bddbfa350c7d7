# Simulator code for virtual boards, never installed on a board: adds a watchdog to MicroPython's `machine`.
#
# It switches the virtual board off where a real one restarts the board.

import _standin
from umachine import *  # noqa: F403 - all of MicroPython's own


class WDT:
    def __init__(self, id=0, timeout=5000):
        self._seconds = -(-timeout // 1000)
        self.feed()

    def feed(self):
        _standin.alarm(self._seconds)
