"""Closing waits for a peer that takes its time, and says what a peer did not take at all."""

import asyncio
import sys

import picolink

COUNT = 300


async def send_all(link):
    for number in range(COUNT):
        await link.send("%018d" % number)


async def main(role):
    events = {}

    def on_event(event, detail):
        events[event] = detail

    options = {"on_event": on_event} if role == "advertise" else {"rx_size": 1024}
    async with getattr(picolink, role)("Slow", **options) as link:
        if role == "advertise":
            await send_all(link)
        else:
            numbers = []
            async for message in link:
                numbers.append(int(message))
                await asyncio.sleep_ms(20)  # longer for all of them than close() waits for one
            assert numbers == list(range(COUNT))
    assert "undelivered" not in events

    link = await getattr(picolink, role)("Slow", **options).open()
    if role == "advertise":
        await send_all(link)
        await link.close(500)
        assert "messages were not acknowledged" in events["undelivered"]
    else:
        while link.connected:
            await asyncio.sleep_ms(10)  # and reads nothing
        await link.close(0)
    print("ok")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
