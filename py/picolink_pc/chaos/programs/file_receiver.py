# Receives files from whoever comes:  file_receiver.py NAME FOLDER

import asyncio
import sys

import picolink


async def main(name, folder):
    while True:
        async with picolink.advertise(name) as link:
            async for path in picolink.receive_files(link, folder):
                print("file", path)


asyncio.run(main(*sys.argv[1:]))
