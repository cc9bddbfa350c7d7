"""A central that floods the board of a name, as fast as the radio allows, whenever it is let in.

    flood.py NAME garbage|forged VISITS

garbage: random bytes. forged: packets of random sessions and handshakes, with a CRC that is right.
"""

import asyncio
import binascii
import random
import struct
import sys

import aioble
from picolink import wire
from picolink.radio.aioble.role import SERVICE, WRITE


def garbage():
    return bytes(random.getrandbits(8) for _ in range(random.randint(1, 244)))


def forged():
    if random.getrandbits(1):  # a data packet, of some handshake
        packet = bytes((random.choice((0, 4, 8)),)) + garbage()[:239]
    else:  # a HELLO that makes sense, and proves nothing
        flags, ring_bits = random.choice((1, 3)), random.randint(8, 15)
        tags = (random.getrandbits(8), random.getrandbits(8))
        sessions = (random.getrandbits(30) | 1, random.getrandbits(30))
        packet = struct.pack("<BBBBIIBBH", flags, 2, *tags, *sessions, ring_bits, 0, 0)
    return packet + struct.pack("<I", binascii.crc32(packet))


async def visit(name, make):
    """Returns how many packets were written before the board hung up."""
    async with aioble.scan(0, 30_000, 30_000, active=True) as scanner:
        async for result in scanner:
            if result.name() == name:
                device = aioble.Device(result.device.addr_type, result.device.addr)
                break
    connection = await device.connect()
    written = 0
    try:
        await connection.exchange_mtu(wire.MTU)
        service = await connection.service(SERVICE)
        write = await service.characteristic(WRITE)
        packet = make()
        while connection.is_connected():
            try:
                await write.write(packet, response=False)
                written += 1
                packet = make()
            except OSError:
                await asyncio.sleep_ms(1)
    except (aioble.DeviceDisconnectedError, asyncio.TimeoutError, TypeError, AttributeError):
        pass  # it has hung up
    await connection.disconnected()
    return written


async def main(name, kind, visits):
    for number in range(int(visits)):
        written = await visit(name, {"garbage": garbage, "forged": forged}[kind])
        print("hung up on, visit", number, "after", written, "packets")
        await asyncio.sleep_ms(100)


asyncio.run(main(*sys.argv[1:]))
