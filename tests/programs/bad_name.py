"""Advertises picolink's service under a name that is not UTF-8: cut inside a character."""

import asyncio

import aioble
from picolink.radio.aioble.role import SERVICE


async def main():
    while True:
        await aioble.advertise(20_000, name="Café".encode()[:-1], services=[SERVICE])


asyncio.run(main())
