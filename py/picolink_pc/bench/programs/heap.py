# Both boards send numbered messages as fast as they can, check those that come, and print the heap in use:
# heap.py ROLE MESSAGES LOOKS

import asyncio
import gc
import struct
import sys

import picolink

_FORMAT = "<I14x"  # 18 bytes, as in the tutorial


async def send(link, messages):
    message = bytearray(struct.calcsize(_FORMAT))
    for number in range(messages):
        struct.pack_into(_FORMAT, message, 0, number)
        await link.send(message)


async def receive(link, messages, every):
    expected = 0
    while expected < messages:
        for message in await link.drain():
            number = struct.unpack(_FORMAT, message)[0]
            if number != expected:
                raise ValueError("message %d came when %d was due" % (number, expected))
            expected += 1
            if expected % every == 0:
                gc.collect()
                print("heap", expected, gc.mem_alloc())


async def main(role, messages, looks):
    messages = int(messages)
    open_link = picolink.advertise if role == "peripheral" else picolink.connect
    async with open_link("Heap") as link:
        await asyncio.gather(send(link, messages), receive(link, messages, messages // int(looks)))
        await link.flush()


asyncio.run(main(*sys.argv[1:]))
