"""The fault harness: that it hits what it aims at, that its oracles notice, and that picolink stands it."""

import contextlib
import importlib.util
import os
import re
import signal
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import test_fuzz
from click.testing import CliRunner
from picolink import flags, policy, pyengine
from picolink_pc import c_engine
from picolink_pc.bench import report
from picolink_pc.boards import BoardError, VirtualBoard
from picolink_pc.chaos import chaos as command
from picolink_pc.chaos import simulated
from picolink_pc.chaos.oracle import Oracle
from picolink_pc.chaos.programs import messages
from picolink_pc.chaos.soak import Duration, _grown, soak
from picolink_pc.simulation import chaos
from picolink_pc.simulation.board import NO_TRAFFIC, Traffic
from picolink_pc.simulation.engines import engines
from picolink_pc.simulation.forger import INJECTING, Deceit, DeceivedBoard, Lie
from picolink_pc.simulation.simulation import Moment, Packet, Setup, Simulation, Trap
from rich.console import Console
from test_boards import PICOLINK

pytestmark = pytest.mark.slow

FULL_SPEED = (Traffic(), Traffic())

# Faults of the C engine that only a forger shows (test_fuzz.FAULTS), and what a run says then.
FORGED = {
    "a forged acknowledgement": "not both directions carried messages",
    "a tag far ahead": "not both directions carried messages",
    "forged gaps": "not both directions carried messages",
    "the same session id": "not both directions carried messages",
    "a stranger": "was not turned away",
    "the stream that made no sense": "not both directions carried messages",
}


@pytest.fixture(scope="session")
def forged_seed():
    """Of the first run that has a forger who injects nothing."""
    return next(seed for seed in range(100) if _forged(seed))


def _forged(seed):
    counts = chaos.play(engines("native", seed), seed).counts
    return counts["forger", "runs"] and not any(counts["forger", lie] for lie in INJECTING)


def run(*arguments):
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


# -- in simulation -------------------------------------------------------------------------------------------


def test_many_runs_and_every_fault_in_them(tmp_path):
    outcome = run("--seeds", 400, "--out", tmp_path)
    assert outcome.exit_code == 0, outcome.output
    rows = report.load(tmp_path / "chaos.json").rows
    counts = {(row["group"], row["what"]): row["count"] for row in rows}
    assert counts["runs", "runs"] == 400
    assert counts["promises", "runs in which one was broken"] == 0
    for victim in ("connection dropped", "central restarted", "peripheral restarted"):
        for moment in ("a random moment", "a packet: HELLO", "a packet: acknowledgement"):
            assert counts[victim, f"at {moment}"] > 0
        assert counts[victim, f"at a packet: {Packet.FRAGMENT}"] > 0
    ends = {what: count for (group, what), count in counts.items() if group.startswith("when")}
    assert len(ends) == 4
    for fault in (
        "lost",
        "corrupted",
        "truncated",
        "duplicated",
        "delayed",
        "packets unread for want of heap",
    ):
        assert counts["packets", fault] > 0
    for error in ("ENOMEM", "EALREADY", "EBUSY", "ENOTCONN", "EINVAL", "EAGAIN", "EIO"):
        assert counts["write refused", error] > 0
    for fault in ("clock wrapped", "freezes", "heap exhausted", "reader slowed down", "reader stalled"):
        assert counts["boards", fault] > 0
    for fault in ("connected", "tolerated until it had to greet", "a third board connected"):
        assert counts["strangers", fault] > 0
    for lie in Lie:
        assert counts["forger", lie] > 0
    for end in ("by one board, then by the other", "by both boards at once", "by one board, among faults"):
        assert counts["closed", end] > 0
    assert counts["closed", "messages undelivered, and reported"] > 0


