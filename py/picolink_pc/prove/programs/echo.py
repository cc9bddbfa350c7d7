# How long a message takes there and back on an idle link:  echo.py ROLE COUNT
# The central sends at random moments, the peripheral sends back. Prints, a word and JSON each:
#
#   trips  us of some round trips, on the central

import asyncio
import json
import random
import sys
import time

import picolink

_LINE = 50  # round trips in one line of output
_GAP_MS = (60, 140)


async def main(role, count):
    open_link = picolink.advertise if role == "peripheral" else picolink.connect
    async with open_link("Echo") as link:
        if role == "peripheral":
            while message := await link.recv():
                await link.send(message)
        else:
            trips = []
            for number in range(1, int(count) + 1):
                await asyncio.sleep_ms(random.randint(*_GAP_MS))
                began = time.ticks_us()
                await link.send(b"eighteen bytes now")
                await link.recv()
                trips.append(time.ticks_diff(time.ticks_us(), began))
                if len(trips) == _LINE or number == int(count):
                    print("trips " + json.dumps(trips))
                    trips.clear()
            await link.send(b"")
        await link.flush()


asyncio.run(main(*sys.argv[1:]))
