"""Drives examples/remote_control.py: sets a value every 20 ms, while messages go at full rate."""

import asyncio

import picolink


async def flood(link):
    while True:
        await link.send(bytes(100))


async def main():
    async with picolink.connect("Robot") as link:
        flooding = asyncio.create_task(flood(link))
        stick = link.newest(1)
        for turn in range(2000):
            stick.send({"x": turn % 100, "y": 100})
            if turn == 50:
                print("driving")
            await asyncio.sleep(0.02)
        flooding.cancel()


asyncio.run(main())
