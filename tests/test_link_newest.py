"""link.newest(): values of which only the newest counts, beside ordinary messages, in virtual time."""

import asyncio

import picolink
import pytest
import virtual_time
from picolink import sorting
from picolink.radio import memory


@pytest.fixture(params=["native", "python"])
def engine(request):
    return request.param


async def pair(engine, air, **options):
    """Two links that have met; options of the second begin with b_."""
    second = {name.removeprefix("b_"): options.pop(name) for name in list(options) if name.startswith("b_")}
    a = picolink.advertise("PicoA", radio=air, engine=engine, **options)
    b = picolink.connect("PicoA", radio=air, engine=engine, **{**options, **second})
    await asyncio.gather(a.open(), b.open())
    return a, b


async def flood(link):
    number = 0
    while True:
        await link.send(number.to_bytes(4, "little") + bytes(96))
        number += 1


async def swallow(link, got, commit=False):
    async for message in link:
        got.append(int.from_bytes(message[:4], "little"))
        if commit:
            link.commit()


def test_values_overtake_and_messages_lose_nothing(engine):
    async def main():
        a, b = await pair(engine, memory.Air(delay_ms=20))
        stick, position = a.newest(2), b.newest(2)
        got, ages = [], []
        loop = asyncio.get_running_loop()
        tasks = [asyncio.create_task(flood(a)), asyncio.create_task(swallow(b, got))]

        async def watch():
            while True:
                value = int(await position.recv())
                ages.append(loop.time() * 1000 - value)

        tasks.append(asyncio.create_task(watch()))
        await asyncio.sleep(2)
        ages.clear()
        for _ in range(600):
            stamp = int(loop.time() * 1000)
            stick.send(b"%d" % stamp)
            await asyncio.sleep(0.005)
        began = loop.time()
        tasks[0].cancel()
        await a.flush()
        flushed_s = loop.time() - began
        last = int(position.latest())
        rtt_ms = a.stats["rtt_ms"]
        await asyncio.gather(a.close(), b.close())
        tasks[2].cancel()
        assert got == list(range(len(got)))
        assert len(got) > 2000
        assert len(ages) > 50
        assert sorted(ages)[int(0.95 * len(ages))] <= 2 * rtt_ms
        assert last == stamp
        assert flushed_s > 0.1  # what waited in the ring was longer on its way

    virtual_time.run(main())


def test_a_value_that_waits_is_replaced_and_the_last_one_comes(engine):
    async def main():
        air = memory.Air()
        a, b = await pair(engine, air)
        lamp, light = a.newest(7), b.newest(7)
        assert light.latest() is None
        await lamp.send("on")
        assert await light.recv(timeout_ms=1000) == "on"
        air.in_range = False
        await asyncio.sleep(3)
        for number in range(500):
            lamp.send(b"%d" % number)
        with pytest.raises(asyncio.TimeoutError):
            await light.recv(timeout_ms=300)
        assert light.latest() == "on"
        air.in_range = True
        assert await light.recv(timeout_ms=10_000) == b"499"
        assert light.latest() == b"499"
        assert a.stats["messages_sent"] == 2
        lamp.send("off")
        await a.close()
        assert await light.recv() == "off"
        with pytest.raises(picolink.LinkClosedError):
            await light.recv()
        with pytest.raises(picolink.LinkClosedError):
            lamp.send("on")
        await b.close()

    virtual_time.run(main())


def test_the_other_side_need_not_agree(engine):
    async def main():
        a, b = await pair(engine, memory.Air())
        a.newest(3).send(b"value")
        assert (await b.recv(), b.channel) == (b"value", 3)
        values = a.newest(4)
        for number in range(5):
            await b.send(b"%d" % number, channel=4)
        await b.send(b"ordinary")
        assert await a.recv() == b"ordinary"
        assert await values.recv() == b"4"
        await asyncio.gather(a.close(), b.close())

    virtual_time.run(main())


def test_who_waits_for_a_value_gets_it_behind_messages_that_others_read(engine):
    async def main():
        a, b = await pair(engine, memory.Air())
        value = b.newest(1)
        waiting = asyncio.create_task(value.recv(timeout_ms=5000))
        await a.send(b"message")
        await a.flush()
        a.newest(1).send(b"value")
        await a.flush()
        await asyncio.sleep(0.5)
        assert not waiting.done()
        assert list(await b.drain()) == [b"message"]
        assert await waiting == b"value"
        assert a.newest(1) is a.newest(1)
        await asyncio.gather(a.close(), b.close())

    virtual_time.run(main())


def test_large_messages_have_their_turn_among_values(engine):
    async def main():
        a, b = await pair(engine, memory.Air(), tx_size=1024, rx_size=1024)
        value = a.newest(1)

        async def drive():
            while True:
                value.send(bytes(100))
                await asyncio.sleep(0.003)

        driving = asyncio.create_task(drive())
        b.newest(1)
        for size in (1021, 300, 1021, 900, 600):
            await a.send(bytes(size), timeout_ms=3000)
            assert len(await b.recv(timeout_ms=3000)) == size
        driving.cancel()
        await asyncio.gather(a.close(), b.close())

    virtual_time.run(main())


class FullHeap(dict):
    """There is no memory for what is made of it."""

    def items(self):
        raise MemoryError


@pytest.mark.parametrize("full", [False, True], ids=["", "heap is full"])
def test_a_restarted_board_gets_the_value_again(engine, full):
    async def main():
        air = memory.Air()
        a, b = await pair(engine, air)
        lamp = a.newest(1)
        lamp.send(b"on")
        assert await b.newest(1).recv() == b"on"
        air.power_off(b)
        await b.close()
        if full:
            a._policy._told = FullHeap()
        again = picolink.connect("PicoA", radio=air, engine=engine)
        light = again.newest(1)
        await again.open()
        assert await light.recv(timeout_ms=10_000) == b"on"
        await asyncio.gather(a.close(), again.close())

    virtual_time.run(main())


