"""A board for tests with a browser: sends back what it gets.  web_echo.py NAME [KEY]"""

import asyncio
import sys

import picolink

key = sys.argv[2] if len(sys.argv) > 2 else False


async def main():
    while True:
        async with picolink.advertise(sys.argv[1], key=key) as link:
            async for message in link:
                await link.send(message, link.channel)


asyncio.run(main())
