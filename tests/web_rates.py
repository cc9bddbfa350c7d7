"""Rates from a page to a virtual board, with picolink and a bare characteristic: the table of docs/web.md.

python tests/web_rates.py
"""

import asyncio
import re

from browser import Browser
from picolink import wire
from picolink_pc.radio.air import RadioSettings, ceiling, value_rate_in_events
from web_room import TESTS, bluetooth, boards, plain, script

INTERVALS_MS = (15, 30, 48.75)
COUNT = 3000
SIZE = 18  # bytes of a message

BARE = {
    "Web Bluetooth": """
const device = await navigator.bluetooth.requestDevice({ filters: [{ services: [SERVICE] }] });
window.server = await device.gatt.connect(); // as long as it is used
const service = await server.getPrimaryService(SERVICE);
const characteristic = await service.getCharacteristic(WRITE);
for (let i = 0; i < COUNT; i++) await characteristic.writeValueWithoutResponse(new Uint8Array(SIZE));
""",
    "picolink web": """
const socket = (window.socket = new WebSocket(location.href.replace("http", "ws") + "radio?name=Sink"));
await new Promise((resolve) => (socket.onmessage = resolve)); // it is connected
for (let i = 0; i < COUNT; i++) socket.send(new Uint8Array(SIZE));
""",
}
PICOLINK = """
const link = (window.link = await connect("Sink", options));
for (let i = 0; i < COUNT; i++) await link.send(new Uint8Array(SIZE));
"""


async def rate(browser, way, kind, settings):
    """Messages/s, as the board has seen them.   kind: "bare" or "picolink"."""
    board = (TESTS / "programs/web_sink.py", kind, str(COUNT))
    body = (BARE[way] if kind == "bare" else PICOLINK).replace("COUNT", str(COUNT)).replace("SIZE", str(SIZE))
    if way == "Web Bluetooth":
        body = f"const SERVICE = '{wire.SERVICE}', WRITE = '{wire.WRITE}';\n{body}"
        async with bluetooth(browser, *board, name="Sink", settings=settings) as (_, page, _adapter, sink):
            await page.run(script(body, bluetooth=True))
            return of(await sink.line("^took", 120))
    async with boards(*board, settings=settings) as (_, server, sink):
        page = await plain(browser, server.address)
        await page.run(script(body))
        took = await sink.line("^took", 120)
        await page.close()
        return of(took)


def of(took):
    return (COUNT - 1) * 1000 / int(re.search(r"in (\d+) ms", took)[1])


async def main():
    print("| way | interval | bare characteristic (the air allows) | picolink (the air allows) |")
    print("| --- | --- | --- | --- |")
    async with Browser() as browser:
        for way in BARE:
            for interval_ms in INTERVALS_MS:
                settings = RadioSettings(interval_ms=interval_ms)
                allowed = {"bare": value_rate_in_events(settings, SIZE), "picolink": ceiling(settings)}
                cells = [
                    f"{await rate(browser, way, kind, settings):,.0f} ({allowed[kind]:,.0f})"
                    for kind in allowed
                ]
                print(f"| {way} | {interval_ms:g} ms | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
