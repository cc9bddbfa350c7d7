"""What `picolink prove` measures, step by step.  All times are on a board's own clock."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from ..chaos.oracle import Oracle
from ..percentile import percentile
from .session import ROLES, Side, SidePair

_PROGRAMS = Path(__file__).parent / "programs"
_STEADY = _PROGRAMS / "steady.py"
_ECHO = _PROGRAMS / "echo.py"
_LIVES = Path(__file__).parents[1] / "chaos" / "programs" / "board.py"
_MESSAGES = _LIVES.with_name("messages.py")
_OPEN = {"peripheral": "advertise", "central": "connect"}

_FLOW_S = 120
"""In which messages flow again after a fault, by this PC's clock."""

_SETTLE_S = 1.5
"""In which messages flow before the next fault."""


@dataclass(frozen=True)
class Plan:
    """How long it all takes.

    full_s, load_s: at the full rate, and at others.   trips: round trips.
    faults: of each kind on each board.
    soak_s: at the full rate at the end; 0: none.   soak_every_s: between two points of its picture.
    """

    full_s: int = 20
    load_s: int = 10
    trips: int = 200
    faults: int = 2
    soak_s: int = 300

    @property
    def soak_every_s(self) -> int:
        return max(1, self.soak_s // 60)


QUICK = Plan(full_s=2, load_s=2, trips=20, faults=1, soak_s=4)


@dataclass
class Figures:
    """What was found.

    values: figure -> number, None: not measured; see figures.py.
    soak: what the boards have said as time passed.
    faults: {"what", "board", "stopped_s": for how long no message came, on the other board}.
    broken: what was not as promised, a line each.
    """

    values: dict[str, float | None] = field(default_factory=dict)
    soak: list[dict[str, object]] = field(default_factory=list)
    faults: list[dict[str, object]] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)


class Measurement:
    """tell: called with what is going on, and how far it has come (0 to 1)."""

    def __init__(self, pair: SidePair, plan: Plan, native: bool, tell: Callable[[str, float], None]) -> None:
        self.figures = Figures()
        self._pair = pair
        self._plan = plan
        self._engine = "native" if native else "python"
        self._tell = tell

    def run(self) -> Figures:
        """All of it.  Raises BoardError and DeviceError."""
        for engine in ("native", "python") if self._engine == "native" else ("python",):
            found = self._steady(f"full rate, {engine} engine", engine, 0, self._plan.full_s, idle=True)
            self._keep(f"full_{engine}", found)
            if engine == self._engine:
                self._keep_opening()
        for rate in (50, 1):
            found = self._steady(f"{rate} messages/s", self._engine, rate, self._plan.load_s, idle=True)
            self._keep(f"load_{rate}", found)
        self._echo()
        self._strike()
        if self._plan.soak_s:
            self._soak()
        return self.figures

    # -- traffic ------------------------------------------------------------------------------------------

    def _steady(
        self, what: str, engine: str, rate: int, seconds: int, idle: bool, every_s: int = 1
    ) -> list[dict]:
        """Returns what both boards said in the end."""

        def tell() -> None:
            said = [line for _, line in boards["central"].lines if line.startswith("at ")]
            self._tell(what, min(1, len(said) * every_s / seconds))

        boards = self._pair.sides

        def words(role: str) -> tuple[str, ...]:
            on_board = boards[role].is_board
            how = (engine, "idle" if idle else "-") if on_board else ("any", "-")
            return role, how[0], str(rate), str(seconds), str(every_s), how[1]

        self._pair.run(_STEADY, words, tell)
        ends = [board.told("end")[-1] for board in boards.values()]
        for end, other, role in zip(ends, reversed(ends), ROLES, strict=True):
            lost = other["sent"] - end["received"]
            if lost or end["wrong"]:
                self.figures.broken.append(f"{what}, to the {role}: {lost} lost, {end['wrong']} wrong")
        return ends

    def _keep(self, name: str, ends: list[dict]) -> None:
        values = self.figures.values
        values[f"{name}_rate"] = min(end["rate"] for end in ends)
        for end, role in zip(ends, ROLES, strict=True):
            values[f"{name}_idle_{role}"] = end["idle"]

    def _keep_opening(self) -> None:
        for role, board in self._pair.sides.items():
            (said,) = board.told("open")
            self.figures.values[f"open_ms_{role}"] = said["ms"]
            self.figures.values[f"free_{role}"] = said["free_open"] or None

    def _echo(self) -> None:
        count = self._plan.trips
        central = self._pair.sides["central"]

        def tell() -> None:
            self._tell("round trips", 50 * len(central.lines) / (count + 50))

        self._pair.run(_ECHO, lambda role: (role, str(count)), tell)
        trips = sorted(
            us / 1000 for line in central.lines if line[1].startswith("trips ") for us in _trips(line[1])
        )
        for name, share in (("p50", 0.5), ("p99", 0.99)):
            self.figures.values[f"trip_{name}"] = percentile(trips, share)

    def _soak(self) -> None:
        ends = self._steady(
            "soak", self._engine, 0, self._plan.soak_s, idle=False, every_s=self._plan.soak_every_s
        )
        said = {role: board.told("at") for role, board in self._pair.sides.items()}
        for one, other in zip(*said.values(), strict=False):
            self.figures.soak.append(
                {"s": one["s"], "received": one["received"] + other["received"]}
                | {role: at["heap"] for role, at in zip(ROLES, (one, other), strict=True)}
            )
        for role in ROLES:
            quarter = len(self.figures.soak) // 4 or 1
            heaps = [row[role] for row in self.figures.soak]
            grown = min(heaps[-quarter:]) - min(heaps[:quarter])
            self.figures.values[f"soak_grown_{role}"] = grown if self._pair.sides[role].is_board else None
        self.figures.values["soak_rate"] = min(end["rate"] for end in ends)

    # -- faults -------------------------------------------------------------------------------------------

    def _strike(self) -> None:
        lives = _Lives(self._pair)
        strikes = [
            (what, role)
            for what in ("radio off", "soft reset", "hard reset")
            for role in ROLES * self._plan.faults
            if self._pair.sides[role].is_board
        ]
        for number, (what, role) in enumerate(strikes):
            self._tell(f"{what}, {role}", number / len(strikes))
            stopped_s = lives.strike(what, role)
            self.figures.faults.append({"what": what, "board": role, "stopped_s": stopped_s})
        self.figures.broken += lives.finish()
        for what in ("radio off", "soft reset", "hard reset"):
            times = [fault["stopped_s"] for fault in self.figures.faults if fault["what"] == what]
            self.figures.values[f"{what.replace(' ', '_')}_s"] = max(times)


