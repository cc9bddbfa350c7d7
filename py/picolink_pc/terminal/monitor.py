"""`picolink monitor`: what a board sends, and how its link does, as it happens."""

import asyncio
import contextlib
import csv
import datetime
import json
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from .. import extras
from ..as_text import as_bytes, plain
from .plot import History
from .visit import check_name, key_option, open_radio, play, radio_option, readable, round_trip, state, visit

if TYPE_CHECKING:
    from picolink.link import Link
    from picolink.radio.bleak import Radio

_REFRESH_S = 0.5
_RATE_S = 3
"""Rates are means of so long."""
_EVENTS = 6
_EVENTS_BESIDE_PLOT = 2


@dataclass
class Channel:
    """One of the 16.  arrivals: (time.monotonic(), bytes) of the messages of the last seconds."""

    messages: int = 0
    octets: int = 0
    last: bytes = b""
    at: float = 0.0
    arrivals: deque = field(default_factory=deque)

    def add(self, message: bytes, now: float) -> None:
        self.messages += 1
        self.octets += len(message)
        self.last, self.at = message, now
        self.arrivals.append((now, len(message)))
        self.forget(now)

    def forget(self, now: float) -> None:
        while self.arrivals and self.arrivals[0][0] < now - _RATE_S:
            self.arrivals.popleft()

    def rates(self, now: float) -> tuple[float, float]:
        """Messages and bytes a second."""
        self.forget(now)
        return len(self.arrivals) / _RATE_S, sum(octets for _, octets in self.arrivals) / _RATE_S


class Told:
    """Where it all goes.  link: once the board is there."""

    link: "Link | None" = None

    def message(self, channel: int, message: object) -> None:
        raise NotImplementedError

    def event(self, event: str, detail: str) -> None:
        raise NotImplementedError

    async def show(self) -> None:
        """Until cancelled: what is not shown at once."""


