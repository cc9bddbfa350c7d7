"""What CPython has not of what picolink uses of MicroPython: see picolink.runtime. No board loads this."""

import asyncio
from collections.abc import Coroutine
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


class _Done(Coroutine):
    """To await, again and again: a coroutine that is over."""

    def send(self, _value):
        raise StopIteration

    def throw(self, *exception):
        raise exception[0]

    def __await__(self):
        return iter(())


DONE = _Done()


class Flag:
    """As MicroPython's ThreadSafeFlag, for one task, which need not wait for ever.

    Only for calls in the thread of the event loop, but there between any two bytecodes.
    """

    def __init__(self, other=None):  # noqa: ARG002
        self._is_set = False
        self._awaited = None  # a future

    def register(self):
        pass

    release = register

    def set(self):
        self._is_set = True
        self._end()

    def end(self):
        self.set()

    def _end(self):
        if self._awaited and not self._awaited.done():
            self._awaited.set_result(None)

    async def wait(self, ms):
        loop = asyncio.get_running_loop()
        self._awaited = loop.create_future()  # before it looks
        timer = loop.call_later(ms / 1000, self._end)
        try:
            if not self._is_set:
                await self._awaited
        finally:
            timer.cancel()
            self._awaited = None
        self._is_set = False
