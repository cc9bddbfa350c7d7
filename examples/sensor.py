"""A sensor that measures once a second, and goes on when the other board is off, for hours.

While nobody takes its readings, it keeps one a minute, for two hours, and leaves the others out. Who comes
back gets what was kept, then the new ones; each reading says how many were left out before it.
Without hardware: picolink run examples/sensor.py examples/display.py, and type :off display, :restart display
With it: save this as main.py on a Pico W, and display.py on another; or on a PC: picolink monitor Sensor
"""

import asyncio

import picolink

EVERY_S = 1
KEPT = 60  # one of so many readings
MOST = 120  # so many of those
link = None  # the one that is open
waiting = []  # readings that nobody has, the oldest first


def measure(number):
    return {"second": number, "temperature C": 21.5 + number % 8 / 8, "humidity %": 48}


async def measure_for_ever():
    number = left_out = 0
    while True:
        if (link and link.connected) or number % KEPT == 0:
            waiting.append(dict(measure(number), left_out=left_out))
            left_out = 0
        else:
            left_out += 1
        while len(waiting) > MOST:
            waiting[1]["left_out"] += 1 + waiting.pop(0)["left_out"]
        number += 1
        await asyncio.sleep(EVERY_S)


async def give():
    global waiting
    while True:
        readings, waiting = waiting, []
        try:
            for reading in readings:
                await link.send(reading)
            await link.flush()  # the other board has them
        except picolink.LinkClosedError:
            waiting = readings + waiting
            return
        await asyncio.sleep(EVERY_S / 10)


async def main():
    global link
    measuring = asyncio.create_task(measure_for_ever())
    while not measuring.done():
        async with picolink.advertise("Sensor") as link:  # whoever comes next, when this one has closed
            await give()


asyncio.run(main())
