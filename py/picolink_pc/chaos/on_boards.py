"""Connections dropped and boards restarted, very many times; virtual boards or emulated ones."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from .. import emulated_time
from ..bench.report import Result
from ..boards import play as play_in_room
from ..percentile import percentile
from ..radio.air import RadioSettings
from .pair import ROLES, BrokenPromiseError, Pair
from .progress import tell_tenth

if TYPE_CHECKING:
    from ..emulator.firmware import Firmware

LOSS = 0.02
"""Of PDUs in the air, as between rooms."""

_STRIKE_S = 3.5
"""Of the boards' time, on average: a pause, the strike, connecting again."""

_PAUSE_S = 0.4
"""The longest between messages that flow again and the next strike."""

_STATS = (
    "connections",
    "packets_received",
    "lost above the radio",
    "damaged above the radio",
    "retransmitted",
    "irq_errors",
)
"""What is told of the boards' link.stats."""

_SINCE = {"drop": "they can connect again", "restart": "the one that was off starts again"}

_ENGINES = {
    "native": ("native", "native"),
    "python": ("python", "python"),
    "mixed": ("native", "python"),
}


@dataclass
class Found:
    """What came of it: see Pair.   stats: of the last lives.   errors: the promises broken, a line each."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    messages: Counter[str] = field(default_factory=Counter)
    stats: Counter[str] = field(default_factory=Counter)
    again_s: dict[str, list[float]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)

    def add(self, pair: Pair) -> None:
        self.counts += pair.counts
        self.messages += pair.messages
        self.errors += pair.errors
        for stats in pair.stats.values():
            self.stats.update({name: stats[name] for name in _STATS})
        for after, seconds in pair.again_s.items():
            self.again_s[after] = sorted([*self.again_s.get(after, []), *seconds])

    def results(
        self, kind: str, seed: int, pc: bool = False, firmware: "Firmware | None" = None
    ) -> list[Result]:
        """As tables."""
        name = "chaos-pc" if pc else "chaos-firmware" if firmware else "chaos-boards"
        who = "a PC, the central, and a virtual board" if pc else "virtual boards"
        who = "emulated Pico Ws" if firmware else who
        parameters = {"engine": kind, "seed": seed, "loss": LOSS}
        if firmware:
            parameters |= {"firmware": firmware.path.name, "miss_cycles": firmware.miss_cycles}
        time = "Time on the boards" if firmware else "Real time on this PC"
        rows = [
            *({"group": group, "what": what, "count": n} for (group, what), n in sorted(self.counts.items())),
            *({"group": "messages", "what": what, "count": n} for what, n in sorted(self.messages.items())),
            *({"group": "last lives", "what": what, "count": n} for what, n in self.stats.items()),
            {"group": "promises", "what": "broken", "count": len(self.errors)},
        ]
        again = [
            {
                "after": _SINCE[after],
                "times": len(seconds),
                "p50": percentile(seconds, 0.5),
                "p95": percentile(seconds, 0.95),
                "most": seconds[-1],
            }
            for after, seconds in self.again_s.items()
            if seconds
        ]
        return [
            Result(
                name=name,
                title=f"What happened to {who}",
                parameters=parameters,
                columns={"group": "", "what": "", "count": "how often"},
                rows=rows,
            ),
            Result(
                name=f"{name}-again",
                title="Seconds until both sides have read a message again",
                parameters=parameters,
                columns={"after": "since", "times": "times", "p50": "p50", "p95": "p95", "most": "most"},
                rows=again,
                notes=[f"{time}, discovery and handshake included."],
            ),
        ]


def strikes(rng: random.Random, drops: int, restarts: int) -> list[Callable[[Pair], object]]:
    """What to do to a pair, in random order: `drops` lost connections, `restarts` of each board, and more."""
    planned: list[Callable[[Pair], object]] = []
    left = drops
    while left:
        strike = rng.choices((Pair.drop, Pair.drop_while_connecting, Pair.leave_range), (10, 4, 1))[0]
        dropped = min(left, 2 if strike is Pair.drop_while_connecting else 1)
        planned.append(strike if dropped == 2 or strike is not Pair.drop_while_connecting else Pair.drop)
        left -= dropped
    for role in ROLES:
        planned += [lambda pair, role=role: pair.restart(role)] * restarts
    planned += [Pair.fade, Pair.freeze] * (len(planned) // 30)
    rng.shuffle(planned)
    return planned


def play(
    console: Console,
    drops: int,
    restarts: int,
    kind: str,
    seed: int,
    pairs: int,
    pc: bool = False,
    firmware: "Firmware | None" = None,
) -> Found:
    """Strike `pairs` pairs of boards at a time, so often in all. Says at once what is broken.

    pc: is the central of each pair a PC?   firmware: for emulated Pico Ws.
    """
    found = Found()
    planned = strikes(random.Random(seed), drops, restarts)
    columns = (TextColumn("strikes"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        total = len(planned)
        task = progress.add_task("", total=total)
        engines = dict(zip(ROLES, _ENGINES[kind], strict=True))

        async def one(number: int) -> None:
            settings = RadioSettings(loss=LOSS, seed=seed + number)
            pair = Pair(f"Chaos {number}", seed + number, settings, engines, pc, firmware)
            try:
                async with pair:
                    while planned:
                        strike = planned.pop()
                        await asyncio.sleep(pair.rng.uniform(0, _PAUSE_S))
                        await strike(pair)
                        progress.advance(task)
                        done = int(progress.tasks[task].completed)
                        tell_tenth(console, done - 1, done, total, "strikes")
                    await pair.finish()
            except BrokenPromiseError as error:
                found.errors.append(str(error))
                console.print(str(error), style="bold red", markup=False, emoji=False)
            for error in pair.errors:
                console.print(error, style="bold red", markup=False, emoji=False)
            found.add(pair)

        async def all_pairs() -> None:
            with emulated_time.told(console, firmware, total * _STRIKE_S):
                await asyncio.gather(*(one(number) for number in range(pairs)))

        play_in_room(all_pairs(), firmware)
    return found
