"""A sensor on a battery: wakes up, sends a reading, waits until the other board has it in a file, sleeps.

It prints how long it was awake. A reading that could not be sent is kept in a file, and goes with the next.
Without hardware: picolink run examples/battery.py examples/base.py
With it: save this as main.py on a Pico W, and base.py as main.py on another one.
"""

import time

woke_at = time.ticks_ms()

import asyncio  # noqa: E402 - being awake includes loading them
import json  # noqa: E402

import machine  # noqa: E402
import picolink  # noqa: E402

SLEEP_MS = 10_000
PATIENCE_MS = 8_000  # for the other board to answer, and again for it to have everything
UNSENT = "unsent.txt"


def measure():
    return {"temperature C": 21.5, "battery V": 4.125}  # what your sensors say


def kept():
    try:
        with open(UNSENT) as file:
            return json.load(file)
    except (OSError, ValueError):
        return []


async def send(readings):
    async with picolink.connect("Base", timeout_ms=PATIENCE_MS) as link:
        for reading in readings:
            await link.send(reading)
        await link.flush(timeout_ms=PATIENCE_MS)  # all committed: base.py has them in its file


before = kept()
readings = before + [measure()]
try:
    asyncio.run(send(readings))
    told, readings = "safe", []
except (asyncio.TimeoutError, picolink.LinkClosedError):
    told = "kept"
if readings != before:
    with open(UNSENT, "w") as file:
        json.dump(readings[-50:], file)
print(told + "; awake for", time.ticks_diff(time.ticks_ms(), woke_at), "ms")
machine.deepsleep(SLEEP_MS)
