"""What MicroPython and CPython do differently: const, time in ms, sleeping, a flag that handlers set."""
# ruff: noqa: F401

try:
    from asyncio import ThreadSafeFlag as Flag
    from asyncio import sleep_ms
    from sys import print_exception
    from time import ticks_add, ticks_diff, ticks_ms

    from micropython import const
except ImportError:
    from .cpython import Flag, const, print_exception, sleep_ms, ticks_add, ticks_diff, ticks_ms
