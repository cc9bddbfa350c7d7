"""Closing waits while the peer takes parts of a message, however long the whole one takes."""

import asyncio
import sys

import picolink

SIZE = 30_000


async def main(role):
    events = []
    options = {"tx_size": 32768, "rx_size": 32768, "on_event": lambda event, _: events.append(event)}
    link = await getattr(picolink, role)("Large", **options).open()
    if role == "advertise":
        await link.send(bytes(SIZE))
        await link.close(1500)  # the message takes some times as long
    else:
        assert len(await link.recv()) == SIZE
        await link.close()
    assert "undelivered" not in events
    print("ok")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
