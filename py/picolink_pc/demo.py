"""`picolink demo`: two virtual boards greet each other, then send to each other as fast as they can."""

import asyncio
import functools
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from . import screen_svg
from .boards import Board, BoardError, Room, play
from .products import EXAMPLES
from .radio.air import RadioSettings, ceiling
from .run import boards_option, capture_option, radio_options, stack_or_firmware_options, tell_interpreter

if TYPE_CHECKING:
    from .emulator.firmware import Firmware

_GREETINGS = 3
_MESSAGE = 18
"""Bytes in a message of blast.py, as many as in the tutorial's greeting."""

_SCORE_S = 30
"""After the time at full speed the rest has to arrive; a slow radio takes its time for that."""

_PICTURE_COLUMNS = 80

_TUTORIAL_PER_SECOND = 0.5
"""The tutorial's two boards greet each other every 2 seconds."""

_NAMES = ("Pico A", "Pico B")
_COLOURS = dict(zip(_NAMES, ("cyan", "magenta"), strict=True))


@click.command()
@click.option(
    "--seconds", type=click.IntRange(1, 3600), default=5, show_default=True, help="Time at full speed."
)
@click.option(
    "--json", "target", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures there too."
)
@click.option(
    "--svg",
    "picture",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a picture of the output there too.",
)
@capture_option
@radio_options
@boards_option
@stack_or_firmware_options
def demo(
    engine: str | None,
    interpreter: str | None,
    seconds: int,
    target: Path | None,
    picture: Path | None,
    capture: Path | None,
    settings: RadioSettings,
    micropython: Path | None,
    aioble: Path | None,
    firmware: "Firmware | None",
) -> None:
    """Two virtual boards greet each other, then send at full speed.

    \b
    picolink demo                      the native engine
    picolink demo --engine python      the fallback
    picolink demo --interval 30        another connection interval
    picolink demo --firmware FILE.uf2  two emulated Pico Ws that run this firmware

    Runs examples/pico_a.py, pico_b.py and blast.py, unchanged, on the radio of a Pico W, and checks all
    messages. Fails if one was lost, duplicated or out of order.
    """
    console = Console(highlight=False, record=picture is not None, width=picture and _PICTURE_COLUMNS)
    make_room = functools.partial(
        Room, settings, micropython, aioble, firmware=firmware, interpreter=interpreter
    )
    began = time.monotonic()
    try:
        with_capture = functools.partial(make_room, capture=_part(capture, "greeting"))
        greeted_s = play(_greet(console, engine, with_capture), firmware)
        with_capture = functools.partial(make_room, capture=_part(capture, "full-speed"))
        scores, sent_s = play(_blast(console, engine, seconds, with_capture), firmware)
    except BoardError as error:
        raise click.ClickException(str(error)) from None
    result = _result(scores, settings, _stack_name(micropython, firmware))
    _print(console, _table(result))
    if firmware:
        result["cpu_percent"] = {
            name: round(score["cpu"], 1) for name, score in zip("ab", scores, strict=True)
        }
        busy = " and ".join(f"{percent:.0f} %" for percent in result["cpu_percent"].values())
        console.print(
            f"The boards' CPUs were busy for {busy} of the time at full speed. Firmware and host are real, "
            f"the controller is a model. {greeted_s + sent_s:.1f} s on the boards took "
            f"{time.monotonic() - began:.0f} s here."
        )
    if picture is not None:
        picture.write_text(screen_svg.svg(console, "picolink demo"), encoding="utf-8")
        click.echo(f"picture: {picture}")
    if target is not None:
        target.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
        console.print(f"written to {target}")
    ways = result["messages"].values()
    flaws = [f"{way[f]} {f}" for way in ways for f in ("lost", "duplicated", "reordered") if way[f]]
    if flaws:
        raise click.ClickException("messages " + ", ".join(flaws))


def _part(capture: Path | None, name: str) -> Path | None:
    """Of the capture: each part has boards of its own."""
    return capture and capture.with_name(f"{capture.stem}-{name}{capture.suffix}")


def _stack_name(micropython: Path | None, firmware: "Firmware | None") -> str:
    if firmware:
        return "firmware"
    return "real" if micropython else "stand-in"


async def _greet(console: Console, engine: str | None, make_room: Callable[..., Room]) -> float:
    """Returns how long it took on the boards, in s."""

    def show(name: str, line: str) -> None:
        console.print(Text.assemble((name, _COLOURS[name]), "  ", line))

    async with make_room(on_line=show) as room:
        tell_interpreter(console, room)
        boards = [room.board(name, engine) for name in _NAMES]
        for board, program in zip(boards, ("pico_a.py", "pico_b.py"), strict=True):
            await board.start(EXAMPLES / program)
        for board in boards:
            for _ in range(_GREETINGS):
                await board.line("received: Hello from")
        return asyncio.get_running_loop().time()


