"""`picolink bench heap`: very many messages through one link, and the heap of both boards meanwhile."""

import asyncio
from pathlib import Path

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from .. import extras
from ..boards import ENGINES, BoardError, Room, VirtualBoard
from ..radio.air import RadioSettings
from ..run import radio_options
from .report import Result, new_console, out_option, publish
from .traffic import ROLES

_PROGRAM = Path(__file__).parent / "programs" / "heap.py"
_LOOKS = 20
_SILENCE_S = 600
"""Longest time between two looks at the heap; far more than it takes."""

MAY_GROW = 1024
"""Bytes that the heap in use may differ between the first look and the last: tasks come and go."""


@click.command()
@click.option(
    "--messages",
    type=click.IntRange(min=2 * _LOOKS),
    default=1_000_000,
    show_default=True,
    help="Through the link, half of them each way.",
)
@click.option("--engine", type=click.Choice(ENGINES), default="native", show_default=True)
@radio_options
@out_option
def heap(messages: int, engine: str, settings: RadioSettings, out: Path | None) -> None:
    """A million messages through one link, and the heap meanwhile.

    \b
    picolink bench heap                         six to seven minutes
    picolink bench heap --messages 100000       less of it

    Checks each message. Fails if one is lost, duplicated or out of order, or if the heap in use has grown at
    the end.
    """
    extras.require("virtual", "virtual boards")
    console = new_console()
    columns = (TextColumn("messages received"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    try:
        with Progress(*columns, console=console) as progress:
            heaps = asyncio.run(_run(messages // 2, engine, settings, progress))
    except BoardError as error:
        raise click.ClickException(str(error)) from None
    rows = [
        {"messages": 2 * count, **{role: heap[count] for role, heap in heaps.items()}}
        for count in heaps[ROLES[0]]
    ]
    result = Result(
        name="heap",
        title="Heap in use while messages pass, in bytes",
        parameters={"engine": engine, "message_bytes": 18, "interval_ms": settings.interval_ms},
        columns={"messages": "messages", **{role: role for role in ROLES}},
        rows=rows,
        notes=["After a garbage collection. All messages arrived, in order, none twice."],
    )
    publish(console, [result], out, {})
    for role in ROLES:
        grown = rows[-1][role] - rows[0][role]
        if grown > MAY_GROW:
            raise click.ClickException(f"the heap of the {role} has grown by {grown} bytes")


async def _run(
    each: int, engine: str, settings: RadioSettings, progress: Progress
) -> dict[str, dict[int, int]]:
    """Messages received -> bytes of heap in use, for each board."""
    task = progress.add_task("", total=2 * each)

    async def watch(board: VirtualBoard) -> dict[int, int]:
        heap = {}
        for _ in range(_LOOKS):
            _, received, used = (await board.line("^heap ", _SILENCE_S)).split()
            heap[int(received)] = int(used)
            progress.advance(task, each // _LOOKS)
        if await board.exit_code(_SILENCE_S):
            raise BoardError("\n    ".join((f"the {board.name} failed; it printed:", *board.output[-20:])))
        return heap

    async with Room(settings) as room:
        boards = [room.board(role, engine) for role in ROLES]
        for board in boards:
            await board.start(_PROGRAM, board.name, str(each), str(_LOOKS))
        return dict(zip(ROLES, await asyncio.gather(*map(watch, boards)), strict=True))
