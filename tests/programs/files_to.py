# Sends a file, again and again until it has arrived:  files_to.py ENGINE FILE NAME [TALK]

import asyncio
import sys
import time

import picolink


async def main(engine, path, name, talk="0"):
    seen = []
    engine = None if engine == "any" else engine
    async with picolink.connect("Files", engine=engine, timeout_ms=60000) as link:
        talking = asyncio.create_task(send_numbers(link, int(talk)))
        began = time.ticks_ms()
        await picolink.send_file(link, path, name, lambda *now: seen.append(now[0]))
        print("sent in %d ms from %d" % (time.ticks_diff(time.ticks_ms(), began), seen[0] if seen else 0))
        await talking


async def send_numbers(link, count):
    for number in range(count):
        await link.send(str(number))
        await asyncio.sleep(0.01)


asyncio.run(main(*sys.argv[1:]))
