"""Links with a key: who is served, what is told, and what goes over the air."""

import asyncio
import contextlib
import itertools
import random
import re
import struct
import zlib

import engines
import picolink
import pytest
import virtual_time
from picolink import key as keys
from picolink import pyengine
from picolink.radio import memory

KEY = bytes(range(32))
TEXT = keys.text(KEY)
LINKS = []


class Listener(memory.Air):
    """Air in which somebody listens: all packets, in `heard`."""

    def __init__(self, **options):
        super().__init__(**options)
        self.heard = []


@pytest.fixture
def air(monkeypatch):
    transmit = memory._Role._transmit

    def heard(role, packet):
        role.air.heard.append(bytes(packet))
        transmit(role, packet)

    monkeypatch.setattr(memory._Role, "_transmit", heard)
    return Listener()


def link(way, radio, told=None, engine="python", **options):
    def on_event(event, detail):
        if told is not None:
            told.append((asyncio.get_running_loop().time(), event, detail))

    made = getattr(picolink, way)("PicoA", radio=radio, engine=engine, on_event=on_event, **options)
    LINKS.append(made)
    return made


def run(work):
    async def main():
        try:
            await asyncio.wait_for(work, 3600)
        finally:
            while LINKS:
                await LINKS.pop()._shut("the test is over")

    virtual_time.run(main())


def of(told, event):
    return [detail for _, told_event, detail in told if told_event == event]


async def meet(*links):
    await asyncio.gather(*(each.open(timeout_ms=20_000) for each in links))


async def give_up(*tasks):
    for task in tasks:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.mark.parametrize("engines", list(itertools.product(("python", "native"), repeat=2)))
def test_messages_pass_between_sides_with_the_same_key_and_nobody_reads_them(air, engines):
    secret = b"the door is open"

    async def main():
        a = link("advertise", air, engine=engines[0], key=TEXT)
        b = link("connect", air, engine=engines[1], key=KEY)
        await meet(a, b)
        for i in range(200):
            await a.send(secret + bytes((i,)))
            await b.send(bytes((i,)) + secret)
        for i in range(200):
            assert await b.recv(1000) == secret + bytes((i,))
            assert await a.recv(1000) == bytes((i,)) + secret
        await asyncio.gather(a.close(), b.close())
        assert air.heard
        assert not [packet for packet in air.heard if secret[:8] in packet]

    run(main())


@pytest.mark.parametrize("engine", ["python", "native"])
@pytest.mark.parametrize("way", ["advertise", "connect"])
@pytest.mark.parametrize("other", [False, bytes([7, 9] * 8)])
def test_who_has_another_key_or_none_gets_nothing_and_both_hear_of_it_once(air, engine, way, other):
    async def main():
        told, others = [], []
        a = link(way, air, told, engine, key=KEY)
        b = link("connect" if way == "advertise" else "advertise", air, others, engine, key=other)
        tasks = [asyncio.create_task(each.open()) for each in (a, b)]
        await asyncio.sleep(60)
        assert not a.connected
        assert not b.connected
        assert of(told, "connected") == of(others, "connected") == []
        assert len(of(told, "refused")) == len(of(others, "refused")) == 1
        texts = of(told, "refused") + of(others, "refused")
        if other:
            said = r"the other board, or a stranger in its place, (says that it )?has another key"
            assert all(re.match(said, text) for text in texts)
        else:
            assert "has no key, and was turned away: give" in of(told, "refused")[0]
            assert of(others, "refused")[0].startswith("the other board talks with a key only, and this link")
        await give_up(*tasks)

    run(main())


