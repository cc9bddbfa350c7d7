"""A PC as the other end: bleak itself, on a Bumble host and the virtual radio, against virtual boards."""

import asyncio
import json
import re
import struct
import time
from pathlib import Path

import picolink
import pytest
from picolink_pc import virtual_adapter
from picolink_pc.boards import Room
from picolink_pc.products import EXAMPLES
from picolink_pc.radio.air import RadioSettings

pytestmark = pytest.mark.slow

NUMBERS = Path(__file__).parent / "programs" / "numbers.py"
ADDRESS = "28:CD:C1:00:01:{:02X}"


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    """Nothing is kept for the user who tests."""
    for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    return tmp_path


@pytest.fixture
def room(run):
    """room(scenario): run `async scenario(room, radio)`; `radio` is the PC's adapter."""

    def play(scenario, **settings):
        async def in_room():
            async with Room(RadioSettings(**settings)) as room:
                await scenario(room, virtual_adapter.on(room.radio, ADDRESS.format(1)))

        run(in_room())

    return play


class Side:
    """The PC's side of a link: what it was told."""

    def __init__(self, name, radio, **options):
        self.told = []
        self.link = picolink.connect(
            name, radio=radio, on_event=lambda *told: self.told.append(told), **options
        )

    @property
    def events(self):
        return [event for event, _ in self.told]

    async def until(self, event, timeout_s=20):
        """Wait until it was told this; returns the detail."""
        async with asyncio.timeout(timeout_s):
            while True:
                for told, detail in self.told:
                    if told == event:
                        self.told.remove((told, detail))
                        return detail
                await asyncio.sleep(0.02)


def message(number, size=18):
    """As tests/programs/numbers.py has it."""
    return struct.pack("<I", number) + bytes((number + i) & 0xFF for i in range(size - 4))


async def exchange(link, count, pause_s=0.0):
    """Send `count` numbers, and receive numbers until the last one; returns those."""
    got = []

    async def send():
        for number in range(count):
            await link.send(message(number), number & 15)
            if pause_s:
                await asyncio.sleep(pause_s)

    async def receive():
        while not got or got[-1] < count - 1:
            for data in await link.drain():
                number = struct.unpack_from("<I", data)[0]
                assert (data, link.channel) == (message(number), number & 15)
                got.append(number)

    await asyncio.gather(send(), receive())
    await link.flush()
    return got


def test_greeting_with_the_unchanged_example(room):
    async def scenario(room, radio):
        board = room.board("PicoA")
        await board.start(EXAMPLES / "pico_a.py")
        side = Side("PicoA", radio)
        async with side.link as link:
            await link.send("Hello from the PC!")
            assert await link.recv(timeout_ms=5000) == "Hello from Pico A!"
            await board.line("Pico A received: Hello from the PC!")
        await board.line("disconnected: closing")
        assert await board.exit_code(10) == 0
        assert side.events == ["connected", "disconnected"]
        assert "MTU 247" in side.told[0][1]

    room(scenario)


def test_a_board_that_meets_is_found_and_found_again(room):
    async def scenario(room, radio):
        board = room.board("Twin")
        await board.start(EXAMPLES / "same_program.py")
        side = Side("Twins", radio, timeout_ms=20_000)
        async with side.link as link:
            assert -80 < link.stats["rssi"] < -30
            lamp = link.newest(1)
            lamp.send(True)
            await board.line(r"\[LED on\]")
            assert isinstance(await lamp.recv(timeout_ms=5000), bool)
            room.radio.drop()
            await side.until("disconnected")
            assert isinstance(await lamp.recv(timeout_ms=20_000), bool)

    room(scenario)


@pytest.mark.parametrize("engine", ["native", "python"])
def test_full_speed_is_that_of_the_radio(room, engine):
    """Of 1,327 messages/s each way; on a PC that is busy with other tests less."""

    async def scenario(room, radio):
        board = room.board("Blast")
        await board.start(EXAMPLES / "blast.py", "advertise", "3")
        async with Side("Blast", radio, engine=engine).link as link:
            assert link.engine == engine
            began = time.monotonic()
            sent = 0

            async def send():
                nonlocal sent
                while time.monotonic() - began < 3:
                    await link.send(struct.pack("<I", sent) + b" full speed !!")
                    sent += 1
                await link.send(struct.pack("<I", sent), 1)

            async def receive():
                got = []
                while True:
                    for message in await link.drain():
                        if link.channel == 1:
                            return got, struct.unpack("<I", message)[0], time.monotonic() - began
                        got.append(struct.unpack_from("<I", message)[0])

            _, (got, total, seconds) = await asyncio.gather(send(), receive())
            await link.flush()
            assert got == list(range(total))
            score = json.loads((await board.line("^score ")).removeprefix("score "))
            assert (score["received"], score["lost"], score["duplicated"]) == (sent, 0, 0)
            assert len(got) / seconds > 900
            assert score["per_second"] > 900
            assert link.stats["retransmitted"] == 0

    room(scenario)


