"""A board that exchanges numbered messages while its heap is used up to the last byte, again and again.

    memory.py advertise|connect COUNT [engine]

After a MemoryError the program tries again; it allocates only where it is ready for one.
"""

import asyncio
import json
import sys

import faults
import picolink

SIZE = 18
HOG_MS = 15


async def send(link, count):
    data = bytearray(SIZE)
    number = 0
    while number < count:
        for i in (0, 1, 2):
            data[i] = number >> 8 * i & 0xFF
        try:
            if link.send_nowait(data):
                number += 1
        except MemoryError:
            pass
        await asyncio.sleep_ms(2)
    print("sent")


async def receive(link, count):
    expected = 0
    while expected < count:
        try:
            data = await link.recv()
        except MemoryError:
            await asyncio.sleep_ms(1)
            continue
        number = data[0] | data[1] << 8 | data[2] << 16
        assert number == expected, (number, expected)
        expected += 1
        if expected == 30:
            print("received some")
    print("received", expected)


async def main(role, count, engine=None):
    count = int(count)
    faults.install({"locked": 12})
    link = getattr(picolink, role)("Memory", engine=engine)
    async with link:
        faults.begin()
        hog = asyncio.create_task(faults.hog(HOG_MS))
        await asyncio.gather(send(link, count), receive(link, count))
        hog.cancel()
        await asyncio.sleep_ms(0)
        await link.flush()
    print("stats", json.dumps(link.stats))
    print("faults", json.dumps(faults.counts()))


asyncio.run(main(*sys.argv[1:]))
