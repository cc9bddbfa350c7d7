"""The examples do what they say, on virtual boards."""

import asyncio
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
