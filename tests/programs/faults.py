"""Faults between picolink and the host stack of its board, real or not.

faults.install(options) puts another BLE object in the place of the one that picolink uses. It is faulty once
begin() has been called. Options:

locked: one of so many events (int) is handled with the heap locked, so that every allocation fails.
refused: [int, errno, ...]: one of so many packets to send is refused, with one of these errors.

faults.switch_off(...) is a task that switches Bluetooth events off, again and again.

faults.hog(...) is a task that leaves no byte of heap, again and again.
"""

import asyncio
import gc
import random
import time

import bluetooth
import micropython
from aioble import core


class OneOf:
    """hits() is true for one of `period` calls in a row, whichever; never when that is 0. Takes no memory."""

    def __init__(self, period):
        self._period = period
        self._call = self._hit = 0

    def hits(self):
        if not self._period:
            return False
        if not self._call:
            self._call = self._period
            self._hit = random.randint(1, self._period)
        self._call -= 1
        return self._call + 1 == self._hit


class FaultyBle:
    def __init__(self, ble, locked=0, refused=(0,)):
        self._ble = ble
        self._locked = OneOf(locked)
        self._refused = OneOf(refused[0])
        self._errnos = refused[1:]
        self.faulty = False
        self._handler = None
        self._handle_bound = self._handle
        self.escaped = 0  # exceptions that left the handler
        self.short = 0  # events that were handled with the heap locked
        self.refusals = 0

    def __getattr__(self, name):
        return getattr(self._ble, name)

    def irq(self, handler):
        self._handler = handler
        self._ble.irq(self._handle_bound)

    def _handle(self, event, data):
        short = self.faulty and self._locked.hits()
        if short:
            self.short += 1
            micropython.heap_lock()
        try:
            return self._handler(event, data)
        except BaseException:
            self.escaped += 1
        finally:
            if short:
                micropython.heap_unlock()

    def _maybe_refuse(self):
        if self.faulty and self._refused.hits():
            self.refusals += 1
            raise OSError(random.choice(self._errnos), "refused")  # CPython needs both for an errno

    def gattc_write(self, *args):
        self._maybe_refuse()
        self._ble.gattc_write(*args)

    def gatts_notify(self, *args):
        self._maybe_refuse()
        self._ble.gatts_notify(*args)

    def deaf(self, ms):
        """Do nothing for so long, with Bluetooth events switched off."""
        self._ble.irq(None)
        time.sleep_ms(ms)


def install(options):
    core.ble = FaultyBle(core.ble, **options)


def begin():
    core.ble.faulty = True


def counts():
    """What has happened: a dict."""
    ble = core.ble
    return {"escaped": ble.escaped, "short": ble.short, "refusals": ble.refusals}


async def switch_off(mean_ms):
    """Switch Bluetooth events off at random moments, mean_ms apart on average."""
    while True:
        await asyncio.sleep_ms(random.randint(0, 2 * mean_ms))
        bluetooth.BLE().irq(None)


async def hog(longest_ms):
    """Leave no heap for 1 to longest_ms ms, again and again: while others run, or while only handlers do."""
    while True:
        await asyncio.sleep_ms(random.randint(1, 20 * longest_ms))
        wait_ms = random.randint(1, longest_ms)
        busy = random.getrandbits(1)
        taken = _take_all()
        try:
            if busy:
                end = time.ticks_add(time.ticks_ms(), wait_ms)
                while time.ticks_diff(end, time.ticks_ms()) > 0:
                    pass
            else:
                await asyncio.sleep_ms(wait_ms)
        finally:
            while taken:  # unlinked, so that none of it is found from a stale pointer to another
                taken[0], taken = None, taken[0]
            gc.collect()


def _take_all():
    """A chain of blocks that fill the heap to the last one."""
    taken = None
    size = 65536  # items
    while size:
        try:
            block = [None] * size
            block[0] = taken
            taken = block
        except MemoryError:
            size >>= 1
    return taken
