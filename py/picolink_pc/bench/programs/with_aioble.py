# Messages through aioble alone, as programs use it:  with_aioble.py ROLE WAY SIZE STEP ...
#
# WAY, from the board that sends to the one that receives:
#   notify    peripheral notify()                central notified()
#   write     central write()                    peripheral written() and read()
#   capture   central write()                    peripheral written() of a characteristic with capture=True
#   tutorial  both at once: notify, and write with response=True (each awaits the answer)

import asyncio
import json
import sys

import aioble
import bluetooth
import traffic

_SERVICE = bluetooth.UUID(0x1848)
_CHARACTERISTIC = bluetooth.UUID(0x2A6E)
_NAME = "Bench"
_FULL = (12, 16, 114)  # what host stacks raise when they can take no more now: ENOMEM, EBUSY, EALREADY
_FULL_MS = 2
_DRAIN_MS = 3000  # what the host stack has queued goes out, before the connection ends


def patient(send):
    """A sender that tries again when the host stack is full, and gives the other tasks their turn."""

    async def send_when_there_is_room(message):
        while True:
            try:
                result = send(message)
                if result:
                    await result
                break
            except (aioble.GattError, asyncio.TimeoutError):
                await asyncio.sleep_ms(_FULL_MS)  # the peer had no room for it
            except OSError as e:
                if e.errno not in _FULL:
                    raise
                await asyncio.sleep_ms(_FULL_MS)
        await asyncio.sleep_ms(0)

    return send_when_there_is_room


async def peripheral(way, size, steps, tally):
    service = aioble.Service(_SERVICE)
    options = {"capture": True} if way == "capture" else {}
    characteristic = aioble.Characteristic(
        service, _CHARACTERISTIC, read=True, write=True, write_no_response=True, notify=True, **options
    )
    aioble.register_services(service)
    connection = await aioble.advertise(30_000, name=_NAME, services=[_SERVICE])
    await characteristic.written()  # the central is ready

    async def receive():
        while True:
            if way == "capture":
                _, message = await characteristic.written()
            else:
                await characteristic.written()
                message = characteristic.read()
            tally.add(message)

    receiver = asyncio.create_task(receive())
    if way in ("notify", "tutorial"):
        send = patient(lambda message: characteristic.notify(connection, message))
        await traffic.offer("peripheral", steps, size, send)
    # The central ends the connection.
    try:
        await connection.disconnected()
    except (asyncio.CancelledError, aioble.DeviceDisconnectedError):
        pass
    receiver.cancel()


async def central(way, size, steps, tally):
    connection = await (await find()).connect()
    service = await connection.service(_SERVICE)
    characteristic = await service.characteristic(_CHARACTERISTIC)

    async def receive():
        while True:
            tally.add(await characteristic.notified())

    if way in ("notify", "tutorial"):
        await characteristic.subscribe(notify=True)
        receiver = asyncio.create_task(receive())
    await characteristic.write(b"ready", response=True)
    if way == "notify":
        for step in steps:
            await asyncio.sleep_ms(traffic.SETTLE_MS + int(step["seconds"] * 1000))
    else:
        with_response = way == "tutorial"
        send = patient(lambda message: characteristic.write(message, response=with_response))
        await traffic.offer("central", steps, size, send)
    await asyncio.sleep_ms(_DRAIN_MS)
    if way in ("notify", "tutorial"):
        receiver.cancel()
    await connection.disconnect()


async def find():
    while True:
        async with aioble.scan(5000, 30_000, 30_000, active=True) as scanner:
            async for result in scanner:
                if result.name() == _NAME:
                    return result.device


async def main(role, way, size, *steps):
    steps = [json.loads(step) for step in steps]
    tally = traffic.Tally(steps)
    await {"peripheral": peripheral, "central": central}[role](way, int(size), steps, tally)
    tally.print()


asyncio.run(main(*sys.argv[1:]))
