"""Runs a program of this folder as both boards at once, on the radio in memory: in_memory.py PROGRAM

On CPython, too: what programs use of MicroPython's asyncio and time is added there.
"""

import asyncio
import sys
import time

import picolink
from picolink import runtime
from picolink.radio import memory

if sys.implementation.name != "micropython":
    asyncio.sleep_ms = runtime.sleep_ms
    asyncio.wait_for_ms = lambda awaitable, ms: asyncio.wait_for(awaitable, ms / 1000)
    time.ticks_ms, time.ticks_add, time.ticks_diff = runtime.ticks_ms, runtime.ticks_add, runtime.ticks_diff


def on_board(way, radio):
    """picolink.advertise or picolink.connect of one board."""
    return lambda name, **options: way(name, radio=radio, **options)


async def main(program):
    air = memory.Air()
    picolink.advertise = on_board(picolink.advertise, air.board("A"))
    picolink.connect = on_board(picolink.connect, air.board("B"))
    await asyncio.gather(program.main("advertise"), program.main("connect"))


asyncio.run(main(__import__(sys.argv[1])))
