"""link.drain(): every message that is here, without waiting in between; nothing at the end."""

import asyncio
import sys

import picolink


async def main(role):
    async with getattr(picolink, role)("Draining") as link:
        if role == "advertise":
            for number in range(1000):
                await link.send(str(number), number & 15)
        else:
            received = []
            while True:
                batch = [(int(message), link.channel) for message in await link.drain()]
                if not batch:
                    break
                received += batch
            assert received == [(number, number & 15) for number in range(1000)]
    print("ok")


asyncio.run(main(sys.argv[1]))
