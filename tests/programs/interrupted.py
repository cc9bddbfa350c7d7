"""Ctrl-C that comes while a Bluetooth event is handled ends the program, as Ctrl-C does at any other time.

interrupted.py advertise|connect [interrupt]
"""

import asyncio
import sys

import picolink
from aioble import core

waiting = False


def irq(event, data):
    global waiting
    if waiting:
        waiting = False
        raise KeyboardInterrupt
    return aioble_irq(event, data)


aioble_irq = core.ble_irq
core.ble_irq = irq


async def main(role, interrupt=False):
    global waiting
    async with getattr(picolink, role)("Interrupted") as link:
        await link.send("hello")
        assert await link.recv() == "hello"
        await link.flush()
        if interrupt:
            waiting = True  # for the disconnection
            core.ble.gap_disconnect(link._role.handle)
        await link.recv()


try:
    asyncio.run(main(*sys.argv[1:]))
except KeyboardInterrupt:
    print("ok")
