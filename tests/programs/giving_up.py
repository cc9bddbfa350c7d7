"""A link that is given up during set-up, or has failed, hangs up; the other board is not picolink's."""

import asyncio
import sys

import aioble
import picolink
from picolink import lifecycle
from picolink.radio.aioble.central import Central
from picolink.radio.aioble.role import SERVICE

NAME = "Giving up"


async def be_called():
    for _ in range(4):
        connection = await aioble.advertise(30_000, name=NAME, services=[SERVICE])
        await asyncio.wait_for_ms(connection.disconnected(), 3000)


async def never(*_):
    await asyncio.sleep(60)


def wrong(event, _):
    raise KeyError(event)


def disk_full(*_):
    raise OSError(28)


def gives_up(event, _):
    if event in ("refused", "not found"):  # while it connects
        raise ValueError


async def give_up():
    set_up = Central.set_up
    Central.set_up = never
    link = picolink.connect(NAME)
    opening = asyncio.create_task(link.open())
    while link._policy.connection != lifecycle.SETTING_UP:
        await asyncio.sleep_ms(10)
    opening.cancel()
    try:
        await opening
        raise AssertionError("the link was opened")
    except asyncio.CancelledError:
        pass
    Central.set_up = set_up
    for on_event, reason in ((wrong, "KeyError"), (disk_full, "OSError"), (gives_up, "ValueError")):
        try:
            await picolink.connect(NAME, on_event=on_event).open()
            raise AssertionError("the link was opened")
        except picolink.LinkClosedError as error:
            assert "the link has failed" in str(error) and reason in str(error), error


asyncio.run(be_called() if sys.argv[1] == "advertise" else give_up())
print("ok")
