# A link at full speed, for whoever looks at the CPU meanwhile:
# whole_cpu.py ROLE ENGINE SENDER READER MS [key]
# SENDER, READER: as in cpu_load.py; "-": does not.  Prints, a word and JSON each:
#
#   open    ms from the call to the connection; heap that is free before and with the link, in bytes
#   start   the time of MS begins
#   end     in it: messages received, us

import gc

gc.collect()
_free = gc.mem_free()

import asyncio  # noqa: E402
import json  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402

import picolink  # noqa: E402

_SIZE = 18
_WARM_UP_MS = 500
_received = 0


def tell(kind, what):
    print("%s %s" % (kind, json.dumps(what)))


async def send(link):
    message = bytes(_SIZE)
    while True:
        await link.send(message)


async def send_nowait(link):
    message = bytes(_SIZE)
    while True:
        while link.send_nowait(message):
            pass
        await asyncio.sleep_ms(10)


async def async_for(link):
    global _received
    async for _ in link:
        _received += 1


async def recv(link):
    global _received
    while True:
        await link.recv()
        _received += 1


async def drain(link):
    global _received
    while True:
        for _ in await link.drain():
            _received += 1


_TASKS = {"send": send, "send_nowait": send_nowait, "async for": async_for, "recv": recv, "drain": drain}


async def main(role, engine, sender, reader, ms, key=None):
    global _received
    open_link = picolink.advertise if role == "peripheral" else picolink.connect
    began = time.ticks_ms()
    keys = {"key": bytes(range(32))} if key else {}
    async with open_link("CPU", engine=engine, **keys) as link:
        took = time.ticks_diff(time.ticks_ms(), began)
        gc.collect()
        tell("open", {"ms": took, "up_ms": time.ticks_ms(), "free": _free, "free_open": gc.mem_free()})
        tasks = [asyncio.create_task(_TASKS[name](link)) for name in (sender, reader) if name != "-"]
        await asyncio.sleep_ms(_WARM_UP_MS)
        gc.collect()
        tell("start", {})
        _received = 0
        began = time.ticks_us()
        await asyncio.sleep_ms(int(ms))
        tell("end", {"received": _received, "us": time.ticks_diff(time.ticks_us(), began)})
        for task in tasks:
            task.cancel()


asyncio.run(main(*sys.argv[1:]))
