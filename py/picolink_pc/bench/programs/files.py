# Messages as fast as the link takes them, a file, another one with looks at the heap:  files.py ROLE BYTES
# The central sends; both print what they found.

import asyncio
import gc
import os
import sys
import time

import picolink
from picolink import receiving  # noqa: F401 - loaded before the heap is looked at

_PIECE = 1024
_END = 1  # a channel


def make(path, size, first):
    piece = bytes((first + i * i) & 0xFF for i in range(251)) * 4
    with open(path, "wb") as file:
        for at in range(0, size, len(piece)):
            file.write(piece[: size - at])


def used():
    gc.collect()
    return gc.mem_alloc()


class Most:
    """The most of the heap that was in use at its calls, beyond what is in use now."""

    def __init__(self):
        self.before = used()
        self.more = 0
        self._calls = 0

    def __call__(self, *_told):
        self._calls += 1
        if self._calls % 32 == 1:
            self.more = max(self.more, used() - self.before)


async def central(link, size):
    message = bytearray(_PIECE)
    began = time.ticks_ms()
    for _ in range(size // _PIECE):
        await link.send(message)
    await link.send("", _END)
    await link.recv()
    print("messages", time.ticks_diff(time.ticks_ms(), began))
    make("sent", size, 0)
    began = time.ticks_ms()
    await picolink.send_file(link, "sent", "got")
    print("file", time.ticks_diff(time.ticks_ms(), began))
    make("sent", size // 4, 1)  # a Pico's flash has no room for two large ones
    most = Most()
    await picolink.send_file(link, "sent", "got", most)
    print("heap", most.more)
    os.remove("sent")


async def peripheral(link, _size):
    while True:
        for _ in await link.drain():
            pass
        if link.channel == _END:
            break
    await link.send("", _END)
    receiver = picolink.receive_files(link, "there")
    await receiver.__anext__()
    receiver.close()
    most = Most()
    async for _ in picolink.receive_files(link, "there", progress=most):
        pass
    print("heap", most.more)
    os.remove("there/got")


async def main(role, size):
    open_link = picolink.advertise if role == "peripheral" else picolink.connect
    async with open_link("Files") as link:
        await globals()[role](link, int(size))


asyncio.run(main(*sys.argv[1:]))
