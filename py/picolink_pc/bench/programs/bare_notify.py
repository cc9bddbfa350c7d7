# A characteristic that notifies, and no more:  bare_notify.py SIZE STEP ...
# The other end is a PC with with_bleak.py. Host stacks queue what they are given: a step has to have a rate.

import asyncio
import json
import sys

import bluetooth
import traffic

_SERVICE = bluetooth.UUID(0x1848)
_CHARACTERISTIC = bluetooth.UUID(0x2A6E)
_ADVERTISEMENT = b"\x02\x01\x06\x06\x09Bench"  # flags, and the name
_CENTRAL_CONNECT = 1
_CENTRAL_DISCONNECT = 2
_GATTS_WRITE = 3


async def main(size, *steps):
    ble = bluetooth.BLE()
    ready = asyncio.ThreadSafeFlag()
    gone = asyncio.ThreadSafeFlag()
    connection = -1

    def irq(event, data):
        nonlocal connection
        if event == _CENTRAL_CONNECT:
            connection = data[0]
        elif event == _GATTS_WRITE:
            ready.set()
        elif event == _CENTRAL_DISCONNECT:
            gone.set()

    async def send(message):
        ble.gatts_notify(connection, handle, message)

    ble.active(True)
    ble.irq(irq)
    flags = bluetooth.FLAG_NOTIFY | bluetooth.FLAG_WRITE_NO_RESPONSE
    (handle,) = ble.gatts_register_services(((_SERVICE, ((_CHARACTERISTIC, flags),)),))[0]
    ble.gap_advertise(30_000, _ADVERTISEMENT)
    await ready.wait()
    await traffic.offer("peripheral", [json.loads(step) for step in steps], int(size), send)
    await gone.wait()


asyncio.run(main(*sys.argv[1:]))
