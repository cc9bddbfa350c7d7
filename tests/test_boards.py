"""Virtual boards as processes, and the command that runs programs on them."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from picolink_pc import boards, products
from picolink_pc.boards import BoardError, Room

pytestmark = pytest.mark.slow

PICOLINK = Path(sys.executable).with_name("picolink")

HINT = "In another terminal, this PC can connect to a board that runs alone: picolink scan --radio virtual\n"
COUNT = """
import time
i = 0
while True:
    print("count", i)
    i += 1
    time.sleep_ms(20)
"""


@pytest.fixture
def on_board(run):
    """on_board(scenario): run `async scenario(board)` with one new board."""

    def play(scenario, engine="native"):
        async def on_bench():
            async with Room() as room:
                await scenario(room.board("board", engine))

        run(on_bench())

    return play


def picolink_run(*arguments: str | Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [PICOLINK, "run", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return True
    return state == "Z"


def wait_until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_lines_arguments_and_exit_code(on_board, tmp_path):
    program = tmp_path / "program.py"
    program.write_text("import sys\nprint('arguments', sys.argv[1:])\nprint('second')\nsys.exit(3)\n")

    async def scenario(board):
        await board.start(program, "one", "two words")
        assert await board.line("^arguments") == "arguments ['one', 'two words']"
        assert await board.line("second") == "second"
        assert await board.exit_code(20) == 3
        assert board.output == ["arguments ['one', 'two words']", "second"]
        assert not board.running

    on_board(scenario)


def test_kill_and_restart(on_board):
    async def scenario(board):
        await board.start_code(COUNT)
        await board.line("count 3")
        with pytest.raises(BoardError, match="running already"):
            await board.start_code(COUNT)
        await board.kill()
        assert await board.exit_code() == -signal.SIGKILL
        await board.restart()
        await board.line("count 0")
        await board.line("count 3$")
        await board.restart()
        await board.line("count 0")

    on_board(scenario)


def test_freeze_and_thaw(on_board):
    async def scenario(board):
        await board.start_code(COUNT)
        await board.line("count 3")
        board.freeze()
        await asyncio.sleep(0.2)
        lines = len(board.output)
        await asyncio.sleep(0.2)
        assert len(board.output) == lines
        board.thaw()
        await board.line(f"count {lines + 3}")

    on_board(scenario)


def test_complaints_show_what_was_printed(on_board):
    async def scenario(board):
        with pytest.raises(BoardError, match="never started"):
            await board.exit_code()
        await board.start_code("print('hello')\nimport time\ntime.sleep(30)")
        with pytest.raises(BoardError, match=r"(?s)no 'goodbye' within 1 s.*hello"):
            await board.line("goodbye", timeout=1)
        with pytest.raises(BoardError, match=r"(?s)still running after 0.1 s.*hello"):
            await board.exit_code(0.1)
        await board.kill()
        with pytest.raises(BoardError, match="ended without 'goodbye'"):
            await board.line("goodbye")

    on_board(scenario)


@pytest.mark.parametrize(("engine", "answer"), [("native", "native"), ("python", "python")])
def test_engine_is_the_native_module_or_none(on_board, engine, answer):
    async def scenario(board):
        await board.start_code(
            "from picolink import engine\nprint('engine', engine.load(None)[1])\n"
            "try:\n    import _picolink\nexcept ImportError:\n    print('no module')"
        )
        assert await board.line("engine") == f"engine {answer}"
        assert await board.exit_code(20) == 0
        assert ("no module" in board.output) == (engine == "python")

    on_board(scenario, engine)


def test_what_is_missing_names_itself(run, monkeypatch, tmp_path):
    async def new_bench(engine="native", **options):
        async with Room(**options) as room:
            room.board("board", engine)

    with pytest.raises(BoardError, match="the real aioble"):
        run(new_bench(micropython=Path(sys.executable)))
    with pytest.raises(BoardError, match="no aioble in"):
        run(new_bench(aioble=tmp_path))
    with pytest.raises(BoardError, match=r"MicroPython is missing .*is the path right"):
        run(new_bench(micropython=tmp_path / "micropython"))
    with pytest.raises(ValueError, match="engine is 'fast': one of native, python"):
        run(new_bench(engine="fast"))
    monkeypatch.setattr(boards, "_NATIVE", boards._NATIVE.with_name("nothing"))
    run(new_bench(engine="python"))
    with pytest.raises(BoardError, match=r"native module .*run make native"):
        run(new_bench())
    monkeypatch.setattr(products, "MICROPYTHON", products.MICROPYTHON.with_name("nothing"))
    with pytest.raises(BoardError, match=r"MicroPython is missing .*run make native"):
        run(new_bench())


def test_boards_end_with_the_process_that_started_them():
    code = f"""
import asyncio
from picolink_pc.boards import Room

async def main():
    async with Room() as room:
        board = room.board("board")
        await board.start_code({COUNT!r})
        await board.line("count 1")
        print(board._process.pid, flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        pid = int(parent.stdout.readline())
        assert not gone(pid)
        parent.kill()
    wait_until(lambda: gone(pid))


def test_run_shows_lines_under_their_board_and_returns_the_worst_exit_code(tmp_path):
    (tmp_path / "first.py").write_text("print('one')\n")
    (tmp_path / "second.py").write_text("print('two')\nraise SystemExit(4)\n")
    programs = [tmp_path / "first.py", tmp_path / "second.py", tmp_path / "first.py"]
    done = picolink_run(*programs)
    assert sorted(done.stdout.splitlines()) == [" second  two", "first 1  one", "first 2  one"]
    assert done.returncode == 4
    assert re.fullmatch(f"{HINT}second has failed: exit code 4(; .* still running)?\\.\n", done.stderr)


def test_run_tells_of_a_program_that_failed_before_its_time(tmp_path):
    (tmp_path / "failing.py").write_text("1 / 0\n")
    (tmp_path / "waiting.py").write_text("import time\ntime.sleep(60)\n")
    done = picolink_run("--seconds", "2", tmp_path / "failing.py", tmp_path / "waiting.py")
    assert "ZeroDivisionError" in done.stdout
    assert done.returncode == 1


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("end", ["ctrl-c", "seconds"])
def test_run_ends_cleanly(tmp_path, end):
    program = tmp_path / "count.py"
    program.write_text(COUNT)
    options = ["--seconds", "1"] if end == "seconds" else []
    command = [PICOLINK, "run", *options, program, program]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes, start_new_session=True) as process:
        assert process.stdout.readline().startswith("count ")
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        if end == "ctrl-c":
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        output, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, HINT)
    assert ("The boards are off." in output) == (end == "ctrl-c")
    assert all(gone(int(child)) for child in children)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "Missing argument 'PROGRAMS...'"),
        (["nothere.py"], "'nothere.py' does not exist"),
        (["--interval", "5", __file__], "--interval is 5.0: from 7.5 to 4000 ms"),
        (["--loss", "1", __file__], "--loss is 1.0"),
        (["--pdus-per-event", "0", __file__], "--pdus-per-event is 0: 1 or more"),
        (["--micropython", sys.executable, __file__], "needs the real aioble"),
    ],
)
def test_run_explains_what_is_wrong(arguments, complaint):
    done = picolink_run(*arguments)
    assert done.returncode != 0
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr
