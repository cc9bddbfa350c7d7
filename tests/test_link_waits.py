"""Waits that end after a time, and calls before the link was opened: in virtual time."""

import asyncio

import picolink
import pytest
import virtual_time
from picolink.radio import memory


def link(way, air, **options):
    return getattr(picolink, way)("PicoA", radio=air, engine="python", **options)


async def pair(air, **options):
    """Two links that have met."""
    a, b = link("advertise", air, **options), link("connect", air, **options)
    await asyncio.gather(a.open(), b.open())
    return a, b


def now_ms():
    return asyncio.get_running_loop().time() * 1000


async def assert_ends(wait, after_ms):
    began = now_ms()
    with pytest.raises(asyncio.TimeoutError):
        await wait
    assert after_ms <= now_ms() - began <= after_ms + 20


async def fill(a):
    """Returns how many messages had room."""
    count = 0
    while a.send_nowait(bytes(100)):
        count += 1
        await asyncio.sleep(0.5)
    return count


def test_each_wait_ends_when_its_time_is_up_and_nothing_is_lost():
    async def main():
        a, b = await pair(memory.Air(), tx_size=256, rx_size=256)
        for after_ms in (0, 1, 250):
            await assert_ends(b.recv(timeout_ms=after_ms), after_ms)
            await assert_ends(b.drain(timeout_ms=after_ms), after_ms)
        count = await fill(a)
        for after_ms in (0, 1, 250):
            await assert_ends(a.send(bytes(100), timeout_ms=after_ms), after_ms)
            await assert_ends(a.flush(timeout_ms=after_ms), after_ms)
        received = [await b.recv(timeout_ms=1000) for _ in range(count)]
        assert received == [bytes(100)] * count
        await a.flush(timeout_ms=1000)
        await a.send(b"next", timeout_ms=1000)
        assert await b.recv(timeout_ms=1000) == b"next"
        assert not a._alarms
        assert not b._alarms
        await asyncio.gather(a.close(), b.close())

    virtual_time.run(main())


def test_messages_that_fill_the_ring_follow_each_other():
    async def main():
        a, b = await pair(memory.Air(), tx_size=256, rx_size=256)

        async def send():
            for _ in range(5):
                await a.send(bytes(253), timeout_ms=2000)

        sending = asyncio.create_task(send())
        for _ in range(5):
            assert await b.recv(timeout_ms=2000) == bytes(253)
        await sending
        await asyncio.gather(a.close(), b.close())

    virtual_time.run(main())


def test_who_waits_for_ever_is_not_ended_by_the_time_of_another():
    async def main():
        a, b = await pair(memory.Air())
        for_ever = asyncio.create_task(b.recv())
        await assert_ends(b.recv(timeout_ms=50), 50)
        assert not for_ever.done()
        await a.send(b"x")
        assert await for_ever == b"x"
        await asyncio.gather(a.close(), b.close())

    virtual_time.run(main())


def test_opening_ends_when_its_time_is_up():
    async def main():
        air = memory.Air()
        await assert_ends(link("connect", air).open(timeout_ms=700), 700)
        with pytest.raises(asyncio.TimeoutError):
            async with link("advertise", air, timeout_ms=700):
                pytest.fail("nobody is there")
        assert now_ms() < 1500
        assert len(asyncio.all_tasks()) == 1
        a, b = await pair(air, timeout_ms=5000)  # the radio is free again
        await asyncio.gather(a.close(), b.close())

    virtual_time.run(main())


def test_before_the_link_was_opened_each_call_says_what_to_write():
    async def main():
        a = link("advertise", memory.Air())
        for call in (
            lambda: a.send(b"x"),
            a.recv,
            a.drain,
            a.flush,
            a.__anext__,
        ):
            with pytest.raises(RuntimeError, match="not opened: write `async with"):
                await asyncio.wait_for(call(), 5)
        with pytest.raises(RuntimeError, match="not opened: write `async with"):
            a.send_nowait(b"x")

    virtual_time.run(main())


def test_while_the_other_board_is_looked_for_messages_are_taken():
    async def main():
        air = memory.Air()
        a, b = link("advertise", air), link("connect", air)
        opening = asyncio.create_task(a.open())
        await asyncio.sleep(0.1)
        await a.send(b"early")
        await b.open()
        assert await b.recv() == b"early"
        await opening
        await asyncio.gather(a.close(), b.close())

    virtual_time.run(main())
