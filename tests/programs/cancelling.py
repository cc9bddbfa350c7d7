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


async def send(link, sent):
    while len(sent) < COUNT:
        await link.send(struct.pack("<I", len(sent)))
        sent.append(True)


async def receive(link, received):
    while len(received) < COUNT:
        received.append(await link.recv())


async def main(role):
    done = []
    cancelled = 0
    async with getattr(picolink, role)("Cancelling", tx_size=256) as link:
        if role == "advertise":
            while len(done) < COUNT:
                cancelled += await for_a_moment(send(link, done))
            await link.recv()
        else:
            while len(done) < COUNT:
                cancelled += await for_a_moment(receive(link, done))
            assert [struct.unpack_from("<I", message)[0] for message in done] == list(range(COUNT))
            await link.send("thanks")
    assert cancelled, "nothing was cancelled"
    print("ok")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
