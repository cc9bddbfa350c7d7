"""send() and recv() may be awaited in every way that asyncio has, whether they have to wait or not."""

import asyncio
import sys

import picolink

SIZE = 100
FULL = 20  # messages: more than the rings hold


async def send(link):
    await link.send("1")
    await asyncio.wait_for(link.send("2"), 10)
    await asyncio.create_task(link.send("3"))
    await asyncio.gather(link.send("4"), link.send("5"), link.send("6"))
    sending = link.send("7")  # there is room: it is queued
    assert await link.recv() == "go on"
    await sending
    # Most of these wait for room.
    await asyncio.gather(*[link.send(bytes(SIZE)) for _ in range(FULL)])
    tasks = [asyncio.create_task(link.send(bytes(SIZE))) for _ in range(FULL)]
    for task in tasks:
        await asyncio.wait_for(task, 20)
    for bad, error in (({17}, TypeError), (bytes(1000), ValueError)):
        sending = link.send(bad)  # the error is for who awaits it
        try:
            await sending
        except error:
            continue
        raise AssertionError(error)
    await link.send("end")


async def receive(link):
    received = [await link.recv()]
    received.append(await asyncio.wait_for(link.recv(), 10))
    received.append(await asyncio.create_task(link.recv()))
    received += await asyncio.gather(link.recv(), link.recv(), link.recv())
    first = link.recv()  # takes nothing yet
    received.append(await link.recv())
    assert received == ["%d" % number for number in range(1, 8)]
    await link.send("go on")
    assert await first == bytes(SIZE)
    tasks = [asyncio.create_task(link.recv()) for _ in range(FULL)]
    assert await asyncio.gather(*tasks) == [bytes(SIZE)] * FULL
    cancelled = asyncio.create_task(link.recv())
    cancelled.cancel()  # before it has begun
    try:
        await cancelled
    except asyncio.CancelledError:
        pass
    for _ in range(FULL - 1):
        assert await link.recv() == bytes(SIZE)
    assert await link.recv() == "end"


async def main(role):
    async with getattr(picolink, role)("Awaiting", tx_size=256, rx_size=256, timeout_ms=20_000) as link:
        await (send if role == "advertise" else receive)(link)
    print("ok")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
