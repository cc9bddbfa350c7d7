"""`picolink bench files`: a file beside messages of the same size, and the heap that it takes."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .. import extras
from ..boards import ENGINES, BoardError, Room
from ..boards import play as play_in_room
from ..radio.air import RadioSettings
from ..run import firmware_options, radio_options
from .report import Result, Row, new_console, out_option, publish
from .traffic import ROLES

if TYPE_CHECKING:
    from ..emulator.firmware import Firmware

_PROGRAM = Path(__file__).parent / "programs" / "files.py"
_LIMIT_S = 600


@click.command()
@click.option(
    "--bytes", "size", type=click.IntRange(1024), default=500_000, show_default=True, help="Of the file."
)
@click.option("--engine", type=click.Choice(ENGINES), default="native", show_default=True)
@radio_options
@firmware_options
@out_option
def files(
    size: int, engine: str, settings: RadioSettings, firmware: "Firmware | None", out: Path | None
) -> None:
    """A file beside messages of the same size: how long each takes, and the heap meanwhile.

    \b
    picolink bench files                            two virtual boards, 500,000 bytes
    picolink bench files --firmware FILE.uf2        emulated Pico Ws, with the times that their flash takes
    """
    extras.require("virtual", "virtual boards")
    try:
        row = play_in_room(_run(size, engine, settings, firmware), firmware)
    except BoardError as error:
        raise click.ClickException(str(error)) from None
    who = "emulated Pico Ws, flash of the receiver included" if firmware else "virtual boards"
    result = Result(
        name="files-firmware" if firmware else "files",
        title=f"A file of {size:,} bytes on {who}",
        parameters={"engine": engine, "interval_ms": settings.interval_ms, "bytes": size},
        columns={
            "messages": "as messages of 1,024 bytes, kB/s",
            "file": "as a file, kB/s",
            "share": "%",
            "sender": "heap of the sender, bytes",
            "receiver": "heap of the receiver, bytes",
        },
        rows=[row],
        notes=[
            "The file with offer, SHA-256 on both sides, and until it has its name.",
            "Heap: with a file a quarter as long; the most in use after collections, beyond what was before.",
        ],
    )
    publish(new_console(), [result], out, {})


async def _run(size: int, engine: str, settings: RadioSettings, firmware: "Firmware | None") -> Row:
    async with Room(settings, firmware=firmware) as room:
        peripheral, central = (room.board(role, engine) for role in ROLES)
        for board in (peripheral, central):
            await board.start(_PROGRAM, board.name, str(size))

        async def number(board: object, what: str) -> int:
            return int((await board.line(f"^{what} ", _LIMIT_S)).split()[1])

        pieces = size // 1024 * 1024
        messages_ms = await number(central, "messages")
        file_ms = await number(central, "file")
        return {
            "messages": pieces / messages_ms,
            "file": size / file_ms,
            "share": 100 * (size / file_ms) / (pieces / messages_ms),
            "sender": await number(central, "heap"),
            "receiver": await number(peripheral, "heap"),
        }
