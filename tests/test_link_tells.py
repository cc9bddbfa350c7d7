"""What a link tells its program when something is in the way: in virtual time, on the radio in memory."""

import asyncio
import itertools

import picolink
import pytest
import virtual_time
from picolink.radio import memory


def link(way, air, told, name="PicoA", **options):
    """told: gets (ms, event, detail)."""

    def on_event(event, detail):
        told.append((asyncio.get_running_loop().time() * 1000, event, detail))

    return getattr(picolink, way)(name, radio=air, engine="python", on_event=on_event, **options)


def of(told, event):
    return [detail for _, told_event, detail in told if told_event == event]


def test_other_names_in_sight_are_told():
    async def main():
        air, told = memory.Air(), []
        a, b = link("advertise", air, []), link("connect", air, told, name="picoA")
        tasks = [asyncio.create_task(a.open()), asyncio.create_task(b.open())]
        await asyncio.sleep(6)
        assert of(told, "not found") == ["no board named 'picoA' in sight, still looking; in sight: 'PicoA'"]
        air.in_range = False
        told.clear()
        await asyncio.sleep(10)
        assert of(told, "not found")[0] == "no board named 'picoA' in sight, still looking"
        await asyncio.gather(a.close(), b.close())
        await asyncio.gather(*tasks, return_exceptions=True)

    virtual_time.run(main())


@pytest.mark.parametrize("way", ["advertise", "connect"])
def test_that_nobody_is_there_is_told_soon_and_then_now_and_then(way):
    async def main():
        told = []
        a = link(way, memory.Air(), told)
        opening = asyncio.create_task(a.open())
        await asyncio.sleep(60)
        times = [at for at, event, _ in told if event == "not found"]
        assert times[0] < 5100
        assert all(10_000 <= later - sooner < 16_000 for sooner, later in itertools.pairwise(times))
        assert of(told, "not found")[2].endswith(" times so far)")
        assert len(times) == len(told) >= 4
        await a.close()
        await asyncio.gather(opening, return_exceptions=True)

    virtual_time.run(main())


class Phone:
    """Connects again and again, stays, and says nothing. It stands in for a policy, too."""

    peer = None

    def __init__(self, air):
        self.role = memory._Connects("PicoA", air.board("phone"))
        self.wake = asyncio.Event()
        self.role.serve(self)

    async def run(self):
        while True:
            await self.role.establish()
            while self.role.handle >= 0:
                await asyncio.sleep(0.01)

    def nothing(self, *arguments):
        pass

    limit = adopt = call = not_found = shuns = nothing


def test_somebody_who_connects_and_stays_is_told_and_advertising_goes_on():
    async def main():
        air, told = memory.Air(), []
        a = link("advertise", air, told)
        opening = asyncio.create_task(a.open())
        phone = asyncio.create_task(Phone(air).run())
        await asyncio.sleep(60)
        phone.cancel()
        said = [(at, detail) for at, event, detail in told if event == "not connected"]
        assert 4000 < said[0][0] < 5000
        what = "a device connected and did not speak picolink: hung up"
        assert said[0][1] == f"{what} (phone)"
        assert said[1][1] == f"{what} (phone, 4 times so far)"
        assert all(later[0] - sooner[0] >= 10_000 for sooner, later in itertools.pairwise(said))
        assert 4 <= len(said) <= 6
        b = link("connect", air, [])
        await asyncio.gather(opening, b.open())
        await asyncio.gather(a.close(), b.close())

    virtual_time.run(main())


def test_a_board_that_did_not_run_says_so():
    async def main():
        air, told = memory.Air(), []
        a, b = link("advertise", air, told), link("connect", air, [])
        await asyncio.gather(a.open(), b.open())
        for seconds in (7, 2, 5):
            told.clear()
            asyncio.get_running_loop()._virtual.now_s += seconds  # input(), in both programs
            await asyncio.sleep(2)
            away = f"this board's program did not let the link run for {seconds} s, looking for it again"
            assert of(told, "disconnected") == ([away] if seconds > 4.5 else [])
        asyncio.get_running_loop()._virtual.now_s += 3.5
        await asyncio.sleep(1)
        told.clear()
        air.drop()
        await asyncio.sleep(1)
        assert of(told, "disconnected") == ["the connection was lost, looking for it again"]
        await asyncio.gather(a.close(), b.close())

    virtual_time.run(main())
