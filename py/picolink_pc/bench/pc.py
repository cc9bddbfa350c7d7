"""`picolink bench pc`: a PC as the other end, beside two boards on the same radio."""

import asyncio
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress

from .. import extras
from ..boards import BoardError
from ..radio import air
from ..run import intervals_option, radio_settings
from .report import Result, Row, new_console, out_option, publish
from .traffic import (
    LEAST_BYTES,
    ROLES,
    Run,
    Stack,
    Step,
    run,
    run_bleak_alone,
    run_links_with_pc,
    run_with_pc,
)

_PACKET = 236
_LATE = "late events: connection events that this PC played too late; with many of them, repeat the run."
_NOTES = (
    "Both ways at once, as fast as it goes; messages/s each way, of the slower way.",
    "PC: CPython and bleak, with a Bumble host and a socket where the system's Bluetooth would be.",
    "The PC's CPU: all of its process, the counting program too; for each message, sent or received.",
    "A PC's system chooses the interval, not the board: 30 to 60 ms are usual.",
    "bleak alone: a board notifies values of that size, as many as the air takes; nothing goes to it.",
    _LATE,
)
_LINKS_MS = 30.0
_LINKS = (1, 2, 4)
_LINKS_NOTES = (
    "Both ways at once on each link, as fast as it goes; messages/s each way, of the slower way.",
    f"At {_LINKS_MS:g} ms. Connections do not disturb each other on the virtual radio; in the air they do.",
    _LATE,
)


@click.command()
@intervals_option(15.0, 30.0, 48.75, 60.0)
@click.option("--engine", type=click.Choice(("native", "python")), default="native", show_default=True)
@click.option("--seconds", type=click.IntRange(1, 60), default=4, show_default=True, help="At full speed.")
@click.option(
    "--message", type=click.IntRange(LEAST_BYTES, 4000), default=18, show_default=True, metavar="BYTES"
)
@out_option
def pc(intervals: tuple[float, ...], engine: str, seconds: int, message: int, out: Path | None) -> None:
    """What a PC and a board carry, beside two boards on the same radio, and what it costs the PC.

    \b
    picolink bench pc                    four intervals, with all pairs of PDUs that fit, and with 4
    picolink bench pc --interval 30

    The PC is a process of its own, which speaks to a virtual board through bleak and a virtual adapter.
    Beside it: bleak alone, without picolink, and several boards at once.
    --engine: on all sides. Native on the PC is the C engine, where `make native` has built it.
    """
    extras.require("virtual", "virtual boards")
    extras.require("pc", "links from this PC")
    radios = [radio_settings(interval_ms=ms, pdus_per_event=pairs) for ms in intervals for pairs in (None, 4)]
    console = new_console()
    try:
        rows = asyncio.run(_rows(console, radios, engine, seconds, message))
        of_links = asyncio.run(_links(console, engine, seconds, message))
    except BoardError as error:
        raise click.ClickException(str(error)) from None
    result = Result(
        name="pc",
        title=f"A PC and a board beside two boards, messages of {message} bytes",
        parameters={"message_bytes": message, "seconds": seconds, "engine": engine, "both_ways": True},
        columns={
            "interval": "interval ms",
            "pairs": "pairs an event",
            "boards": "two boards, messages/s",
            "pc": "PC and board, messages/s",
            "share": "PC, %",
            "lost": "lost",
            "retransmitted": "sent again",
            "cpu_us": "PC's CPU, us a message",
            "bleak": "bleak alone, values/s",
            "bleak_cpu_us": "its CPU, us a value",
            "late": "late events",
        },
        rows=rows,
        notes=list(_NOTES),
    )
    links = Result(
        name="pc-links",
        title=f"Several boards at once at one PC, messages of {message} bytes",
        parameters={"message_bytes": message, "seconds": seconds, "engine": engine, "interval_ms": _LINKS_MS},
        columns={
            "links": "boards",
            "each": "the slowest link, messages/s",
            "all": "all together, messages/s",
            "lost": "lost",
            "cpu_us": "PC's CPU, us a message",
            "late": "late events",
        },
        rows=of_links,
        notes=list(_LINKS_NOTES),
    )
    publish(console, [result, links], out, {})


async def _rows(
    console: Console, radios: list[air.RadioSettings], engine: str, seconds: int, message: int
) -> list[Row]:
    rows = []
    with Progress(console=console) as progress:
        for settings in progress.track(radios, description="radios"):
            most = air.ceiling(settings, _PACKET, message, both_ways=True)
            # The first step lets what is in flight grow.
            steps = [Step("both", seconds / 2, rate=most / 2), Step("both", seconds)]
            boards = await run(settings, Stack(), "with_picolink.py", engine, message, steps)
            with_pc = await run_with_pc(settings, engine, message, steps)
            air_takes = air.value_rate_in_events(settings, message)
            notified = [Step(ROLES[0], seconds, rate=air_takes)]
            bleak = await run_bleak_alone(settings, message, notified)
            rows.append(_row(settings, boards, *with_pc, *bleak))
    return rows


async def _links(console: Console, engine: str, seconds: int, message: int) -> list[Row]:
    settings = radio_settings(interval_ms=_LINKS_MS)
    steps = [Step("both", seconds)]
    rows = []
    with Progress(console=console) as progress:
        for links in progress.track(_LINKS, description="boards at once"):
            runs, cpu_s = await run_links_with_pc(settings, links, engine, message, steps)
            rates = [min(way.delivered for way in each.steps[-1]) for each in runs]
            rows.append(
                {
                    "links": links,
                    "each": min(rates),
                    "all": sum(rates),
                    "lost": sum(each.lost for each in runs),
                    "cpu_us": 1e6 * cpu_s / sum(each.received for each in runs),
                    "late": runs[0].late_events,
                }
            )
    return rows


def _row(
    settings: air.RadioSettings, boards: Run, with_pc: Run, cpu_s: float, bleak: Run, bleak_cpu_s: float
) -> Row:
    two, one = (min(way.delivered for way in each.steps[-1]) for each in (boards, with_pc))
    return {
        "interval": settings.interval_ms,
        "pairs": "all" if settings.pdus_per_event is None else str(settings.pdus_per_event),
        "boards": two,
        "pc": one,
        "share": 100 * one / two,
        "lost": with_pc.lost,
        "retransmitted": with_pc.total("retransmitted"),
        "cpu_us": 1e6 * cpu_s / with_pc.received,
        "bleak": bleak.steps[-1][0].delivered,
        "bleak_cpu_us": 1e6 * bleak_cpu_s / bleak.received,
        "late": boards.late_events + with_pc.late_events + bleak.late_events,
    }
