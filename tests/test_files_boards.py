"""Files between virtual boards, or a board and a PC: MicroPython and both engines on the modelled radio."""

import asyncio
import contextlib
import os
import random
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from picolink_pc import products
from picolink_pc.boards import Room
from picolink_pc.radio.air import RadioSettings
from picolink_pc.terminal.copy import copy

pytestmark = pytest.mark.slow

PROGRAMS = Path(__file__).parent / "programs"
EXAMPLES = PROGRAMS.parents[1] / "examples"
PICOLINK = Path(sys.executable).with_name("picolink")
CONTENT = random.Random(2).randbytes(100_000)


@pytest.fixture
def room(stack, tmp_path):
    """async with room(engines) as (to, there, send, receive): two boards and what starts them."""
    (tmp_path / "file").write_bytes(CONTENT)
    there = tmp_path / "there"

    @contextlib.asynccontextmanager
    async def set_up(engines=(None, None)):
        async with Room(RadioSettings(interval_ms=15), **stack) as room:
            a, b = room.board("A", engines[0]), room.board("B", engines[1])

            async def receive():
                await a.start(PROGRAMS / "files_from.py", engines[0] or "any", str(there))

            async def send(talk=0):
                arguments = (engines[1] or "any", str(tmp_path / "file"), "log.csv", str(talk))
                await b.start(PROGRAMS / "files_to.py", *arguments)

            yield a, b, receive, send

    set_up.there = there
    return set_up


@pytest.mark.parametrize("engines", [("native", "native"), ("python", "native"), ("native", "python")])
def test_a_file_and_what_goes_beside_it(room, run, engines):
    async def play():
        async with room(engines) as (a, b, receive, send):
            await receive()
            await send(100)
            await a.line("^file ")
            await b.line("^sent ")
            await a.line("^closed")
            got = [int(line.split()[1]) for line in a.output if line.startswith("got")]
            assert got == list(range(100))

    run(play())
    assert (room.there / "log.csv").read_bytes() == CONTENT


@pytest.mark.parametrize("who", ["sender", "receiver"])
def test_a_board_that_restarts_continues(room, run, who):
    async def play():
        async with room() as (a, b, receive, send):
            await receive()
            await send()
            part = room.there / "log.csv.part"
            while not part.exists() or part.stat().st_size < 40_000:
                await asyncio.sleep(0.01)
            await (b if who == "sender" else a).restart()
            sent = await b.line("^sent ")
            if who == "sender":
                assert int(re.search(r"from (\d+)", sent)[1]) > 40_000
            await a.line("^file ")

    run(play())
    assert (room.there / "log.csv").read_bytes() == CONTENT


def test_littlefs_when_power_is_cut_inside_erase_and_program_calls(tmp_path):
    """On the filesystem of Pico boards; the flash chip does a call under which power is cut in part."""
    path = [products.native_module("x64").parent, products.ON_BOARDS, ".frozen"]
    done = subprocess.run(
        [products.MICROPYTHON, PROGRAMS / "flash_cuts.py", "1", "15", tmp_path / "scratch"],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
        env=os.environ | {"MICROPYPATH": ":".join(map(str, path))},
    )
    assert (done.returncode, done.stderr) == (0, "")
    files, programs, under = done.stdout.splitlines()
    assert int(files.split()[-1]) >= 15
    assert int(programs.split()[-1]) >= 15
    assert re.search(r"'erase': \d", under)
    assert re.search(r"'program': \d", under)


def test_the_example_and_picolink_copy(tmp_path, monkeypatch, ctrl_c):  # noqa: ARG001
    def copy(*arguments):
        command = [PICOLINK, "copy", "--radio", "virtual", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path)

    for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    (tmp_path / "settings.json").write_bytes(CONTENT)
    run = [PICOLINK, "run", EXAMPLES / "files.py"]
    running = subprocess.Popen(run, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        while "picolink scan --radio virtual" not in (line := running.stdout.readline()):
            assert line
        done = copy("settings.json", "Files:")
        assert (done.returncode, done.stderr) == (0, "settings.json is now Files:settings.json\n")
        done = copy("Files:log.csv", "Files:settings.json", "XDG_DATA_HOME")
        assert done.returncode == 0, done.stderr
        log = (tmp_path / "XDG_DATA_HOME" / "log.csv").read_text().splitlines()
        assert [line.split(",")[1] for line in log] == ["started", "files/settings.json"]
        assert (tmp_path / "XDG_DATA_HOME" / "settings.json").read_bytes() == CONTENT
        done = copy("settings.json", "Files:log.csv")
        assert (done.returncode, done.stderr) == (
            1,
            "Error: refused: this name is not allowed there: 'log.csv'\n",
        )
        done = copy("Files:none", ".")
        assert (done.returncode, done.stderr) == (1, "Error: there is no file 'none'\n")
    finally:
        running.send_signal(signal.SIGINT)
        running.wait(20)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("none", "Files:"), "there is no file 'none'"),
        (("Files:a", "Files:b"), "one side of a copy has to be this PC"),
        (("here", "there"), "a colon follows a board's name"),
        (("Files:a", "Other:b", "."), "a colon follows"),
        (("Files:a", "Files:b", "nowhere"), "several files need a folder"),
        (("Files:", "."), "which file"),
    ],
)
def test_what_copy_does_not_understand(arguments, why, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").touch()
    done = CliRunner().invoke(copy, arguments)
    assert done.exit_code == 1
    assert why in done.output
