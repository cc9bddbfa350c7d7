"""The link between virtual boards: real programs in real MicroPython processes on the modelled radio."""

import asyncio
import contextlib
import json
import re
import signal
from pathlib import Path

import pytest
from picolink_pc.boards import Room
from picolink_pc.radio.air import RadioSettings
from picolink_pc.radio_door import RadioDoor

pytestmark = pytest.mark.slow

PROGRAMS = Path(__file__).parent / "programs"
NUMBERS = PROGRAMS / "numbers.py"
EXAMPLES = PROGRAMS.parents[1] / "examples"
HEAP = 500_000  # bytes: of a virtual board, whose pointers have 64 bits, about what a Pico W has
BOARD_B = pytest.param("B", marks=pytest.mark.board_central)
MEETING = pytest.param(("meet", "meet"), marks=pytest.mark.board_central, id="meeting")  # a PC cannot
PAIRS = [("native", "native"), ("python", "python"), ("native", "python"), ("python", "native")]


@pytest.fixture
def pair(stack, pytestconfig, monkeypatch, tmp_path):
    """async with pair(engines, **radio settings) as (room, a, b): a radio and two boards on it, off.

    Which of them connects is b; with --central pc it is a PC.
    """
    for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))

    @contextlib.asynccontextmanager
    async def set_up(engines=(None, None), **settings):
        async with Room(RadioSettings(**settings), **stack) as room:
            a = room.board("A", engines[0])
            if pytestconfig.getoption("central") == "board":
                yield room, a, room.board("B", engines[1])
                return
            async with RadioDoor(room.radio) as door:
                yield room, a, room.pc("B", door.file, engines[1])

    return set_up


@pytest.fixture
def standin(stack):
    """For tests that need the stand-in.

    A real stack does not stall on demand, has no watchdog, and MicroPython's port of BTstack writes to
    address 0 when it notifies and the heap is full.
    """
    if stack["micropython"] or "firmware" in stack:
        pytest.skip("needs the stand-in")


@pytest.fixture
def micropython_heap():
    """For tests of a full heap: conftest.py deselects them where CPython runs the boards."""


async def start(board, role, **options):
    await board.start(NUMBERS, role, json.dumps(options))


async def stats(board):
    return json.loads((await board.line("^stats ")).removeprefix("stats "))


async def counts(board):
    """What faults.py has done on a board."""
    return json.loads((await board.line("^faults ")).removeprefix("faults "))


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
                assert (result["rssi"] is None) == (board is a)  # who has scanned knows it
                real = stack["micropython"] or "firmware" in stack  # which has its own
                connected = [line for line in board.output if "event connected" in line]
                assert real or f"MTU {mtu}" in connected[0]

    run(scenario())


@pytest.mark.parametrize("engines", PAIRS[:2], ids="-".join)
@pytest.mark.parametrize(("size", "ring"), [(4, 256), (1000, 1024), (8188, 8192), (32764, 32768)])
def test_sizes_up_to_what_the_ring_holds(run, pair, stack, engines, size, ring):
    if "firmware" in stack and ring > 8192:
        pytest.skip("the program's messages do not fit the heap of a Pico W beside such rings")

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
@pytest.mark.parametrize("roles", [("advertise", "connect"), MEETING], ids="-".join)
def test_a_radio_drop_loses_nothing_and_doubles_nothing(run, pair, roles, engines):
    async def scenario():
        async with pair(engines) as (room, a, b):
            await start(a, roles[0], send=2000, expect=2000, pause_ms=2)
            await start(b, roles[1], send=2000, expect=2000, pause_ms=2)
            await a.line("got 300")
            room.radio.in_range = False
            for board in (a, b):
                await board.line("event disconnected")
            room.radio.in_range = True
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
            assert "no board has connected to 'Somebody else'" in await a.line("event not found")
            await a.kill()
            await start(a, "advertise", name="Wanted", send=0, expect=1)
            await finish(a, 1)
            await finish(b, 0)

    run(scenario())