@pytest.mark.parametrize("engine", ["python", "native"])
def test_who_has_the_key_is_not_led_to_the_board_of_another_name(air, engine):
    """A stranger advertises a name, and passes on what the board of another name says."""

    async def main():
        told = []
        door = link("connect", air, told, engine, key=KEY)
        lamp = picolink.advertise("Lamp", radio=air, engine=engine, key=KEY, on_event=lambda *_: None)
        LINKS.append(lamp)
        lamp._role.name = "PicoA"  # so it seems in the air
        tasks = [asyncio.create_task(each.open()) for each in (door, lamp)]
        await asyncio.sleep(20)
        assert not door.connected
        assert not lamp.connected
        assert "has another key" in of(told, "refused")[0]
        await give_up(*tasks)

    run(main())


def test_a_partner_with_the_key_comes_after_one_without(air):
    async def main():
        a = link("advertise", air.board("A"), key=KEY)
        opening = asyncio.create_task(a.open())
        stranger = link("connect", air.board("S"))
        trying = asyncio.create_task(stranger.open())
        await asyncio.sleep(20)
        assert not stranger.connected
        b = link("connect", air.board("B"), key=KEY)
        await b.open(timeout_ms=15_000)
        await opening
        await b.send(b"it is me")
        assert await a.recv(5000) == b"it is me"
        await give_up(trying)

    run(main())


@pytest.mark.parametrize("engine", ["python", "native"])
def test_packets_too_small_for_a_key_are_told_once(air, engine):
    async def main():
        told = []
        air.mtu = 49
        a, b = link("advertise", air, told, engine, key=KEY), link("connect", air, [], engine, key=KEY)
        tasks = [asyncio.create_task(each.open()) for each in (a, b)]
        await asyncio.sleep(60)
        assert [detail.partition(" (")[0] for detail in of(told, "refused")] == [
            "a link with a key needs an ATT MTU of 50, and this connection has 49"
        ]
        air.mtu = 50
        await asyncio.sleep(10)
        assert a.connected
        assert b.connected
        await give_up(*tasks)

    run(main())


def test_messages_survive_drops(air):
    async def main():
        a, b = link("advertise", air, key=KEY), link("connect", air, key=KEY)
        await meet(a, b)
        air.loss = 0.1

        async def send():
            for i in range(1000):
                await a.send(b"%d" % i)

        sending = asyncio.create_task(send())
        for i in range(1000):
            if i % 250 == 100:
                air.drop()
            assert await b.recv(60_000) == b"%d" % i
        await sending
        assert b.stats["connections"] >= 3

    run(main())


def test_a_link_that_agrees_on_new_keys_tells_nothing(air, monkeypatch):
    monkeypatch.setattr(pyengine, "_COUNTERS_MAX", 300)  # packets under one key

    async def main():
        told = []
        a, b = link("advertise", air, told, key=KEY), link("connect", air, [], key=KEY)
        await meet(a, b)
        for i in range(1000):
            await a.send(b"%d" % i)
            await a.flush()
            assert await b.recv(10_000) == b"%d" % i
        assert a.stats["opened"] >= 4
        assert len(of(told, "connected")) == a.stats["connections"] == 1
        assert a.stats["corrupt"] == b.stats["corrupt"] == 0

    run(main())


class Stranger(memory._Role):
    """Takes the connection when a board advertises, as often as not before its partner, and says nothing."""

    def __init__(self, air, draw):
        super().__init__("Stranger", air.board("S"))
        self.draw = draw
        self.visits = 0
        self.policy = self  # what a link's has: nobody listens
        self.wake = asyncio.Event()

    def adopt(self, *_):
        pass

    async def come(self, role):
        drop = role.drop

        def dropped():
            drop()
            self.wake.set()

        role.drop = dropped
        while True:
            if role.handle >= 0:  # somebody is in: to look each 2 ms would be most of this test's work
                self.wake.clear()
                await self.wake.wait()
            if role.advertising and self.handle < 0:
                # Else the partner is the first that the radio lets in.
                await asyncio.sleep(0.004 if self.draw.random() < 0.5 else 0.012)
                if role.advertising:
                    role.advertising = False
                    self.visits += 1
                    role.join(self)
                    self.join(role)
            await asyncio.sleep(0.002)


