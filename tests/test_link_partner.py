"""Whom a link serves, and what both sides hear when a board is turned away, leaves or restarts."""

import asyncio
import contextlib
import itertools
import os

import picolink
import pytest
import virtual_time
from picolink.radio import memory

LINKS = []


def link(way, radio, told, **options):
    """told: gets (ms, event, detail)."""

    def on_event(event, detail):
        told.append((asyncio.get_running_loop().time() * 1000, event, detail))

    made = getattr(picolink, way)("PicoA", radio=radio, engine="python", on_event=on_event, **options)
    LINKS.append(made)
    return made


def run(work):
    """In virtual time, an hour at most. No link is left, so that a test that fails comes to an end."""

    async def main():
        try:
            await asyncio.wait_for(work, 3600)
        finally:
            while LINKS:
                await LINKS.pop()._shut("the test is over")

    virtual_time.run(main())


def of(told, event):
    return [detail for _, told_event, detail in told if told_event == event]


async def cut(air, board_link):
    """The board of this link loses its power."""
    air.power_off(board_link)
    await board_link.close()


async def meet(*links):
    await asyncio.gather(*(each.open(timeout_ms=20_000) for each in links))


async def give_up(task):
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def test_a_third_board_is_turned_away_before_a_byte_of_the_stream_and_both_sides_say_so():
    """The partner is gone for good, and a spare board with the same program is there."""

    async def main():
        air, told, spares = memory.Air(), [], []
        a = link("advertise", air.board("A"), told)
        b = link("connect", air.board("B"), [])
        await meet(a, b)
        await a.send(b"for b only")
        await a.flush()
        await cut(air, b)
        await a.send(b"for b only, too")
        spare = link("connect", air.board("spare"), spares)
        opening = asyncio.create_task(spare.open())
        began = asyncio.get_running_loop().time() * 1000
        await asyncio.sleep(60)
        for events in (told, spares):
            refused = [at for at, event, _ in events if event == "refused"]
            assert refused[0] - began < 5000
            assert len(refused) >= 3
            assert all(later - sooner >= 10_000 for sooner, later in itertools.pairwise(refused))
        assert of(told, "refused")[0] == (
            "this is not the board that the link has met, and it was turned away (spare)"
        )
        assert of(spares, "refused")[1].endswith(" has turned this one away (A, 3 times so far)")
        assert not spare.connected
        assert spare.stats["messages_received"] == 0
        assert a.stats["strangers"] >= 3
        await give_up(opening)
        again = link("connect", air.board("B"), [])
        await meet(again)
        assert await again.recv(timeout_ms=5000) == b"for b only, too"
        await asyncio.gather(a.close(), again.close())

    run(main())


def test_a_central_that_was_turned_away_finds_another_board_of_that_name():
    """Two pairs with the same programs in one room: wherever the second pair begins, both meet."""

    async def main(a2_at_s):
        air = memory.Air()
        told = []
        a1, b1 = link("advertise", air.board("A1"), []), link("connect", air.board("B1"), [])
        await meet(a1, b1)
        await cut(air, b1)
        b2 = link("connect", air.board("B2"), told)
        opening = asyncio.create_task(b2.open())
        await asyncio.sleep(a2_at_s)
        a2 = link("advertise", air.board("A2"), [])
        await a2.open(timeout_ms=15_000)
        await opening
        assert a1.stats["strangers"] <= 1 + a2_at_s / 5
        back = link("connect", air.board("B1"), [])
        await meet(back)
        await b2.send(b"2")
        assert await a2.recv(timeout_ms=5000) == b"2"
        await back.send(b"1")
        assert await a1.recv(timeout_ms=5000) == b"1"
        await asyncio.gather(*(each.close() for each in (a1, back, a2, b2)))

    for a2_at_s in (0, 3, 30):
        run(main(a2_at_s))


def test_a_partner_that_comes_from_another_address_is_served():
    async def main():
        air = memory.Air()
        a = link("advertise", air.board("A"), [])
        b = link("connect", air.board("B"), [])
        await meet(a, b)
        await a.send(b"unread")
        b._role.radio.address = "another"
        air.drop()
        assert await b.recv(timeout_ms=5000) == b"unread"
        await a.send(b"more")
        assert await b.recv(timeout_ms=5000) == b"more"
        assert a.stats["strangers"] == 0
        await asyncio.gather(a.close(), b.close())

    run(main())


