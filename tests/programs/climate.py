# Numbers for `picolink monitor --plot`: a made-up room that is heated again and again, as JSON.

import asyncio
import json
import math
import random

import picolink


async def main():
    temperature, heating, tick = 19.0, True, 0
    async with picolink.advertise("PicoA") as link:
        while True:
            temperature += 0.02 if heating else -0.015
            heating = temperature < (21 if heating else 19)
            humidity = 45 + 5 * math.sin(tick / 200) + random.random()
            await link.send(
                json.dumps(
                    {"temperature": round(temperature, 2), "humidity": round(humidity, 1), "heating": heating}
                )
            )
            tick += 1
            await asyncio.sleep_ms(100)


asyncio.run(main())
