"""Waits that end after some time, many just as something comes: nothing is lost."""

import asyncio
import struct
import sys

import picolink

COUNT = 1000


async def send(link):
    """Returns how often the time was up."""
    times_up = 0
    for number in range(COUNT):
        while True:
            try:
                await link.send(struct.pack("<I", number), timeout_ms=3)
                break
            except asyncio.TimeoutError:
                times_up += 1
    return times_up


async def receive(link):
    received = []
    times_up = 0
    while len(received) < COUNT:
        try:
            if len(received) % 2:
                received.append(await link.recv(timeout_ms=3))
            else:
                received.extend(await link.drain(timeout_ms=3))
        except asyncio.TimeoutError:
            times_up += 1
    assert [struct.unpack("<I", message)[0] for message in received] == list(range(COUNT))
    return times_up


async def main(role):
    async with getattr(picolink, role)("Waiting", tx_size=256, rx_size=256, timeout_ms=20_000) as link:
        if role == "advertise":
            assert await send(link), "there was always room"
            await link.flush(timeout_ms=20_000)
            assert await link.recv(timeout_ms=20_000) == "thanks"
        else:
            assert await receive(link), "a message was always there"
            await link.send("thanks")
    print("ok")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