def test_runs_of_boards_with_a_key_and_a_forger_who_has_none(tmp_path):
    outcome = run("--key", "--forger", "--seeds", 40, "--jobs", 1, "--out", tmp_path)
    assert outcome.exit_code == 0, outcome.output
    result = report.load(tmp_path / "chaos.json")
    counts = {(row["group"], row["what"]): row["count"] for row in result.rows}
    assert counts["forger", "runs with a key"] == counts["runs", "runs"] == 40
    assert ("forger", "runs") not in counts
    assert (result.parameters["keyed"], result.parameters["forger"]) == (True, True)
    neither = run("--no-key", "--no-forger", "--seeds", 20, "--jobs", 1, "--out", tmp_path)
    assert neither.exit_code == 0
    assert not [row for row in report.load(tmp_path / "chaos.json").rows if row["group"] == "forger"]
    one = run("--seed", 7, "--key", "--forger")
    assert "both boards have a key" in one.output
    assert run("--boards", "--key").exit_code == 2


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_ends_all_processes():
    command = [PICOLINK, "chaos", "--seeds", "1000000", "--jobs", "2"]  # hours
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        tasks = Path(f"/proc/{process.pid}/task")
        while not any(task.joinpath("children").read_text() for task in tasks.iterdir()):
            assert process.poll() is None
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        try:
            output, _ = process.communicate(timeout=60)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 1
    assert "written to" not in output


def test_a_core_that_does_not_compile_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setattr(c_engine, "FOLDER", tmp_path)
    monkeypatch.setattr(c_engine, "_COMPILE", ("no-such-compiler",))
    c_engine.engine_class.cache_clear()
    try:
        outcome = run("--seeds", 1)
    finally:
        c_engine.engine_class.cache_clear()
    assert outcome.exit_code == 1
    assert outcome.output.startswith("Error: the native engine cannot be compiled for this PC")
    assert len(outcome.output.splitlines()) == 1


@pytest.mark.parametrize(("kind", "seeds"), [("python", 20), ("mixed", 40)])
def test_engines_of_all_kinds(kind, seeds):
    summary = simulated.play(Console(quiet=True), range(seeds), kind, 1, simulated.Choice())
    assert summary.runs == seeds
    assert summary.failures == []


def test_a_run_repeats_with_its_seed():
    first, again, other = (chaos.play(engines("native", seed), seed) for seed in (12, 12, 13))
    assert first == again
    assert first != other


def test_one_run_is_told_step_by_step():
    outcome = run("--seed", 12, "--engine", "mixed")
    assert outcome.exit_code == 0
    assert "no more faults" in outcome.output
    assert "every promise was kept" in outcome.output


def test_a_run_with_a_forger_names_what_he_says_and_repeats(forged_seed):
    first, again = (run("--seed", forged_seed).output for _ in range(2))
    assert first == again
    assert "the forger's lies" in first
    assert re.search(r"forger to the (central|peripheral): [a-zA-Z]", first)
    assert "both directions carry messages again" in first
    assert "every promise was kept" in first


@pytest.mark.parametrize(("fault", "error"), FORGED.items())
def test_a_fault_that_a_forger_needs_is_found_within_300_seeds(fault, error, tmp_path):
    core, *others = c_engine.CORE
    _, right, wrong = test_fuzz.FAULTS[fault]
    assert right in core.read_text()
    tmp_path.joinpath(core.name).write_text(core.read_text().replace(right, wrong))
    library = c_engine.extension(tmp_path, (tmp_path / core.name, *others))
    spec = importlib.util.spec_from_file_location("_picolink", library)
    faulty = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(faulty)
    classes = (faulty.Engine, faulty.Engine)
    broken = (chaos.play(classes, seed, forger=True, keyed=False).errors for seed in range(300))
    assert any(re.search(error, line) for lines in broken for line in lines)


@pytest.mark.parametrize(
    ("too_large", "errors"), [(2, []), (1, ["PicoA: 3 times messages were lost or came again, 2 told"])]
)
def test_a_message_that_never_fits_a_forged_ring_is_told(too_large, errors):
    """One restart told, and in the new stream three gaps where messages were."""
    stats = dict.fromkeys(("contradictions", "peer_restarts", "resent", "too_large"), 0)
    peer = SimpleNamespace(engine=SimpleNamespace(stats=lambda: stats | {"too_large": too_large}))
    own = SimpleNamespace(stats=lambda: stats | {"peer_restarts": 1})
    board = SimpleNamespace(name="PicoA", peer=peer, engine=own, foreign=[], jumps=3, again=0, lost=too_large)
    assert DeceivedBoard.wrongs(board, Deceit(), Deceit(shrunk=True), met=False) == errors


