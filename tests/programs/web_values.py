"""A board for tests with a browser: newest values come back on channel 2, messages on 3."""

import asyncio

import picolink


async def send_on(stick, to):
    while True:
        to.send(await stick.recv())


async def main():
    async with picolink.advertise("Values") as link:
        sending = asyncio.create_task(send_on(link.newest(1), link.newest(2)))
        last = link.newest(3)
        async for message in link:
            last.send(message[:8])
        sending.cancel()


asyncio.run(main())
