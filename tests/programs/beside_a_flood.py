"""Beside a task that sends without a pause, send_nowait() gets its turn, and flush() returns."""

import asyncio
import sys

import picolink


async def flood(link):
    while True:
        await link.send(b"flood")


async def main(role):
    async with getattr(picolink, role)("Beside a flood") as link:
        if role == "advertise":
            sending = asyncio.create_task(flood(link))
            await link.send(b"first")
            await link.flush()
            while not link.send_nowait(b"urgent"):
                await asyncio.sleep_ms(1)
            await link.flush()
            sending.cancel()
        else:
            received = set()
            async for message in link:
                received.add(message)
            assert received == {b"flood", b"first", b"urgent"}, received
    print("ok")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
