"""`picolink soak`: two boards for a long time, with faults; their heap and latency over time."""

import asyncio
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from .. import emulated_time
from ..bench.report import Result, Row, new_console, publish, report_options
from ..boards import ENGINES, BoardError, play
from ..percentile import percentile
from ..radio.air import RadioSettings
from ..run import firmware_options
from .on_boards import LOSS
from .pair import LONGEST_PAUSE_MS, ROLES, BrokenPromiseError, Pair

if TYPE_CHECKING:
    from ..emulator.firmware import Firmware

MAY_GROW = 1024
"""Bytes that the least heap in use in the last quarter may lie above that in the first: tasks come and go."""

_KEPT_BY_BTSTACK = 16 * 272
"""Bytes for each fault that the heap of a peripheral with MicroPython's BTstack may grow by as well.

It never frees notifications that wait in it when a connection ends: at most 16 of 236 bytes, 272 on the heap
each (docs/design.md, "What the link cannot fix"). A central writes, and nothing is kept.
"""

_PERIODS = 120
"""Rows of the table, and points in the picture."""

_LEAST_S = 10
_PAUSE_S = (1, 10)
"""Between two strikes."""

_UNITS = {"s": 1, "m": 60, "h": 3600}

STRIKES: dict[Callable[[Pair], object], int] = {
    Pair.drop: 4,
    Pair.drop_while_connecting: 2,
    Pair.leave_range: 1,
    Pair.fade: 2,
    Pair.freeze: 2,
}
"""What is done to the boards, with weights. They keep their power: the heap of one life is watched."""


class Duration(click.ParamType):
    """Seconds, as 90s, 20m or 1h."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        match = re.fullmatch(r"(\d+)([smh])", str(value))
        if not match or (seconds := int(match[1]) * _UNITS[match[2]]) < _LEAST_S:
            self.fail(f"{value!r} is no time from {_LEAST_S}s on: 90s, 20m, 1h ...", param, ctx)
        return seconds


@click.command()
@click.option("--duration", type=Duration(), default="1h", show_default=True, help="90s, 20m, 8h ...")
@click.option("--engine", type=click.Choice(ENGINES), default="native", show_default=True)
@click.option("--seed", type=int, default=0, show_default=True, help="For the faults.")
@click.option(
    "--longest-pause",
    type=click.IntRange(min=0),
    default=LONGEST_PAUSE_MS,
    show_default=True,
    metavar="MS",
    help="Between bursts of 1 to 20 messages; 0: none, so the full rate; 200: about 50 messages/s each way.",
)
@firmware_options
@report_options
def soak(
    duration: int,
    engine: str,
    seed: int,
    longest_pause: int,
    firmware: "Firmware | None",
    out: Path | None,
    plot: bool,
) -> None:
    """Two virtual boards for a long time, with faults: heap, latency.

    \b
    picolink soak --plot               an hour, with a picture
    picolink soak --duration 5m
    picolink soak --duration 5m --firmware FILE.uf2      emulated Pico Ws that run this firmware

    Both boards send messages of random sizes with random pauses. Connections drop, the radio goes out of
    range, boards freeze, packets are lost and damaged above the radio. Exit code 1 if a message is lost,
    duplicated, damaged or out of order, or if the heap of a board has grown: on an emulated peripheral, by
    more than MicroPython's BTstack keeps of queued notifications at each fault.
    """
    console = new_console()
    settings = RadioSettings(loss=LOSS, seed=seed)
    pair = Pair("Soak", seed, settings, dict.fromkeys(ROLES, engine), False, firmware, longest_pause)
    try:
        errors = play(_run(pair, duration, random.Random(seed), console, firmware), firmware)
    except BoardError as error:
        raise click.ClickException(str(error)) from None
    rows = _rows(pair)
    errors += _grown(rows, firmware is not None)
    counts = [f"{what}: {number:,}" for (_, what), number in sorted(pair.counts.items())]
    heaps = [
        "Heap of the {}, the least in the first and in the last quarter: {:,} and {:,} bytes.".format(
            role, *_least(rows, role)
        )
        for role in (ROLES if rows else ())
    ]
    boards = "emulated Pico Ws" if firmware else "virtual boards"
    result = Result(
        name="soak-firmware" if firmware else "soak",
        title=f"Two {boards} for {duration / 60:.3g} minutes, with faults",
        parameters={
            "engine": engine,
            "seed": seed,
            "loss": LOSS,
            "interval_ms": settings.interval_ms,
            "longest_pause_ms": longest_pause,
        },
        columns={
            "minutes": "minutes",
            "messages": "messages so far",
            "faults": "faults so far",
            **{role: f"heap of the {role}, bytes" for role in ROLES},
            "p50": "latency p50, ms",
            "p95": "p95",
            "most": "most",
        },
        rows=rows,
        notes=[
            f"Messages received: {pair.messages['messages']:,}.",
            *heaps,
            *(
                (f"MicroPython's BTstack keeps up to {_KEPT_BY_BTSTACK:,} bytes a fault.",)
                if firmware
                else ()
            ),
            "Heap in use after a garbage collection; the least of each period.",
            "Latency includes the time without a connection, and of frozen boards.",
            f"Faults: {', '.join(counts)}.",
            "Broken promises: " + (f"{len(errors)}." if errors else "none."),
        ],
    )
    publish(console, [result], out, {result.name: draw} if plot and rows else {})
    for error in errors:
        console.print(error, style="bold red", markup=False, emoji=False)
    click.get_current_context().exit(1 if errors else 0)


async def _run(
    pair: Pair, duration: int, rng: random.Random, console: Console, firmware: "Firmware | None"
) -> list[str]:
    """Let it run and strike it. Returns the promises broken."""
    columns = (TextColumn("{task.fields[done]}"), BarColumn(), TimeRemainingColumn())
    now = asyncio.get_running_loop().time
    with emulated_time.told(console, firmware, duration), Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=duration, done="connecting")
        try:
            async with pair:
                end = now() + duration
                while (left := end - now()) > 0 and not pair.errors:
                    done = f"{pair.messages['messages']:,} messages, {sum(pair.counts.values())} faults"
                    progress.update(task, completed=duration - left, done=done)
                    await asyncio.sleep(min(rng.uniform(*_PAUSE_S), left))
                    (strike,) = rng.choices(list(STRIKES), list(STRIKES.values()))
                    await strike(pair)
                await pair.finish()
        except BrokenPromiseError as error:
            return [str(error), *pair.errors]
    return pair.errors


def _rows(pair: Pair) -> list[Row]:
    """One for each period: what the boards have said once a second."""
    if not all(pair.looks.values()):
        return []  # a promise was broken before both had said anything
    begin_us = min(looks[0].at_us for looks in pair.looks.values())
    end_us = min(looks[-1].at_us for looks in pair.looks.values())
    periods = min(_PERIODS, (end_us - begin_us) // 5_000_000 or 1)
    rows = []
    for number in range(periods):
        since_us, until_us = (begin_us + (end_us - begin_us) * n // periods for n in (number, number + 1))
        looks = {
            role: [look for look in of_role if since_us <= look.at_us <= until_us]
            for role, of_role in pair.looks.items()
        }
        if not all(looks.values()):
            continue  # a board was frozen for all of it
        latencies = sorted(ms for of_role in looks.values() for look in of_role for ms in look.latencies_ms)
        rows.append(
            {
                "minutes": round((until_us - begin_us) / 60e6, 2),
                "messages": sum(of_role[-1].messages for of_role in looks.values()),
                "faults": max(of_role[-1].faults for of_role in looks.values()),
                **{role: min(look.heap for look in of_role) for role, of_role in looks.items()},
                "p50": percentile(latencies, 0.5),
                "p95": percentile(latencies, 0.95),
                "most": latencies[-1] if latencies else None,
            }
        )
    return rows


def _least(rows: list[Row], role: str) -> tuple[int, int]:
    """The least heap of a board in the first and in the last quarter, bytes."""
    quarter = len(rows) // 4 or 1
    first, last = (min(row[role] for row in part) for part in (rows[:quarter], rows[-quarter:]))
    return first, last


def _grown(rows: list[Row], btstack: bool) -> list[str]:
    """btstack: is the boards' Bluetooth host the real one?"""
    errors = []
    for role in ROLES if rows else ():
        first, last = _least(rows, role)
        kept = _KEPT_BY_BTSTACK * rows[-1]["faults"] if btstack and role == "peripheral" else 0
        if last - first > MAY_GROW + kept:
            errors.append(f"the heap of the {role} has grown by {last - first:,} bytes")
    return errors


