"""The examples do what they say, on virtual boards."""

import asyncio
import itertools
import re
from pathlib import Path

import pytest
from picolink_pc.boards import Room

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
PROGRAMS = ROOT / "tests/programs"


@pytest.mark.parametrize("engine", ["native", "python"])
def test_a_robot_stops_300_ms_after_the_last_value(engine):
    async def main():
        async with Room() as room:
            robot, driver = room.board("robot", engine), room.board("driver", engine)
            await robot.start(EXAMPLES / "remote_control.py")
            await driver.start(PROGRAMS / "driver.py")
            await driver.line("^driving")
            room.radio.in_range = False
            stopped = await robot.line("^stopped")
            ms = int(re.search(r"(\d+) ms", stopped)[1])
            print(stopped)
            assert 300 <= ms <= 400
            disconnected = asyncio.create_task(robot.line("disconnected"))
            await asyncio.wait_for(disconnected, 10)  # seconds later

    asyncio.run(main())


def test_a_robot_stops_at_values_that_are_none_for_it():
    async def main():
        async with Room() as room:
            robot, driver = room.board("robot"), room.board("driver")
            await robot.start(EXAMPLES / "remote_control.py")
            await driver.start(PROGRAMS / "odd_driver.py")
            await driver.line("^done", 10)

    asyncio.run(main())


def test_the_same_program_on_both_boards():
    async def main():
        async with Room() as room:
            one, other = boards = [room.board(name) for name in ("one", "other")]
            for board in boards:
                await board.start(EXAMPLES / "same_program.py")

            async def blink():
                for board in boards:
                    await board.line("LED on", 30)

            await blink()
            room.radio.drop()
            await asyncio.gather(*(board.line("picolink: connected", 30) for board in boards))
            await blink()
            await other.restart()
            await one.line("picolink: peer restarted", 30)
            await blink()

    asyncio.run(main())


def faster(tmp_path, name, **constants):
    """The example, with other values of its constants."""
    text = (EXAMPLES / name).read_text()
    for constant, value in constants.items():
        text, count = re.subn(rf"^{constant} = [\d_]+", f"{constant} = {value}", text, flags=re.MULTILINE)
        assert count == 1
    path = tmp_path / name
    path.write_text(text)
    return path


def shown(output):
    """What display.py has printed: (number, left out before it) of each reading."""
    left_out = 0
    for line in output:
        if match := re.match(r"\((\d+) readings were left out\)", line):
            left_out = int(match[1])
        elif match := re.match(r"(\d+) s: ", line):
            yield int(match[1]), left_out
            left_out = 0


def test_a_sensor_keeps_some_readings_while_the_display_is_off_and_says_how_many_it_left_out(tmp_path):
    """50 times as fast, and with room for fewer."""

    async def main():
        async with Room() as room:
            sensor, display = room.board("sensor"), room.board("display")
            await sensor.start(faster(tmp_path, "sensor.py", EVERY_S=0.02, KEPT=10, MOST=5))
            await display.start(EXAMPLES / "display.py")
            for _ in range(20):
                await display.line(" s: ")
            await display.kill()
            await sensor.line("disconnected")
            began = len(display.output)
            await asyncio.sleep(2)  # a hundred readings
            await display.restart()
            for _ in range(40):
                await display.line(" s: ")
            return list(shown(display.output[began:]))

    readings = asyncio.run(main())
    print(readings)
    for (before, _), (number, left_out) in itertools.pairwise(readings):
        assert number == before + 1 + left_out
    assert max(left_out for _, left_out in readings) > 10  # more than between two that are kept


def test_a_reading_is_safe_before_the_battery_board_sleeps(tmp_path):
    async def main():
        async with Room() as room:
            battery, base = room.board("battery"), room.board("base")
            await battery.start(faster(tmp_path, "battery.py", SLEEP_MS=500, PATIENCE_MS=2000))
            first = await battery.line("awake for")
            await base.start(EXAMPLES / "base.py")
            awake = await battery.line("^safe; awake for")
            await battery.line("deep sleep for 500 ms")
            return first, awake, [line for line in base.output if line.startswith("safe: ")]

    first, awake, safe = asyncio.run(main())
    print(awake)
    assert first.startswith("kept; awake for")
    assert len(safe) >= 2  # what was kept, and the new one


def test_two_people_chat():
    async def main():
        async with Room() as room:
            ann, bob = room.board("ann"), room.board("bob")
            for board, name in (ann, "Ann"), (bob, "Bob"):
                board.allow_typing()
                await board.start(EXAMPLES / "chat.py")
                board.type(name)
            await ann.line("^You can talk")
            await bob.line("^You can talk")
            bob.type("21.5 °C here")
            await ann.line("^Bob: 21.5 °C here$")
            ann.type("Hello Bob!")
            await bob.line("^Ann: Hello Bob!$")

    asyncio.run(main())
