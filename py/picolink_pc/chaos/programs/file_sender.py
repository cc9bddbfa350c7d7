# Makes one file, and sends it until the other side has it:  file_sender.py NAME NUMBER SIZE

import asyncio
import os
import sys

import picolink
from file_content import pieces


def make(number, size):
    path = "out-%d" % number
    for other in os.listdir():
        if other.startswith("out-") and other != path:
            os.remove(other)
    if path not in os.listdir() or os.stat(path)[6] != size:
        with open(path, "wb") as file:
            for piece in pieces(number, size):
                file.write(piece)
    return path


async def main(name, number, size):
    path = make(int(number), int(size))
    async with picolink.connect(name) as link:
        await picolink.send_file(link, path, "file")
        print("sent")


asyncio.run(main(*sys.argv[1:]))
