"""Files over a link, in virtual time on the radio in memory."""

import asyncio
import contextlib
import random
import struct
from hashlib import sha256

import picolink
import pytest
import virtual_time
from picolink import files, sorting
from picolink.radio import memory

CONTENT = random.Random(1).randbytes(50_000)


class Ends:
    """A sender and a receiver, with a folder each, on one air.

    told: what their links have told.   links: of each side, the last one.
    carried: bytes of files that were sent.
    """

    def __init__(self, folder):
        self.air = memory.Air()
        self.here, self.there = folder / "here", folder / "there"
        self.here.mkdir()
        self.there.mkdir()
        self.told = []
        self.key = False
        self.links = {}
        self.carried = 0

    def link(self, way, **options):
        options = {
            "engine": "python",
            "key": self.key,
            "on_event": lambda *event: self.told.append(event),
        } | options
        self.links[way] = getattr(picolink, way)("A", radio=self.air, **options)
        return self.links[way]

    def power_off(self, way):
        self.air.power_off(self.links[way])

    async def send(self, name="log.csv", there=None, progress=None):
        def count(done, size):
            self.carried += (done - 1) % 1024 + 1
            if progress:
                progress(done, size)

        async with self.link("connect") as link:
            await picolink.send_file(link, self.here / name, there, count)

    async def send_in_vain(self, why, there=None):
        async with self.link("connect") as link:
            with pytest.raises(picolink.FileError, match=why):
                await picolink.send_file(link, self.here / "log.csv", there)

    async def receive(self, **options):
        """The paths of the files that come until the link ends."""
        async with self.link("advertise") as link:
            return [path async for path in picolink.receive_files(link, str(self.there), **options)]

    def there_is(self):
        return sorted(str(path.relative_to(self.there)) for path in self.there.rglob("*") if path.is_file())


@pytest.fixture
def ends(tmp_path):
    ends = Ends(tmp_path)
    (ends.here / "log.csv").write_bytes(CONTENT)
    return ends


def play(*work):
    async def main():
        return await asyncio.wait_for(asyncio.gather(*work), 300)

    return virtual_time.run(main())


@pytest.mark.parametrize("size", [0, 1, 1023, 1024, 1025, 50_000])
def test_a_file_arrives(ends, size):
    (ends.here / "log.csv").write_bytes(CONTENT[:size])
    seen = []
    received, _ = play(ends.receive(), ends.send(progress=lambda *now: seen.append(now)))
    assert received == [f"{ends.there}/log.csv"]
    assert (ends.there / "log.csv").read_bytes() == CONTENT[:size]
    assert ends.there_is() == ["log.csv"]
    assert seen == sorted(set(seen))
    assert not size or seen[-1] == (size, size)


def test_an_old_file_is_whole_until_the_new_one_is(ends):
    (ends.there / "log.csv").write_bytes(b"old")
    seen = []

    def look(*now):
        seen.append(now)
        assert (ends.there / "log.csv").read_bytes() == b"old"
        assert (ends.there / "log.csv.part").exists()

    play(ends.receive(progress=look), ends.send())
    assert seen[-1] == ("log.csv", len(CONTENT), len(CONTENT))
    assert (ends.there / "log.csv").read_bytes() == CONTENT


def test_folders_below_the_folder_are_made(ends):
    received, _ = play(ends.receive(), ends.send(there="2026/november/log.csv"))
    assert received == [f"{ends.there}/2026/november/log.csv"]
    assert ends.there_is() == ["2026/november/log.csv"]


def test_a_file_that_is_there_is_not_sent_again(ends):
    (ends.there / "log.csv").write_bytes(CONTENT)
    play(ends.receive(), ends.send())
    assert ends.carried == 0


def test_one_of_the_same_size_is(ends):
    (ends.there / "log.csv").write_bytes(bytes(len(CONTENT)))
    play(ends.receive(), ends.send())
    assert (ends.there / "log.csv").read_bytes() == CONTENT


def test_what_goes_beside_files_arrives_in_order_and_files_go_both_ways(ends):
    (ends.there / "other.csv").write_bytes(CONTENT[::-1])

    async def side(way, path, folder):
        received = []

        async def receive(link):
            async for found in picolink.receive_files(link, str(folder / "in")):
                received.append(found)

        async def hear(link):
            return [(int(await link.recv()), link.channel) for _ in range(200)]

        async with ends.link(way) as link:
            receiving = asyncio.create_task(receive(link))
            hearing = asyncio.create_task(hear(link))
            sending = asyncio.create_task(picolink.send_file(link, path))
            for number in range(200):
                await link.send(str(number), number % 15)
                await asyncio.sleep(0.005)
            await sending
            heard = await hearing
            while not received:
                await asyncio.sleep(0.01)
            await link.flush()
        await receiving
        return heard

    a, b = play(
        side("connect", ends.here / "log.csv", ends.here),
        side("advertise", ends.there / "other.csv", ends.there),
    )
    assert a == b == [(number, number % 15) for number in range(200)]
    assert (ends.there / "in" / "log.csv").read_bytes() == CONTENT
    assert (ends.here / "in" / "other.csv").read_bytes() == CONTENT[::-1]