class Forgets(pyengine.Engine):
    """Does not send again."""

    def _rewind(self):
        self._flight = 0

    def _fill(self, now, *again):
        pass


def test_a_broken_promise_names_the_command_that_repeats_it(monkeypatch, tmp_path):
    monkeypatch.setattr(simulated, "engines", lambda _kind, _seed: (Forgets, Forgets))
    outcome = run("--seeds", 5, "--jobs", 1, "--engine", "python", "--no-key", "--out", tmp_path)
    assert outcome.exit_code == 1
    again = re.search(r"picolink chaos (--seed (\d+) --engine python --no-key)", outcome.output)
    assert run(*again[1].split()).exit_code == 1
    assert int(again[2]) in report.load(tmp_path / "chaos.json").parameters["failed_seeds"]


@pytest.mark.parametrize("moment", list(Moment))
@pytest.mark.parametrize("kind", [Packet.HELLO, Packet.ACK, Packet.FRAGMENT])
def test_a_trap_closes_on_the_packet_that_it_waits_for(kind, moment):
    setup = Setup(traffic=(Traffic(size=1000, per_second=50), NO_TRAFFIC))
    simulation = Simulation(engines("native", 0), setup)
    struck = []
    simulation.trap = Trap(kind, 2, moment, lambda: struck.append(simulation.scheduler.now_us))
    simulation.connect()
    assert simulation.run_until_struck(2)
    assert len(struck) == 1
    simulation.run(1)
    assert len(struck) == 1
    assert simulation.drain(5)
    assert simulation.broken_promises() == []


class LosesAtRestart(pyengine.Engine):
    """Does not send the first unacknowledged message to a restarted peer."""

    def _begin_streams(self, ring):
        if self._peer != bytes(4) and self._tail != self._head:
            self._tail = (self._tail + self._record_total(self._tx, self._tail)) & 0xFFFF
        return super()._begin_streams(ring)


class HidesRestarts(pyengine.Engine):
    """Does not say that the peer has restarted."""

    def take_flags(self):
        return super().take_flags() & ~flags.PEER_RESTARTED


class CountsNoResent(pyengine.Engine):
    """Does not count what comes a second time."""

    def stats(self):
        return super().stats() | {"resent": 0}


@pytest.mark.parametrize(
    ("faulty", "error"),
    [
        (pyengine.Engine, None),
        (LosesAtRestart, "is not sent again"),
        (HidesRestarts, "'peer restarted' was not told"),
        (CountsNoResent, "a second time, 0 counted"),
    ],
)
def test_the_oracle_notices_what_goes_wrong_at_a_restart(faulty, error):
    simulation = Simulation((faulty, faulty), Setup(traffic=FULL_SPEED, read_every_us=(0, 3000)))
    simulation.connect()
    for _ in range(4):
        simulation.run(0.8)
        simulation.restart(1)
    simulation.run(1)
    simulation.drain(20)
    broken = simulation.broken_promises()
    assert any(error in line for line in broken) if error else broken == []


@pytest.mark.parametrize(
    ("method", "planted", "error"),
    [
        ("closing", lambda *_: False, "were not closed"),
        ("tell_undelivered", lambda *_: None, "did not come"),
        ("tell", lambda *_: None, "'connected' was not told"),
        ("_is_useless", lambda *_: False, "not everything had arrived"),
    ],
)
def test_a_fault_in_the_links_policy_is_noticed(monkeypatch, method, planted, error):
    """What the link decides is run here, and not a copy of it."""
    monkeypatch.setattr(policy.Policy, method, planted)
    broken = [line for seed in range(60) for line in chaos.play(engines("native", seed), seed).errors]
    assert any(re.search(error, line) for line in broken), broken


# -- on virtual boards ---------------------------------------------------------------------------------------


