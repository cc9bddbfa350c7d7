"""`picolink send`: messages to a board, and whether they have arrived."""

import asyncio
import concurrent.futures
import contextlib
import sys
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click
from picolink import LinkClosedError

from ..as_text import as_bytes
from .visit import Reason, check_name, key_option, open_radio, play, radio_option, readable, visit

if TYPE_CHECKING:
    from picolink.link import Link
    from picolink.radio.bleak import Radio

_LINES = 64  # that are read ahead


@click.command()
@click.argument("name", callback=check_name)
@click.argument("messages", nargs=-1, metavar="[MESSAGE]...")
@radio_option
@key_option
@click.option("--channel", type=click.IntRange(0, 15), default=0, show_default=True, help="For the messages.")
@click.option(
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    default=30,
    show_default=True,
    metavar="S",
    help="Give up when the board is not there, or takes nothing, for this long.",
)
@click.option(
    "--replies", type=click.IntRange(0), default=0, metavar="N", help="Wait for N messages from the board."
)
def send(
    name: str,
    messages: tuple[str, ...],
    radio: str,
    key: str | None,
    channel: int,
    timeout: float,
    replies: int,
) -> None:
    """Send each MESSAGE to the board NAME, or each line of the input.

    \b
    picolink send PicoA "hello"                   one message
    picolink send PicoA on off                    two; quotes keep words together
    picolink send PicoA --replies 1 temperature   ask, and print what the board answers
    tail -f log | picolink send PicoA             each line as it comes
    picolink send PicoA --key robot.key "hello"   to a board with the key that is in this file

    What the board sends meanwhile is printed. Exit code 0: the board has every message, and every reply that
    was asked for has come. 1: otherwise.
    The board's program continues, and waits for the next `picolink send`.
    """
    outcome = Outcome(sent=0, expected=len(messages), reason=Reason(name, "it took nothing for so long"))
    lines = _lines() if not messages else _each(messages)
    play(_send(name, lines, open_radio(radio), key, channel, timeout, replies, outcome))
    left = max(outcome.sent, outcome.expected) - outcome.delivered
    if left > 0 or outcome.trouble:
        what = f"{count(left)} not delivered" if left else "all is delivered, but"
        raise click.ClickException(f"{what}: {outcome.trouble or outcome.reason.text}")
    click.echo(f"delivered: {count(outcome.delivered)}", err=True)


@dataclass
class Outcome:
    """What came of it.

    sent, delivered, replies: messages.   expected: of them are known beforehand.
    reason: what the link says.   trouble: why it was given up, for a person.
    """

    sent: int
    expected: int
    reason: Reason
    delivered: int = 0
    replies: int = 0
    trouble: str = ""


def count(messages: int) -> str:
    return f"{messages:,} message{'' if messages == 1 else 's'}"


async def _send(
    name: str,
    lines: AsyncIterator[str | bytes],
    radio: "Radio",
    key: str | None,
    channel: int,
    timeout: float,
    replies: int,
    outcome: Outcome,
) -> None:
    enough = asyncio.Event()
    timeout_ms = int(timeout * 1000)
    link = None
    try:
        async with visit(name, radio, outcome.reason.on_event, key, timeout_ms) as link:
            reader = asyncio.create_task(_print_replies(link, replies, outcome, enough))
            try:
                async for message in lines:
                    outcome.sent += 1
                    await link.send(message, channel, timeout_ms)
                await link.flush(timeout_ms)
                if replies:
                    await _wait_for_replies(enough, timeout, replies, outcome)
            finally:
                reader.cancel()
    except TimeoutError:
        outcome.trouble = f"gave up after {timeout:g} s: {outcome.reason.text}"
    except (LinkClosedError, ValueError) as error:  # ValueError: longer than any message can be
        outcome.trouble = str(error)
    if link:
        outcome.delivered = link.stats["messages_acknowledged"]


async def _print_replies(link: "Link", replies: int, outcome: Outcome, enough: asyncio.Event) -> None:
    """Until the board closes the link."""
    with contextlib.suppress(LinkClosedError):
        async for message in link:
            click.echo(readable(message) if sys.stdout.isatty() else as_bytes(message))
            link.commit()
            outcome.replies += 1
            if outcome.replies >= replies:
                enough.set()
    enough.set()


async def _wait_for_replies(enough: asyncio.Event, timeout: float, replies: int, outcome: Outcome) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout):
            await enough.wait()
    if outcome.replies < replies:
        outcome.trouble = f"{outcome.replies} of {replies} replies have come within {timeout:g} s"


async def _each(messages: tuple[str, ...]) -> AsyncIterator[str]:
    for message in messages:
        yield message


async def _lines() -> AsyncIterator[str | bytes]:
    """Those of the input as they come, without their ends: text where they are UTF-8.

    A thread reads them: asyncio cannot read every kind of input on every system.
    """
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[bytes] = asyncio.Queue(_LINES)

    def read() -> None:
        with contextlib.suppress(RuntimeError, concurrent.futures.CancelledError):  # the loop is over
            for line in iter(sys.stdin.buffer.readline, b""):
                asyncio.run_coroutine_threadsafe(lines.put(line), loop).result()
            asyncio.run_coroutine_threadsafe(lines.put(b""), loop).result()

    threading.Thread(target=read, daemon=True).start()
    while line := await lines.get():
        line = line.rstrip(b"\r\n")
        try:
            yield line.decode()
        except UnicodeDecodeError:
            yield line
