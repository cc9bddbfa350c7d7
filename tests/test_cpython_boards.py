"""Virtual boards in CPython: what programs find there, and that links lose nothing over them.

All tests of the link run over them with  pytest --boards cpython tests/test_link.py
"""

import asyncio
import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from picolink_pc import boards, products
from picolink_pc.boards import BoardError, Room
from picolink_pc.standin.board_socket import BoardStream

pytestmark = pytest.mark.slow

PICOLINK = Path(sys.executable).with_name("picolink")
NUMBERS = Path(__file__).parent / "programs" / "numbers.py"

NAMES = """
import asyncio, gc, io, sys, time
import machine, micropython, ubinascii, ustruct
from micropython import const
assert time.ticks_diff(time.ticks_add(time.ticks_ms(), 5), time.ticks_ms()) in (4, 5)
assert time.ticks_diff(3, 0x3FFFFFFE) == 5 and time.ticks_diff(0x3FFFFFFE, 3) == -5
start = time.ticks_ms()
time.sleep_ms(30)
assert 30 <= time.ticks_diff(time.ticks_ms(), start) < 1000
assert gc.mem_free() > 0
called = []
micropython.schedule(called.append, const(7))
while not called:
    pass
micropython.schedule(called.append, 8)
while len(called) < 2:
    time.sleep(1)
assert called == [7, 8]

async def main():
    flag = asyncio.ThreadSafeFlag()
    micropython.schedule(lambda _: flag.set(), None)
    await asyncio.wait_for_ms(flag.wait(), 5000)
    await asyncio.sleep_ms(1)
    try:
        await asyncio.wait_for_ms(flag.wait(), 10)
    except asyncio.TimeoutError:
        print("all there")

asyncio.run(main())
try:
    1 / 0
except ZeroDivisionError as error:
    sys.print_exception(error)
"""

REFUSED = """
import bluetooth
ble = bluetooth.BLE()
try:
    ble.gap_advertise(100_000)
except OSError as error:
    print("errno", error.errno)
"""

FED_ONCE = """
from machine import WDT
import time
WDT(timeout=300)
time.sleep(60)
"""


@pytest.fixture
def in_cpython(run):
    """in_cpython(scenario): run `async scenario(room)` in a room whose boards are in CPython."""

    def play(scenario, **options):
        async def in_room():
            async with Room(interpreter="cpython", **options) as room:
                await scenario(room)

        run(in_room())

    return play


@pytest.mark.parametrize(
    ("code", "expected"), [(NAMES, ["all there", "ZeroDivisionError"]), (REFUSED, ["errno 19"])]
)
def test_programs_find_what_a_board_has(in_cpython, code, expected):
    async def scenario(room):
        board = room.board("board")
        await board.start_code(code)
        for text in expected:
            await board.line(text)
        assert await board.exit_code(20) == 0

    in_cpython(scenario)


def test_lines_arguments_exit_code_and_restart(in_cpython, tmp_path):
    program = tmp_path / "program.py"
    program.write_text("import sys, beside\nprint('arguments', sys.argv[1:], beside.NAME)\nsys.exit(3)\n")
    (tmp_path / "beside.py").write_text("NAME = 'a module beside the program'\n")

    async def scenario(room):
        board = room.board("board")
        for _ in range(2):
            await board.start(program, "one", "two words")
            await board.line(re.escape("arguments ['one', 'two words'] a module beside the program"))
            assert await board.exit_code(20) == 3

    in_cpython(scenario)


def test_a_watchdog_that_is_not_fed_switches_the_board_off(in_cpython):
    async def scenario(room):
        board = room.board("board")
        await board.start_code(FED_ONCE)
        assert await board.exit_code(20) == 128 + signal.SIGALRM

    in_cpython(scenario)


def test_a_drop_and_a_slow_reader_lose_nothing(in_cpython):
    async def scenario(room):
        a, b = room.board("A"), room.board("B")
        await a.start(
            NUMBERS, "advertise", json.dumps({"send": 600, "expect": 600, "pause_ms": 3, "read_ms": 3})
        )
        await b.start(NUMBERS, "connect", json.dumps({"send": 600, "expect": 600, "pause_ms": 2}))
        await a.line("got 100")
        room.radio.in_range = False
        for board in (a, b):
            await board.line("event disconnected")
        room.radio.in_range = True
        for board in (a, b):
            assert await board.line("^received ", 60) == "received 600 in order"
            assert await board.exit_code(30) == 0
            assert [line for line in board.output if line.startswith("got")] == [
                f"got {n}" for n in range(600)
            ]

    in_cpython(scenario)


def test_who_does_not_know_the_token_is_hung_up_on(in_cpython):
    async def scenario(room):
        board = room.board("board")
        port, token = board._power.on()["PICOLINK_STANDIN"].split()
        for said in (token[:-1] + "x", ""):
            reader, writer = await asyncio.open_connection("127.0.0.1", int(port))
            writer.write(len(said).to_bytes(2, "little") + said.encode())
            with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
                await asyncio.wait_for(reader.readexactly(1), 10)
            writer.close()
            assert not board.host._stack

    in_cpython(scenario)


def test_messages_are_cut_out_of_the_stream_wherever_it_is_cut(run):
    async def scenario():
        known, messages = [], []
        stream = BoardStream("token", known.append)

        class Transport:
            get_extra_info = lambda *_: type("Socket", (), {"setsockopt": lambda *_: None})()  # noqa: E731
            is_closing = lambda _: False  # noqa: E731

        stream.connection_made(Transport())
        stream.on_message = messages.append
        sent = [b"token", b"one", b"", bytes(600), b"four"]
        octets = b"".join(len(message).to_bytes(2, "little") + message for message in sent)
        for at in range(len(octets)):
            stream.data_received(octets[at : at + 1])
        assert (known, messages) == ([stream], sent[1:])
        stream.data_received(octets[7:])
        assert messages == sent[1:] * 2

    run(scenario())


def test_what_boards_in_cpython_have_not_is_said(run, monkeypatch, tmp_path):
    async def new_board(engine=None, **options):
        async with Room(**options) as room:
            room.board("board", engine)
            return room.interpreter

    with pytest.raises(BoardError, match="boards in CPython have the Python engine"):
        run(new_board("native", interpreter="cpython"))
    assert run(new_board()) == "micropython"
    # As an installed package without MicroPython.
    monkeypatch.setattr(boards.products, "CHECKOUT", False)
    monkeypatch.setattr(products, "MICROPYTHON", tmp_path / "micropython")
    assert run(new_board()) == "cpython"


def test_run_says_what_the_boards_are_and_shows_a_traceback(tmp_path):
    (tmp_path / "failing.py").write_text("1 / 0\n")
    command = [PICOLINK, "run", "--boards", "cpython", tmp_path / "failing.py"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.startswith("Boards run in CPython, with picolink's Python engine.\n")
    assert "ZeroDivisionError" in done.stdout
    assert done.returncode == 1
