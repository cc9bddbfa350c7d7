"""A board with one of each item in its panel. It prints what it gets, and sends the object that a text is."""

import asyncio
import json

import picolink

PANEL = [
    {"name": "temperature", "type": "sensor", "unit": "°C", "plot": True},
    {"name": "<b>door", "type": "binary_sensor"},
    {"name": "led", "type": "switch"},
    {"name": "speed", "type": "number", "min": -10, "max": 10, "step": 0.5, "unit": "%", "channel": 2},
    {"name": "volume", "type": "number"},
    {"name": "mode", "type": "select", "options": ["slow", "<i>fast"]},
    {"name": "say", "type": "text"},
    {"name": "horn", "type": "button"},
    {"name": "drive", "type": "joystick", "channel": 1},
]
VALUES = {
    "temperature": 21.7,
    "<b>door": True,
    "led": True,
    "speed": -2.5,
    "volume": 30,
    "mode": "<i>fast",
    "say": {"toString": 5},
    "horn": 5,
    "other": [1, {}],
}


async def show(speed):
    while True:
        print("speed:", await speed.recv())


async def main():
    async with picolink.advertise("Panel") as link:
        link.newest(14).send({"panel": PANEL})
        await link.send(VALUES)
        showing = asyncio.create_task(show(link.newest(2)))
        async for message in link:
            if isinstance(message, str):
                await link.send(json.loads(message))
            else:
                print("got:", message)
        showing.cancel()


asyncio.run(main())
