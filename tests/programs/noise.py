"""A central that writes noise to the board of a name, and then a HELLO of a protocol version to come.

noise.py NAME
"""

import asyncio
import binascii
import random
import struct
import sys

import aioble
from picolink import wire
from picolink.radio.aioble.role import SERVICE, WRITE


async def main(name):
    async with aioble.scan(0, 30_000, 30_000, active=True) as scanner:
        async for result in scanner:
            if result.name() == name:
                device = result.device
                break
    connection = await device.connect()
    await connection.exchange_mtu(wire.MTU)
    service = await connection.service(SERVICE)
    write = await service.characteristic(WRITE)
    random.seed(1)
    hello = struct.pack("<BBBBIIBBH", 1, 9, 1, 0, 77, 0, 13, 0, 0)
    packets = [bytes(random.getrandbits(8) for _ in range(random.randint(1, 244))) for _ in range(150)]
    packets.append(hello + struct.pack("<I", binascii.crc32(hello)))
    for packet in packets:
        while connection.is_connected():
            try:
                await write.write(packet, response=False)
                break
            except OSError:
                await asyncio.sleep_ms(5)
    while connection.is_connected():
        await asyncio.sleep_ms(20)


asyncio.run(main(sys.argv[1]))