def test_a_link_stays_with_its_board_when_another_has_the_same_name(run, pair):
    async def scenario():
        async with pair() as (room, a, b):
            await start(a, "advertise", send=3000, expect=1, pause_ms=1)
            await start(b, "connect", send=0, expect=3000)
            await b.line("got 200")
            other = room.board("other A")
            await a.kill()
            await start(other, "advertise", send=10, expect=1)
            await b.line("event disconnected")
            await b.line("event refused: this is not the board that the link has met")
            await other.line("event refused: the other board has another partner")
            await a.restart()
            await b.line("event peer restarted", timeout=60)
            await b.line("got 2000", timeout=60)
            assert not numbers(other)
            assert not [line for line in other.output if "event connected" in line]

    run(scenario())


def test_a_silent_stranger_is_hung_up_on(run, pair):
    async def scenario():
        async with pair() as (room, a, b):
            stranger = room.board("stranger")
            await start(a, "advertise", send=1500, expect=1500, pause_ms=1)
            # A stranger that says nothing is borne for 5 s, before the boards have met ...
            await stranger.start(PROGRAMS / "stranger.py", "Numbers")
            await stranger.line("connected")
            await stranger.line("disconnected")
            await stranger.kill()
            await start(b, "connect", send=1500, expect=1500, pause_ms=1)
            await b.line("got 100")
            # ... and when the partner is only out of reach for a while.
            room.radio.in_range = False
            await a.line("event disconnected")
            await b.line("event disconnected")
            b.freeze()
            room.radio.in_range = True
            await stranger.restart()
            await stranger.line("connected")
            await stranger.line("disconnected")
            await stranger.kill()
            b.thaw()
            assert (await finish(a, 1500))["silences"] >= 2
            await finish(b, 1500)

    run(scenario())


def test_a_stranger_whose_name_is_not_utf_8_does_not_end_the_scan(run, pair):
    async def scenario():
        async with pair() as (room, a, b):
            stranger = room.board("stranger")
            await stranger.start(PROGRAMS / "bad_name.py")
            await start(b, "connect", name="Wanted", send=1, expect=0)
            await b.line("event not found")  # a whole scan with the stranger in sight
            await start(a, "advertise", name="Wanted", send=0, expect=1)
            await finish(a, 1)
            await finish(b, 0)
            assert not [line for line in b.output if "event not connected" in line]

    run(scenario())


@pytest.mark.parametrize("engine", ["native", "python"])
def test_noise_is_counted_and_the_real_peer_served_after_it(run, pair, engine):
    async def scenario():
        async with pair((engine, engine)) as (room, a, b):
            await start(a, "advertise", send=10, expect=10)
            stranger = room.board("stranger")
            await stranger.start(PROGRAMS / "noise.py", "Numbers")
            assert "protocol version 9" in await a.line("event refused")
            assert await stranger.exit_code(30) == 0
            await start(b, "connect", send=10, expect=10)
            result = await finish(a, 10)
            assert result["corrupt"] + result["early"] >= 100
            assert result["malformed"] == 1
            assert result["irq_errors"] == 0
            await finish(b, 10)

    run(scenario())


def test_closing_waits_while_a_large_message_is_on_its_way(run, pair):
    async def scenario():
        async with pair(loss=0.15) as (_, a, b):
            await a.start(PROGRAMS / "large_at_the_end.py", "advertise")
            await b.start(PROGRAMS / "large_at_the_end.py", "connect")
            await a.line("^ok$")
            await b.line("^ok$")

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


@pytest.mark.board_central
@pytest.mark.usefixtures("micropython_heap")
@pytest.mark.usefixtures("standin")
@pytest.mark.parametrize("engine", ["native", "python"])
def test_a_heap_used_up_at_random_moments_costs_no_message(run, pair, engine):
    async def scenario():
        async with pair((engine, engine)) as (room, a, b):
            await a.start(PROGRAMS / "memory.py", "advertise", "100", heap=HEAP)
            await b.start(PROGRAMS / "memory.py", "connect", "100", heap=HEAP)
            await a.line("received some", timeout=60)
            room.radio.in_range = False
            await asyncio.sleep(3)
            room.radio.in_range = True
            short = 0
            for board in (a, b):
                await board.line("received 100", timeout=110)
                result = await stats(board)
                faults = await counts(board)
                assert faults["escaped"] == 0
                short += faults["short"]
                assert await board.exit_code(30) == 0
                if board is a:  # it allocates to read a write; a central has its notification
                    assert result["irq_errors"] > 0
            assert short > 0

    run(scenario())


