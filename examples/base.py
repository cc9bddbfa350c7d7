"""The other side of battery.py: writes each reading into a file, and only then says that it is safe.

Save this as main.py on a second Pico W; or see battery.py.
"""

import asyncio
import json

import picolink


async def main():
    while True:  # whoever wakes up next
        async with picolink.advertise("Base", commit=True) as link:
            with open("readings.txt", "a") as log:
                async for reading in link:
                    log.write(json.dumps(reading) + "\n")
                    log.flush()  # in the flash, whatever happens to the power
                    link.commit()  # now battery.py may sleep
                    print("safe:", reading)


asyncio.run(main())
