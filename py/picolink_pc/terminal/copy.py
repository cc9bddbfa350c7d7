"""`picolink copy`: files to a board, and from it."""

import asyncio
import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import picolink
from picolink import FileError, LinkClosedError
from rich.console import Console
from rich.progress import DownloadColumn, Progress, TransferSpeedColumn

from .visit import Reason, check_name, key_option, open_radio, play, radio_option, readable, visit

if TYPE_CHECKING:
    from collections.abc import Callable

    from picolink.link import Link
    from picolink.radio.bleak import Radio


@click.command()
@click.argument("sources", nargs=-1, required=True, metavar="FILE...")
@click.argument("destination")
@radio_option
@key_option
@click.option(
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    default=30,
    show_default=True,
    metavar="S",
    help="Give up when the board is not there, or does nothing, for this long.",
)
def copy(sources: tuple[str, ...], destination: str, radio: str, key: str | None, timeout: float) -> None:
    """Copy each FILE to a board, or from it. A colon follows the board's name.

    \b
    picolink copy settings.json PicoA:             to the board, under the same name
    picolink copy settings.json PicoA:new.json     under another one
    picolink copy PicoA:log.csv .                  from the board
    picolink copy PicoA:log.csv PicoA:day.csv logs

    The board's program has to call picolink.receive_files(); for files from it with give=True.
    What is interrupted continues where it was when the same command runs again. A file is replaced when the
    new one is whole, its SHA-256 checked. What the board sends meanwhile is printed.
    Exit code 0: all files are where they belong. 1: otherwise.
    """
    board, files = _plan(sources, destination)
    check_name(None, None, board)
    play(_copy(board, files, open_radio(radio), key, timeout))


def _plan(sources: tuple[str, ...], destination: str) -> tuple[str, list[tuple[str, str, bool]]]:
    """The board, and of each file: from where, to where, and whether it goes to the board."""
    board, there = _on_board(destination)
    if board is not None:
        for source in sources:
            if _on_board(source)[0] is not None:
                raise click.ClickException("one side of a copy has to be this PC")
            if not Path(source).is_file():
                raise click.ClickException(f"there is no file {source!r}")
        if len(sources) > 1 and there and not there.endswith("/"):
            raise click.ClickException(f"several files need a folder there: {destination}/")
        into = not there or there.endswith("/")
        return board, [(s, there + Path(s).name if into else there, True) for s in sources]
    boards = {_on_board(source)[0] for source in sources}
    if None in boards or len(boards) > 1:
        raise click.ClickException("a colon follows a board's name: picolink copy FILE PicoA:")
    to = Path(destination)
    if len(sources) > 1 and not to.is_dir():
        raise click.ClickException(f"several files need a folder: there is no {destination!r}")
    names = [_on_board(source)[1] for source in sources]
    if not all(names):
        raise click.ClickException("which file? picolink copy PicoA:FILE .")
    paths = [str(to / name.split("/")[-1]) if to.is_dir() else destination for name in names]
    return boards.pop(), [(name, path, False) for name, path in zip(names, paths, strict=True)]


def _on_board(place: str) -> tuple[str | None, str]:
    """The board, None: it is a file of this PC, and the path there."""
    board, colon, path = place.partition(":")
    if not colon or not board or Path(place).exists() or (sys.platform == "win32" and len(board) == 1):
        return None, place
    return board, path


async def _copy(
    board: str, files: list[tuple[str, str, bool]], radio: "Radio", key: str | None, timeout: float
) -> None:
    reason = Reason(board, "it did nothing for so long")
    timeout_ms = int(timeout * 1000)
    console = Console(stderr=True)
    columns = (*Progress.get_default_columns(), DownloadColumn(), TransferSpeedColumn())
    try:
        async with visit(board, radio, reason.on_event, key, timeout_ms) as link:
            reader = asyncio.create_task(_print_messages(link))
            with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
                for source, to, goes_there in files:
                    bar = _bar(bars, source)
                    if goes_there:
                        await picolink.send_file(link, source, to, bar, timeout_ms)
                    else:
                        await picolink.fetch_file(link, source, to, bar, timeout_ms)
                    click.echo(f"{source} is now {f'{board}:{to}' if goes_there else to}", err=True)
            reader.cancel()
    except TimeoutError:
        raise click.ClickException(f"gave up after {timeout:g} s: {reason.text}") from None
    except (FileError, LinkClosedError, OSError) as error:
        raise click.ClickException(str(error)) from None


def _bar(bars: Progress, name: str) -> "Callable[..., None]":
    """A progress callback of send_file() and fetch_file()."""
    task = bars.add_task(name, total=None)
    return lambda *told: bars.update(task, completed=told[-2], total=told[-1])


async def _print_messages(link: "Link") -> None:
    with contextlib.suppress(LinkClosedError):
        async for message in link:
            click.echo(readable(message))
            link.commit()
