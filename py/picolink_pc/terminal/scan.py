"""`picolink scan`: the boards that advertise now."""

import asyncio
import contextlib
import json
import sys
import time
from dataclasses import dataclass

import click
from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from .visit import open_radio, play, radio_option

_PIPED_S = 5
_GONE_S = 15  # BlueZ tells of an unchanged advertisement every 11 s only
_REFRESH_S = 0.5
_NOBODY = (
    "No picolink board in sight. Does one run picolink.advertise(...)? One that is connected is not seen. "
    "`picolink doctor` shows what is on a board connected by USB."
)


@dataclass
class Seen:
    """A board.

    signal: dBm, smoothed.   at: when it was heard last (time.monotonic()).
    about: what it tells of its identity, and its version; None: nothing.
    """

    name: str
    address: str
    signal: float
    at: float
    about: tuple[bytes, str] | None

    @property
    def identity(self) -> str:
        return self.about[0].hex() if self.about else ""

    @property
    def version(self) -> str:
        return self.about[1] if self.about else ""


class Boards:
    """All that were heard, by address."""

    def __init__(self) -> None:
        self._seen: dict[str, Seen] = {}

    def see(self, name: str, address: str, signal: int, about: tuple[bytes, str] | None) -> None:
        now = time.monotonic()
        known = self._seen.get(address, Seen(name, address, signal, now, about))
        smooth = known.signal + (signal - known.signal) / 4
        self._seen[address] = Seen(name or known.name, address, smooth, now, about or known.about)

    def nearest_first(self) -> list[Seen]:
        return sorted(
            self._seen.values(), key=lambda seen: (-round(seen.signal / 5), seen.name, seen.address)
        )

    def table(self) -> Table:
        table = Table(box=box.SIMPLE, caption=None if self._seen else _NOBODY, caption_justify="left")
        for heading in ("name", "signal", "", "address", "identity", "version", "heard"):
            table.add_column(heading, no_wrap=heading != "name")
        for seen in self.nearest_first():
            ago = time.monotonic() - seen.at
            table.add_row(
                Text(seen.name),  # no markup, and no emoji of ":CD:"
                f"{seen.signal:.0f} dBm",
                bars(seen.signal),
                Text(seen.address),
                seen.identity,
                seen.version,
                "now" if ago < 2 else f"{ago:.0f} s ago",
                style="dim" if ago > _GONE_S else None,
            )
        return table


def bars(signal: float) -> str:
    """One bar, far away, to five, on the same table."""
    return "▁▂▄▆█"[: max(1, min(5, 1 + round((signal + 95) / 12)))]


@click.command()
@radio_option
@click.option(
    "--seconds",
    type=click.FloatRange(0, min_open=True),
    metavar="S",
    help=f"Stop after this time.  [default: until Ctrl-C; {_PIPED_S} when the output is not a terminal]",
)
@click.option("--json", "as_json", is_flag=True, help="At the end, one line of JSON for each board.")
def scan(radio: str, seconds: float | None, as_json: bool) -> None:
    """The picolink boards in sight: name, signal, address, part of the identity, version.

    \b
    picolink scan                       a table that refreshes, until Ctrl-C
    picolink scan --radio virtual       boards of a `picolink run` or `emulate` in another terminal
    picolink scan --seconds 5 --json    for a script

    A board with a name of more than 17 bytes has no room to tell identity and version.
    A board is in sight while it waits in picolink.advertise(NAME). One that is connected is not.
    Exit code 1 if no board was seen.
    """
    live = sys.stdout.isatty() and not as_json
    if seconds is None and not live:
        seconds = _PIPED_S
    boards = Boards()
    with contextlib.suppress(KeyboardInterrupt):
        play(_watch(open_radio(radio), boards, seconds, live))
    if not live:
        for seen in boards.nearest_first():
            told = {
                "name": seen.name,
                "address": seen.address,
                "signal_dbm": round(seen.signal),
                "identity": seen.identity,
                "version": seen.version,
            }
            click.echo(json.dumps(told) if as_json else "\t".join(map(str, told.values())))
    if not boards.nearest_first():
        if not live:
            click.echo(_NOBODY, err=True)
        raise SystemExit(1)


async def _watch(radio: object, boards: Boards, seconds: float | None, live: bool) -> None:
    async with radio.watch(boards.see):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await (_show(boards) if live else asyncio.Event().wait())


async def _show(boards: Boards) -> None:
    with Live(boards.table(), console=Console(highlight=False), auto_refresh=False) as screen:
        while True:
            await asyncio.sleep(_REFRESH_S)
            screen.update(boards.table(), refresh=True)
