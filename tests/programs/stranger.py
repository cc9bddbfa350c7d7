"""A central that is no picolink board: it connects to the board of a name and says nothing.

stranger.py NAME
"""

import asyncio
import sys

import aioble


async def main(name):
    async with aioble.scan(0, 30_000, 30_000, active=True) as scanner:
        async for result in scanner:
            if result.name() == name:
                device = result.device
                break
    connection = await device.connect()
    print("connected")
    while connection.is_connected():
        await asyncio.sleep_ms(20)
    print("disconnected")


asyncio.run(main(sys.argv[1]))