def draw(result: Result, path: Path) -> None:
    """Heap, latency, and messages over time."""
    from ..bench.plots import new_figure, save, thousands

    rows = result.rows
    minutes = [row["minutes"] for row in rows]
    figure, (heap, latency, messages) = new_figure(3, (12, 3.8))
    for role, colour in zip(ROLES, ("#1b6ca8", "#e08e2b"), strict=True):
        heap.plot(minutes, [row[role] / 1024 for row in rows], color=colour, label=role)
    heap.set(
        title="heap in use, KiB", ylim=(0, max(row[role] for row in rows for role in ROLES) / 1024 * 1.2)
    )
    for share, colour in (("p50", "#1b6ca8"), ("p95", "#5aa9e6"), ("most", "#9aa3ab")):
        latency.plot(minutes, [row[share] for row in rows], color=colour, label=share)
    latency.set(title="latency of messages, ms", yscale="log", ylim=(10, None))
    latency.minorticks_off()
    thousands(latency.yaxis)
    counts = ("messages received", "messages", "#3c8d5a"), ("faults x 1,000", "faults", "#c0392b")
    for label, key, colour in counts:
        factor = 1000 if key == "faults" else 1
        messages.plot(minutes, [factor * row[key] for row in rows], color=colour, label=label)
    messages.set(title="messages and faults so far", ylim=(0, None))
    thousands(messages.yaxis)
    for panel in (heap, latency, messages):
        panel.set(xlabel="minutes", xlim=(0, None))
        panel.legend(loc="upper left" if panel is messages else "lower right", fontsize=9)
    save(figure, path)