class FalseBoard(memory._Role):
    """Advertises the name of a board, before that is found. It says nothing, or one packet."""

    def __init__(self, air, says):
        super().__init__("PicoA", air.board("F"))
        self.says = says
        self.visits = []  # when
        self.policy = self  # as Stranger
        self.wake = asyncio.Event()
        air._roles.insert(0, self)

    @property
    def advertising(self):
        return self.handle < 0

    @advertising.setter
    def advertising(self, _):
        pass

    def adopt(self, *_):
        self.visits.append(asyncio.get_running_loop().time())
        if self.says:
            asyncio.get_running_loop().call_later(0.1, self._say)

    def _say(self):
        if self.handle >= 0:
            self._transmit(self.says)


OTHER_VERSION = b"\1\x09" + bytes(10)
OTHER_VERSION += struct.pack("<I", zlib.crc32(OTHER_VERSION))


@pytest.mark.parametrize("engine", ["python", "native"])
@pytest.mark.parametrize("says", [b"", OTHER_VERSION])
def test_a_false_board_does_not_keep_a_central_from_the_right_one(air, engine, says):
    async def main():
        a = link("advertise", air.board("A"), engine=engine, key=KEY)
        opening = asyncio.create_task(a.open())
        false = FalseBoard(air, says)
        b = link("connect", air.board("B"), engine=engine, key=KEY)
        await b.open(timeout_ms=15_000)
        await opening
        assert len(false.visits) == 1

    run(main())


def test_a_board_in_whose_name_somebody_has_spoken_is_looked_for_again_soon_at_a_random_time(air):
    async def main():
        false = FalseBoard(air, OTHER_VERSION)
        b = link("connect", air.board("B"), key=KEY)
        opening = asyncio.create_task(b.open())
        await asyncio.sleep(60)
        waits = [later - sooner - 1.1 for sooner, later in itertools.pairwise(false.visits)]
        assert all(0.5 <= wait <= 2.2 for wait in waits), waits
        assert max(waits) - min(waits) > 0.3
        await give_up(opening)

    run(main())


