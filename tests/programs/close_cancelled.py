"""A close() that is cancelled waits no more for the peer, and leaves room for another link."""

import asyncio
import os
import sys
import time

import picolink
from raw_packets import transmit

CANCELLED = "cancelled"  # a file in the folder that both boards run in: the radio could not tell it


async def main(role):
    async with getattr(picolink, role)("Close cancelled") as link:
        if role == "advertise":
            await link.send("credit comes with this")
            await link.recv()
            await link.send("for nobody")
            try:
                await asyncio.wait_for_ms(link.close(), 100)
                raise AssertionError("the peer was not busy")
            except asyncio.TimeoutError:
                pass
            assert not link.connected
            open(CANCELLED, "w").close()
        else:
            await link.recv()
            link.send_nowait("now")
            packet = memoryview(bytearray(236))
            size = link._policy.engine.pull_into(packet, time.ticks_ms())
            await transmit(link, packet[:size])  # here, so that it is busy before its peer knows
            assert size
            while CANCELLED not in os.listdir():
                time.sleep_ms(1)  # busy: nothing is acknowledged
    async with getattr(picolink, role)("Close cancelled") as link:
        await link.send("again")
        assert await link.recv() == "again"
    print("ok")


asyncio.run(main(sys.argv[1]))
