"""Both boards send as fast as they can, check what arrives, and print the score.

    mpremote connect PORT_A run examples/blast.py
    mpremote connect PORT_B exec "import sys; sys.argv[:] = ['', 'connect']" run examples/blast.py

Arguments: advertise (as without one) or connect, then seconds (5).

Messages have 18 bytes, as many as "Hello from Pico A!". Each holds a number, so that the other board can tell
what was lost, duplicated or out of order.
"""

import asyncio
import json
import struct
import sys
import time

import picolink

DATA = 0  # channels
TOTAL = 1


async def send(link, seconds, score):
    message = bytearray(b"\0\0\0\0 full speed !!")
    end = time.ticks_add(time.ticks_ms(), seconds * 1000)
    number = 0
    while time.ticks_diff(end, time.ticks_ms()) > 0:
        struct.pack_into("<I", message, 0, number)
        await link.send(message, DATA)
        number += 1
    score["sent"] = number
    await link.send(struct.pack("<I", number), TOTAL)


async def receive(link, score):
    expected = received = duplicated = reordered = 0
    missing = set()
    start = time.ticks_ms()
    while True:
        for message in await link.drain():
            number = struct.unpack_from("<I", message)[0]
            if link.channel == TOTAL:
                seconds = max(1, time.ticks_diff(time.ticks_ms(), start)) / 1000
                lost = number - expected + len(missing)
                score.update(received=received, lost=lost, duplicated=duplicated, reordered=reordered)
                score.update(seconds=seconds, per_second=received / seconds)
                return
            received += 1
            if number == expected:
                expected += 1
            elif number > expected:
                missing.update(range(expected, number))
                expected = number + 1
            elif number in missing:
                missing.remove(number)
                reordered += 1
            else:
                duplicated += 1


async def main(role="advertise", seconds=5):
    async with getattr(picolink, role)("Blast") as link:
        score = {"engine": link.engine}
        await asyncio.gather(send(link, int(seconds), score), receive(link, score))
        await link.flush()
        score["stats"] = link.stats
    print("score", json.dumps(score))


asyncio.run(main(*sys.argv[1:]))
