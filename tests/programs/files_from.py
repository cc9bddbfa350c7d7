# Receives files, and prints them and what comes beside them:  files_from.py ENGINE FOLDER

import asyncio
import sys

import picolink


async def receive(link, folder):
    async for path in picolink.receive_files(link, folder):
        print("file", path)


async def main(engine, folder):
    async with picolink.advertise("Files", engine=None if engine == "any" else engine) as link:
        receiving = asyncio.create_task(receive(link, folder))
        async for message in link:
            print("got", message)
        await receiving
    print("closed")


asyncio.run(main(*sys.argv[1:]))