@pytest.mark.board_central
@pytest.mark.usefixtures("micropython_heap")
@pytest.mark.parametrize("engines", PAIRS[:2], ids="-".join)
def test_handlers_without_memory_cost_no_message(run, pair, engines):
    """A quarter of the events is handled with the heap locked: so many packets to the peripheral are lost."""

    async def scenario():
        async with pair(engines) as (_, a, b):
            for board, role in ((a, "advertise"), (b, "connect")):
                await start(board, role, send=1000, expect=1000, faults={"locked": 4})
            for board in (a, b):
                await finish(board, 1000)
                faults = await counts(board)
                assert faults["escaped"] == 0
                assert faults["short"] > 5

    run(scenario())


@pytest.mark.board_central
def test_events_that_are_switched_off_are_switched_on_again(run, pair):
    async def scenario():
        async with pair() as (_, a, b):
            await start(a, "advertise", send=500, expect=500, pause_ms=5, off_ms=300)
            await start(b, "connect", send=500, expect=500, pause_ms=5, off_ms=300)
            await finish(a, 500)
            await finish(b, 500)

    run(scenario())


@pytest.mark.parametrize("deaf", ["A", BOARD_B])
def test_a_drop_that_a_board_has_not_heard_of(run, pair, deaf):
    """Its events are off, and its program takes the processor, while the connection ends."""

    async def scenario():
        async with pair() as (room, a, b):
            victim, other = (a, b) if deaf == "A" else (b, a)
            listens = {"send": 0, "expect": 40, "faults": {}, "deaf": [10, 4000]}
            sends = {"send": 40, "expect": 0, "pause_ms": 100}
            await start(a, "advertise", **(listens if victim is a else sends))
            await start(b, "connect", **(listens if victim is b else sends))
            await victim.line("^deaf$")
            room.radio.in_range = False
            await other.line("event disconnected")
            room.radio.in_range = True
            await victim.line("event disconnected")
            await finish(victim, 40)

    run(scenario())


@pytest.mark.board_central
@pytest.mark.parametrize("interrupted", ["A", "B"])
def test_ctrl_c_in_a_handler(run, pair, interrupted):
    async def scenario():
        async with pair() as (_, a, b):
            for board, role in ((a, "advertise"), (b, "connect")):
                extra = ["interrupt"] if board.name == interrupted else []
                await board.start(PROGRAMS / "interrupted.py", role, *extra)
            await {"A": a, "B": b}[interrupted].line("^ok$")

    run(scenario())


@pytest.mark.board_central
@pytest.mark.parametrize("errno", [11, 12, 16, 114])
def test_a_stack_that_is_full_gets_the_packet_later(run, pair, errno):
    """EAGAIN, ENOMEM, EBUSY, EALREADY: the connection stays."""

    async def scenario():
        async with pair() as (_, a, b):
            for board, role in ((a, "advertise"), (b, "connect")):
                await start(board, role, send=300, expect=300, pause_ms=2, faults={"refused": [3, errno]})
            for board in (a, b):
                result = await finish(board, 300)
                assert result["connections"] == 1
                assert (await counts(board))["refusals"] > 10

    run(scenario())


@pytest.mark.board_central
@pytest.mark.parametrize("errno", [5, 19, 22, 107, 110])
def test_a_stack_that_fails_gets_a_new_connection(run, pair, errno):
    """EIO, ENODEV, EINVAL, ENOTCONN, ETIMEDOUT: the board hangs up and connects again."""

    async def scenario():
        async with pair() as (_, a, b):
            for board, role in ((a, "advertise"), (b, "connect")):
                await start(board, role, send=300, expect=300, pause_ms=5, faults={"refused": [50, errno]})
            total = 0
            for board in (a, b):
                result = await finish(board, 300)
                total += (await counts(board))["refusals"]
                assert result["peer_restarts"] == 0
            assert total > 0
            assert result["connections"] > 1

    run(scenario())


