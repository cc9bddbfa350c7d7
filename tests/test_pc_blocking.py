"""picolink.connect_sync: links for programs without asyncio, against virtual boards."""

import asyncio
import contextlib
import json
import os
import signal
import struct
import threading
import time
from pathlib import Path

import picolink
import pytest
from picolink_pc import virtual_adapter
from picolink_pc.boards import Room
from picolink_pc.products import EXAMPLES
from picolink_pc.radio_door import RadioDoor

NUMBERS = Path(__file__).parent / "programs" / "numbers.py"


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))


@pytest.fixture
def room():
    """room(program, *arguments): a board that runs it, in a room of its own with a door.

    The radio runs in a thread of its own: the program under test is not to know asyncio.
    """
    with contextlib.ExitStack() as stack:

        def start(program, *arguments):
            loop = asyncio.new_event_loop()
            ready, over = threading.Event(), asyncio.Event()
            rooms = []

            async def live():
                async with Room() as room, RadioDoor(room.radio):
                    rooms.append(room)
                    await room.board("board").start(program, *arguments)
                    ready.set()
                    await over.wait()

            thread = threading.Thread(target=lambda: loop.run_until_complete(live()))
            thread.start()

            def stop():
                loop.call_soon_threadsafe(over.set)
                thread.join()
                loop.close()

            stack.callback(stop)
            assert ready.wait(30)
            return rooms[0]

        yield start


def connect(name, **options):
    return picolink.connect_sync(name, radio=virtual_adapter.radio(), **options)


def assert_no_thread_is_left():
    assert not [thread for thread in threading.enumerate() if thread.name == "picolink"]


def test_a_script_of_five_lines(room):
    board = room(EXAMPLES / "pico_a.py").boards[0]
    with connect("PicoA", timeout_ms=20_000) as link:
        link.send("Hello from the PC!")
        for message in link:
            assert message == "Hello from Pico A!"
            break
        link.flush()
        assert link.connected
        assert link.name == "PicoA"
        assert link.stats["messages_acknowledged"] == 1
    assert not link.connected
    assert "Pico A received: Hello from the PC!" in board.output


def test_all_calls(room):
    room(NUMBERS, "advertise", json.dumps({"send": 40, "expect": 40}))
    with connect("Numbers", engine="python") as link:
        assert link.engine == "python"
        first = link.recv(timeout_ms=5000)
        assert struct.unpack_from("<I", first)[0] == link.channel == 0
        got = [first]
        while len(got) < 40:
            got += link.drain(timeout_ms=5000)
        assert [struct.unpack_from("<I", data)[0] for data in got] == list(range(40))
        for data in got[:39]:
            link.send(data, data[0] & 15)
        assert link.send_nowait(got[39], 39 & 15)
        link.flush(timeout_ms=5000)
        assert list(link) == []  # the board has closed


def test_a_wait_that_times_out_or_is_interrupted_loses_nothing(room, ctrl_c):  # noqa: ARG001
    room(NUMBERS, "advertise", json.dumps({"send": 1, "expect": 1}))
    with connect("Numbers") as link:
        data = link.recv()
        with pytest.raises(TimeoutError):
            link.recv(timeout_ms=50)
        interrupt = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
        interrupt.start()
        with pytest.raises(KeyboardInterrupt):
            link.recv()
        link.send(data)
        assert list(link) == []


def test_without_with(room):
    room(NUMBERS, "advertise", json.dumps({"send": 1, "expect": 1}))
    link = connect("Numbers")
    with pytest.raises(RuntimeError, match="not opened"):
        link.send("x")
    with link.open(timeout_ms=20_000):
        with pytest.raises(RuntimeError, match="opened already"):
            link.open()
        assert link.recv(timeout_ms=5000)
    with pytest.raises(picolink.LinkClosedError):
        link.send("x")
    link.close()
    assert_no_thread_is_left()


def test_a_board_that_is_not_there():
    with pytest.raises(RuntimeError, match="picolink run"):
        connect("Nobody").open()
    assert_no_thread_is_left()


def test_a_program_that_fails_does_not_end_the_boards(room):
    board = room(EXAMPLES / "pico_a.py").boards[0]
    with pytest.raises(ZeroDivisionError), connect("PicoA"):
        raise ZeroDivisionError
    for _ in range(100):
        if any("program has failed" in line for line in board.output):
            break
        time.sleep(0.1)
    assert board.running
    assert "the other board's program has failed, or was interrupted" in board.output[-1]