def test_drops_cost_nothing(ends):
    async def drop():
        for _ in range(8):
            await asyncio.sleep(0.1)
            ends.air.drop()

    play(ends.receive(), ends.send(), drop())
    assert (ends.there / "log.csv").read_bytes() == CONTENT
    assert [event for event, _ in ends.told].count("disconnected") > 8
    assert ends.carried == len(CONTENT)


async def cut(ends, way, after):
    """Cut the power of one side when so many bytes have come."""
    part = ends.there / "log.csv.part"
    while not part.exists() or part.stat().st_size < after:
        await asyncio.sleep(0.002)
    ends.power_off(way)


def test_a_restart_of_the_sender_continues(ends):
    async def send():
        with pytest.raises(picolink.LinkClosedError):
            await ends.send()
        await ends.send()

    play(ends.receive(), send(), cut(ends, "connect", 33_000))
    assert (ends.there / "log.csv").read_bytes() == CONTENT
    assert ends.carried < len(CONTENT) + 8192 + 1024  # what was on its way, and what was not there yet


def test_a_restart_of_the_receiver_continues(ends):
    async def receive():
        assert await ends.receive() == []
        assert len(await ends.receive()) == 1

    play(receive(), ends.send(), cut(ends, "advertise", 33_000))
    assert (ends.there / "log.csv").read_bytes() == CONTENT
    # What the receiver had and lost of its memory goes twice; the part on disk does not.
    assert ends.carried < len(CONTENT) + 20_000


def test_the_part_of_another_file_is_not_continued(ends):
    (ends.there / "log.csv.part").write_bytes(CONTENT[:20_000][::-1])
    play(ends.receive(), ends.send())
    assert (ends.there / "log.csv").read_bytes() == CONTENT
    assert ends.carried == len(CONTENT)


def test_a_program_that_stops_and_receives_again(ends):
    async def receive():
        async with ends.link("advertise") as link:
            first = asyncio.create_task(anext(picolink.receive_files(link, str(ends.there))))
            await cut_task(first)
            path = await anext(picolink.receive_files(link, str(ends.there)))
            with pytest.raises(picolink.LinkClosedError):
                await link.recv()
            return path

    async def cut_task(task):
        part = ends.there / "log.csv.part"
        while not part.exists() or part.stat().st_size < 9_000:
            await asyncio.sleep(0.002)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    play(receive(), ends.send())
    assert (ends.there / "log.csv").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("../log.csv", "below the folder"),
        ("a/../../log.csv", "below the folder"),
        ("/log.csv", "below the folder"),
        ("a//log.csv", "below the folder"),
        (".profile", "below the folder"),
        ("a\\..\\log.csv", "below the folder"),
        ("C:log.csv", "below the folder"),
        ("log.csv\0", "below the folder"),
        ("log.csv.", "below the folder"),
        ("", "below the folder"),
        ("a/" * 6 + "log.csv", "100 characters and 5 folders at most, not 19 and 6"),
        ("x" * 101, "at most, not 101 and 0"),
        ("COM3", "below the folder"),
        ("nul.txt", "below the folder"),
        ("a/Aux", "below the folder"),
        ("CON .tar.gz", "below the folder"),
        ("lpt¹", "below the folder"),
        ("main.py", "no programs"),
        ("lib/Asyncio.PY", "no programs"),
        ("x.mpy", "no programs"),
        ("picolink.key", "itself"),
        ("x.part", "itself"),
    ],
)
def test_names_that_are_refused(ends, name, why):
    play(ends.receive(), ends.send_in_vain(f"refused: .*{why}", name))
    assert ends.there_is() == []
    assert sorted(path.name for path in ends.there.parent.iterdir()) == ["here", "there"]


@pytest.mark.parametrize("name", ["comb", "nullary", "com10", "x.con"])
def test_names_that_only_look_like_devices(ends, name):
    play(ends.receive(), ends.send(there=name))
    assert ends.there_is() == [name]


