"""`picolink bench meet`: how long boards with the same program take to meet."""

import asyncio
import random
import time
from pathlib import Path

import click

from .. import extras
from ..boards import Board, BoardError, Room, VirtualBoard
from ..percentile import percentile
from ..radio.air import RadioSettings
from ..run import radio_options, stack_options
from .report import Result, Row, new_console, out_option, publish

_PROGRAM = Path(__file__).parent / "programs" / "meet.py"
_LIMIT_S = 60

_COLUMNS = {
    "when": "when",
    "meetings": "meetings",
    "p50": "p50 ms",
    "p95": "p95 ms",
    "most": "longest ms",
}


@click.command()
@click.option("--meetings", type=click.IntRange(1), default=100, show_default=True, help="Of each kind.")
@click.option("--pairs", type=click.IntRange(1, 20), default=4, show_default=True, help="At the same time.")
@radio_options
@stack_options
@out_option
def meet(
    meetings: int,
    pairs: int,
    settings: RadioSettings,
    micropython: Path | None,
    aioble: Path | None,
    out: Path | None,
) -> None:
    """How long boards with the same program take to meet.

    \b
    picolink bench meet                 100 meetings of four pairs of virtual boards, in range of each other;
                                        then as many after drops, and after restarts of one board

    In real time: on a PC that has much else to do, boards are slow.
    """
    extras.require("virtual", "virtual boards")
    try:
        rows = asyncio.run(_run(-(-meetings // pairs), pairs, settings, micropython, aioble))
    except BoardError as error:
        raise click.ClickException(str(error)) from None
    stack = "a real host stack" if micropython else "the stand-in for aioble"
    result = Result(
        name="meet-real" if micropython else "meet",
        title=f"Time to meet, virtual boards with {stack}",
        parameters={"pairs": pairs, "interval_ms": settings.interval_ms, "loss": settings.loss},
        columns=_COLUMNS,
        rows=rows,
        notes=[
            "From the moment when the last one of the two began until both links were connected.",
            "after a drop: both boards are told at once.",
            "after a restart: from the start of one program; the other board notices the loss in up to 2 s.",
        ],
    )
    publish(new_console(), [result], out, {})


async def _time(board: Board, what: str) -> int:
    return int((await board.line(f"^{what} ", _LIMIT_S)).split()[1])


async def _connected(pair: tuple[VirtualBoard, VirtualBoard]) -> int:
    return max(await asyncio.gather(*(_time(board, "connected") for board in pair)))


async def _run(
    times: int, pairs: int, settings: RadioSettings, micropython: Path | None, aioble: Path | None
) -> list[Row]:
    found: dict[str, list[int]] = {
        "both begin": [],
        "after a drop": [],
        "after a restart of one board": [],
    }
    async with Room(settings, micropython, aioble) as room:
        couples = [(room.board(f"One {pair}"), room.board(f"Other {pair}")) for pair in range(pairs)]

        async def begin(pair: tuple[VirtualBoard, VirtualBoard], name: str) -> None:
            for board in pair:
                await board.start(_PROGRAM, name, str(times - 1))
            for _ in range(times):
                began = max(await asyncio.gather(*(_time(board, "looks") for board in pair)))
                found["both begin"].append(await _connected(pair) - began)

        async def restart(pair: tuple[VirtualBoard, VirtualBoard]) -> None:
            for _ in range(times):
                await asyncio.sleep(random.random())
                board = random.choice(pair)
                await board.kill()
                await board.start(_PROGRAM, f"Pair {couples.index(pair)}", "0")
                began = await _time(board, "looks")
                found["after a restart of one board"].append(await _connected(pair) - began)

        await asyncio.gather(*(begin(pair, f"Pair {number}") for number, pair in enumerate(couples)))
        for _ in range(times):
            await asyncio.sleep(random.random())
            began = time.time_ns() // 1_000_000
            room.radio.drop()
            ends = await asyncio.gather(*map(_connected, couples))
            found["after a drop"] += [end - began for end in ends]
        await asyncio.gather(*map(restart, couples))
    rows: list[Row] = []
    for when, all_ms in found.items():
        all_ms.sort()
        p50, p95 = (percentile(all_ms, share) for share in (0.5, 0.95))
        rows.append({"when": when, "meetings": len(all_ms), "p50": p50, "p95": p95, "most": all_ms[-1]})
    return rows
