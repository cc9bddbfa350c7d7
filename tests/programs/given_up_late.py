"""open() is cancelled in the very turn in which the other board has come: that connection is not left open.

given_up_late.py advertise|connect [victim]
"""

import asyncio
import sys
import time

import picolink
from aioble import core

CONNECT, DISCONNECT = (1, 7), (2, 8)  # events of both roles

connected = set()
aioble_irq = core.ble_irq


def irq(event, data):
    if event in CONNECT:
        connected.add(data[0])
    elif event in DISCONNECT:
        connected.discard(data[0])
    return aioble_irq(event, data)


core.ble_irq = irq


async def main(role, victim=False):
    make = getattr(picolink, role)
    if victim:
        opening = asyncio.create_task(make("Given up late").open())
        while not connected:
            time.sleep_ms(1)  # busy: events come, tasks do not run
            if not connected:
                await asyncio.sleep_ms(0)
        opening.cancel()
        try:
            await opening
            raise AssertionError("the link was opened")
        except asyncio.CancelledError:
            assert not connected, connected
    async with make("Given up late") as link:
        await link.send("hello")
        assert await link.recv() == "hello"
        assert link.stats["stack_restarts"] == 0
    print("ok")


asyncio.run(main(*sys.argv[1:]))
