"""A board receives files, and lets others fetch its own: a log that it writes, and what was copied to it.

Without hardware: picolink run examples/files.py, and in another terminal, each with --radio virtual:
    picolink copy settings.json Files:     to the board
    picolink copy Files:log.csv .          from it
With it: save this as main.py on a Pico W, and leave out --radio virtual.
"""

import asyncio
import os
import time

import picolink

FOLDER = "files"
began = time.ticks_ms()


def note(text):
    """A line for the log: what happened, and when, in seconds."""
    with open(FOLDER + "/log.csv", "a") as log:
        log.write("{:.1f},{}\n".format(time.ticks_diff(time.ticks_ms(), began) / 1000, text))


async def take_files(link):
    async for path in picolink.receive_files(link, FOLDER, allow=allowed, give=True):
        print("new file:", path)
        note(path)


def allowed(name):
    return name != "log.csv"  # this board's own


async def main():
    make_folder()
    note("started")
    while True:  # whoever comes next, when this one has closed
        async with picolink.advertise("Files") as link:
            taking = asyncio.create_task(take_files(link))
            async for message in link:  # whatever else comes, files or not
                print("received:", message)
            await taking


def make_folder():
    try:
        os.mkdir(FOLDER)
    except OSError:
        pass  # it is there


asyncio.run(main())
