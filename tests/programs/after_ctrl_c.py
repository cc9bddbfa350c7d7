"""After Ctrl-C a link can be closed, and another one opened, in the same program."""

import asyncio
import sys

import picolink

ROUNDS = ("in the handler of Bluetooth events", "in a task", "closed")


async def greet(link, round_):
    async with link:
        await link.send(round_)
        await link.flush()
        if round_ == ROUNDS[0]:
            link._role.interrupted = True  # as that handler does
        if round_ == ROUNDS[1]:
            raise KeyboardInterrupt
        await asyncio.sleep_ms(100 if round_ == "closed" else 60_000)


async def listen():
    heard = []
    while len(heard) < len(ROUNDS):
        async with picolink.connect("After Ctrl-C") as link:
            async for message in link:
                heard.append(message)
    assert heard == list(ROUNDS), heard


def main(role):
    if role == "connect":
        asyncio.run(listen())
        return
    for round_ in ROUNDS:
        link = picolink.advertise("After Ctrl-C")
        try:
            asyncio.run(greet(link, round_))
        except KeyboardInterrupt:
            if round_ == ROUNDS[0]:
                asyncio.run(link.close(100))
            asyncio.new_event_loop()


main(sys.argv[1])
print("ok")
