"""One run of two boards that send and count messages: the programs, and what they found."""

import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..boards import Board, BoardError, Room
from ..radio.air import RadioSettings
from ..radio_door import RadioDoor
from . import real_boards

if TYPE_CHECKING:
    from ..emulator.firmware import Firmware

ROLES = ("peripheral", "central")
LEAST_BYTES = 13
"""Of a message: step, number and time."""

_PROGRAMS = Path(__file__).parent / "programs"
_SPARE_S = 60
"""More than connecting and closing take on a busy PC."""


@dataclass
class Step:
    """What is offered for a time; see programs/traffic.py.

    sender: "peripheral", "central" or "both".  rate: messages/s, 0: as fast as it goes.
    limit: messages at most.  gap_ms: least and most random pause after each message, instead of a rate.
    """

    sender: str
    seconds: float
    rate: float = 0
    limit: int = 1_000_000
    gap_ms: tuple[int, int] | None = None

    def for_board(self) -> dict[str, object]:
        return {
            "from": self.sender,
            "seconds": self.seconds,
            "rate": self.rate,
            "limit": self.limit,
            "gap_ms": self.gap_ms,
        }


@dataclass
class Way:
    """One direction of one step.

    sent, received: messages.  wrong: of them duplicated or out of order.  offered, delivered: messages/s.
    latencies_ms: of each message, from send() to the receiving program, sorted.
    """

    sent: int
    received: int
    wrong: int
    offered: float
    delivered: float
    latencies_ms: list[float] = field(repr=False)


@dataclass
class Run:
    """What came of a run.

    steps: for each the ways that had a sender.   stats: the links' counters.
    late_events: connection events that this PC played too late; None where time waits for it.
    """

    steps: list[list[Way]]
    stats: list[dict[str, int]]
    late_events: int | None

    def total(self, counter: str) -> int:
        """A counter of link.stats, both boards'."""
        return sum(stats[counter] for stats in self.stats)

    @property
    def received(self) -> int:
        """Messages, of all steps and both ways."""
        return sum(way.received for step in self.steps for way in step)

    @property
    def lost(self) -> int:
        """Messages lost, duplicated or out of order."""
        return sum(way.sent - way.received + way.wrong for step in self.steps for way in step)


@dataclass(frozen=True)
class Stack:
    """Which boards, with which Bluetooth. Without anything given: virtual ones with picolink's stand-in.

    micropython, aioble: as in `picolink run --help`.
    ports: serial ports of two real boards, the peripheral's and the central's.
    firmware: what two emulated Pico Ws run; `play` has to run what uses it.
    """

    micropython: Path | None = None
    aioble: Path | None = None
    ports: tuple[str, ...] = ()
    firmware: "Firmware | None" = None

    @property
    def has_aioble(self) -> bool:
        """Is the real one there, which programs can use without picolink?"""
        return bool(self.aioble or self.ports or self.firmware)

    def __str__(self) -> str:
        if self.ports:
            return "real boards"
        if self.firmware:
            return "emulated Pico Ws: real firmware on a modelled controller"
        if self.micropython:
            return "virtual boards: a real host stack and the real aioble, on a virtual controller"
        if self.aioble:
            return "virtual boards: real aioble on a stand-in for bluetooth"
        return "virtual boards: picolink's stand-in for aioble"


async def run(
    settings: RadioSettings, stack: Stack, program: str, how: str, size: int, steps: list[Step]
) -> Run:
    """Play `steps` on two boards, fresh or freshly reset.

    settings: of the radio between virtual boards.
    program: in the folder programs.  how: its argument after the role.  size: bytes in a message.
    Raises BoardError with what a board printed if it fails.
    """
    script = _script(steps)
    arguments = [(role, how, str(size), *script) for role in ROLES]
    late_events = None
    if stack.ports:
        outputs = await asyncio.to_thread(real_boards.play, stack.ports, program, arguments)
    else:
        limit = sum(step.seconds for step in steps) + _SPARE_S
        async with Room(settings, stack.micropython, stack.aioble, firmware=stack.firmware) as room:
            boards = [room.board(role) for role in ROLES]
            for board, words in zip(boards, arguments, strict=True):
                await board.start(_PROGRAMS / program, *words)
            await asyncio.gather(*(_finish(board, limit) for board in boards))
            outputs = [board.output for board in boards]
            if not stack.firmware:
                late_events = room.radio.statistics.late_events
    return _found(outputs, steps, late_events)


async def run_with_pc(
    settings: RadioSettings, engine: str, size: int, steps: list[Step]
) -> tuple[Run, float]:
    """As run() with picolink, with this PC as the central, by a virtual adapter.

    engine: of both.   Returns the CPU time of the PC's process, too, in s.
    """
    words = [engine, str(size), *_script(steps)]
    board = ["with_picolink.py", "peripheral", *words]
    outputs, pc, cpu_s, late_events = await _play_with_pc(
        settings, [board], ["with_picolink.py", "central", *words], steps
    )
    return _found([*outputs, pc], steps, late_events), cpu_s