def test_what_is_no_value(engine):
    async def main():
        air = memory.Air()
        a, b = await pair(engine, air, b_rx_size=256)
        value = a.newest(15)
        for channel, error in ((-1, ValueError), (16, ValueError), ("1", TypeError), (True, TypeError)):
            with pytest.raises(error, match="channel must be"):
                a.newest(channel)
        with pytest.raises(TypeError, match="is a set"):
            value.send({5})
        value.send({"x": [1, None]})
        assert await b.newest(15).recv(timeout_ms=1000) == {"x": [1, None]}
        with pytest.raises(ValueError, match="at most 2044 bytes"):
            value.send(bytes(2045))
        value.send(bytes(2044))
        value.send(b"fits")
        assert await b.newest(15).recv(timeout_ms=1000) == b"fits"
        told = []
        a._policy._on_event = lambda event, _: told.append(event)
        value.send(bytes(2044))
        await a.flush(timeout_ms=1000)
        await asyncio.sleep(0.5)
        assert told == ["too large"]
        assert a.stats["too_large"] == 1
        await asyncio.gather(a.close(), b.close())
        with pytest.raises(RuntimeError, match="was not opened"):
            picolink.connect("PicoA", radio=air, engine=engine).newest(1).send(b"")

    virtual_time.run(main())


def test_closing_waits_for_a_value_and_tells_of_one_that_is_lost(engine):
    async def main():
        for seconds, wanted in (
            (2, []),
            (9, ["1 messages were not acknowledged before the link was closed"]),
        ):
            air = memory.Air(supervision_ms=500)
            told = []
            a, b = await pair(
                engine,
                air,
                on_event=lambda event, detail, told=told: event == "undelivered" and told.append(detail),
            )
            air.in_range = False
            await asyncio.sleep(1)
            a.newest(1).send(b"last")
            with pytest.raises(asyncio.TimeoutError):
                await a.flush(timeout_ms=100)
            closing = asyncio.create_task(a.close())
            await asyncio.sleep(seconds)
            air.in_range = True
            await closing
            assert told == wanted
            if not wanted:
                assert await b.newest(1).recv(timeout_ms=1000) == b"last"
            await b.close(timeout_ms=0)

    virtual_time.run(main())


@pytest.mark.parametrize("commit", [False, True])
def test_values_and_a_file_and_messages_on_one_link(engine, commit, tmp_path):
    content = bytes(range(256)) * 100
    (tmp_path / "sent").write_bytes(content)

    async def main():
        a, b = await pair(engine, memory.Air(delay_ms=20), b_commit=commit)
        got, ages = [], []
        loop = asyncio.get_running_loop()
        reading = asyncio.create_task(swallow(b, got, commit))  # waits before anybody takes a channel

        async def receive():
            async for path in picolink.receive_files(b, str(tmp_path / "there")):
                return path
            return None

        async def look(position):
            while True:
                ages.append(loop.time() * 1000 - int(await position.recv()))

        async def drive(stick):
            while True:
                stick.send(b"%d" % (loop.time() * 1000))
                await asyncio.sleep(0.005)

        await asyncio.sleep(0.1)
        tasks = [asyncio.create_task(work) for work in (receive(), look(b.newest(2)), drive(a.newest(2)))]
        await asyncio.sleep(0.1)
        await a.send(bytes(4))
        await picolink.send_file(a, tmp_path / "sent", "got")
        await a.send(b"\1\0\0\0")
        await a.flush()
        assert await tasks[0] == f"{tmp_path}/there/got"
        rtt_ms = a.stats["rtt_ms"]
        assert a.stats["messages_sent"] > len(content) // 224  # no value waits for a large one
        for task in tasks:
            task.cancel()
        await asyncio.gather(a.close(), b.close())
        await reading
        assert (tmp_path / "there/got").read_bytes() == content
        assert got == [0, 1]
        assert len(ages) > 20
        assert sorted(ages)[int(0.95 * len(ages))] <= 2 * rtt_ms

    virtual_time.run(main())


def test_a_channel_is_for_one_thing(engine):
    async def main():
        a, b = await pair(engine, memory.Air())
        a.newest(15)
        with pytest.raises(ValueError, match="channel 15 of this link is used for something else: a Newest"):
            await picolink.send_file(a, __file__)
        picolink.receive_files(b, "")
        with pytest.raises(ValueError, match="channel 15"):
            b.newest(15)
        await asyncio.gather(a.close(), b.close())

    virtual_time.run(main())


def test_no_memory_behind_a_message_loses_neither(engine, monkeypatch):
    async def main():
        a, b = await pair(engine, memory.Air())
        value = b.newest(1)
        await a.send(b"message")
        await a.flush()
        a.newest(1).send(b"value")
        await a.flush()
        real = sorting.Sorter.readable
        times = []

        def readable(sorter):
            times.append(None)
            if len(times) == 2:
                raise MemoryError
            return real(sorter)

        waiting = asyncio.create_task(value.recv(timeout_ms=5000))
        await asyncio.sleep(0.1)
        times.clear()
        monkeypatch.setattr(sorting.Sorter, "readable", readable)
        assert await b.recv() == b"message"
        assert await waiting == b"value"
        assert len(times) > 2
        await asyncio.gather(a.close(), b.close())

    virtual_time.run(main())