class _Lives:
    """Messages both ways while faults strike, and an oracle for each way that knows of restarts."""

    def __init__(self, pair: SidePair) -> None:
        self._boards = pair.sides
        self._oracles = {role: Oracle(f"faults, to the {role}") for role in ROLES}
        self._lives = dict.fromkeys(ROLES, 0)
        self._read = dict.fromkeys(ROLES, 0)  # lines that the oracle has had
        self._exceptions: list[str] = []
        for role, board in self._boards.items():
            board.soft_reset()
            self._start(board, role)
        self._flow()

    def _start(self, board: Side, role: str) -> None:
        self._read[role] = 0
        words = (_OPEN[role], "Prove lives", str(self._lives[role]), "-", "whole")
        board.start(_LIVES, words, (_MESSAGES,))

    def strike(self, what: str, role: str) -> float:
        """For how long the other board then had no message, in s."""
        time.sleep(_SETTLE_S)
        board, other = self._boards[role], ROLES[role == ROLES[0]]
        self._listen()
        seen = len(self._boards[other].lines)
        if what == "radio off":
            seen_here = len(board.lines)
            board.type("r")
            board.wait_line("event", _FLOW_S, since=seen_here)
            self._boards[other].wait_line("event", _FLOW_S, since=seen)
        else:
            (board.soft_reset if what == "soft reset" else board.hard_reset)()
            self._listen()
            self._lives[role] += 1
            self._oracles[role].receiver_restarts()
            self._oracles[other].sender_restarts()
            self._start(board, role)
        self._flow()
        self._listen()
        return self._longest_gap(other, seen)

    def finish(self) -> list[str]:
        """The boards end: what was not as promised."""
        for board in self._boards.values():
            board.type("q")
        sent = {role: int(board.wait_line("sent", _FLOW_S)) for role, board in self._boards.items()}
        for board in self._boards.values():
            board.join()
        self._listen()
        for role, oracle in self._oracles.items():
            oracle.end(sent[ROLES[role == ROLES[0]]])
        return self._exceptions + [error for oracle in self._oracles.values() for error in oracle.errors]

    def _flow(self) -> None:
        """Until both have read something from now on."""
        seen = {role: len(board.lines) for role, board in self._boards.items()}
        for role, board in self._boards.items():
            board.wait_line("got", _FLOW_S, since=seen[role])

    def _listen(self) -> None:
        for role, board in self._boards.items():
            lines = board.lines[self._read[role] :]
            self._read[role] += len(lines)
            for _, line in lines:
                kind, _, rest = line.partition(" ")
                if kind == "got":
                    self._oracles[role].got(*map(int, rest.split()[1:]))
                elif kind == "event" and "peer restarted:" in line:
                    self._oracles[ROLES[role == ROLES[0]]].resent(int(rest.split()[3]))
                elif kind in ("damaged", "Traceback"):
                    self._exceptions.append(f"{role}: {line}")

    def _longest_gap(self, role: str, since: int) -> float:
        lines = [line for _, line in self._boards[role].lines]
        before = [line for line in lines[:since] if line.startswith("got ")][-1:]
        times = [int(line.split()[1]) for line in before + lines[since:] if line.startswith("got ")]
        return max(b - a for a, b in pairwise(times)) / 1e6


def _trips(line: str) -> list[int]:
    return json.loads(line.partition(" ")[2])
