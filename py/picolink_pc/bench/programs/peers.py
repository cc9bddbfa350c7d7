# Messages at an even rate both ways, for whoever looks at the CPU meanwhile:  peers.py ROLE THROUGH PERIOD MS
#
# THROUGH   native, python   picolink with this engine
#           aioble           aioble alone, as programs use it
#           frame            the same with frames.py; nobody acknowledges a frame or sends it again
# PERIOD: ms from one message to the next; 0: none is sent.  Prints, a word and JSON each:
#
#   open    the boards are connected
#   start   the time of MS begins
#   end     in it: messages sent and received, us

import asyncio
import json
import sys
import time

from frames import Frames

_SIZE = 18  # bytes of a message
_WARM_UP_MS = 500
_NAME = "Peers"
_FULL = (12, 16, 114)  # what host stacks raise when they can take no more now: ENOMEM, EBUSY, EALREADY
_FULL_MS = 2

sent = received = 0


def tell(kind, what):
    print("%s %s" % (kind, json.dumps(what)))


def framed(send, receive):
    """The same two coroutine functions, with frames."""
    frames = Frames()

    async def send_frame(message):
        await send(frames.make(message))

    async def receive_message():
        while True:
            message = frames.take(await receive())
            if message is not None:
                return message

    return send_frame, receive_message


async def through_picolink(role, engine):
    import picolink

    open_link = picolink.advertise if role == "peripheral" else picolink.connect
    link = await open_link(_NAME, engine=engine).__aenter__()
    return link.send, link.recv


async def through_aioble(role):
    import aioble
    import bluetooth

    uuid = bluetooth.UUID(0x1848)
    if role == "peripheral":
        service = aioble.Service(uuid)
        # Buffered: the value of others is cut at 20 bytes.
        here = aioble.BufferedCharacteristic(
            service, uuid, max_len=64, read=True, write=True, write_no_response=True, notify=True
        )
        aioble.register_services(service)
        connection = await aioble.advertise(30_000, name=_NAME, services=[uuid])
        await here.written()  # the central is ready

        async def notify(message):
            here.notify(connection, message)

        async def written():
            await here.written()
            return here.read()

        return notify, written

    connection = await (await find(aioble)).connect()
    await connection.exchange_mtu(247)
    there = await (await connection.service(uuid)).characteristic(uuid)
    await there.subscribe(notify=True)
    await there.write(b"ready", response=True)

    async def write(message):
        while True:
            try:
                await there.write(message, response=False)
                return
            except OSError as error:
                if error.errno not in _FULL:
                    raise
                await asyncio.sleep_ms(_FULL_MS)

    return write, there.notified


async def find(aioble):
    while True:
        async with aioble.scan(5000, 30_000, 30_000, active=True) as scanner:
            async for result in scanner:
                if result.name() == _NAME:
                    return result.device


async def offer(send, period_ms):
    global sent
    message = bytes(_SIZE)
    due = time.ticks_ms()
    while True:
        await send(message)
        sent += 1
        due = time.ticks_add(due, period_ms)
        await asyncio.sleep_ms(max(0, time.ticks_diff(due, time.ticks_ms())))


async def take(receive):
    global received
    while True:
        await receive()
        received += 1


async def main(role, through, period_ms, ms):
    global sent, received
    if through in ("aioble", "frame"):
        send, receive = await through_aioble(role)
        if through == "frame":
            send, receive = framed(send, receive)
    else:
        send, receive = await through_picolink(role, through)
    tell("open", {})
    tasks = [asyncio.create_task(take(receive))]
    if int(period_ms):
        tasks.append(asyncio.create_task(offer(send, int(period_ms))))
    await asyncio.sleep_ms(_WARM_UP_MS)
    tell("start", {})
    sent = received = 0
    began = time.ticks_us()
    await asyncio.sleep_ms(int(ms))
    us = time.ticks_diff(time.ticks_us(), began)
    tell("end", {"sent": sent, "received": received, "us": us})
    await asyncio.gather(*tasks)  # the other board may not be done: its power is cut when it is


asyncio.run(main(*sys.argv[1:]))