def test_drops_and_range_lose_nothing(room):
    async def scenario(room, radio):
        board = room.board("A")
        await board.start(NUMBERS, "advertise", json.dumps({"send": 600, "expect": 600, "pause_ms": 5}))
        side = Side("Numbers", radio)

        async def disturb():
            for _ in range(3):
                await side.until("connected")
                await asyncio.sleep(0.2)
                room.radio.drop()
                assert "the connection was lost" in await side.until("disconnected")
            await side.until("connected")
            room.radio.in_range = False
            await side.until("disconnected")
            await board.line("event disconnected")
            room.radio.in_range = True
            await side.until("connected")

        async with side.link as link:
            got, _ = await asyncio.gather(exchange(link, 600, 0.005), disturb())
            assert got == list(range(600))
            assert link.stats["connections"] == 5
            assert await board.line("^received ") == "received 600 in order"

    room(scenario)


def test_a_board_that_restarts_gets_the_rest(room):
    async def scenario(room, radio):
        board = room.board("A")
        await board.start(NUMBERS, "advertise", json.dumps({"send": 300, "expect": 900, "pause_ms": 3}))
        side = Side("Numbers", radio)
        got = []

        async def receive(link):
            while True:
                for data in await link.drain():
                    got.append(struct.unpack_from("<I", data)[0])

        async with side.link as link:
            receiving = asyncio.create_task(receive(link))
            for number in range(100):
                await link.send(message(number), number & 15)
            await board.line("^got 50$")
            await board.restart()
            await side.until("peer restarted")
            for number in range(100, 350):
                await link.send(message(number), number & 15)
            await board.line("^got 349$")
            await board.line("^flushed$")
            receiving.cancel()
        lives = "\n".join(board.output).split("event connected")[1:]
        numbers = [[int(number) for number in re.findall("^got (.*)$", life, re.MULTILINE)] for life in lives]
        assert numbers[0] == list(range(len(numbers[0])))
        assert numbers[1] == list(range(numbers[1][0], 350))
        assert numbers[1][0] <= len(numbers[0])  # nothing between is lost
        # The second life of the board began anew, and all of it came.
        again = len(got) - 1 - got[::-1].index(0)
        assert got[:again] == list(range(again))
        assert got[again:] == list(range(300))

    room(scenario)


def test_a_pc_that_restarts_is_the_same_partner(room):
    """By its identity, which it keeps: the board goes on with it, and turns away another PC."""

    async def scenario(room, radio):
        board = room.board("A")
        await board.start(NUMBERS, "advertise", json.dumps({"send": 1, "expect": 900}))
        first = Side("Numbers", radio)
        await first.link.open()
        await first.link.recv()
        first.link._tasks[0].cancel()
        await first.link._role.hang_up()  # without a word, as a process that is killed
        await first.link._shut("killed")
        second = Side("Numbers", radio)
        async with second.link:
            assert await second.until("restarted")
            await board.line("event peer restarted")

    room(scenario)


def test_two_boards_at_once(room):
    async def scenario(room, radio):
        boards = [room.board(name) for name in ("A", "B")]
        for board in boards:
            options = {"name": board.name, "send": 300, "expect": 300, "pause_ms": 2}
            await board.start(NUMBERS, "advertise", json.dumps(options))

        async def talk(name):
            async with Side(name, radio).link as link:
                return await exchange(link, 300, 0.002)

        assert await asyncio.gather(talk("A"), talk("B")) == [list(range(300))] * 2
        for board in boards:
            assert await board.line("^received ") == "received 300 in order"

    room(scenario)


def test_one_absent_board_does_not_keep_the_other_waiting(room):
    async def scenario(room, radio):
        absent = Side("Nobody", radio)
        looking = asyncio.create_task(absent.link.open())
        await asyncio.sleep(1)
        board = room.board("A")
        await board.start(NUMBERS, "advertise", json.dumps({"name": "A", "send": 1, "expect": 1}))
        async with asyncio.timeout(15):
            async with Side("A", radio).link as link:
                await exchange(link, 1)
        assert "no board named 'Nobody' in sight" in await absent.until("not found")
        looking.cancel()

    room(scenario)
