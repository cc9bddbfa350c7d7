"""open() is cancelled in the very turn in which the other board has come: that connection is not left open.

given_up_late.py advertise|connect [victim]
"""

import asyncio
import sys

import picolink
from connections import connected, one_has_come


async def main(role, victim=False):
    make = getattr(picolink, role)
    if victim:
        opening = asyncio.create_task(make("Given up late").open())
        await one_has_come()
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
