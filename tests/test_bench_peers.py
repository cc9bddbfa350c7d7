"""picolink bench cpu --peers: its programs, on virtual boards here, and how it computes."""

import asyncio
import importlib.util
import json

import pytest
from click.testing import CliRunner
from picolink_pc.bench import cpu, cpu_firmware
from picolink_pc.boards import Room
from picolink_pc.radio.air import RadioSettings

MESSAGE = b"eighteen bytes ..."


def both_ways(stack, through, period_ms):
    """What each board has told."""

    async def inside():
        async with Room(RadioSettings(), **stack) as room:
            boards = [room.board(role) for role in cpu_firmware.ROLES]
            for board in boards:
                await board.start(cpu_firmware._PEERS, board.name, through, str(period_ms), "500")
            return [json.loads((await board.line("^end ")).removeprefix("end ")) for board in boards]

    return asyncio.run(inside())


@pytest.mark.slow
def test_messages_through_picolink_are_counted(stack):
    for found in both_ways(stack, "native", 20):
        assert found["sent"] > 0
        assert found["received"] > 0


@pytest.fixture
def real_aioble(stack):
    return stack


@pytest.mark.slow
@pytest.mark.parametrize("through", ["aioble", "frame"])
def test_messages_through_aioble_are_counted(real_aioble, through):
    for found in both_ways(real_aioble, through, 20):
        assert found["sent"] > 0
        assert found["received"] > 0


@pytest.fixture
def frames():
    path = cpu_firmware._PEERS.with_name("frames.py")
    spec = importlib.util.spec_from_file_location("frames", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_frame_brings_its_message(frames):
    ours, theirs = frames.Frames(), frames.Frames()
    for _ in range(0x10001):  # numbers begin again
        assert theirs.take(ours.make(MESSAGE)) == MESSAGE
    assert theirs.wrong == 0


def test_frames_that_are_damaged_or_come_again_are_counted(frames):
    ours, theirs = frames.Frames(), frames.Frames()
    first, second = ours.make(MESSAGE), ours.make(MESSAGE)
    assert theirs.take(bytes((first[0] ^ 1,)) + first[1:]) is None
    assert theirs.take(second) == MESSAGE  # the first one is lost
    assert theirs.take(second) is None
    assert theirs.take(first) is None
    assert theirs.wrong == 3


@pytest.mark.parametrize("with_it", [[], ["--key"], ["--profile"]])
def test_what_does_not_go_with_peers_is_said(with_it):
    outcome = CliRunner().invoke(cpu.cpu, ["--peers", *with_it])
    assert outcome.exit_code == 2
    assert "--peers goes with --firmware" in outcome.output


def board(sent, received, percent):
    return {"sent": sent, "received": received, "cpu": percent}


def test_cycles_are_those_beyond_the_idle_connection():
    idle = {"peripheral": 2, "central": 3}
    found = {"peripheral": board(50, 50, 4), "central": board(50, 50, 6)}
    row = cpu_firmware._peer_row("aioble", found, idle)
    assert row["through"] == "aioble alone"
    assert (row["peripheral_cycles"], row["central_cycles"]) == (50_000, 75_000)


def test_there_are_no_cycles_of_messages_that_were_lost():
    idle = {"peripheral": 2, "central": 3}
    row = cpu_firmware._peer_row(
        "frame", {"peripheral": board(250, 70, 20), "central": board(250, 250, 20)}, idle
    )
    assert (row["sent"], row["received"]) == (250, 70)
    assert row["peripheral_cycles"] is row["central_cycles"] is None
