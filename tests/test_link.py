"""The link between virtual boards: real programs in real MicroPython processes on the modelled radio."""

import asyncio
import contextlib
import json
import re
from pathlib import Path

import pytest
from picolink_pc.boards import Bench
from picolink_pc.radio.air import RadioSettings

PROGRAMS = Path(__file__).parent / "programs"
NUMBERS = PROGRAMS / "numbers.py"
PAIRS = [("native", "native"), ("python", "python"), ("native", "python"), ("python", "native")]


@pytest.fixture
def pair(stack):
    """async with pair(engines, **radio settings) as (bench, a, b): a radio and two boards on it, off."""

    @contextlib.asynccontextmanager
    async def set_up(engines=("native", "native"), **settings):
        async with Bench(RadioSettings(**settings), **stack) as bench:
            yield bench, bench.board("A", engines[0]), bench.board("B", engines[1])

    return set_up


async def start(board, role, **options):
    await board.start(NUMBERS, role, json.dumps(options))


async def stats(board):
    return json.loads((await board.line("^stats ")).removeprefix("stats "))


def numbers(board, since=0):
    """The numbers that a board has printed, from line `since` on."""
    return [int(line.split()[1]) for line in board.output[since:] if re.fullmatch(r"got \d+", line)]


async def finish(board, received):
    """Wait until the board has everything, in order, and has closed. Returns its stats."""
    assert await board.line("^received ") == f"received {received} in order"
    result = await stats(board)
    assert await board.exit_code(30) == 0
    assert not [line for line in board.output if "damaged" in line or "Traceback" in line]
    return result


@pytest.mark.parametrize("engines", PAIRS, ids="-".join)
@pytest.mark.parametrize("mtu", [23, 247])
def test_both_ways_at_once(run, pair, stack, engines, mtu):
    async def scenario():
        async with pair(engines, mtu=mtu) as (_, a, b):
            await start(a, "advertise", send=500, expect=400)
            await start(b, "connect", send=400, expect=500)
            assert await a.line("^engine") == f"engine {engines[0]}"
            assert await b.line("^engine") == f"engine {engines[1]}"
            for board, expected in ((a, 400), (b, 500)):
                result = await finish(board, expected)
                assert result["messages_received"] == expected
                assert result["irq_errors"] == result["corrupt"] == 0
                assert stack["micropython"] or f"MTU {mtu}" in board.output[0]  # a real stack has its own

    run(scenario())


@pytest.mark.parametrize("engines", PAIRS[:2], ids="-".join)
@pytest.mark.parametrize(("size", "ring"), [(4, 256), (1000, 1024), (8188, 8192), (32764, 32768)])
def test_sizes_up_to_what_the_ring_holds(run, pair, engines, size, ring):
    async def scenario():
        async with pair(engines, interval_ms=7.5) as (_, a, b):
            link = {"tx_size": ring, "rx_size": ring}
            await start(a, "advertise", send=4, expect=3, size=size, link=link)
            await start(b, "connect", send=3, expect=4, size=size, link=link)
            await finish(a, 3)
            await finish(b, 4)

    run(scenario())


@pytest.mark.parametrize("engines", PAIRS[:2], ids="-".join)
def test_a_burst_without_waiting(run, pair, engines):
    async def scenario():
        async with pair(engines) as (_, a, b):
            await start(a, "advertise", send=1000, expect=1000, nowait=True, quiet=True)
            await start(b, "connect", send=1000, expect=1000, nowait=True, quiet=True)
            await finish(a, 1000)
            await finish(b, 1000)

    run(scenario())


@pytest.mark.parametrize("engines", PAIRS[:2], ids="-".join)
@pytest.mark.parametrize("slow", ["advertise", "connect"])
def test_a_slow_reader_slows_the_sender(run, pair, engines, slow):
    """40 kB into a ring of 1 KiB that is read every 10 ms: credit runs out all the time, nothing is lost."""

    async def scenario():
        async with pair(engines) as (_, a, b):
            reader = {"send": 0, "expect": 400, "read_ms": 10, "quiet": True, "link": {"rx_size": 1024}}
            sender = {"send": 400, "expect": 0, "size": 100}
            await start(a, "advertise", **(reader if slow == "advertise" else sender))
            await start(b, "connect", **(sender if slow == "advertise" else reader))
            result = await finish(a if slow == "advertise" else b, 400)
            assert result["overruns"] == result["gaps"] == 0

    run(scenario())


@pytest.mark.parametrize("engines", PAIRS[:2], ids="-".join)
def test_a_radio_drop_loses_nothing_and_doubles_nothing(run, pair, engines):
    async def scenario():
        async with pair(engines) as (bench, a, b):
            await start(a, "advertise", send=2000, expect=2000, pause_ms=2)
            await start(b, "connect", send=2000, expect=2000, pause_ms=2)
            await a.line("got 300")
            bench.radio.in_range = False
            for board in (a, b):
                await board.line("event disconnected")
            bench.radio.in_range = True
            for board in (a, b):
                result = await finish(board, 2000)
                assert result["connections"] >= 2
                assert result["peer_restarts"] == 0
                assert numbers(board) == list(range(2000))

    run(scenario())


