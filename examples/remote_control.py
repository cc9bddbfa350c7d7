"""A remote control: a page or another board drives this one, which says four times a second how it is.

Without hardware: picolink web examples/remote_control.py. With it: save this as main.py on a Pico W.
Who drives sends {"x": -100 to 100, "y": -100 to 100}, or {"button": "A"}, as JSON. If nothing comes for
half a second, or the link is lost, the motors stop.
"""

import asyncio
import json
import time

import picolink
from machine import Pin

SILENCE_MS = 500

led = Pin("LED", Pin.OUT)


class Robot:
    def __init__(self):
        self.left = self.right = 0  # percent: what would go to the motors
        self.heard_at = time.ticks_ms()

    def drive(self, x, y):
        self.left = max(-100, min(100, y + x))
        self.right = max(-100, min(100, y - x))

    def take(self, message):
        self.heard_at = time.ticks_ms()
        try:
            value = json.loads(message)
            if "button" in value:
                led.value(value["button"] == "A")
            else:
                self.drive(int(value["x"]), int(value["y"]))
        except (ValueError, KeyError, TypeError):
            print("not for a robot:", message)


async def report(link, robot):
    while True:
        if time.ticks_diff(time.ticks_ms(), robot.heard_at) > SILENCE_MS or not link.connected:
            robot.drive(0, 0)
        if link.connected:  # what nobody sees now is old when somebody does
            link.send_nowait("left={} right={} led={}".format(robot.left, robot.right, led.value()))
        await asyncio.sleep(0.25)


async def main():
    robot = Robot()
    while True:  # whoever comes next, when this one has closed
        async with picolink.advertise("Robot") as link:
            reporting = asyncio.create_task(report(link, robot))
            async for message in link:
                robot.take(message)
            reporting.cancel()
        robot.drive(0, 0)


asyncio.run(main())
