"""Boards of `picolink bench gateway`:  python -m picolink_pc.bench.gateway_boards FOLDER RATE SECONDS NAME...

Each sends RATE messages/s for SECONDS, and leaves when the gateway has them. Prints how many, in JSON.
"""

import asyncio
import json
import sys
import time
from pathlib import Path

import picolink

from ..socket_radio import SocketRadio


async def board(name: str, radio: SocketRadio, rate: float, seconds: float) -> int:
    number = 0
    async with picolink.advertise(name, radio=radio, on_event=lambda *_: None) as link:
        began = time.monotonic()
        while (now := time.monotonic()) < began + seconds:
            while number < (now - began) * rate:
                await link.send(json.dumps({"n": number, "at": time.time()}))
                number += 1
            await asyncio.sleep(1 / rate)
        await link.flush()
    return number


async def main() -> None:
    folder, rate, seconds, *names = sys.argv[1:]
    radio = SocketRadio(Path(folder))
    counts = await asyncio.gather(*(board(name, radio, float(rate), float(seconds)) for name in names))
    print(json.dumps(dict(zip(names, counts, strict=True))))


if __name__ == "__main__":
    asyncio.run(main())
