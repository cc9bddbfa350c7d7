"""A peer that greets anew with another version is hung up on, and served when it comes again."""

import asyncio
import binascii
import struct
import sys

import picolink
from raw_packets import transmit


def sealed(body):
    return body + struct.pack("<I", binascii.crc32(body))


def hello(version, session):
    return sealed(struct.pack("<BBBBIIBBH", 1, version, 1, 0, session, 0, 13, 0, 0))


async def main(role):
    async with getattr(picolink, role)("Refused") as link:
        await link.send("before")
        assert await link.recv() == "before"
        if role == "connect":
            # Of another life. All at once: the peer must not have agreed with this link anew before the last.
            await transmit(link, sealed(struct.pack("<BBBBI", 0x21, 2, 1, 244, 77) + link._role.identity))
            await transmit(link, hello(2, 77))
            await transmit(link, hello(9, 77))
        else:
            while link.stats["connections"] < 2:
                await asyncio.sleep_ms(10)
        await link.send("after")
        assert await link.recv() == "after"
    print("ok")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
