# What all the programs that send and count messages share.
#
# A step is {"rate": messages/s offered, 0 for as fast as it goes; "seconds"; "limit": messages at most;
# "gap_ms": [least, most] random pause after each message instead of a rate; "from": "peripheral", "central"
# or "both"}.  A message holds its step, its number, and when it was sent: on the clock of the PC, which all
# virtual boards share; for real boards the PC sets the difference.

import asyncio
import json
import random
import struct
import time
from array import array

_FORMAT = "<BIQ"
SETTLE_MS = 400  # between steps
_LINE = 500  # latencies in one line of output


CLOCK_OFFSET_US = 0


def now_us():
    return time.time_ns() // 1000 + CLOCK_OFFSET_US


class Tally:
    """Counts what arrives."""

    def __init__(self, steps):
        self._steps = [{"received": 0, "wrong": 0, "first_us": 0, "last_us": 0, "next": 0} for _ in steps]
        self._latencies = [array("I") for _ in steps]

    def add(self, message):
        now = now_us()
        step, number, sent_us = struct.unpack_from(_FORMAT, message)
        of = self._steps[step]
        if number < of["next"]:
            of["wrong"] += 1  # a second time, or too late
            return
        of["next"] = number + 1
        of["received"] += 1
        of["first_us"] = of["first_us"] or now
        of["last_us"] = now
        self._latencies[step].append(max(0, now - sent_us))

    def total(self):
        return sum(of["received"] for of in self._steps)

    def print(self, tell=print):
        for step, of in enumerate(self._steps):
            tell("received", step, json.dumps(of))
            latencies = self._latencies[step]
            for at in range(0, len(latencies), _LINE):
                tell("latency", step, json.dumps(list(latencies[at : at + _LINE])))


async def offer(role, steps, size, send, tell=print):
    """Send what `role` has to send in each step, and tell how much it was.

    send: coroutine function that takes a message and returns when the next one may come.
    """
    message = bytearray(size)
    for index, step in enumerate(steps):
        await asyncio.sleep_ms(SETTLE_MS)
        number = 0
        start = now_us()
        end = start + int(step["seconds"] * 1e6)
        rate = step["rate"]
        if step["from"] in (role, "both"):
            while number < step["limit"]:
                now = now_us()  # once: it takes a Pico W some 90 us
                if rate:
                    due = start + int(number * 1e6 / rate)
                    while now < due < end:
                        await asyncio.sleep_ms(max(1, (due - now) // 1000))
                        now = now_us()
                    now = max(now, due)
                if now >= end:
                    break
                struct.pack_into(_FORMAT, message, 0, index, number, now)
                await send(message)
                number += 1
                if step["gap_ms"]:
                    await asyncio.sleep_ms(random.randint(*step["gap_ms"]))
        took_us = now_us() - start
        tell("sent", index, json.dumps({"count": number, "us": took_us}))
        await asyncio.sleep_ms(max(0, end - now_us()) // 1000)
