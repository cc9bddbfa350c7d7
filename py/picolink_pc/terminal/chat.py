"""`picolink chat`: lines to a board and from it, on a terminal."""

import asyncio
import contextlib
import html
import sys
import time
from typing import TYPE_CHECKING

import click
from platformdirs import user_state_path

from .visit import check_name, key_option, open_radio, play, radio_option, readable, round_trip, state, visit

if TYPE_CHECKING:
    from picolink.link import Link
    from picolink.radio.bleak import Radio
    from prompt_toolkit import PromptSession
    from prompt_toolkit.buffer import Buffer

_BAR_S = 0.5
_HISTORY = "chat-history"


@click.command()
@click.argument("name", callback=check_name)
@radio_option
@key_option
@click.option("--channel", type=click.IntRange(0, 15), default=0, show_default=True, help="For your lines.")
def chat(name: str, radio: str, key: str | None, channel: int) -> None:
    """Talk to the board NAME: each line that you type is a message, each message a line.

    \b
    picolink chat PicoA
    picolink chat PicoA --radio virtual      a board of a `picolink run` or `emulate` in another terminal
    picolink chat PicoA --key robot.key      a board with the key that is in this file

    Enter sends, even while the board is away: it gets everything later. The up and down arrows bring back
    what you typed, in earlier chats too; what you paste is sent line by line. Ctrl-D or Ctrl-C leaves.

    What is not text is shown as hexadecimal digits. [3] before a message: it came on channel 3.
    The line at the bottom shows how many messages were sent, and how many of them the board has.

    When you leave, the board's program continues, and waits for the next connection.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise click.UsageError(
            "chat is for a terminal; for scripts and pipes: picolink send, picolink monitor"
        )
    with contextlib.suppress(KeyboardInterrupt):
        play(_chat(name, open_radio(radio), key, channel))


async def _chat(name: str, radio: "Radio", key: str | None, channel: int) -> None:
    from prompt_toolkit import HTML, PromptSession, print_formatted_text
    from prompt_toolkit.history import FileHistory
    from prompt_toolkit.patch_stdout import patch_stdout

    def say(text: str, colour: str = "ansibrightblack") -> None:
        print_formatted_text(HTML(f"<{colour}>{html.escape(text)}</{colour}>"))

    def on_event(event: str, detail: str) -> None:
        say(f"{time.strftime('%H:%M:%S')}  {event}: {detail}")

    say(f"Looking for {name} ... (Ctrl-C ends)")
    with patch_stdout():
        async with visit(name, radio, on_event, key) as link:
            session = PromptSession(
                history=FileHistory(_history()),
                bottom_toolbar=lambda: _bar(link),
                refresh_interval=_BAR_S,
            )
            say("Enter sends a line, Ctrl-D leaves.")
            reading = asyncio.create_task(_show(link, say))
            typing = asyncio.create_task(_type(link, session, channel, say))
            done, others = await asyncio.wait([reading, typing], return_when=asyncio.FIRST_COMPLETED)
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            for task in done:
                task.result()
            if reading in done:
                say(f"{name} has closed the link.")


def _history() -> str:
    folder = user_state_path("picolink", appauthor=False, ensure_exists=True)
    return str(folder / _HISTORY)


async def _show(link: "Link", say: object) -> None:
    """What the board says, until it closes the link."""
    from picolink import LinkClosedError
    from prompt_toolkit.application import run_in_terminal

    def line(message: object) -> str:
        mark = f"[{link.channel}] " if link.channel else ""
        return mark + readable(message)

    with contextlib.suppress(LinkClosedError):
        while True:
            say("\n".join([line(message) for message in await link.drain()]), "ansicyan")
            link.commit()
            # A board may be faster than a terminal: the next ones are read when these are shown.
            await asyncio.sleep(0)  # print_formatted_text queues them with that
            await run_in_terminal(lambda: None)


async def _type(link: "Link", session: "PromptSession", channel: int, say: object) -> None:
    """What is typed, until Ctrl-D or Ctrl-C."""

    def send(buffer: "Buffer") -> bool:
        """Returns whether the text stays in the prompt."""
        say(f"> {buffer.text}", "b")
        for line in buffer.text.splitlines():
            try:
                taken = link.send_nowait(line, channel)
            except ValueError as error:
                say(f"not sent: {error}", "ansired")
            else:
                if not taken:
                    say(f"not sent, as too much waits for the board already: {line}", "ansired")
        return False

    # One prompt for all lines, and the terminal stays raw while something is printed. Else what is typed
    # meanwhile gets lost, a Ctrl-D above all: a prompt that ends while messages come may take the keys of the
    # next one, and a terminal that is not raw drops it.
    session.default_buffer.accept_handler = send
    session.app.input.cooked_mode = contextlib.nullcontext
    with contextlib.suppress(EOFError, KeyboardInterrupt):
        await session.prompt_async("> ")


def _bar(link: "Link") -> str:
    stats = link.stats
    return (
        f" {link.name}: {state(link)} | sent {stats['messages_sent']:,}, "
        f"it has {stats['messages_acknowledged']:,} | received {stats['messages_received']:,} | "
        f"round trip {round_trip(stats)}"
    )
