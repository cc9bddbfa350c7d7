"""A peer that answers and does not read is no stall: Bluetooth is not restarted after some drops."""

import asyncio
import sys

import picolink

CONNECTIONS = 4
COUNT = 300


async def main(role):
    async with getattr(picolink, role)("Not reading", rx_size=256) as link:
        if role == "advertise":
            for number in range(COUNT):
                await link.send("%018d" % number)
        else:
            while link.stats["connections"] < CONNECTIONS:
                await asyncio.sleep_ms(10)
            for number in range(COUNT):
                assert int(await link.recv()) == number
        await link.flush()
        assert link.stats["stack_restarts"] == 0
    print("ok")


asyncio.run(main(sys.argv[1]))
