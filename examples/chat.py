"""Two people chat: what each types, the other one sees, line by line.

Without hardware: picolink run examples/chat.py examples/chat.py
    Ann                 your name, typed to the first board
    :chat 2             what is typed from here on goes to the second board
    Bob                 the name of the person there
    Hello!              and :chat 1 to answer; :away and :back to be out of range for a while
With it, on each Pico W: mpremote connect PORT cp examples/chat.py :main.py + repl, and Ctrl-D to start it.
A terminal at a board shows what the other one types, not your own lines.
"""

import asyncio
import select
import sys

import picolink


async def typed():
    """A line that somebody types, None at the end; waits without holding up the link, as input() would."""
    keys = select.poll()
    keys.register(sys.stdin, select.POLLIN)
    line = ""
    while True:
        while not keys.poll(0):
            await asyncio.sleep(0.05)
        key = sys.stdin.read(1)
        if not key:
            return None
        if key in "\r\n":
            return line
        line += key


async def talk(link, name):
    while (text := await typed()) is not None:
        if text:
            await link.send(name + ": " + text)


async def main():
    name = input("Who are you? ")
    async with picolink.meet("Chat") as link:
        print("You can talk.")
        talking = asyncio.create_task(talk(link, name))
        async for message in link:
            print(message)
        talking.cancel()


asyncio.run(main())