class Screen(Told):
    """Counts what comes, for a table that is drawn now and then."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._channels: dict[int, Channel] = {}
        self._events: deque[Text] = deque(maxlen=_EVENTS)

    def message(self, channel: int, message: object) -> None:
        self._channels.setdefault(channel, Channel()).add(as_bytes(message), time.monotonic())

    def event(self, event: str, detail: str) -> None:
        self._events.append(Text(f"{time.strftime('%H:%M:%S')}  {event}: {detail}", style="dim"))

    async def show(self) -> None:
        with Live(self.draw(), console=Console(highlight=False), auto_refresh=False) as live:
            try:
                while True:
                    await asyncio.sleep(_REFRESH_S)
                    live.update(self.draw(), refresh=True)
            finally:
                live.update(self.draw(), refresh=True)

    def draw(self) -> Group:
        now = time.monotonic()
        table = Table(box=box.SIMPLE, title_justify="left")
        for heading in ("channel", "messages", "/s", "bytes/s", "age"):
            table.add_column(heading, justify="right", no_wrap=True)
        table.add_column("last message", no_wrap=True, overflow="ellipsis", ratio=1)
        for number, channel in sorted(self._channels.items()):
            per_second, octets = channel.rates(now)
            table.add_row(
                str(number),
                f"{channel.messages:,}",
                f"{per_second:,.1f}",
                f"{octets:,.0f}",
                f"{now - channel.at:.0f} s",
                Text(readable(channel.last)),
            )
        return Group(self._head(), table, *self._events)

    def _head(self) -> Text:
        if self.link is None:
            return Text(f"{self._name}: looking for it ... (Ctrl-C ends)", style="bold")
        stats = self.link.stats
        return Text.assemble(
            (f"{self._name}: {state(self.link)}", "bold"),
            f"   round trip {round_trip(stats)}   connections {stats['connections']:,}   "
            f"sent again {stats['retransmitted']:,}   damaged {stats['corrupt']:,}",
        )


class Plot(Screen):
    """Draws the numbers instead of the table."""

    def __init__(self, name: str, history: History) -> None:
        super().__init__(name)
        self._history = history

    def draw(self) -> Group:
        width, height = Console().size
        events = list(self._events)[-_EVENTS_BESIDE_PLOT:]
        panels = self._history.draw(width, height - 2 - len(events), time.monotonic())
        return Group(self._head(), *panels, *events)


class JsonLines(Told):
    """An object for each message and each event, in a line of its own."""

    def message(self, channel: int, message: object) -> None:
        self._print({"channel": channel} | named(message))

    def event(self, event: str, detail: str) -> None:
        self._print({"event": event, "detail": detail})

    def _print(self, fields: dict[str, object]) -> None:
        print(json.dumps({"time": timestamp()} | fields, ensure_ascii=False), flush=True)


class Csv(Told):
    """A row for each message; events go to the error output."""

    def __init__(self) -> None:
        self._writer = csv.writer(sys.stdout, lineterminator="\n")
        self._writer.writerow(("time", "channel", "bytes", "message"))
        sys.stdout.flush()

    def message(self, channel: int, message: object) -> None:
        data = as_bytes(message)
        self._writer.writerow((timestamp(), channel, len(data), *named(data).values()))
        sys.stdout.flush()

    def event(self, event: str, detail: str) -> None:
        click.echo(f"{event}: {detail}", err=True)


def timestamp() -> str:
    """Now, to the ms, with the offset from UTC."""
    return datetime.datetime.now().astimezone().isoformat(timespec="milliseconds")


def named(message: object) -> dict[str, object]:
    """{"text": ...} if it is UTF-8, {"object": ...} if it is one, else {"hex": ...}."""
    if isinstance(message, str):
        return {"text": message}
    if not isinstance(message, bytes):
        return {"object": plain(message)}
    with contextlib.suppress(UnicodeDecodeError):
        return {"text": message.decode()}
    return {"hex": message.hex()}


@click.command()
@click.argument("name", callback=check_name)
@radio_option
@key_option
@click.option("--json", "as_json_lines", is_flag=True, help="A line of JSON for each message and each event.")
@click.option("--csv", "as_csv", is_flag=True, help="time,channel,bytes,message: a row for each message.")
@click.option("--plot", is_flag=True, help="Draw the numbers in messages, in the terminal.")
@click.option(
    "--png",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    metavar="FILE",
    help="Draw them into this file, in the end.",
)
@click.option("--seconds", type=click.FloatRange(0, min_open=True), metavar="S", help="Stop after this time.")
def monitor(
    name: str,
    radio: str,
    key: str | None,
    as_json_lines: bool,
    as_csv: bool,
    plot: bool,
    png: Path | None,
    seconds: float | None,
) -> None:
    """What the board NAME sends, as it comes: channels, rates, the link and its events.

    \b
    picolink monitor PicoA                      a live table, until Ctrl-C
    picolink monitor PicoA --csv > log.csv      for a spreadsheet
    picolink monitor PicoA --json | jq .text    for a program
    picolink monitor PicoA --plot               numbers as curves: of {"temperature": 21.5}, or of n=7
    picolink monitor PicoA --png numbers.png    the same as a picture, when you end it

    It is the other end of the link: it reads the messages, and no other board gets them. --seconds counts
    from the start. An object is written as JSON, with --json as "object" instead of "text"; what is not
    UTF-8 in hexadecimal, with --json as "hex".
    When this ends, the board's program continues. Exit code 1: the board was not there in time.
    """
    if as_json_lines + as_csv + plot > 1:
        raise click.UsageError("one of --json, --csv and --plot")
    if png:
        extras.require("plots", "pictures")
    adapter = open_radio(radio)
    live = not as_json_lines and not as_csv
    if live and not sys.stdout.isatty():
        raise click.UsageError("the table is for a terminal; for files and pipes: --json or --csv")
    history = History() if plot or png else None
    told: Told = JsonLines() if as_json_lines else Csv() if as_csv else Screen(name)
    if plot:
        told = Plot(name, history)
    came = True
    with contextlib.suppress(KeyboardInterrupt):
        came = play(_monitor(name, adapter, key, told, history, seconds))
    if not came:
        raise click.ClickException(f"{name!r} did not come within {seconds:g} s")
    if png:
        if not history.fields:
            raise click.ClickException(f"no picture: no number has come from {name}")
        history.save(png)


async def _monitor(
    name: str, radio: "Radio", key: str | None, told: Told, history: History | None, seconds: float | None
) -> bool:
    """Did the board come?"""
    showing = asyncio.create_task(told.show())
    try:
        async with asyncio.timeout(seconds), visit(name, radio, told.event, key) as told.link:
            try:
                async for message in told.link:
                    if history:
                        history.add(told.link.channel, message, time.monotonic())
                    told.message(told.link.channel, message)
                    told.link.commit()
            finally:
                showing.cancel()  # the last picture is of a link
    except TimeoutError:
        pass
    finally:
        showing.cancel()
        await asyncio.gather(showing, return_exceptions=True)
    return told.link is not None