def test_files_of_virtual_boards_whose_power_is_cut(tmp_path):
    outcome = run("--files", 2, "--jobs", 1, "--out", tmp_path)
    assert outcome.exit_code == 0, outcome.output
    counts = {row["what"]: row["count"] for row in report.load(tmp_path / "chaos-files.json").rows}
    assert sum(count for what, count in counts.items() if "power of the" in what) == 4
    assert counts["arrived"] >= 1
    assert counts["files that were neither the old one nor the new one"] == 0


def test_drops_and_restarts_of_virtual_boards(tmp_path):
    arguments = (
        "--boards",
        "--drops",
        6,
        "--restarts",
        1,
        "--jobs",
        1,
        "--engine",
        "mixed",
        "--out",
        tmp_path,
    )
    outcome = run(*arguments)
    assert outcome.exit_code == 0, outcome.output
    rows = report.load(tmp_path / "chaos-boards.json").rows
    counts = {(row["group"], row["what"]): row["count"] for row in rows}
    assert sum(count for (group, _), count in counts.items() if group == "connection dropped") == 6
    assert counts["power cut", "central"] == counts["power cut", "peripheral"] == 1
    assert counts["messages", "messages"] > 100
    assert counts["promises", "broken"] == 0
    again = report.load(tmp_path / "chaos-boards-again.json").rows
    assert all(0 < row["p50"] <= row["p95"] <= row["most"] for row in again)


@pytest.fixture
def home(monkeypatch, tmp_path):
    """Nothing is kept for the user who tests."""
    for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))


@pytest.mark.usefixtures("home")
def test_drops_and_restarts_of_a_pc_and_a_virtual_board(tmp_path):
    arguments = ("--boards", "--pc", "--drops", 6, "--restarts", 1, "--jobs", 1, "--out", tmp_path)
    outcome = run(*arguments)
    assert outcome.exit_code == 0, outcome.output
    rows = report.load(tmp_path / "chaos-pc.json").rows
    counts = {(row["group"], row["what"]): row["count"] for row in rows}
    assert sum(count for (group, _), count in counts.items() if group == "connection dropped") == 6
    assert counts["power cut", "central"] == counts["power cut", "peripheral"] == 1
    assert counts["messages", "messages"] > 100
    assert counts["promises", "broken"] == 0
    again = report.load(tmp_path / "chaos-pc-again.json").rows
    assert all(0 < row["p50"] <= row["p95"] <= row["most"] for row in again)


FORGETFUL = """
from picolink.link import Link

send, count = Link.send, 0

async def send_most(link, message, channel=0):
    global count
    count += 1
    if count != 20:
        await send(link, message, channel)

Link.send = send_most
"""


@pytest.mark.usefixtures("home")
def test_a_pc_that_loses_a_message_is_noticed(monkeypatch, tmp_path):
    tmp_path.joinpath("sitecustomize.py").write_text(FORGETFUL)  # virtual boards are no CPython
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    outcome = run("--boards", "--pc", "--drops", 2, "--restarts", 0, "--jobs", 1, "--out", tmp_path)
    assert outcome.exit_code == 1, outcome.output
    assert "to the peripheral: message 20 came instead of 19" in outcome.output


def test_options_of_one_kind_are_not_for_the_other():
    assert "--pc is only for --boards" in run("--pc").output
    assert "--drops is only for --boards" in run("--drops", 5).output
    assert "--seeds is not for --boards" in run("--boards", "--seeds", 5).output


def test_a_short_soak(tmp_path):
    outcome = CliRunner().invoke(soak, ["--duration", "12s", "--plot", "--out", str(tmp_path)])
    assert outcome.exit_code == 0, outcome.output
    rows = report.load(tmp_path / "soak.json").rows
    assert rows[-1]["messages"] > 50
    assert all(row["peripheral"] > 0 and row["central"] > 0 for row in rows)
    assert (tmp_path / "soak.png").stat().st_size > 1000


def test_a_soak_tells_its_boards_how_long_they_pause(monkeypatch):
    async def refuse(_board, _program, *words):
        raise BoardError(f"started with {words}")

    monkeypatch.setattr(VirtualBoard, "start", refuse)
    for options, pause in (((), 80), (("--longest-pause", "0"), 0)):
        outcome = CliRunner().invoke(soak, options)
        assert outcome.output.endswith(f"'lost', '{pause}')\n")