def test_a_remembered_partner_is_found_again_after_a_power_cut_of_all(tmp_path, monkeypatch):
    """Two pairs of the same name: each board finds its own again, whoever is quicker."""
    monkeypatch.chdir(tmp_path)

    async def main():
        air = memory.Air()
        board = air.board
        a = link("advertise", board("A1"), [], remember=True)
        b = link("connect", board("B1"), [])
        await meet(a, b)
        (file,) = tmp_path.iterdir()
        os.utime(file, (0, 0))
        for each in (a, b):
            await cut(air, each)
            await asyncio.sleep(0.1)
        a = link("advertise", board("A1"), [], remember=True)
        told = []
        other = link("connect", board("B2"), told)
        tasks = [asyncio.create_task(each.open()) for each in (a, other)]
        await asyncio.sleep(3)
        assert of(told, "refused")
        b = link("connect", board("B1"), [])
        await meet(b)
        await tasks[0]
        assert (len(list(tmp_path.iterdir())), file.stat().st_mtime) == (1, 0)  # not written again
        await cut(air, b)
        a.forget()
        assert not list(tmp_path.iterdir())
        await tasks[1]  # the other one is the partner now
        assert file.exists()
        await asyncio.gather(a.close(), other.close())

    run(main())


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, asyncio.CancelledError])
def test_a_program_that_fails_does_not_end_the_other_one(error):
    async def main():
        air, told = memory.Air(), []
        a = link("advertise", air.board("A"), told)
        opening = asyncio.create_task(a.open())

        async def fails():
            async with link("connect", air.board("B"), []) as b:
                for number in range(20):
                    await b.send(str(number))
                raise error("on purpose")

        began = asyncio.get_running_loop().time()
        with pytest.raises(error):
            await fails()
        assert asyncio.get_running_loop().time() - began < 1
        await opening
        for number in range(20):
            assert await a.recv(timeout_ms=100) == str(number)
        assert of(told, "disconnected") == [
            "the other board's program has failed, or was interrupted, looking for it again"
        ]
        with pytest.raises(asyncio.TimeoutError):
            await a.recv(timeout_ms=3000)
        b = link("connect", air.board("B"), [])
        await meet(b)
        await b.send(b"repaired")
        assert await a.recv(timeout_ms=1000) == b"repaired"
        await asyncio.gather(a.close(), b.close())

    run(main())


def test_what_a_failing_program_could_not_send_is_told():
    async def main():
        air, told = memory.Air(), []
        a = link("advertise", air.board("A"), [])
        opening = asyncio.create_task(a.open())
        with pytest.raises(ValueError, match="on purpose"):
            async with link("connect", air.board("B"), told) as b:
                air.in_range = False
                await b.send("lost")
                raise ValueError("on purpose")
        assert of(told, "undelivered") == ["1 messages were not acknowledged before the link was closed"]
        await opening
        await a.close(100)

    run(main())


@pytest.mark.parametrize("commit", [True, False])
def test_a_receiver_that_restarts_gets_again_what_it_has_not_committed(commit):
    async def main():
        air = memory.Air()
        a = link("advertise", air.board("A"), [])
        b = link("connect", air.board("B"), [], commit=commit)
        await meet(a, b)
        for number in range(6):
            await a.send(str(number))
        for number in range(4):
            assert await b.recv(timeout_ms=1000) == str(number)
            if number == 1 and commit:
                b.commit()
        await asyncio.sleep(1)
        await cut(air, b)
        await a.send("6")
        b = link("connect", air.board("B"), [], commit=commit)
        await meet(b)
        for number in [2, 3, 4, 5, 6] if commit else [6]:
            assert await b.recv(timeout_ms=3000) == str(number)
        await asyncio.gather(a.close(100), b.close(100))

    run(main())


def test_commit_is_an_option():
    async def main():
        a = link("advertise", memory.Air(), [])
        with pytest.raises(ValueError, match="without commit=True"):
            a.commit()

    run(main())
