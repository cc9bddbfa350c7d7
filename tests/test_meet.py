"""picolink.meet(): boards with the same program find each other, in virtual time."""

import asyncio
import random

import picolink
import pytest
import virtual_time
from picolink import meeting
from picolink.radio import bleak, memory


class Board:
    """A board of an air, with a new link after each restart.   told: the events of its links."""

    def __init__(self, air, address, name="Same", **options):
        self.told = []
        self._air = air
        self._radio = air.board(address)
        self._name = name
        self._options = {"engine": "python", "on_event": lambda *event: self.told.append(event)} | options
        self.start()

    def start(self):
        self.link = picolink.meet(self._name, radio=self._radio, **self._options)
        self._opening = asyncio.create_task(self.link.open())

    async def open(self):
        await asyncio.wait_for(self._opening, 10)

    async def power_off(self):
        self._air.power_off(self.link)
        await self.link.close()


def play(main):
    virtual_time.run(main(memory.Air()))


async def open_all(*boards):
    await asyncio.gather(*(board.open() for board in boards))


async def close_all(*boards):
    await asyncio.gather(*(board.link.close() for board in boards))


async def exchange(a, b, text):
    await a.link.send(text)
    await b.link.send(text)
    assert [await a.link.recv(timeout_ms=10_000), await b.link.recv(timeout_ms=10_000)] == [text, text]
    await asyncio.gather(a.link.flush(), b.link.flush())  # else a board that restarts gets it again


def test_two_boards_meet_and_again_after_drops_and_restarts():
    async def main(air):
        a, b = Board(air, "a"), Board(air, "b")
        await open_all(a, b)
        await exchange(a, b, "hello")
        for number in range(20):
            air.drop()
            await exchange(a, b, str(number))
        for number in range(10):
            await a.power_off()
            await asyncio.sleep(random.random())
            a.start()
            await a.open()
            await exchange(a, b, f"again {number}")
        assert a.link.stats["connections"] == 1
        assert b.link.stats["connections"] == 31
        await close_all(a, b)

    play(main)


def test_both_sides_come_to_advertise(monkeypatch):
    """It is not always the same side that is found."""

    async def main(air):
        a, b = Board(air, "a"), Board(air, "b")
        await open_all(a, b)
        joined = []
        real = memory._Role.join
        monkeypatch.setattr(memory._Role, "join", lambda *sides: (joined.append(sides[0]), real(*sides)))
        for number in range(30):
            air.drop()
            await exchange(a, b, str(number))
        assert set(joined[::2]) == {a.link._role, b.link._role}
        await close_all(a, b)

    play(main)


@pytest.mark.parametrize("keyed", [False, True])
def test_pairs_of_other_names_and_a_third_of_the_same_one(keyed):
    async def main(air):
        key = {"key": bytes(range(16))} if keyed else {}
        pairs = [[Board(air, f"{side} {pair}", f"Pair {pair}", **key) for side in "ab"] for pair in range(4)]
        for pair in pairs:
            await open_all(*pair)
        third = Board(air, "c", "Pair 0", **key)
        for number in range(5):
            air.drop()
            await asyncio.gather(*(exchange(*pair, str(number)) for pair in pairs))
            await asyncio.sleep(1)
        assert not third.link.connected
        await third.link.close()
        await asyncio.gather(*(close_all(*pair) for pair in pairs))

    play(main)


def test_a_pair_stays_a_pair(monkeypatch, tmp_path):
    """With remember=True a third board of the same name gets none of the two, also while one has no power."""
    monkeypatch.setattr(memory._Role, "folder", "")

    def board(air, address):
        memory._Role.folder = f"{tmp_path}/{address}-"
        board = Board(air, address, remember=True)
        board.link._role.folder = memory._Role.folder
        return board

    async def main(air):
        a, b = board(air, "a"), board(air, "b")
        await open_all(a, b)
        third = Board(air, "c")
        for number in range(5):
            await exchange(a, b, str(number))
            await b.power_off()
            await asyncio.sleep(5)
            b = board(air, "b")
            await b.open()
        await exchange(a, b, "still")
        assert not third.link.connected
        assert third.link.stats["connections"] == 0
        assert "refused" in [event for event, _ in third.told]
        await close_all(a, b)
        await third.link.close()

    play(main)


@pytest.mark.parametrize("way", ["advertise", "connect"])
def test_a_board_that_meets_and_one_that_does_not(way):
    async def main(air):
        a = Board(air, "a")
        other = getattr(picolink, way)("Same", radio=air, engine="python", timeout_ms=10_000)
        async with other:
            await a.open()
            for number in range(5):
                await other.send(number)
                assert await a.link.recv(timeout_ms=5000) == number
                air.drop()
        await a.link.close()

    play(main)


def test_time_to_meet():
    """Half of them in 2 s, 95 % in 5 s, whatever boards do meanwhile."""

    async def meet(air):
        a = Board(air, "a")
        await asyncio.sleep(2 * random.random())
        began = asyncio.get_running_loop().time()
        b = Board(air, "b")
        await open_all(a, b)
        await close_all(a, b)
        return asyncio.get_running_loop().time() - began

    async def main(air):
        times = sorted([await meet(air) for _ in range(100)])
        assert times[50] < 2
        assert times[95] < 5

    random.seed(1)
    play(main)


def test_who_meets_nobody_says_so():
    async def main(air):
        a, b = Board(air, "a", "A"), Board(air, "b", "B")
        for board in (a, b):
            with pytest.raises(asyncio.TimeoutError):
                await board.open()
        await asyncio.sleep(1)
        assert a.told[0] == ("not found", "no board named 'A' in sight, still looking; in sight: 'B'")
        assert len(a.told) == 1

    play(main)


def test_phases_differ():
    """Boards that always did the same thing at the same time would never meet."""

    class Role:
        name = "A"

        def __init__(self):
            self.phases = []

        async def look(self, ms, _others):
            self.phases.append(("look", ms))
            await asyncio.sleep(ms / 1000)
            return len(self.phases) > 200

        async def wait(self, ms):
            return await self.look(ms, None) if self.phases.append(("wait", ms)) else False

    async def main(air):
        role = Role()
        policy = picolink.meet("A", radio=air)._policy
        await asyncio.wait_for(meeting.meet(role, policy), 100)
        kinds, times = zip(*role.phases, strict=True)
        assert kinds.count("look") > 90
        assert kinds.count("wait") > 90
        assert min(times) < 200
        assert max(times) > 600
        assert len(set(times)) > 80

    play(main)


def test_a_pc_says_what_it_can():
    with pytest.raises(NotImplementedError, match=r"picolink.connect\('A'\) finds a board that meets"):
        picolink.meet("A", radio=bleak.Radio())