@pytest.mark.slow
def test_a_stranger_that_comes_as_fast_as_he_can_for_an_hour(air):
    """The partner is in within 15 s (p95), and nothing is lost."""

    async def main():
        draw = random.Random(5)
        told = []
        a, b = link("advertise", air.board("A"), key=KEY), link("connect", air.board("B"), told, key=KEY)
        await meet(a, b)
        stranger = Stranger(air, draw)
        coming = asyncio.create_task(stranger.come(a._role))
        loop = asyncio.get_running_loop()
        waits, away, sent, got = [], 0, 0, 0
        began = loop.time()
        until = began + 3590
        while loop.time() < until:
            air.drop()
            dropped = loop.time()
            await asyncio.sleep(0.05)
            await a.send(b"%d" % sent)
            sent += 1
            assert await b.recv(300_000) == b"%d" % got
            got += 1
            waits.append(loop.time() - dropped)
            away += waits[-1]
            await asyncio.sleep(draw.random())
            air.heard.clear()
        waits.sort()
        p95 = waits[len(waits) * 95 // 100]
        print(
            f"{len(waits)} drops, {stranger.visits} visits; the partner is in after "
            f"{waits[len(waits) // 2]:.1f} s (median), {p95:.1f} s (p95), {waits[-1]:.1f} s (most); "
            f"it was in for {100 * (1 - away / (until - began)):.0f} % of the time"
        )
        assert stranger.visits > 300
        assert p95 < 15
        await give_up(coming)

    run(main())


def test_what_is_no_key():
    for wrong, error in (
        (b"fifteen bytes..", ValueError),
        ("a password that is long", ValueError),
        (TEXT[:-1] + "0", ValueError),
        (TEXT.replace("00", "01", 1), ValueError),
        (b"correct horse battery", ValueError),
        (bytes(32), ValueError),
        (17, TypeError),
        (None, TypeError),
        ([1] * 16, TypeError),
    ):
        with pytest.raises(error) as raised:
            keys.secret(wrong)
        assert str(wrong)[:12] not in str(raised.value)
    assert keys.secret(TEXT) == keys.secret(KEY) == keys.secret(bytearray(KEY))
    assert keys.secret(KEY) != keys.secret(KEY + b"\0")


def test_the_key_of_this_board(tmp_path):
    folder = f"{tmp_path}/"
    with pytest.raises(OSError, match=r"picolink\.key"):
        keys.secret(True, folder)
    (tmp_path / keys.FILE).write_text(TEXT + "\n")
    assert keys.secret(True, folder) == keys.secret(KEY)


def test_a_key_that_is_none_makes_no_link_without_one(air):
    with pytest.raises(TypeError, match="leave it out"):
        picolink.connect("A", radio=air, key=None)


def test_an_urandom_that_is_stuck_is_told(monkeypatch):
    monkeypatch.setattr(keys.os, "urandom", lambda size: b"\x5a" * size)
    with pytest.raises(RuntimeError, match="stuck"):
        keys.seed(b"identity")


def repeated(monkeypatch):
    """os.urandom() gives the same bytes each time from now on."""
    monkeypatch.setattr(keys.os, "urandom", lambda size: bytes(range(size)))


@pytest.mark.parametrize("engine", sorted(engines.IN_PROCESS))
def test_a_whole_session_cannot_be_played_back_to_a_board_whose_random_numbers_repeat(
    engine, tmp_path, monkeypatch
):
    repeated(monkeypatch)
    kind = engines.IN_PROCESS[engine]

    def board():
        return kind(1, b"a board.", key=KEY, seed=keys.seed(b"a board.", f"{tmp_path}/"))

    def pulled(side):
        packet = bytearray(236)
        return bytes(packet[: side.pull_into(packet, 0)])

    one, partner = board(), kind(2, b"partner.", key=KEY, seed=bytes(32))
    said = []
    for side in (one, partner):
        side.start(247, 0)
    partner.send(b"unlock the door now!")
    for _ in range(20):
        while packet := pulled(one):
            partner.feed(packet, 0)
        while packet := pulled(partner):
            said.append(packet)
            one.feed(packet, 0)
    assert one.recv() == (0, b"unlock the door now!")
    again = board()  # it has restarted, and draws the same session id, too
    again.start(247, 0)
    for packet in said:
        pulled(again)
        again.feed(packet, 0)
    assert again.partner is None
    assert again.recv() is None


def test_boards_count_their_links_with_a_key(air, tmp_path, monkeypatch):
    repeated(monkeypatch)
    monkeypatch.setattr(keys, "COUNTS", True)
    monkeypatch.setattr(memory._Role, "folder", f"{tmp_path}/")
    seeds = []
    seed = keys.seed

    def drawn(*arguments):
        seeds.append(seed(*arguments))
        return seeds[-1]

    monkeypatch.setattr(keys, "seed", drawn)
    for _ in range(3):
        link("advertise", air, key=KEY)
    assert len(set(seeds)) == 3
    assert (tmp_path / keys.STARTS).read_bytes() == b"\3\0\0\0"
    (tmp_path / keys.STARTS).unlink()
    (tmp_path / keys.STARTS).mkdir()  # as a file system that is full: it cannot be kept
    link("advertise", air, key=KEY)


def test_the_count_wraps_and_a_pc_has_none(tmp_path):
    assert not keys.COUNTS
    folder = f"{tmp_path}/"
    (tmp_path / keys.STARTS).write_bytes(b"\xff\xff\xff\xff")
    keys.seed(b"identity", folder)
    assert (tmp_path / keys.STARTS).read_bytes() == bytes(4)  # the numbers wrap


def test_seeds_differ():
    assert len({keys.seed(b"identity") for _ in range(100)}) == 100
    assert len(keys.seed(b"identity")) == 32
