"""What arrives just before a drop, while the program is busy, is heard although the peer never comes back."""

import asyncio
import sys
import time

import picolink


async def main(role):
    async with getattr(picolink, role)("Last words") as link:
        if role == "connect":
            await link.send("ready")
            assert await link.recv() == "order"
            await link.send("last words")
            await link.close(200)  # too short for a busy peer
        else:
            assert await link.recv() == "ready"
            reader = asyncio.create_task(link.recv())
            await link.send("order")
            flush = asyncio.create_task(link.flush())
            await asyncio.sleep_ms(5)  # the order goes out; an answer takes two connection events
            end = time.ticks_add(time.ticks_ms(), 1000)
            while time.ticks_diff(end, time.ticks_ms()) > 0:
                pass
            await flush
            assert await reader == "last words"
            try:
                await link.recv()
                raise AssertionError("the link was open")
            except picolink.LinkClosedError as error:
                assert "the peer has closed" in str(error)
    print("ok")


asyncio.run(main(sys.argv[1]))
