"""`picolink web`: the page that talks to boards, on this PC; with programs, virtual boards for it."""

import asyncio
import contextlib
import itertools
from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from . import extras, products
from .run import boards_option, radio_options

_ADDRESS = "28:CD:C1:00:02:01"


@click.command()
@click.argument(
    "programs", nargs=-1, metavar="[PROGRAM]...", type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0: a free one.")
@click.option("--name", help="Of the board that the page offers to connect to; any board by default.")
@radio_options
@boards_option
def web(
    programs: tuple[Path, ...],
    port: int,
    name: str | None,
    settings: object,
    engine: str | None,
    interpreter: str | None,
) -> None:
    """Serve the page that talks to boards, on this PC only.

    \b
    picolink web                               open the address that it prints in Chrome or Edge
    picolink web examples/remote_control.py    without a board: the page drives a virtual one

    With PROGRAMS, each runs on a virtual board, and the page reaches them through this command instead of
    Bluetooth, which it says. Without, the page uses the browser's Bluetooth.  Ctrl-C ends it.
    """
    extras.require("web", "the page's server")
    folder = products.WEB
    if not (folder / "picolink.wasm").exists():
        raise click.ClickException(f"the page is missing: {products.how_to_get('web')}")
    console = Console(highlight=False)
    with contextlib.suppress(KeyboardInterrupt):
        if programs:
            extras.require("virtual", "virtual boards")
            asyncio.run(_with_boards(console, folder, port, name, programs, settings, engine, interpreter))
        else:
            asyncio.run(_serve(console, folder, port, name))


async def _with_boards(
    console: Console,
    folder: Path,
    port: int,
    name: str | None,
    programs: tuple[Path, ...],
    settings: object,
    engine: str | None,
    interpreter: str | None,
) -> None:
    from . import virtual_adapter
    from .boards import BoardError, Room

    def show(board: str, line: str) -> None:
        console.print(Text.assemble((board, "cyan"), "  ", line), soft_wrap=True)

    try:
        async with Room(settings, on_line=show, interpreter=interpreter) as room:
            adapter = virtual_adapter.on(room.radio, _ADDRESS)
            for program, number in zip(programs, itertools.count(1), strict=False):
                board = room.board(f"{program.stem} {number}" if len(programs) > 1 else program.stem, engine)
                await board.start(program)
            await _serve(console, folder, port, name, adapter)
    except BoardError as error:
        raise click.ClickException(str(error)) from None


async def _serve(
    console: Console, folder: Path, port: int, name: str | None, radio: object | None = None
) -> None:
    from .web_server import WebServer

    said = (
        "Boards here are virtual: packets go through picolink web, not through Bluetooth." if radio else None
    )
    try:
        async with WebServer(folder, port, radio, {"name": name, "said": said}) as server:
            console.print(f"The page: {server.address}  (Ctrl-C ends it)", soft_wrap=True)
            await asyncio.get_running_loop().create_future()
    except OSError as error:
        raise click.ClickException(
            f"port {port} cannot be used: {error.strerror}; --port 0 takes a free one"
        ) from None
