# Meets the other board of this name again and again, then stays with it:  meet.py NAME TIMES
# Prints what happens, each with the time (ms); on one PC all boards have the same clock.

import asyncio
import random
import sys
import time

import picolink


def tell(what):
    print(what, time.time_ns() // 1_000_000)


def on_event(event, detail):
    print(event, detail) if event != "connected" else None
    if event == "connected":
        tell("connected")


async def main(name, times):
    for _ in range(int(times)):
        await asyncio.sleep(random.random())
        tell("looks")
        async with picolink.meet(name, on_event=on_event) as link:
            await link.send("hello")
            await link.recv()
    tell("looks")
    async with picolink.meet(name, on_event=on_event) as link:
        async for _ in link:
            pass


asyncio.run(main(*sys.argv[1:]))
