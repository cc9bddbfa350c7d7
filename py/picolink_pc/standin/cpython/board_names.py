"""Names that MicroPython's modules have and CPython's have not, put there for the programs of a board."""

import asyncio
import gc
import sys
import time

import interrupts

_TICKS = 0x3FFFFFFF
_HEAP = 192 * 1024  # of a Pico W, more or less: nothing here says how much of it a program would take


def add():
    """To asyncio, gc, sys and time."""
    time.sleep = interrupts.sleep
    time.sleep_ms = lambda ms: interrupts.sleep(ms / 1000)
    time.sleep_us = lambda us: interrupts.sleep(us / 1_000_000)
    time.ticks_ms = lambda: time.monotonic_ns() // 1_000_000 & _TICKS
    time.ticks_us = lambda: time.monotonic_ns() // 1000 & _TICKS
    time.ticks_cpu = time.ticks_us
    time.ticks_add = lambda ticks, delta: (ticks + delta) & _TICKS
    time.ticks_diff = lambda end, start: ((end - start + 0x20000000) & _TICKS) - 0x20000000
    asyncio.sleep_ms = lambda ms: asyncio.sleep(ms / 1000)
    asyncio.wait_for_ms = _wait_for_ms
    asyncio.ThreadSafeFlag = interrupts.ThreadSafeFlag
    asyncio.new_event_loop = asyncio.events.new_event_loop = interrupts.new_event_loop
    asyncio.get_event_loop = _get_event_loop
    gc.mem_free = lambda: _HEAP
    gc.mem_alloc = lambda: 0
    gc.threshold = lambda *_amount: -1
    sys.print_exception = interrupts.print_exception
    for name in ("asyncio", "binascii", "collections", "json", "os", "random", "struct", "sys", "time"):
        sys.modules["u" + name] = __import__(name)


def _wait_for_ms(awaitable, ms):
    return asyncio.wait_for(awaitable, None if ms is None else ms / 1000)


_loop = None


def _get_event_loop():
    """The running one, or one that is made for programs that begin with it."""
    global _loop
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        if _loop is None or _loop.is_closed():
            _loop = asyncio.new_event_loop()
        return _loop
