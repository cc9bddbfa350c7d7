# On a PC, several links at once:  with_links.py LINKS ENGINE SIZE STEP ...
# They are to the boards "Bench 1", "Bench 2" ... Each line that is printed begins with its link's number;
# the rest is as in with_picolink.py.

import asyncio
import functools
import sys

import with_picolink


async def main(links, engine, *arguments):
    barrier = asyncio.Barrier(int(links))
    runs = (
        with_picolink.main(
            "central",
            "%s+%d" % (engine, number),
            *arguments,
            tell=functools.partial(print, number),
            together=barrier.wait,
        )
        for number in range(1, int(links) + 1)
    )
    await asyncio.gather(*runs)


asyncio.run(main(*sys.argv[1:]))