def test_programs_need_a_key(ends):
    async def receive():
        async with ends.link("advertise") as link:
            with pytest.raises(ValueError, match="a link with a key"):
                picolink.receive_files(link, str(ends.there), programs=True)

    async def send():
        async with ends.link("connect") as link:
            with pytest.raises(picolink.LinkClosedError):
                await link.recv()

    play(receive(), send())


def test_names_that_the_program_allows(ends):
    ends.key = bytes(range(128, 160))

    async def send():
        async with ends.link("connect") as link:
            await picolink.send_file(link, ends.here / "log.csv", "main.py")
            with pytest.raises(picolink.FileError, match="not allowed"):
                await picolink.send_file(link, ends.here / "log.csv", "boot.py")

    play(ends.receive(allow=lambda name: name == "main.py", programs=True), send())
    assert ends.there_is() == ["main.py"]


def test_a_file_without_room_is_refused_before_it_is_sent(ends, monkeypatch):
    monkeypatch.setattr(files.os, "statvfs", lambda _: (4096, 4096, 100, 14, 14), raising=False)

    why = "refused: no room: 50000 bytes more are needed, 45056 are free"
    play(ends.receive(), ends.send_in_vain(why))
    assert ends.there_is() == []


def test_room_is_asked_for_again_when_the_file_there_is_another_one(ends, monkeypatch):
    monkeypatch.setattr(files.os, "statvfs", lambda _: (4096, 4096, 100, 14, 14), raising=False)
    (ends.there / "log.csv").write_bytes(bytes(len(CONTENT)))
    play(ends.receive(), ends.send_in_vain("refused: no room: 50000 bytes more"))
    assert ends.there_is() == ["log.csv"]


def test_no_memory_for_a_while_costs_nothing(ends, monkeypatch):
    real = sorting.Sorter.readable
    times = []

    def readable(sorter):
        times.append(None)
        if len(times) % 7 == 3:
            raise MemoryError
        return real(sorter)

    monkeypatch.setattr(sorting.Sorter, "readable", readable)
    play(ends.receive(), ends.send())
    assert (ends.there / "log.csv").read_bytes() == CONTENT


def test_a_disk_that_fails_says_so(ends):
    (ends.there / "log.csv.part").mkdir()

    play(ends.receive(), ends.send_in_vain("refused: .*[Dd]irectory"))


def test_nobody_receives(ends):
    async def deaf():
        async with ends.link("advertise") as link:
            async for message in link:
                assert message[0] == files.OFFER

    play(deaf(), ends.send_in_vain("has to call picolink.receive_files"))


def test_a_limit_of_time(ends):
    async def send():
        async with ends.link("connect") as link:
            await asyncio.sleep(1)
            ends.air.in_range = False
            with pytest.raises(asyncio.TimeoutError):
                await picolink.send_file(link, ends.here / "log.csv", timeout_ms=500)
            ends.air.in_range = True

    play(ends.receive(), send())


@pytest.mark.parametrize("what", ["send_file", "fetch_file"])
@pytest.mark.parametrize(
    ("timeout_ms", "error", "least_s", "most_s"),
    [(1000, asyncio.TimeoutError, 1, 1.5), (7000, picolink.FileError, 29, 32)],
)
def test_a_limit_of_time_where_nobody_receives(ends, what, timeout_ms, error, least_s, most_s):
    async def deaf():
        async with ends.link("advertise") as link:
            async for _ in link:
                pass

    async def call():
        async with ends.link("connect") as link:
            begin = asyncio.get_running_loop().time()
            with pytest.raises(error):
                if what == "send_file":
                    await picolink.send_file(link, ends.here / "log.csv", timeout_ms=timeout_ms)
                else:
                    await picolink.fetch_file(link, "log.csv", ends.here / "x", timeout_ms=timeout_ms)
            assert least_s <= asyncio.get_running_loop().time() - begin <= most_s

    play(deaf(), call())


def test_fetching_to_where_nothing_can_be_written(ends):
    (ends.there / "log.csv").write_bytes(CONTENT)
    (ends.here / "x.part").mkdir()

    async def fetch():
        async with ends.link("connect") as link:
            with pytest.raises(OSError, match=r"[Dd]irectory"):
                await picolink.fetch_file(link, "log.csv", ends.here / "x")
            (ends.here / "x.part").rmdir()
            await picolink.fetch_file(link, "log.csv", ends.here / "x")

    play(ends.receive(give=True), fetch())
    assert (ends.here / "x").read_bytes() == CONTENT


