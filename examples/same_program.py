"""The same program on both boards: each blinks the LED of the other one.

It shows picolink.meet(): nobody has to say which board advertises and which one connects, neither at the
start nor after a drop or a restart. Each LED goes out when nothing new has come for 3 s.
Without hardware: picolink run examples/same_program.py examples/same_program.py
With it: save this as main.py on two Pico Ws.
"""

import asyncio

import picolink
from machine import Pin

led = Pin("LED", Pin.OUT)


async def blink(lamp):
    lit = False
    while True:
        lit = not lit
        lamp.send(lit)
        await asyncio.sleep(1)


async def main():
    async with picolink.meet("Twins") as link:
        lamp = link.newest(1)  # what is to be seen here, and there
        blinking = asyncio.create_task(blink(lamp))
        while True:
            try:
                led.value(await lamp.recv(timeout_ms=3000))
            except asyncio.TimeoutError:
                led.value(False)
            except picolink.LinkClosedError:
                break
        blinking.cancel()


asyncio.run(main())
