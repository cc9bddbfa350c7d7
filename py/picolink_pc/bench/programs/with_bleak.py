# On a PC, the other end of bare_notify.py through bleak alone, as programs use it:  with_bleak.py STEP ...
# It counts what the board notifies.

import asyncio
import json
import sys

import bleak
import traffic
from picolink import radio

_NAME = "Bench"
_CHARACTERISTIC = "00002a6e-0000-1000-8000-00805f9b34fb"
_QUIET_MS = 1000  # then all has come that the board's host stack has queued


async def main(*steps):
    steps = [json.loads(step) for step in steps]
    tally = traffic.Tally(steps)
    adapter = radio.default()
    device = await bleak.BleakScanner.find_device_by_name(_NAME, 30, **adapter.scanner_options)
    async with bleak.BleakClient(device, **adapter.client_options) as client:
        await client.start_notify(_CHARACTERISTIC, lambda _, message: tally.add(message))
        await client.write_gatt_char(_CHARACTERISTIC, b"ready", response=False)
        for step in steps:
            await asyncio.sleep_ms(traffic.SETTLE_MS + int(step["seconds"] * 1000))
        came = -1
        while came != tally.total():
            came = tally.total()
            await asyncio.sleep_ms(_QUIET_MS)
    tally.print()


asyncio.run(main(*sys.argv[1:]))
