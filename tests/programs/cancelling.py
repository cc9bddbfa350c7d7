"""A send or recv that is cancelled loses nothing."""

import asyncio
import struct
import sys

import picolink

COUNT = 2000


async def for_a_moment(coroutine):
    """Run the coroutine and cancel it after 3 ms. Returns whether it was cancelled."""
    task = asyncio.create_task(coroutine)
    await asyncio.sleep_ms(3)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        return True
    return False


async def send(link, done):
    while done[0] < COUNT:
        await link.send(struct.pack("<I", done[0]))
        done[0] += 1


async def receive(link, done):
    while done[0] < COUNT:
        message = await link.recv()
        assert struct.unpack("<I", message) == (done[0],)
        done[0] += 1


async def main(role):
    done = [0]  # messages; they themselves are too much for a Pico W's heap
    cancelled = 0
    async with getattr(picolink, role)("Cancelling", tx_size=256) as link:
        way = send if role == "advertise" else receive
        while done[0] < COUNT:
            cancelled += await for_a_moment(way(link, done))
        if role == "advertise":
            await link.recv()
        else:
            await link.send("thanks")
    assert cancelled, "nothing was cancelled"
    print("ok")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