@pytest.mark.parametrize("engines", PAIRS[:2], ids="-".join)
@pytest.mark.parametrize("victim", ["A", "B"])
def test_a_board_that_loses_power_gets_the_rest_after_its_restart(run, pair, engines, victim):
    async def scenario():
        async with pair(engines) as (_, a, b):
            await start(a, "advertise", send=3000, expect=3000, pause_ms=1, link={"rx_size": 1024})
            await start(b, "connect", send=3000, expect=3000, pause_ms=1, link={"rx_size": 1024})
            dead, living = (a, b) if victim == "A" else (b, a)
            await dead.line("got 500")
            await dead.kill()
            lines = len(dead.output)
            before = numbers(dead)
            await dead.restart()
            await living.line("event peer restarted", timeout=60)
            await dead.line("event restarted", timeout=60)
            await living.line("flushed", timeout=60)
            await dead.line(r"got 2999\b", timeout=60)
            after = numbers(dead, lines)
            # In order, to the end, from the first message that the dead board had not acknowledged: what lay
            # unread in its ring of 1024 bytes is lost, at most 52 messages of 20 bytes.
            assert after == list(range(after[0], 3000))
            assert before[-1] - 52 <= after[0] <= before[-1] + 1 + 52
            # The living board got the dead one's first messages, and then all of the new session's.
            got = numbers(living)
            again = len(got) - 1 - got[::-1].index(0)
            assert got[:again] == list(range(again))
            assert got[again:] == list(range(len(got) - again))

    run(scenario())


def test_nobody_of_that_name_is_a_message_and_a_retry(run, pair):
    async def scenario():
        async with pair() as (_, a, b):
            await start(a, "advertise", name="Somebody else", send=0, expect=1)
            await start(b, "connect", name="Wanted", send=1, expect=0)
            assert "no board named 'Wanted' in sight" in await b.line("event not found")
            await a.kill()
            await start(a, "advertise", name="Wanted", send=0, expect=1)
            await finish(a, 1)
            await finish(b, 0)

    run(scenario())


def test_a_link_stays_with_its_board_when_another_has_the_same_name(run, pair):
    async def scenario():
        async with pair() as (bench, a, b):
            await start(a, "advertise", send=3000, expect=1, pause_ms=1)
            await start(b, "connect", send=0, expect=3000)
            await b.line("got 200")
            other = bench.board("other A")
            await a.kill()
            await start(other, "advertise", send=10, expect=1)
            await b.line("event disconnected")
            await a.restart()
            await b.line("event peer restarted", timeout=60)
            await b.line("got 2000", timeout=60)
            assert not numbers(other)
            assert not [line for line in other.output if "connected" in line]

    run(scenario())


def test_a_stranger_is_turned_away_and_a_silent_one_is_hung_up_on(run, pair):
    async def scenario():
        async with pair() as (bench, a, b):
            stranger = bench.board("stranger")
            await start(a, "advertise", send=1500, expect=1500, pause_ms=1)
            # Before there is a peer, a stranger that says nothing is borne for 5 s.
            await stranger.start(PROGRAMS / "stranger.py", "Numbers")
            await stranger.line("connected")
            await stranger.line("disconnected")
            await stranger.kill()
            await start(b, "connect", send=1500, expect=1500, pause_ms=1)
            await b.line("got 100")
            # With a peer that is only out of reach for a while, a stranger is turned away at once.
            bench.radio.in_range = False
            await a.line("event disconnected")
            await b.line("event disconnected")
            b.freeze()
            bench.radio.in_range = True
            await stranger.restart()
            await stranger.line("connected")
            await stranger.line("disconnected")
            await stranger.kill()
            b.thaw()
            assert (await finish(a, 1500))["strangers"] >= 1
            await finish(b, 1500)

    run(scenario())


@pytest.mark.parametrize("engine", ["native", "python"])
def test_noise_is_counted_and_the_real_peer_served_after_it(run, pair, engine):
    async def scenario():
        async with pair((engine, engine)) as (bench, a, b):
            await start(a, "advertise", send=10, expect=10)
            stranger = bench.board("stranger")
            await stranger.start(PROGRAMS / "noise.py", "Numbers")
            assert "protocol version 9" in await a.line("event refused")
            assert await stranger.exit_code(30) == 0
            await start(b, "connect", send=10, expect=10)
            result = await finish(a, 10)
            assert result["corrupt"] >= 100
            assert result["malformed"] == 1
            assert result["irq_errors"] == 0
            await finish(b, 10)

    run(scenario())


def test_messages_that_the_restarted_peer_cannot_hold_are_reported(run, pair):
    async def scenario():
        async with pair() as (_, a, b):
            await start(a, "advertise", send=20, expect=1, size=2000, pause_ms=200)
            await start(b, "connect", send=0, expect=20)
            await b.line("got 3")
            await b.kill()
            await start(b, "connect", send=1, expect=20, link={"rx_size": 1024})
            assert "removed" in await a.line("event too large")
            await a.line("the link has failed|ValueError: a message of 2000 bytes")

    run(scenario())


def test_a_frozen_board_goes_on_where_it_was(run, pair):
    async def scenario():
        async with pair() as (_, a, b):
            await start(a, "advertise", send=2000, expect=2000, pause_ms=1)
            await start(b, "connect", send=2000, expect=2000, pause_ms=1)
            await b.line("got 300")
            b.freeze()
            await asyncio.sleep(3)
            b.thaw()
            await finish(a, 2000)
            await finish(b, 2000)

    run(scenario())


@pytest.mark.parametrize("engine", ["native", "python"])
@pytest.mark.parametrize("program", ["closing", "cancelling", "arguments", "draining"])
def test_program(run, pair, program, engine):
    """Programs that check one property of the API on both boards, and print "ok"."""

    async def scenario():
        async with pair((engine, engine)) as (_, a, b):
            await a.start(PROGRAMS / f"{program}.py", "advertise")
            await b.start(PROGRAMS / f"{program}.py", "connect")
            await a.line("^ok$")
            await b.line("^ok$")
            assert await a.exit_code(30) == 0
            assert await b.exit_code(30) == 0

    run(scenario())
