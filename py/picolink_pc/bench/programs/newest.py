# A value set 200 times a second, of which only the newest counts, beside a file or messages at full rate:
# newest.py ROLE BESIDE SECONDS OUTAGE
# The peripheral sends; the central prints what it saw. On one PC all boards have the same clock.

import asyncio
import os
import struct
import sys
import time

import picolink

_VALUES = 1  # channels
_END = 2
_SET_MS = 5
_LOOK_MS = 5
_SETTLE_S = 3
_FILE = 100_000


def now_ms():
    return time.time_ns() // 1_000_000


class Times:
    """How often each time (ms) was seen."""

    def __init__(self):
        self._counts = {}

    def add(self, ms):
        self._counts[ms] = self._counts.get(ms, 0) + 1

    def clear(self):
        self._counts.clear()

    def at(self, share):
        left = share * sum(self._counts.values())
        for ms in sorted(self._counts):
            left -= self._counts[ms]
            if left <= 0:
                return ms
        return 0


# -- the sender


class Sender:
    def __init__(self, link, beside):
        self._link = link
        self._over = False
        self._last = 0
        self.trip = 0  # ms, for the reader
        works = [self._set_values()]
        if beside == "file":
            works += [self._send_files(), self._send_messages(50)]
        else:
            works.append(self._send_messages(0))
        self._tasks = [asyncio.create_task(work) for work in works]

    async def _set_values(self):
        value = self._link.newest(_VALUES)
        while not self._over:
            self._last = now_ms()
            value.send(struct.pack("<QI4x", self._last, self.trip))
            await asyncio.sleep(_SET_MS / 1000)

    async def _send_messages(self, pause_ms):
        while not self._over:
            await self._link.send(struct.pack("<Q10x", now_ms()))
            if pause_ms:
                await asyncio.sleep(pause_ms / 1000)

    async def _send_files(self):
        with open("sent", "wb") as file:
            for number in range(_FILE // 4):
                file.write(struct.pack("<I", number))
        while not self._over:
            await picolink.send_file(self._link, "sent", "got")

    async def end(self):
        self._over = True
        for task in self._tasks:
            await task
        await self._link.send(struct.pack("<Q", self._last), _END)


async def peripheral(link, beside, seconds):
    sender = Sender(link, beside)
    await asyncio.sleep(_SETTLE_S)
    trips = 0
    for number in range(seconds):
        await asyncio.sleep(1)
        trips += link.stats["rtt_ms"]
        sender.trip = trips // (number + 1)
    print("rtt", sender.trip)
    await link.recv()  # the reader has seen enough
    await sender.end()
    await link.recv()


# -- the reader


class Reader:
    """ages, late: of the value that is seen, and of each message that has come.   age: the last one.
    trip: round trip (ms), as the sender knows it."""

    def __init__(self, link, beside):
        self.ages, self.late = Times(), Times()
        self.age = self.trip = 0
        self._seen = 0
        self._link = link
        self.ended = asyncio.create_task(self._read())
        self._others = [asyncio.create_task(self._look())]
        if beside == "file":
            self._others.append(asyncio.create_task(self._take_files()))

    async def _read(self):
        async for message in self._link:
            sent_at = struct.unpack_from("<Q", message)[0]
            if self._link.channel == _END:
                await asyncio.sleep(2 * _LOOK_MS / 1000)
                print("last", int(sent_at == self._seen))
                return
            self.late.add(now_ms() - sent_at)

    async def _look(self):
        value = self._link.newest(_VALUES)
        while True:
            seen = value.latest()
            if seen:
                self._seen, self.trip = struct.unpack_from("<QI", seen)
                self.age = now_ms() - self._seen
                self.ages.add(self.age)
            await asyncio.sleep(_LOOK_MS / 1000)

    async def _take_files(self):
        async for path in picolink.receive_files(self._link, "there"):
            os.remove(path)


async def central(link, beside, seconds, outage):
    reader = Reader(link, beside)
    await asyncio.sleep(_SETTLE_S)
    reader.ages.clear()
    reader.late.clear()
    await asyncio.sleep(seconds)
    print("ages", reader.ages.at(0.5), reader.ages.at(0.95))
    print("late", reader.late.at(0.5), reader.late.at(0.95))
    if outage:
        while link.connected:
            await asyncio.sleep(_LOOK_MS / 1000)
        while not link.connected:
            await asyncio.sleep(_LOOK_MS / 1000)
        began = now_ms()
        while reader.age > 2 * reader.trip:
            await asyncio.sleep(_LOOK_MS / 1000)
        print("young", now_ms() - began)
    await link.send("enough")
    await reader.ended
    await link.send("goodbye")


async def main(role, beside, seconds, outage):
    if role == "peripheral":
        async with picolink.advertise("Newest") as link:
            await peripheral(link, beside, int(seconds))
    else:
        async with picolink.connect("Newest") as link:
            await central(link, beside, int(seconds), int(outage))


asyncio.run(main(*sys.argv[1:]))
