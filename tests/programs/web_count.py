"""A board for tests with a browser: sends 20 numbers a second, as long as there is somebody."""

import asyncio

import picolink


async def send(link):
    number = 0
    while True:
        await link.send(number)
        number += 1
        await asyncio.sleep_ms(50)


async def main():
    async with picolink.advertise("Count") as link:
        sending = asyncio.create_task(send(link))
        async for message in link:
            print("got", message)
        sending.cancel()


asyncio.run(main())
