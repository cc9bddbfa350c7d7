"""Links on the radio in memory: programs of boards in one process, and what that radio does to links.

What the radio does is tested in virtual time.
"""

import asyncio
import os
import random
import subprocess
import sys
from pathlib import Path

import picolink
import pytest
import virtual_time
from picolink.radio import memory
from picolink_pc import products

PROGRAMS = Path(__file__).parent / "programs"
PACKAGES = Path(__file__).parents[1] / "py"
INTERPRETERS = {
    "CPython": (sys.executable, "PYTHONPATH", [PACKAGES]),
    "MicroPython, native": (
        products.MICROPYTHON,
        "MICROPYPATH",
        [products.native_module("x64").parent, PACKAGES, ".frozen"],
    ),
    "MicroPython, Python": (products.MICROPYTHON, "MICROPYPATH", [PACKAGES, ".frozen"]),
}


def run_program(interpreter, *arguments):
    """What a program of tests/programs prints."""
    command, variable, path = INTERPRETERS[interpreter]
    done = subprocess.run(
        [command, *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
        cwd=PROGRAMS,
        env=os.environ | {variable: os.pathsep.join(map(str, path))},
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def play(interpreter, program):
    assert run_program(interpreter, "in_memory.py", program).splitlines().count("ok") == 2


@pytest.mark.parametrize("interpreter", INTERPRETERS)
@pytest.mark.parametrize(
    "program",
    [
        "arguments",
        "awaiting",
        "beside_a_flood",
        "cancelled_at_the_end",
        pytest.param("cancelling", marks=pytest.mark.slow),
        "closing_together",
        pytest.param("commit_and_fail", marks=pytest.mark.slow),
        "draining",
        "large_among_small",
        "large_at_the_end",
        "refused",
        pytest.param("slow_at_the_end", marks=pytest.mark.slow),
        pytest.param("tasks_in_order", marks=pytest.mark.slow),
        "waiting",
    ],
)
def test_program(interpreter, program):
    play(interpreter, program)


@pytest.mark.parametrize("interpreter", [name for name in INTERPRETERS if name != "CPython"])
def test_the_flag_is_registered_once(interpreter):
    play(interpreter, "registered_once")


class Side:
    """One board: what it has received, and what it was told."""

    def __init__(self, way, air, name="PicoA", **options):
        self.received = []
        self.told = []
        options = {"engine": "python", "on_event": lambda *event: self.told.append(event)} | options
        self.link = getattr(picolink, way)(name, radio=air, **options)

    @property
    def events(self):
        return [event for event, _ in self.told]

    async def exchange(self, count, expect=None):
        """Send `count` numbers, 5 ms apart, and receive as many, or `expect`."""

        async def send():
            for number in range(count):
                await self.link.send(str(number))
                await asyncio.sleep(0.005)
            await self.link.flush()

        async def receive():
            while len(self.received) < (count if expect is None else expect):
                self.received.append(int(await self.link.recv()))

        async with self.link:
            await asyncio.gather(send(), receive())


def pair(air, **options):
    return Side("advertise", air, **options), Side("connect", air, **options)


def both(air, count=200, meanwhile=None, start_s=0.0):
    """Two boards that exchange numbers; returns them. `meanwhile`: a coroutine function that gets both."""

    async def main():
        a, b = pair(air)
        work = [a.exchange(count), b.exchange(count)]
        await asyncio.gather(*work, *([meanwhile(a, b)] if meanwhile else []))
        assert a.received == b.received == list(range(count))
        return a, b

    return virtual_time.run(main(), start_s)


def test_two_links_of_one_process_hear_each_other():
    a, b = both(memory.Air())
    for side in (a, b):
        assert side.events == ["connected", "disconnected"]
        assert side.link.stats["retransmitted"] == 0
        assert side.link.stats["messages_acknowledged"] == 200
        assert not side.link.connected


def test_dropped_connections_cost_no_message():
    async def drop(*_):
        for _ in range(10):
            await asyncio.sleep(0.1)
            air.drop()

    air = memory.Air()
    for side in both(air, meanwhile=drop):
        assert side.link.stats["connections"] > 5


def test_lost_packets_cost_no_message():
    random.seed(1)  # the radio's losses
    a, b = both(memory.Air(loss=0.2))
    assert a.link.stats["retransmitted"] + b.link.stats["retransmitted"] > 0


def test_a_slow_radio_is_slow():
    async def main():
        a, b = pair(air)

        async def ping():
            async with a.link:
                times = []
                for _ in range(5):
                    await asyncio.sleep(1)
                    began = asyncio.get_running_loop().time()
                    await a.link.send("ping")
                    await a.link.recv()
                    times.append(asyncio.get_running_loop().time() - began)
                return times

        async def pong():
            async with b.link:
                async for message in b.link:
                    await b.link.send(message)

        times, _ = await asyncio.gather(ping(), pong())
        return times

    air = memory.Air(delay_ms=300)
    assert all(0.6 <= seconds <= 0.65 for seconds in virtual_time.run(main()))


def test_out_of_range_ends_a_connection_after_the_supervision_timeout():
    async def leave(a, b):
        await asyncio.sleep(0.5)
        air.in_range = False
        await asyncio.sleep(1.9)
        assert a.link.connected
        assert b.link.connected
        await asyncio.sleep(0.2)
        assert not a.link.connected
        assert not b.link.connected
        await asyncio.sleep(10)
        air.in_range = True

    air = memory.Air()
    for side in both(air, meanwhile=leave):
        assert side.link.stats["connections"] == 2
        assert "not found" in side.events


def test_a_moment_out_of_range_is_no_drop():
    async def leave(*_):
        await asyncio.sleep(0.5)
        air.in_range = False
        await asyncio.sleep(1.5)
        air.in_range = True

    air = memory.Air()
    for side in both(air, meanwhile=leave):
        assert side.link.stats["connections"] == 1


def test_a_board_that_loses_its_power_gets_the_rest_after_its_restart():
    async def main():
        a, b = pair(air)

        async def live():
            async with a.link:
                for number in range(400):
                    await a.link.send(str(number))
                    await asyncio.sleep(0.005)
                await a.link.recv()

        living = asyncio.create_task(live())
        dying = asyncio.create_task(b.exchange(0, 400))
        while len(b.received) < 100:
            await asyncio.sleep(0.01)
        air.power_off(b.link)
        with pytest.raises(picolink.LinkClosedError, match="has lost its power"):
            await dying
        await asyncio.sleep(1.9)
        assert a.link.connected  # it has not noticed yet
        again = Side("connect", air)
        async with again.link:
            while not again.received or again.received[-1] < 399:
                again.received.append(int(await again.link.recv()))
            await again.link.send("thanks")
            await living
        return a, b, again

    air = memory.Air()
    a, b, again = virtual_time.run(main())
    assert "peer restarted" in a.events
    assert "restarted" in again.events
    assert b.received == list(range(len(b.received)))
    assert again.received == list(range(again.received[0], 400))
    assert again.received[0] <= len(b.received)


def test_a_full_radio_slows_the_sender_down():
    async def main():
        a, b = pair(memory.Air(queue=1))
        await asyncio.gather(a.exchange(300), b.exchange(300))
        return a

    assert virtual_time.run(main()).received == list(range(300))


def test_a_board_of_its_own_has_one_link_and_turns_others_away():
    async def main():
        a = Side("advertise", air.board("left"))
        b = Side("connect", air.board("right"))
        other = Side("connect", air.board("another"))
        opened = asyncio.gather(a.link.open(), b.link.open())
        await opened
        with pytest.raises(RuntimeError, match="one connection"):
            await picolink.connect("PicoB", radio=air.board("right")).open()
        looking = asyncio.create_task(other.link.open())
        air.drop()
        await asyncio.sleep(20)
        assert a.link.connected
        assert b.link.connected
        assert not looking.done()
        looking.cancel()
        await asyncio.gather(a.link.close(), b.link.close())

    air = memory.Air()
    virtual_time.run(main())


def test_a_radio_for_all_links():
    picolink.radio.use(memory.Air())
    try:
        a, b = pair(None)

        async def main():
            await asyncio.gather(a.exchange(10), b.exchange(10))

        virtual_time.run(main())
    finally:
        picolink.radio.use(None)
    assert a.received == list(range(10))
