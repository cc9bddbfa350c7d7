"""Each second connection drops before any task has run: nothing of them stays on the heap.

dropped_at_once.py advertise|connect [victim]
"""

import asyncio
import gc
import sys
import time

import picolink
from aioble import core
from connections import connected, one_has_come

DROPS = 6
LOOKS = 10  # at the heap; the least of it counts
MAY_GROW = DROPS * 180  # bytes; a connection that stays takes at least twice as much


async def drop_at_once():
    await one_has_come()
    core.ble.gap_disconnect(max(connected))
    while connected:
        time.sleep_ms(1)


async def heap_after_drops(link):
    """The least in use, with a connection, in bytes."""
    for _ in range(DROPS):
        if link.connected:
            core.ble.gap_disconnect(max(connected))
            while connected:
                await asyncio.sleep_ms(1)
        await drop_at_once()
        while not link.connected:
            await asyncio.sleep_ms(1)
    used = []
    for _ in range(LOOKS):
        await asyncio.sleep_ms(10)
        gc.collect()
        used.append(gc.mem_alloc())
    return min(used)


async def measure(link):
    before = await heap_after_drops(link)
    grown = await heap_after_drops(link) - before
    print("grown", grown)
    assert grown < MAY_GROW, grown


async def main(role, victim=False):
    link = getattr(picolink, role)("Dropped at once")
    measuring = asyncio.create_task(measure(link)) if victim else None
    async with link:
        if victim:
            await measuring
        await link.send("hello")
        assert await link.recv() == "hello"
    print("ok")


asyncio.run(main(*sys.argv[1:]))
