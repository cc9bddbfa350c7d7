"""Files between boards whose power is cut: is each file the new one or still the old one?"""

import asyncio
import hashlib
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..bench.report import Result
from ..boards import Board, BoardError, Room
from ..boards import play as play_in_room
from ..radio.air import RadioSettings
from .on_boards import LOSS
from .programs.file_content import pieces

if TYPE_CHECKING:
    from ..emulator.firmware import Firmware

_PROGRAMS = Path(__file__).parent / "programs"
_BYTES = (1, 60_000)  # of a file: two seconds
_CUT_S = (0.02, 5)  # from one cut to the next: starting and connecting are within that, too
_CUT_EMULATED_S = (0.5, 9)  # programs are typed, and flash takes its time
_LIMIT_S = 300
_TORN = "power cut under an erase or program call"


@dataclass
class Found:
    """What came of it.   errors: the promises broken, a line each."""

    counts: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)

    def result(self, seed: int, firmware: "Firmware | None") -> Result:
        rows = [{"what": what, "count": count} for what, count in sorted(self.counts.items())]
        broken = {"what": "files that were neither the old one nor the new one", "count": len(self.errors)}
        who = "emulated Pico Ws" if firmware else "virtual boards"
        return Result(
            name="chaos-files-firmware" if firmware else "chaos-files",
            title=f"Files between {who} whose power is cut",
            parameters={"seed": seed, "loss": LOSS, **({"firmware": firmware.path.name} if firmware else {})},
            columns={"what": "", "count": "how often"},
            rows=[*rows, broken],
        )


def play(console: Console, cuts: int, seed: int, jobs: int, firmware: "Firmware | None" = None) -> Found:
    """Cut the power of each board so often, of `jobs` pairs together. Says what is broken.

    firmware: for emulated Pico Ws.
    """
    found = Found()
    planned = ["sender", "receiver"] * cuts
    random.Random(seed).shuffle(planned)
    columns = (TextColumn("power cuts"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=len(planned))

        async def all_pairs() -> None:
            pairs = (
                _Pair(found, seed + number, planned, lambda: progress.advance(task), firmware)
                for number in range(jobs)
            )
            await asyncio.gather(*(pair.play() for pair in pairs))

        play_in_room(all_pairs(), firmware)
    for error in found.errors:
        console.print(error, style="bold red", markup=False, emoji=False)
    return found


class _Pair:
    """Two boards: one sends a file after the other, while the power of either is cut.

    The receiver tells the SHA-256 of the file that it has, at each start and whenever one has come.
    """

    def __init__(
        self,
        found: Found,
        seed: int,
        planned: list[str],
        advance: Callable[[], object],
        firmware: "Firmware | None",
    ) -> None:
        self._found = found
        self._rng = random.Random(seed)
        self._name = f"Files {seed}"
        self._planned = planned
        self._advance = advance
        self._firmware = firmware
        self._cut_s = _CUT_EMULATED_S if firmware else _CUT_S
        self._old = self._new = "none"

    async def play(self) -> None:
        async with Room(RadioSettings(loss=LOSS), firmware=self._firmware) as room:
            sender, receiver = room.board("sender"), room.board("receiver")
            await receiver.start(_PROGRAMS / "file_receiver.py", self._name)
            number = 0
            while self._planned:
                number += 1
                size = self._rng.randint(*_BYTES)
                self._new = hashlib.sha256(b"".join(pieces(number, size))).hexdigest()
                await sender.start(_PROGRAMS / "file_sender.py", self._name, str(number), str(size))
                await self._send(sender, receiver)
            if self._firmware:
                self._found.counts[_TORN] += sender.torn + receiver.torn

    async def _send(self, sender: Board, receiver: Board) -> None:
        """Until the file has arrived, however often that needs another start."""
        while True:
            sent = asyncio.create_task(sender.line("^sent", _LIMIT_S))
            await asyncio.wait([sent], timeout=self._rng.uniform(*self._cut_s) if self._planned else None)
            if sent.done():
                sent.result()
                while self._old != self._new:
                    await self._hear(receiver)
                self._found.counts["arrived"] += 1
                await sender.exit_code(_LIMIT_S)
                return
            sent.cancel()
            await asyncio.gather(sent, return_exceptions=True)
            if not self._planned:
                continue
            which = self._planned.pop()
            await (sender if which == "sender" else receiver).restart()
            self._found.counts[f"power of the {which} cut"] += 1
            self._advance()
            if which == "receiver":
                while await self._hear(receiver) != "started":
                    pass

    async def _hear(self, receiver: Board) -> str:
        """What it tells next; that must be the old file or the new one."""
        when, found = (await receiver.line("^(started|received) ", _LIMIT_S)).split()
        if found not in (self._old, self._new):
            self._found.errors.append(f"{when}: a file that is neither the old one nor the new one")
            raise BoardError(self._found.errors[-1])
        self._old = found
        return when
