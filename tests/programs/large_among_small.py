"""A message that needs most of the ring gets its turn while another task sends small ones without a pause."""

import asyncio
import sys

import picolink

LARGE = 900  # bytes


async def send_small(link):
    while True:
        await link.send(b"small")


async def main(role):
    async with getattr(picolink, role)("Large among small", tx_size=1024, rx_size=1024) as link:
        if role == "advertise":
            small = asyncio.create_task(send_small(link))
            while link.send_nowait(b"small"):
                await asyncio.sleep_ms(0)
            await link.send(bytes(LARGE))
            small.cancel()
        else:
            sizes = set()
            async for message in link:
                sizes.add(len(message))
            assert sizes == {5, LARGE}, sizes
    print("ok")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
