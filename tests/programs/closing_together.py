"""Both sides close at the same moment: neither waits for its time to be up, nothing is undelivered."""

import asyncio
import sys

import picolink

COUNT = 50


async def send_all(link):
    for number in range(COUNT):
        await link.send(str(number))


async def receive_all(link):
    for number in range(COUNT):
        assert int(await link.recv()) == number


async def main(role):
    events = []
    link = await getattr(picolink, role)("Together", on_event=lambda event, _: events.append(event)).open()
    await asyncio.gather(send_all(link), receive_all(link))
    await link.close(1_000_000)
    assert "undelivered" not in events
    print("ok")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