async def _blast(
    console: Console, engine: str | None, seconds: int, make_room: Callable[..., Room]
) -> tuple[list[dict], float]:
    """The boards' scores, and how long it took on the boards, in s."""
    console.rule("blast.py on both: as fast as they can")
    async with make_room() as room:
        boards = [room.board(name, engine) for name in _NAMES]
        for board, role in zip(boards, ("advertise", "connect"), strict=True):
            await board.start(EXAMPLES / "blast.py", role, str(seconds))
        await boards[0].line("connected")
        busy = asyncio.create_task(busy_percent(boards, seconds))
        progress = Progress(
            TextColumn("sending both ways"), BarColumn(), TimeRemainingColumn(), console=console
        )
        with progress:
            task = progress.add_task("", total=seconds)
            watch = asyncio.create_task(_advance(progress, task, seconds))
            lines = [await board.line("^score ", seconds + _SCORE_S) for board in boards]
            scores = [json.loads(line.removeprefix("score ")) for line in lines]
            watch.cancel()
            progress.update(task, completed=seconds)
        for score, percent in zip(scores, await busy, strict=True):
            score["cpu"] = percent
        return scores, asyncio.get_running_loop().time()


async def busy_percent(boards: Sequence[Board], seconds: float) -> list[float]:
    """How busy the CPU of each board is in the next `seconds`, in %; 0 where nobody knows."""
    before_s = [board.busy_s for board in boards]
    await asyncio.sleep(seconds)
    return [100 * (board.busy_s - was) / seconds for board, was in zip(boards, before_s, strict=True)]


async def _advance(progress: Progress, task: int, seconds: int) -> None:
    for _ in range(seconds * 10):
        await asyncio.sleep(0.1)
        progress.advance(task, 0.1)


def _result(scores: list[dict], settings: RadioSettings, stack: str) -> dict:
    """The figures of one demo; `scores` are the boards' own, A's first."""

    def way(sender: dict, receiver: dict) -> dict:
        figures = {name: receiver[name] for name in ("received", "lost", "duplicated", "reordered")}
        return {"sent": sender["sent"], **figures, "per_second": round(receiver["per_second"], 1)}

    a, b = scores
    return {
        "engine": a["engine"],
        "radio": {
            "interval_ms": settings.interval_ms,
            "phy": settings.phy,
            "data_length": settings.data_length,
            "mtu": settings.mtu,
            "latency": settings.latency,
            "pdus_per_event": settings.pdus_per_event,
            "loss": settings.loss,
            "ceiling_per_second": round(ceiling(settings, message=_MESSAGE, both_ways=True), 1),
        },
        "stack": stack,
        "seconds": round(max(a["seconds"], b["seconds"]), 3),
        "messages": {"a_to_b": way(a, b), "b_to_a": way(b, a)},
        "tutorial_per_second": _TUTORIAL_PER_SECOND,
    }


def _print(console: Console, table: Table) -> None:
    """On a narrow terminal a line of words for each row."""
    if console.measure(table, options=console.options.update(max_width=1000)).maximum <= console.width:
        console.print(table)
        return
    console.print(table.title)
    headings = [str(column.header) for column in table.columns]
    for name, *cells in zip(*(column.cells for column in table.columns), strict=True):
        figures = [f"{cell} {word}" for word, cell in zip(headings[1:], cells, strict=True) if cell]
        console.print(f"{name}: {', '.join(figures)}")
    console.print(table.caption)


def _table(result: dict) -> Table:
    radio = result["radio"]
    pairs = radio["pdus_per_event"]
    table = Table(
        box=box.SIMPLE,
        title=f"{result['engine']} engine, {_MESSAGE}-byte messages both ways at once",
        title_style="bold",
        caption=f"radio: {radio['interval_ms']:g} ms interval, {radio['phy']} PHY, "
        f"{radio['data_length']}-octet PDUs, MTU {radio['mtu']}, latency {radio['latency']}, "
        f"{f'{pairs} pairs of PDUs an event, ' if pairs else ''}"
        f"loss {radio['loss']:g}\nceiling: {radio['ceiling_per_second']:,.0f} messages/s each way at once",
    )
    for heading in ("", "sent", "received", "lost", "duplicated", "reordered", "/s", "ratio"):
        table.add_column(heading, justify="right" if heading else "left")
    for name, way in zip(("A to B", "B to A"), result["messages"].values(), strict=True):
        counts = [f"{way[k]:,}" for k in ("sent", "received", "lost", "duplicated", "reordered")]
        ratio = way["per_second"] / result["tutorial_per_second"]
        table.add_row(name, *counts, f"{way['per_second']:,.0f}", f"{ratio:,.0f}")
    table.add_row("tutorial", "", "", "", "", "", f"{result['tutorial_per_second']}", "1", style="dim")
    return table
