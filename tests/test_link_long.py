"""Links that stay open for long, in virtual time: clocks, offsets and counters begin anew from 0."""

import asyncio

import picolink
import picolink.link
import pytest
import virtual_time
from picolink.pyengine import Engine
from picolink.radio import memory

TICKS_S = 2**30 / 1000  # after so long ticks_ms() begins anew
DAY_S = 24 * 3600


def link(way, air, told):
    return getattr(picolink, way)(
        "PicoA", radio=air, engine="python", on_event=lambda *event: told.append(event)
    )


async def receive(a, received):
    async for message in a:
        received.append(int(message))


def exchange(start_s, drops, apart_s, count):
    """`count` messages of 60 bytes each way; each time that many are left the boards are apart for a moment.

    Returns what each side was told.
    """

    async def main():
        air = memory.Air()
        told, received = ([], []), ([], [])
        a, b = link("advertise", air, told[0]), link("connect", air, told[1])
        await asyncio.gather(a.open(), b.open())
        readers = [asyncio.create_task(receive(*each)) for each in zip((a, b), received, strict=True)]
        for number in range(count):
            await a.send(f"{number:060}", timeout_ms=60_000)
            await b.send(f"{number:060}", timeout_ms=60_000)
            await asyncio.sleep(apart_s)
            if number % (count // drops) == 0:
                air.drop()
        await asyncio.gather(a.flush(timeout_ms=60_000), b.flush(timeout_ms=60_000))
        await asyncio.gather(a.close(), b.close())
        await asyncio.gather(*readers)
        assert received[0] == received[1] == list(range(count))
        return [[event for event, _ in each] for each in told]

    return virtual_time.run(main(), start_s)


@pytest.mark.parametrize("before_s", [0.5, 2, 5])
def test_the_clock_begins_anew(before_s):
    told = exchange(TICKS_S - before_s, drops=5, apart_s=0.05, count=200)
    for events in told:
        assert events.count("connected") == events.count("disconnected") == 6


@pytest.mark.slow
def test_a_day(monkeypatch):
    """24 hours with a message each way every minute, more than 2^16 bytes, and a drop every hour; the clock
    begins anew in the middle."""
    monkeypatch.setattr(memory._Role, "TEND_MS", 1000)  # to take seconds, not minutes
    told = exchange(TICKS_S - DAY_S / 2, drops=24, apart_s=60, count=DAY_S // 60)
    for events in told:
        assert events.count("connected") == events.count("disconnected") == 25
        assert set(events) == {"connected", "disconnected"}


class Old(Engine):
    """Its counters stand where they begin anew in two messages, as those of the native engine do."""

    def stats(self):
        stats = super().stats()
        for name in ("messages_sent", "messages_received", "messages_acknowledged"):
            stats[name] = (stats[name] - 2) & 0xFFFFFFFF
        return stats


@pytest.mark.parametrize("count", [1, 2, 5])
def test_counters_begin_anew(monkeypatch, count):
    monkeypatch.setattr(picolink.link.engines, "load", lambda _: (Old, "python"))

    async def main():
        air, told = memory.Air(delay_ms=100), []
        a, b = link("advertise", air, told), link("connect", air, [])
        await asyncio.gather(a.open(), b.open())
        for number in range(count):
            await a.send(str(number))
            await a.flush(timeout_ms=5000)
            assert a._engine.pending() == 0
        air.in_range = False
        await a.send("more")
        await a.send("more")
        await asyncio.gather(a.close(100), b.close(100))
        detail = "2 messages were not acknowledged before the link was closed"
        assert told[-1] == ("undelivered", detail)

    virtual_time.run(main())