@pytest.mark.parametrize("victim", ["A", BOARD_B])
@pytest.mark.usefixtures("standin")
def test_a_stack_that_stalls_after_a_reconnect(run, pair, victim):
    """It accepts packets and sends none (btstack#740): noticed, and mended by the next connection."""

    async def scenario():
        async with pair() as (room, a, b):
            stalled, other = (a, b) if victim == "A" else (b, a)
            await start(a, "advertise", send=1500, expect=1500, pause_ms=2)
            await start(b, "connect", send=1500, expect=1500, pause_ms=2)
            await a.line("got 100")
            room.radio.in_range = False
            for board in (a, b):
                await board.line("event disconnected")
            stalled.host.stalls = 1
            room.radio.in_range = True
            await other.line("event connected")
            assert "says nothing" in await other.line("event disconnected")
            assert stalled.host.stalls == 0
            for board in (a, b):
                result = await finish(board, 1500)
                assert result["connections"] >= 3
                assert result["stack_restarts"] == 0

    run(scenario())


@pytest.mark.parametrize("victim", ["A", BOARD_B])
@pytest.mark.usefixtures("standin")
def test_a_stack_that_stalls_again_and_again_is_restarted(run, pair, victim):
    async def scenario():
        async with pair() as (room, a, b):
            stalled = a if victim == "A" else b
            await start(a, "advertise", send=1500, expect=1500, pause_ms=2)
            await start(b, "connect", send=1500, expect=1500, pause_ms=2)
            await a.line("got 100")
            room.radio.in_range = False
            for board in (a, b):
                await board.line("event disconnected")
            stalled.host.stalls = 1000
            room.radio.in_range = True
            await stalled.line("got 1499", timeout=100)
            results = [await finish(board, 1500) for board in (a, b)]
            assert results["AB".index(victim)]["stack_restarts"] == 1

    run(scenario())


def test_a_peer_that_does_not_read_is_no_stall(run, pair):
    async def scenario():
        async with pair() as (room, a, b):
            await a.start(PROGRAMS / "not_reading.py", "advertise")
            await b.start(PROGRAMS / "not_reading.py", "connect")
            for _ in range(3):
                await asyncio.gather(a.line("picolink: connected"), b.line("picolink: connected"))
                await asyncio.sleep(4.5)  # longer than a stall takes to be one
                room.radio.in_range = False
                await asyncio.gather(a.line("picolink: disconnected"), b.line("picolink: disconnected"))
                room.radio.in_range = True
            await a.line("^ok$")
            await b.line("^ok$")

    run(scenario())


async def start_with_victim(program, a, b, victim):
    """The program on both boards; the one in the role `victim` is told that it is."""
    for board, role in ((a, "advertise"), (b, "connect")):
        await board.start(PROGRAMS / program, role, *(["victim"] if role == victim else []))


@pytest.mark.board_central
@pytest.mark.parametrize("victim", ["advertise", "connect"])
def test_a_link_given_up_as_the_other_board_comes_leaves_no_connection(run, pair, victim):
    async def scenario():
        async with pair() as (_, a, b):
            await start_with_victim("given_up_late.py", a, b, victim)
            await a.line("^ok$")
            await b.line("^ok$")

    run(scenario())


@pytest.mark.board_central
@pytest.mark.usefixtures("micropython_heap")
@pytest.mark.parametrize("victim", ["advertise", "connect"])
def test_a_drop_that_no_task_has_seen_leaves_nothing_on_the_heap(run, pair, victim):
    async def scenario():
        async with pair() as (_, a, b):
            await start_with_victim("dropped_at_once.py", a, b, victim)
            for board in (a, b) if victim == "advertise" else (b, a):  # what the victim measured is told
                await board.line("^ok$")

    run(scenario())


def test_an_idle_link_stays_and_a_dead_peer_is_noticed(run, pair):
    """7 s without a message keep the connection; a peer that freezes meanwhile is noticed all the same."""

    async def scenario():
        async with pair() as (_, a, b):
            await start(a, "advertise", send=3, expect=3, pause_ms=7000)
            await start(b, "connect", send=3, expect=3, pause_ms=7000)
            for board in (a, b):
                await board.line("got 1")
                assert not [line for line in board.output if "event disconnected" in line]
            b.freeze()
            assert "says nothing" in await a.line("event disconnected")
            b.thaw()
            await finish(a, 3)
            await finish(b, 3)

    run(scenario())


