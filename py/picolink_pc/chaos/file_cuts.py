"""Files between virtual boards whose power is cut: is each file the new one or still the old one?"""

import asyncio
import random
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..bench.report import Result
from ..boards import Room
from ..radio.air import RadioSettings
from .on_boards import LOSS

_PROGRAMS = Path(__file__).parent / "programs"
_BYTES = (1, 60_000)  # of a file: two seconds
_CUT_S = (0.02, 5)  # from one cut to the next: starting and connecting are within that, too
_LIMIT_S = 120


@dataclass
class Found:
    """What came of it.   errors: the promises broken, a line each."""

    counts: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)

    def result(self, seed: int) -> Result:
        rows = [{"what": what, "count": count} for what, count in sorted(self.counts.items())]
        return Result(
            name="chaos-files",
            title="Files between virtual boards whose power is cut",
            parameters={"seed": seed, "loss": LOSS},
            columns={"what": "", "count": "how often"},
            rows=[
                *rows,
                {"what": "files that were neither the old one nor the new one", "count": len(self.errors)},
            ],
        )


def play(console: Console, cuts: int, seed: int, jobs: int) -> Found:
    """Cut the power of each board so often, of `jobs` pairs together. Says at once what is broken."""
    found = Found()
    rng = random.Random(seed)
    planned = ["sender", "receiver"] * cuts
    rng.shuffle(planned)
    columns = (TextColumn("power cuts"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=len(planned))

        async def all_pairs() -> None:
            work = (
                _Pair(found, seed + number, planned, lambda: progress.advance(task)) for number in range(jobs)
            )
            await asyncio.gather(*(pair.play() for pair in work))

        asyncio.run(all_pairs())
    for error in found.errors:
        console.print(error, style="bold red", markup=False, emoji=False)
    return found


class _Pair:
    """Two boards: one sends a file after the other, while the power of either is cut."""

    def __init__(self, found: Found, seed: int, planned: list[str], advance: "callable") -> None:
        self._found = found
        self._rng = random.Random(seed)
        self._name = f"Files {seed}"
        self._planned = planned
        self._advance = advance
        self._old: bytes | None = None
        self._new = b""

    async def play(self) -> None:
        with tempfile.TemporaryDirectory(prefix="picolink-") as folder:
            self._here, self._there = Path(folder, "file"), Path(folder, "there")
            async with Room(RadioSettings(loss=LOSS)) as room:
                sender, receiver = room.board("sender"), room.board("receiver")
                await receiver.start(_PROGRAMS / "file_receiver.py", self._name, str(self._there))
                while self._planned:
                    self._new = self._rng.randbytes(self._rng.randint(*_BYTES))
                    self._here.write_bytes(self._new)
                    await sender.start(_PROGRAMS / "file_sender.py", self._name, str(self._here))
                    await self._send(sender, receiver)

    async def _send(self, sender: object, receiver: object) -> None:
        """Until the file has arrived, however often that needs another start."""
        while True:
            sent = asyncio.create_task(sender.line("^sent", _LIMIT_S))
            pause = self._rng.uniform(*_CUT_S) if self._planned else _LIMIT_S
            await asyncio.wait([sent], timeout=pause)
            if sent.done():
                sent.result()
                self._look("arrived")
                if self._old != self._new:
                    self._found.errors.append("a file that was sent is not there")
                await sender.exit_code(_LIMIT_S)
                return
            sent.cancel()
            await asyncio.gather(sent, return_exceptions=True)
            if not self._planned:
                raise RuntimeError("a file did not arrive in two minutes")
            which = self._planned.pop()
            board = {"sender": sender, "receiver": receiver}[which]
            await board.kill()
            part = self._there / "file.part"
            self._look(
                f"power of the {which} cut, {'while a file was coming' if part.exists() else 'between'}"
            )
            self._advance()
            await board.restart()

    def _look(self, what: str) -> None:
        self._found.counts[what] += 1
        target = self._there / "file"
        found = target.read_bytes() if target.exists() else None
        if found not in (self._old, self._new):
            self._found.errors.append(
                f"{what}: {len(found or b'')} bytes that are neither the old file nor the new one"
            )
        self._old = found
