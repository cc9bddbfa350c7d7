"""A board for rates from a page: takes COUNT values, and says how many ms passed from the first to the last.

web_sink.py picolink|bare COUNT        bare: a characteristic, and no more
"""

import asyncio
import sys
import time

import bluetooth
import picolink
from picolink import wire

count = int(sys.argv[2])
began = 0


def took(number):
    global began
    if number == 1:
        began = time.ticks_ms()
    if number == count:
        print("took", count, "in", time.ticks_diff(time.ticks_ms(), began), "ms")


async def with_picolink():
    async with picolink.advertise("Sink") as link:
        number = 0
        async for _ in link:
            number += 1
            took(number)


async def bare():
    ble = bluetooth.BLE()
    number = 0

    def irq(event, data):
        nonlocal number
        if event == 3:  # a write
            ble.gatts_read(data[1])
            number += 1
            took(number)

    ble.active(True)
    ble.irq(irq)
    service = bluetooth.UUID(wire.SERVICE)
    notify = (bluetooth.UUID(wire.NOTIFY), bluetooth.FLAG_NOTIFY)
    write = (bluetooth.UUID(wire.WRITE), bluetooth.FLAG_WRITE_NO_RESPONSE)
    ble.gatts_register_services(((service, (notify, write)),))
    advertisement = b"\x02\x01\x06\x11\x07" + bytes(service)
    ble.gap_advertise(30_000, advertisement, resp_data=b"\x05\x09Sink")
    while True:
        await asyncio.sleep(1)


asyncio.run(with_picolink() if sys.argv[1] == "picolink" else bare())