@pytest.mark.usefixtures("standin")
@pytest.mark.parametrize("trouble", ["alone", "hangs"])
def test_an_unattended_board_is_restarted_by_its_watchdog(run, pair, tmp_path, trouble):
    example = (EXAMPLES / "unattended.py").read_text()
    received = 'print("Pico A received:", message)\n'
    hang = '            while link.stats["messages_received"] > 2: pass\n'
    changes = {"alone": ("PATIENCE_S = 600", "PATIENCE_S = 3"), "hangs": (received, received + hang)}
    assert changes[trouble][0] in example
    program = tmp_path / "main.py"
    program.write_text(example.replace(*changes[trouble]))

    async def scenario():
        async with pair() as (_, a, b):
            await a.start(program)
            await b.start(EXAMPLES / "pico_b.py")
            await a.line("received: Hello from Pico B!")
            if trouble == "alone":
                for _ in range(3):
                    await a.line("received: Hello from Pico B!")
                await b.kill()
            assert await a.exit_code(60) in (-signal.SIGALRM, 128 + signal.SIGALRM)

    run(scenario())


@pytest.mark.parametrize("kind", ["garbage", "forged"])
@pytest.mark.parametrize("engine", ["native", "python"])
def test_a_stranger_that_floods_is_hung_up_on_and_takes_no_memory(run, pair, engine, kind):
    async def heap_in_use(board):
        looks = []  # the least of five, when nobody is connected
        begin = len(board.output)
        while len(looks) < 5:
            await board.line("^heap")
            looks = [int(line.split()[1]) for line in board.output[begin:] if line.startswith("heap")]
        return min(looks)

    async def scenario():
        async with pair((engine, engine)) as (room, a, b):
            await start(a, "advertise", send=100, expect=100, heap=True)
            heaps = []
            for visits in (1, 4):
                stranger = room.board("stranger")
                await stranger.start(PROGRAMS / "flood.py", "Numbers", kind, str(visits))
                for _ in range(visits):
                    assert int((await stranger.line("^hung up on")).split()[-2]) > 100
                assert await stranger.exit_code(30) == 0
                heaps.append(await heap_in_use(a))
            assert heaps[1] - heaps[0] < 512
            await start(b, "connect", send=100, expect=100)
            result = await finish(a, 100)
            assert result["packets_received"] > 400
            assert result["irq_errors"] == 0
            await finish(b, 100)

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
@pytest.mark.parametrize(
    "program",
    [
        "after_ctrl_c",
        pytest.param("arguments", marks=pytest.mark.board_central),
        "beside_a_flood",
        "cancelled_at_the_end",
        "cancelling",
        pytest.param("close_cancelled", marks=pytest.mark.board_central),
        pytest.param("closing", marks=pytest.mark.board_central),
        "closing_together",
        "draining",
        pytest.param("giving_up", marks=pytest.mark.board_central),
        "large_among_small",
        "last_words",
        "refused",
        "slow_at_the_end",
        "tasks_in_order",
    ],
)
def test_program(run, pair, stack, program, engine):
    """Programs that check one property of the API on both boards, and print "ok"."""
    if "firmware" in stack and program == "close_cancelled":
        pytest.skip("needs a folder that both boards run in")

    async def scenario():
        async with pair((engine, engine)) as (_, a, b):
            await a.start(PROGRAMS / f"{program}.py", "advertise")
            await b.start(PROGRAMS / f"{program}.py", "connect")
            await asyncio.gather(a.line("^ok$"), b.line("^ok$"))  # the first to fail is the one to hear of
            assert await a.exit_code(30) == 0
            assert await b.exit_code(30) == 0

    run(scenario())


@pytest.mark.board_central
@pytest.mark.parametrize("how", ["handed over", "behind"])
def test_services_of_the_program(run, pair, how):
    """Handed over, they are offered beside the link's; registered behind its back, told and undone."""

    async def scenario():
        async with pair() as (_, a, b):
            await a.start(PROGRAMS / "own_services.py", "advertise", how)
            await b.start(PROGRAMS / "own_services.py", "connect")
            await asyncio.gather(a.line("^ok$"), b.line("^ok$"))
            assert await a.exit_code(30) == 0
            assert await b.exit_code(30) == 0

    run(scenario())
