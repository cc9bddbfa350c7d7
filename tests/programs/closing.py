"""Closing: what was sent still arrives, the peer's iteration ends, and both know that the link is closed."""

import asyncio
import sys

import aioble
import picolink


async def main(role):
    link = getattr(picolink, role)("Closing")
    async with link:
        if role == "advertise":
            for number in range(300):
                await link.send(str(number))
            closing = asyncio.create_task(link.close())
            await asyncio.sleep_ms(0)
            try:
                link.send_nowait("too late")
                raise AssertionError("the link was open")
            except picolink.LinkClosedError as error:
                assert "this side has closed" in str(error)
            await closing
        else:
            received = []
            async for message in link:
                received.append(int(message))
            assert received == list(range(300))
            for refused in (link.send("late"), link.recv()):
                try:
                    await refused
                    raise AssertionError("the link was open")
                except picolink.LinkClosedError as error:
                    assert "the peer has closed" in str(error)
    try:
        link.send_nowait("later")
        raise AssertionError("the link was open")
    except picolink.LinkClosedError as error:
        print(error)
    # A board has one connection: once this link is closed there can be another, whatever the program has done
    # with Bluetooth in between.
    aioble.stop()
    async with aioble.scan(100, 30_000, 30_000, active=True):
        pass
    async with getattr(picolink, role)("Closing") as link:
        await link.send("again")
        assert await link.recv() == "again"
    print("ok")


asyncio.run(main(sys.argv[1]))
