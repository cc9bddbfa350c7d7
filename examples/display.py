"""The other side of sensor.py: prints what it measures, one line for each reading.

Save this as main.py on a second Pico W; or see sensor.py.
"""

import asyncio

import picolink


async def main():
    while True:  # the sensor may close, and come back
        async with picolink.connect("Sensor") as link:
            async for reading in link:
                left_out = reading.pop("left_out")
                if left_out:
                    print("({} readings were left out)".format(left_out))
                print(
                    reading.pop("second"), "s:", ", ".join("{} {}".format(*item) for item in reading.items())
                )


asyncio.run(main())
