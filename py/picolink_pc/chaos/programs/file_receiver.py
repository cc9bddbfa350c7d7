# Receives files from whoever comes, and tells what there is, also at its start:  file_receiver.py NAME

import asyncio
import binascii
import sys
from hashlib import sha256

import picolink

PATH = "there/file"


def tell(when):
    found = sha256()
    try:
        with open(PATH, "rb") as file:
            while piece := file.read(512):
                found.update(piece)
    except OSError:
        print(when, "none")
        return
    print(when, binascii.hexlify(found.digest()).decode())


async def main(name):
    tell("started")
    while True:
        async with picolink.advertise(name) as link:
            async for _ in picolink.receive_files(link, "there"):
                tell("received")


asyncio.run(main(*sys.argv[1:]))
