"""Closing waits while the peer takes parts of a message, however long the whole one takes."""

import asyncio
import sys

import picolink

SIZE = 30_000


async def main(role):
    def on_event(event, detail):
        assert event != "undelivered", detail

    link = getattr(picolink, role)("Large", tx_size=32768, rx_size=32768, on_event=on_event)
    await link.open()
    if role == "advertise":
        await link.send(bytes(SIZE))
        await link.close(1500)  # the message takes some times as long
    else:
        assert len(await link.recv()) == SIZE
        await link.close()
    print("ok")


asyncio.run(main(sys.argv[1]))
