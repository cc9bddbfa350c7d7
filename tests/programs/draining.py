"""link.drain(): every message that is here, without waiting in between; LinkClosedError after the last."""

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
            try:
                while True:
                    await link.drain()  # an iterator that is not used takes nothing
                    for message in await link.drain():
                        received.append((int(message), link.channel))
            except picolink.LinkClosedError as error:
                assert "the peer has closed" in str(error)
            assert received == [(number, number & 15) for number in range(1000)]
    print("ok")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
