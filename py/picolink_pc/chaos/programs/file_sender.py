# Sends one file until the other side has it:  file_sender.py NAME PATH

import asyncio
import sys

import picolink


async def main(name, path):
    async with picolink.connect(name) as link:
        await picolink.send_file(link, path)
        print("sent")


asyncio.run(main(*sys.argv[1:]))
