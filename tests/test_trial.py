"""A new main.py on trial: power cut at every step, and programs that fail in every way."""

import asyncio
import contextlib
import itertools
import sys
from pathlib import Path

import picolink
import pytest
from picolink import trial
from picolink_pc.boards import Room

PROGRAMS = Path(__file__).parent / "programs"


class PowerCutError(BaseException):
    """Nothing is done any more."""


class Power:
    """Cuts the power before a step at the file system: None of them, or the one of this number."""

    def __init__(self, monkeypatch):
        self.left = None
        for name in ("replace", "remove"):
            monkeypatch.setattr(trial.os, name, self._step(getattr(trial.os, name)))
        self._open = open
        monkeypatch.setattr(trial, "open", self._step(open), raising=False)
        monkeypatch.setattr(trial, "_watch", self.watched)
        self.trials = 0

    def watched(self, ms):
        assert ms == 5000
        self.trials += 1

    def _step(self, function):
        def step(*arguments):
            if self.left is not None:
                if not self.left:
                    raise PowerCutError
                self.left -= 1
            return function(*arguments)

        return step


@pytest.fixture
def board(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "main.py").write_text("old")
    (tmp_path / "new.py").write_text("new")
    return tmp_path


@pytest.fixture
def power(monkeypatch):
    return Power(monkeypatch)


def start(board):
    """What the board runs after power-on."""
    trial.boot()
    return (board / "main.py").read_text()


def left_over(board):
    return sorted(path.name for path in board.iterdir())


def install(monkeypatch):
    def reset():
        raise SystemExit

    monkeypatch.setitem(sys.modules, "machine", type("machine", (), {"reset": staticmethod(reset)}))
    with pytest.raises(SystemExit):
        picolink.try_program("new.py", 5000)


def test_a_program_that_is_kept_stays(board, power, monkeypatch):
    install(monkeypatch)
    assert start(board) == "new"
    assert power.trials == 1
    picolink.keep()
    assert [start(board) for _ in range(3)] == ["new"] * 3
    assert left_over(board) == ["main.py"]
    assert power.trials == 1


def test_one_that_is_not_kept_goes(board, power, monkeypatch):
    install(monkeypatch)
    assert [start(board) for _ in range(3)] == ["new", "old", "old"]
    assert left_over(board) == ["main.py"]
    assert power.trials == 1


@pytest.mark.parametrize("again", range(-1, 5))
def test_power_is_cut_before_every_step(board, power, monkeypatch, again):
    """And once more at the next start, before each step of that: it is the old program or the new one."""
    for cut in itertools.count():
        (board / "main.py").write_text("old")
        (board / "new.py").write_text("new")
        power.left = cut
        kept = False
        try:
            install(monkeypatch)
            assert start(board) == "new"
            picolink.keep()
            kept = True
        except PowerCutError:
            pass
        if again >= 0:
            power.left = again
            with contextlib.suppress(PowerCutError):
                start(board)
        power.left = None
        was_kept = not (board / "picolink.old").exists() and (board / "main.py").read_text() == "new"
        ran = [start(board) for _ in range(3)]
        assert ran[1:] == [("new" if was_kept else "old")] * 2
        assert not kept or was_kept
        assert set(left_over(board)) <= {"main.py", "new.py"}
        if kept:  # there was no step of this number
            return


def test_a_program_on_trial_tries_no_other(board, power, monkeypatch):
    install(monkeypatch)
    start(board)
    (board / "new.py").write_text("newer")
    with pytest.raises(RuntimeError, match="keep"):
        picolink.try_program("new.py")
    picolink.keep()
    with pytest.raises(FileNotFoundError):
        picolink.try_program("none.py")
    assert power.trials == 1


OLD = """
import os, picolink
print("old")
if "new.py" in os.listdir():
    picolink.try_program("new.py", 3000)
"""
GOOD = """
import picolink, time
print("new")
picolink.keep()
time.sleep(12)
print("still here")
"""
BAD = {
    "fails": "raise ValueError('x')",
    "hangs": "while True:\n    pass",
    "says nothing": "import asyncio\nasyncio.run(asyncio.sleep(1000))",
    "sleeps": "import time\ntime.sleep(1000)",
    "restarts": "import sys\nsys.exit()",
    "is no program": "this is not Python",
}


@pytest.fixture
def virtual_board(tmp_path, stack):
    """virtual_board(new program, after): what it prints.   after: from the second start on."""

    async def play(new, after):
        (tmp_path / "main.py").write_text(OLD)
        (tmp_path / "new.py").write_text(new)
        async with Room(**stack) as room:
            board = room.board("A")

            async def start():
                await board.start(PROGRAMS / "power_on.py", str(tmp_path))

            await start()
            await board.exit_code(30)
            await start()
            await after(board, start)
            return [line for line in board.output if line in ("old", "new", "still here")]

    return play


@pytest.mark.slow
@pytest.mark.parametrize("how", BAD)
def test_the_old_one_comes_back_when_the_new_one(tmp_path, run, virtual_board, how):
    async def after(board, start):
        await board.exit_code(60)
        await start()
        for _ in range(2):
            await board.line("^old")

    new = "" if how == "is no program" else "print('new')\n"
    ran = run(virtual_board(new + BAD[how], after))
    assert ran == (["old", "new", "old"] if new else ["old", "old"])
    assert (tmp_path / "main.py").read_text() == OLD


@pytest.mark.slow
def test_a_new_one_that_keeps_itself_runs_on(tmp_path, run, virtual_board):
    async def after(board, _start):
        await board.line("^still here", 60)

    assert run(virtual_board(GOOD, after)) == ["old", "new", "still here"]
    assert (tmp_path / "main.py").read_text() == GOOD


OVER_THE_AIR = """
import asyncio, picolink

async def main():
    print("version", VERSION)
    async with picolink.advertise("A", key=bytes(range(128, 160))) as link:
        picolink.keep()
        async for path in picolink.receive_files(link, "new", programs=True):
            await link.close()
            picolink.try_program(path, 6000)

asyncio.run(main())
"""
SENDER = """
import asyncio, picolink

async def main():
    async with picolink.connect("A", key=bytes(range(128, 160))) as link:
        await picolink.send_file(link, PATH, "main.py")
        print("sent")

asyncio.run(main())
"""
VISITOR = """
import asyncio, picolink

async def main():
    async with picolink.connect("A", key=bytes(range(128, 160))) as link:
        print("met")
        await asyncio.sleep(100)

asyncio.run(main())
"""


@pytest.mark.slow
def test_over_the_air(tmp_path, run, stack):
    """Version 1 takes version 2, which stays when it is met; that takes version 3, which is never met."""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    (there / "main.py").write_text(OVER_THE_AIR.replace("VERSION", "1"))

    async def play():
        async with Room(**stack) as room:
            board, other = room.board("A"), room.board("B")

            async def start(version):
                await board.start(PROGRAMS / "power_on.py", str(there))
                await board.line(f"^version {version}$")

            async def send(version):
                (here / "main.py").write_text(OVER_THE_AIR.replace("VERSION", version))
                await other.start_code(SENDER.replace("PATH", repr(str(here / "main.py"))))
                await other.line("^sent")
                await board.exit_code(30)
                await other.kill()

            await start("1")
            await send("2")
            await start("2")
            await other.start_code(VISITOR)
            await other.line("^met")
            await asyncio.sleep(1)
            await board.kill()
            await other.kill()
            await start("2")
            await send("3")
            await start("3")
            assert await board.exit_code(40)  # the watchdog
            await start("2")

    run(play())