@pytest.mark.parametrize(
    ("role", "btstack", "faults", "more", "allowed"),
    [
        ("peripheral", False, 17, 1024, True),
        ("peripheral", False, 17, 2144, False),
        ("peripheral", True, 17, 2144, True),  # eight notifications that BTstack has kept
        ("peripheral", True, 0, 2144, False),
        ("peripheral", True, 1, 1024 + 16 * 272 + 1, False),
        ("central", True, 17, 2144, False),  # it sends no notifications
    ],
)
def test_what_the_heap_may_grow_by_in_a_soak(role, btstack, faults, more, allowed):
    first = {"faults": 0, "peripheral": 50_000, "central": 50_000}
    last = first | {"faults": faults, role: 50_000 + more}
    complaint = f"the heap of the {role} has grown by {more:,} bytes"
    assert _grown([first, last], btstack) == ([] if allowed else [complaint])


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("20m", 1200), ("8h", 28800)])
def test_durations(text, seconds):
    assert Duration().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["5s", "90", "1d", "m"])
def test_durations_that_are_none(text):
    assert "90s, 20m, 1h" in CliRunner().invoke(soak, ["--duration", text]).output


@pytest.mark.parametrize("number", [0, 7, 100, 4711])
def test_messages_of_boards_are_read_back_and_damage_is_noticed(number):
    message = messages.pack(3, number, 1 << 50, messages.size_of(number))
    assert messages.unpack(message) == (3, number, 1 << 50)
    damaged = [message[:-1], message[:5], bytes([message[0], message[1] ^ 1]) + message[2:] + b"x"]
    for at in (5, len(message) - 1):
        damaged.append(message[:at] + bytes([message[at] ^ 4]) + message[at + 1 :])
    for wrong in damaged:
        with pytest.raises(ValueError, match=r"damaged|short"):
            messages.unpack(wrong)


def read(*events):
    """An oracle that has seen this, and its errors. A tuple: life, first and following message."""
    oracle = Oracle("to A")
    for event in events:
        if isinstance(event, tuple):
            oracle.got(*event)
        elif isinstance(event, str):
            getattr(oracle, event)()
        else:
            oracle.resent(event)
    return oracle


@pytest.mark.parametrize(
    ("events", "sent", "error"),
    [
        ([(0, 0, 5), (0, 5, 9)], 9, None),
        ([(0, 0, 5), (0, 6, 9)], 9, "message 6 came instead of 5"),
        ([(0, 0, 5), (0, 4, 9)], 9, "message 4 came instead of 5"),
        ([(0, 1, 9)], 9, "message 1 came instead of the first one"),
        ([(0, 0, 8)], 9, "9 messages were sent, and 8 came"),
        ([(0, 0, 5), "sender_restarts", (0, 5, 6), (1, 0, 9)], 9, None),
        ([(0, 0, 5), "sender_restarts", (1, 1, 9)], 9, "message 1 came instead of the first one of life 1"),
        ([(0, 0, 5), "sender_restarts", (1, 0, 9), (0, 5, 6)], 9, None),
        ([(0, 0, 5), "receiver_restarts", 2, (0, 3, 9)], 9, None),
        (
            [(0, 0, 5), "receiver_restarts", 1, (0, 3, 9)],
            9,
            "2 messages came a second time, and 1 were counted",
        ),
        ([(0, 0, 5), "receiver_restarts", (0, 9, 12)], 12, None),
        ([(0, 0, 5), "receiver_restarts", (0, 500, 900)], 900, "more than the dead board's ring holds"),
        (
            ["sender_restarts", (1, 0, 2), "receiver_restarts", (1, 2, 3), (0, 3, 4)],
            3,
            "after those of a later one",
        ),
    ],
)
def test_the_oracle_of_virtual_boards(events, sent, error):
    oracle = read(*events)
    oracle.end(sent)
    assert (error in "\n".join(oracle.errors)) if error else oracle.errors == []
