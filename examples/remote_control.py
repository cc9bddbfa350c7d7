"""A remote control: a page or another board drives this one, which says four times a second how it is.

It shows a panel, which the page draws (docs/panel.md), a channel of which only the newest value counts, and
motors that stop by themselves: a lost connection takes seconds to notice, so they stop when no value has come
for 300 ms, whatever the link says.
Without hardware: picolink web examples/remote_control.py. With it: save this as main.py on a Pico W.
Who drives sets {"x": -100 to 100, "y": ...} by link.newest(1), ten times a second; {"led": True}: the LED.
"""

import asyncio
import time

import picolink
from machine import Pin

STOP_MS = 300
PANEL = [
    {"name": "drive", "type": "joystick", "channel": 1},
    {"name": "led", "type": "switch"},
    {"name": "left", "type": "sensor", "unit": "%", "plot": True},
    {"name": "right", "type": "sensor", "unit": "%", "plot": True},
]
led = Pin("LED", Pin.OUT)
motors = [0, 0]  # left and right, percent: what would go to them


def drive(x, y):
    motors[:] = (max(-100, min(100, y + x)), max(-100, min(100, y - x)))


async def follow(stick):
    came_at = time.ticks_ms()
    while True:
        try:
            value = await stick.recv(timeout_ms=STOP_MS)
            drive(int(value["x"]), int(value["y"]))
            came_at = time.ticks_ms()
        except asyncio.TimeoutError:
            if any(motors):
                drive(0, 0)
                print("stopped,", time.ticks_diff(time.ticks_ms(), came_at), "ms after the last value")
        except (KeyError, TypeError, ValueError, OverflowError):  # an infinite number, for instance
            drive(0, 0)
            print("not for a robot:", value)


async def report(link):
    while True:
        if link.connected:  # what nobody sees now is old when somebody does
            link.send_nowait({"left": motors[0], "right": motors[1], "led": bool(led.value())})
        await asyncio.sleep(0.25)


async def main():
    while True:  # whoever comes next, when this one has closed
        async with picolink.advertise("Robot") as link:
            link.newest(14).send({"panel": PANEL})  # a page that is loaded again gets it again
            tasks = [asyncio.create_task(follow(link.newest(1))), asyncio.create_task(report(link))]
            async for message in link:
                if isinstance(message, dict) and "led" in message:
                    led.value(bool(message["led"]))
                else:
                    print("not for a robot:", message)
            for task in tasks:
                task.cancel()
        drive(0, 0)


asyncio.run(main())
