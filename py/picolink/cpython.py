"""What CPython has not of what picolink uses of MicroPython: see picolink.runtime. No board loads this."""

import asyncio
from traceback import print_exception  # noqa: F401

_TICKS = 0x3FFFFFFF


def const(value):
    return value


def ticks_ms():
    """Milliseconds modulo 2^30, by the clock of the event loop, which must run."""
    return int(asyncio.get_running_loop().time() * 1000) & _TICKS


def ticks_add(ticks, ms):
    return (ticks + ms) & _TICKS


def ticks_diff(end, start):
    """ms from `start` to `end`, which are at most 2^29 ms apart: negative if `end` was before."""
    return ((end - start + 0x20000000) & _TICKS) - 0x20000000


def sleep_ms(ms):
    return asyncio.sleep(ms / 1000)


class Flag:
    """As MicroPython's ThreadSafeFlag, for one task that waits; but only for calls from the event loop."""

    def __init__(self):
        self._event = asyncio.Event()

    def register(self):
        pass

    release = register

    def set(self):
        self._event.set()

    async def wait(self):
        await self._event.wait()
        self._event.clear()