async def run_bleak_alone(settings: RadioSettings, size: int, steps: list[Step]) -> tuple[Run, float]:
    """The same without picolink: a board notifies values of `size` bytes, and the PC has bleak alone."""
    script = _script(steps)
    board = ["bare_notify.py", str(size), *script]
    outputs, pc, cpu_s, late_events = await _play_with_pc(
        settings, [board], ["with_bleak.py", *script], steps
    )
    return _found([*outputs, pc], steps, late_events), cpu_s


async def run_links_with_pc(
    settings: RadioSettings, links: int, engine: str, size: int, steps: list[Step]
) -> tuple[list[Run], float]:
    """As run_with_pc, for several boards at once: a link to each, in one process. Returns a run for each."""
    words = [str(size), *_script(steps)]
    boards = [
        ["with_picolink.py", "peripheral", f"{engine}+{number}", *words] for number in range(1, links + 1)
    ]
    outputs, pc, cpu_s, late_events = await _play_with_pc(
        settings, boards, ["with_links.py", str(links), engine, *words], steps
    )
    runs = []
    for number, output in enumerate(outputs, 1):
        start = f"{number} "
        own = [line.removeprefix(start) for line in pc if line.startswith(start)]
        runs.append(_found([output, own], steps, late_events))
    return runs, cpu_s


def _script(steps: list[Step]) -> list[str]:
    """One argument each: MicroPython takes none that is longer than 255 bytes."""
    return [json.dumps(step.for_board()) for step in steps]


async def _play_with_pc(
    settings: RadioSettings, boards: list[list[str]], pc: list[str], steps: list[Step]
) -> tuple[list[list[str]], list[str], float, int]:
    """Run a program of the folder programs on each virtual board, and one on a PC.

    boards, pc: program and arguments.   Returns what each board has printed, what the PC has, the CPU time of
    its process in s, and how many connection events were played too late.
    """
    limit = sum(step.seconds for step in steps) + _SPARE_S
    async with Room(settings) as room, RadioDoor(room.radio) as door:
        players = [room.board(f"peripheral {number}") for number in range(1, len(boards) + 1)]
        players.append(room.pc("PC's side", door.file))
        for player, (program, *words) in zip(players, [*boards, pc], strict=True):
            await player.start(_PROGRAMS / program, *words)
        # First the PC: where it fails, the boards wait for it.
        for player in reversed(players):
            await _finish(player, limit)
        *outputs, printed = (player.output for player in players)
        cpu_s = next(float(line.split()[1]) for line in printed if line.startswith("cpu "))
        return outputs, printed, cpu_s, room.radio.statistics.late_events


def _found(outputs: list[list[str]], steps: list[Step], late_events: int | None) -> Run:
    found = {role: _read(output, len(steps)) for role, output in zip(ROLES, outputs, strict=True)}
    return Run(
        [_ways(found, step, number) for number, step in enumerate(steps)],
        [told["stats"] for told in found.values()],
        late_events,
    )


async def _finish(board: Board, limit: float) -> None:
    if await board.exit_code(limit):
        raise BoardError("\n    ".join((f"the {board.name} failed; it printed:", *board.output[-20:])))


def _read(output: list[str], steps: int) -> dict:
    """What one board found: lists by step for each kind of line that the programs print."""
    told = {
        "sent": [None] * steps,
        "received": [None] * steps,
        "latency": [[] for _ in range(steps)],
        "stats": {},
    }
    for line in output:
        kind, _, rest = line.partition(" ")
        if kind == "stats":
            told["stats"] = json.loads(rest)
        elif kind in told:
            step, _, figures = rest.partition(" ")
            if kind == "latency":
                told[kind][int(step)] += json.loads(figures)
            else:
                told[kind][int(step)] = json.loads(figures)
    return told


def _ways(found: dict[str, dict], step: Step, number: int) -> list[Way]:
    senders = ROLES if step.sender == "both" else (step.sender,)
    return [_way(found[s]["sent"][number], found[ROLES[s == ROLES[0]]], step, number) for s in senders]


def _way(sent: dict, receiver: dict, step: Step, number: int) -> Way:
    received = receiver["received"][number]
    seconds = step.seconds if step.rate else sent["us"] / 1e6
    # By the receiver's clock, between the first message and the last.
    span_us = received["last_us"] - received["first_us"]
    return Way(
        sent=sent["count"],
        received=received["received"],
        wrong=received["wrong"],
        offered=sent["count"] / seconds,
        delivered=(received["received"] - 1) * 1e6 / span_us if span_us else 0.0,
        latencies_ms=sorted(us / 1000 for us in receiver["latency"][number]),
    )