def test_fetching_while_another_file_is_sent_here(ends):
    (ends.there / "log.csv").write_bytes(CONTENT)

    async def give():
        async with ends.link("advertise") as link:
            receiving = asyncio.create_task(anext(picolink.receive_files(link, str(ends.there), give=True)))
            with pytest.raises(picolink.FileError, match="not asked for"):
                await picolink.send_file(link, ends.there / "log.csv", "other")
            with pytest.raises(StopAsyncIteration):
                await receiving

    async def fetch():
        async with ends.link("connect") as link:
            await picolink.fetch_file(link, "log.csv", ends.here / "x")

    play(give(), fetch())
    assert (ends.here / "x").read_bytes() == CONTENT


def test_fetching(ends):
    (ends.there / "data").mkdir()
    (ends.there / "data" / "log.csv").write_bytes(CONTENT)
    seen = []

    async def fetch():
        async with ends.link("connect") as link:
            to = ends.here / "fetched.csv"
            await picolink.fetch_file(link, "data/log.csv", to, lambda *now: seen.append(now))
            assert to.read_bytes() == CONTENT
            for name, why in [
                ("no.csv", "there is no file"),
                ("../here/log.csv", "below"),
                ("data", "no file"),
            ]:
                with pytest.raises(picolink.FileError, match=why):
                    await picolink.fetch_file(link, name, to)

    play(ends.receive(give=True), fetch())
    assert seen[-1] == ("data/log.csv", len(CONTENT), len(CONTENT))


def test_nothing_is_given_away_unless_the_program_says_so(ends):
    (ends.there / "log.csv").write_bytes(CONTENT)

    async def fetch():
        async with ends.link("connect") as link:
            with pytest.raises(picolink.FileError, match="needs give=True"):
                await picolink.fetch_file(link, "log.csv", ends.here / "x")

    play(ends.receive(), fetch())


def hostile(seed):
    """Messages for the channel of files that nobody sends."""
    draw = random.Random(seed)
    for _ in range(draw.randrange(1, 40)):
        kind = draw.choice([*range(1, 6), *range(16, 20), draw.randrange(256)])
        value = draw.choice([0, 1, 1024, len(CONTENT), 2**31, 2**32 - 1])
        rest = draw.choice(
            [b"log.csv", b"\xff\xfe", b"../x", draw.randbytes(draw.randrange(2000)), b"", bytes(32)]
        )
        message = struct.pack("<BHI", kind, draw.randrange(3), value) + rest
        yield message[: draw.choice([len(message), draw.randrange(9)])]


@pytest.mark.parametrize("seed", range(25))
def test_hostile_messages_never_raise_or_wedge(ends, seed):
    async def send():
        async with ends.link("connect") as link:
            for message in hostile(seed):
                await link.send(message, files.CHANNEL)
            await link.send("text", files.CHANNEL)
            await link.send({"an": ["object"]}, files.CHANNEL)
            await picolink.send_file(link, ends.here / "log.csv", "good.csv")

    async def receive():
        async with ends.link("advertise") as link:
            receiving = picolink.receive_files(link, str(ends.there))
            assert [path async for path in receiving][-1].endswith("good.csv")

    play(receive(), send())
    assert (ends.there / "good.csv").read_bytes() == CONTENT
    assert sorted(path.name for path in ends.there.parent.iterdir()) == ["here", "there"]


@pytest.mark.parametrize("seed", range(25))
def test_hostile_answers_never_raise_or_wedge(ends, seed):
    async def answer():
        async with ends.link("advertise") as link:
            while True:
                try:
                    offer = await link.recv()
                except picolink.LinkClosedError:
                    return
                if offer[0] != files.OFFER:
                    continue
                number = struct.unpack_from("<BHI", offer)[1]
                draw = random.Random(seed)
                for message in hostile(draw.random()):
                    try:
                        await link.send(message[:1] + struct.pack("<H", number) + message[3:], files.CHANNEL)
                    except picolink.LinkClosedError:
                        return

    async def send():
        async with ends.link("connect") as link:
            with contextlib.suppress(picolink.FileError):
                await picolink.send_file(link, ends.here / "log.csv")

    play(answer(), send())


def test_a_file_that_arrives_damaged_is_not_kept(ends):
    async def send():
        async with ends.link("connect") as link:
            answers = files.port_of(link)
            await answers.send(files.OFFER, 1, 4, b"log.csv")
            assert (await answers.next(files.SENDER))[0] == files.HAVE
            await answers.send(files.DATA, 1, 0, b"1234")
            await answers.send(files.END, 1, 4, sha256(b"1235").digest())
            assert b"damaged" in await answers.next(files.SENDER)

    play(ends.receive(), send())
    assert ends.there_is() == []
