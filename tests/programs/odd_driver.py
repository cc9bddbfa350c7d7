"""Drives examples/remote_control.py, then goes on with values that are none for a robot: its motors stop."""

import asyncio

import picolink


async def until(link, stick, value, left):
    while True:
        stick.send(value)
        try:
            while (await link.recv(timeout_ms=50)).get("left") != left:
                pass
            return
        except asyncio.TimeoutError:
            pass


async def main():
    async with picolink.connect("Robot") as link:
        stick = link.newest(1)
        for odd in {"x": float("inf"), "y": 50}, {"x": float("nan"), "y": 50}, {"x": 1}, 7:
            await until(link, stick, {"x": 10, "y": 50}, 60)
            await until(link, stick, odd, 0)
            print("stopped at", odd)
        print("done")


asyncio.run(main())
