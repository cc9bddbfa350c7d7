# Messages through picolink:  with_picolink.py ROLE ENGINE SIZE STEP ...
# ENGINE: native or python; native+key: of a link with a key; native+2: of the link "Bench 2"
# native+log100: the peripheral adds a line to a file every 100 ms

import asyncio
import json
import sys
import time

import picolink
import traffic

_DATA = 0  # channels
_END = 1


async def main(role, engine, size, *steps, tell=print, together=None):
    # together: coroutine function, to wait until the other links of this PC are there, too.
    steps = [json.loads(step) for step in steps]
    tally = traffic.Tally(steps)
    open_link = picolink.advertise if role == "peripheral" else picolink.connect

    async def receive(link):
        while True:
            for message in await link.drain():
                if link.channel == _END:
                    return
                tally.add(message)

    async def log(every_ms):
        while True:
            with open("log.txt", "a") as file:
                file.write("%10d a line of the board's log\n" % time.time_ns())
            await asyncio.sleep_ms(every_ms)

    engine, _, more = engine.partition("+")
    logs, more = (int(more[3:]), "") if more.startswith("log") else (0, more)
    keys = {"key": bytes(range(32))} if more == "key" else {}
    name = "Bench" if more in ("", "key") else "Bench " + more
    async with open_link(name, engine=engine, **keys) as link:
        if together:
            await together()
            await link.send(b"all are there")
        elif more.isdigit():
            await link.recv()
        receiver = asyncio.create_task(receive(link))
        logger = asyncio.create_task(log(logs)) if logs and role == "peripheral" else None
        await traffic.offer(role, steps, int(size), link.send, tell)
        await link.send(b"", _END)
        await receiver
        if logger:
            logger.cancel()
        await link.flush()
        tell("stats", json.dumps(link.stats))
    tally.print(tell)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
