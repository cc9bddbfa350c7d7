# Messages both ways at a steady rate, each checked:  steady.py ROLE ENGINE RATE SECONDS EVERY_S IDLE
# ENGINE: native, python or any.  RATE: messages/s, 0: as fast as it goes.  EVERY_S: between two lines "at".
# IDLE: "idle" measures the CPU's idle share.  Prints, a word and JSON each:
#
#   open  ms from the call to the connection; heap that is free before and with the link, in bytes
#   at    s since the start; messages sent, received, and of those wrong; heap in use; % of the CPU or null
#   end   messages of the whole time, ms that it took, the link's stats; in the middle half of the time: rate
#         (messages/s received), idle

import gc

gc.collect()
_free = gc.mem_free()

import asyncio  # noqa: E402
import json  # noqa: E402
import struct  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402

import picolink  # noqa: E402

_DATA = 0  # channels
_END = 1


def tell(kind, what):
    print("%s %s" % (kind, json.dumps(what)))


class Spinner:
    """Stands for asyncio's poller: it turns round where that would sleep, and times each turn.

    A turn that takes far longer than the quickest was interrupted, by the radio's driver and the Bluetooth
    stack: it counts as the quickest.  Turns are compared with those that polled as many things.
    """

    def __init__(self, poller):
        self._poller = poller
        self.modify = poller.modify
        self._polled = set()
        self._quickest_us = {}
        self._idle_us = 0

    def register(self, thing, events):
        self._polled.add(id(thing))
        self._poller.register(thing, events)

    def unregister(self, thing):
        self._polled.discard(id(thing))
        self._poller.unregister(thing)

    def ipoll(self, ms):
        poll, ticks_us, ready, idle_us = self._poller.ipoll, time.ticks_us, (), 0
        quickest_us = self._quickest_us.get(len(self._polled), 100_000)
        end = time.ticks_add(time.ticks_ms(), max(0, ms))
        last = ticks_us()
        while True:
            for found in poll(0):
                ready += ((found[0], found[1]),)
            if ready or (ms >= 0 and time.ticks_diff(end, time.ticks_ms()) <= 0):
                self._quickest_us[len(self._polled)] = quickest_us
                self._idle_us += idle_us
                return ready
            now = ticks_us()
            us = time.ticks_diff(now, last)
            last = now
            quickest_us = min(us, quickest_us)
            idle_us += us if us < quickest_us * 5 // 4 else quickest_us

    def idle_ms(self):
        """In which the CPU had nothing to do, since the start."""
        return self._idle_us // 1000


class Score:
    def __init__(self):
        self.sent = self.received = self.wrong = 0


async def send(link, rate, seconds, score):
    message = bytearray(18)
    began = time.ticks_ms()
    while time.ticks_diff(time.ticks_ms(), began) < seconds * 1000:
        if rate:
            early = score.sent * 1000 // rate - time.ticks_diff(time.ticks_ms(), began)
            if early > 0:
                await asyncio.sleep_ms(early)
                continue
        struct.pack_into("<I", message, 0, score.sent)
        await link.send(message)
        score.sent += 1
    await link.send(struct.pack("<I", score.sent), _END)


async def receive(link, score):
    while True:
        for message in await link.drain():
            (number,) = struct.unpack_from("<I", message)
            if number != score.received:
                score.wrong += 1
            if link.channel == _END:
                return
            score.received = number + 1


def idle_share(spinner, before_ms, ms):
    """% of the last ms."""
    return spinner and round(100 * (spinner.idle_ms() - before_ms) / ms, 1)


async def watch(score, every_s, spinner):
    began = last = time.ticks_ms()
    while True:
        before_ms = spinner and spinner.idle_ms()
        await asyncio.sleep_ms(every_s * 1000)
        now = time.ticks_ms()
        idle = idle_share(spinner, before_ms, time.ticks_diff(now, last))
        last = now
        gc.collect()
        told = {"s": round(time.ticks_diff(now, began) / 1000, 1), "idle": idle, "heap": gc.mem_alloc()}
        told.update({name: getattr(score, name) for name in ("sent", "received", "wrong")})
        tell("at", told)


async def middle(score, seconds, spinner):
    """What was received per second, and the idle share, in the middle half of the time."""
    await asyncio.sleep_ms(seconds * 250)
    received, before_ms, began = score.received, spinner and spinner.idle_ms(), time.ticks_ms()
    await asyncio.sleep_ms(seconds * 500)
    ms = time.ticks_diff(time.ticks_ms(), began)
    return {"rate": 1000 * (score.received - received) / ms, "idle": idle_share(spinner, before_ms, ms)}


async def main(role, engine, rate, seconds, every_s, idle):
    spinner = None
    if idle == "idle":
        queue = asyncio.core._io_queue
        spinner = queue.poller = Spinner(queue.poller)
    score = Score()
    open_link = picolink.advertise if role == "peripheral" else picolink.connect
    began = time.ticks_ms()
    engines = {} if engine == "any" else {"engine": engine}
    async with open_link("Prove", **engines) as link:
        took = time.ticks_diff(time.ticks_ms(), began)
        gc.collect()
        tell("open", {"ms": took, "free": _free, "free_open": gc.mem_free()})
        watcher = asyncio.create_task(watch(score, int(every_s), spinner))
        began = time.ticks_ms()
        looks = asyncio.create_task(middle(score, int(seconds), spinner))
        await asyncio.gather(send(link, int(rate), int(seconds), score), receive(link, score))
        watcher.cancel()
        told = await looks
        await link.flush()
        told["ms"], told["stats"] = time.ticks_diff(time.ticks_ms(), began), link.stats
        told.update({name: getattr(score, name) for name in ("sent", "received", "wrong")})
        tell("end", told)


asyncio.run(main(*sys.argv[1:]))
