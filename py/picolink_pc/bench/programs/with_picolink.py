# Messages through picolink:  with_picolink.py ROLE ENGINE SIZE STEP ...
# ENGINE: native or python; native+key: of a link with a key

import asyncio
import json
import sys

import picolink
import traffic

_DATA = 0  # channels
_END = 1


async def main(role, engine, size, *steps):
    steps = [json.loads(step) for step in steps]
    tally = traffic.Tally(steps)
    open_link = picolink.advertise if role == "peripheral" else picolink.connect

    async def receive(link):
        while True:
            for message in await link.drain():
                if link.channel == _END:
                    return
                tally.add(message)

    engine, _, keyed = engine.partition("+")
    keys = {"key": bytes(range(32))} if keyed else {}
    async with open_link("Bench", engine=engine, **keys) as link:
        receiver = asyncio.create_task(receive(link))
        await traffic.offer(role, steps, int(size), link.send)
        await link.send(b"", _END)
        await receiver
        await link.flush()
        print("stats", json.dumps(link.stats))
    tally.print()


asyncio.run(main(*sys.argv[1:]))
