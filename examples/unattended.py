"""Pico A for a place that nobody visits: if the program or Bluetooth hangs, a watchdog restarts the board.

Copy it to the board as main.py: nothing else stops it. The other board runs pico_b.py.
"""

import asyncio

import picolink
from machine import WDT

WATCHDOG_MS = 8000  # an RP2040 cannot wait longer than 8388
PATIENCE_S = 600  # how long the other board may be away before this one doubts its own radio


async def feed_watchdog(link):
    watchdog = WDT(timeout=WATCHDOG_MS)
    alone_s = 0
    while alone_s < PATIENCE_S:
        watchdog.feed()
        await asyncio.sleep(1)  # in a task: a program that hangs does not feed
        alone_s = 0 if link.connected else alone_s + 1


async def greet(link):
    while True:
        await link.send("Hello from Pico A!")
        await asyncio.sleep(2)


async def main():
    link = picolink.advertise("PicoA")
    tasks = [asyncio.create_task(feed_watchdog(link))]  # before the first connection, too
    async with link:
        tasks.append(asyncio.create_task(greet(link)))
        async for message in link:
            print("Pico A received:", message)


asyncio.run(main())
