"""Which radio a command uses, and a link that leaves the board's program running when the command is over."""

import asyncio
import contextlib
import re
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from .. import extras
from ..as_text import as_bytes

if TYPE_CHECKING:
    from picolink.link import Link
    from picolink.radio.bleak import Radio

Result = TypeVar("Result")

radio_option = click.option(
    "--radio",
    default="adapter",
    show_default=True,
    metavar="RADIO",
    help="adapter: this PC's Bluetooth; on Linux also an adapter's name, such as hci1. virtual: the radio of "
    "a `picolink run` or `picolink emulate` in another terminal.",
)


_PC_KEY = "pc"


def _read_key(_context: click.Context, _parameter: click.Parameter, given: str | None) -> str | None:
    """For click: the key as text. No error shows it."""
    if given is None:
        return None
    from picolink import key as link_keys

    from .. import key_files

    file = None
    if given == _PC_KEY:
        file = key_files.of_pc()
        if not file.exists():
            raise click.BadParameter(
                "this PC has no key: picolink key install --pc --port PORT puts one here and onto a board"
            )
    elif not given.startswith(link_keys.BEGIN):
        file = Path(given)
    try:
        text = key_files.read(file) if file else given
        key_files.check(text, file)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    key_files.require_cipher()
    return text


key_option = click.option(
    "--key",
    metavar="KEY",
    callback=_read_key,
    help="For a board with a key: a file of `picolink key new`, or pc: what `picolink key install --pc` has "
    "put on this PC. The text of a key, too; but other users of this PC may see what you type here.",
)


class Reason:
    """Why nothing comes of a visit, for a person: what the link told last.

    A refusal says more than what follows from it: the board hangs up on whoever comes again.
    """

    def __init__(self, name: str, when_connected: str) -> None:
        """when_connected: what it is while the boards are connected."""
        self.text = f"no board named {name!r} in sight"
        self._when_connected = when_connected
        self._refused = False

    def on_event(self, event: str, detail: str) -> None:
        if event == "connected":
            self.text, self._refused = self._when_connected, False
        elif event == "refused" or not self._refused:
            self.text, self._refused = detail, event == "refused"


class _LeaveError(Exception):
    """Ends a link as a program that is interrupted does: the board's goes on, and waits for the next one."""


def open_radio(name: str) -> "Radio":
    """The radio that the option `--radio` names.  Raises click.ClickException."""
    if name not in ("adapter", "virtual") and not (sys.platform == "linux" and re.fullmatch(r"hci\d+", name)):
        raise click.BadParameter(
            f"{name!r} is not adapter, virtual or, on Linux, the name of an adapter, such as hci1",
            param_hint="--radio",
        )
    extras.require("pc", "links from this PC")
    if name == "virtual":
        extras.require("virtual", "links to virtual boards")
        from .. import virtual_adapter

        return virtual_adapter.radio()
    from picolink.radio.bleak import Radio

    return Radio(None if name == "adapter" else name)


@contextlib.asynccontextmanager
async def visit(
    name: str,
    radio: "Radio",
    on_event: Callable[[str, str], object],
    key: str | None,
    timeout_ms: int | None = None,
) -> AsyncIterator["Link"]:
    """A link to the board `name`; in the end it sends the rest, and the board's program goes on.

    key: as text; None: without one.
    What was read has to be confirmed with link.commit(): the rest comes again to who visits the board next.
    Raises TimeoutError if the board does not come in time.
    """
    import picolink

    def tell(event: str, detail: str) -> None:
        if event != "restarted":  # the last visit was another program's
            on_event(event, detail)

    options = {"on_event": tell, "timeout_ms": timeout_ms, "commit": True, "key": key or False}
    with contextlib.suppress(_LeaveError):
        async with picolink.connect(name, radio=radio, **options) as link:
            yield link
            raise _LeaveError


def play(work: Coroutine[object, object, Result]) -> Result:
    """What `work` returns.  Raises click.ClickException where Bluetooth cannot be used."""
    from picolink.radio.bleak.errors import BluetoothError

    try:
        return asyncio.run(work)
    except BluetoothError as error:
        raise click.ClickException(str(error) + _virtual_one()) from None


def check_name(_context: click.Context, _parameter: click.Parameter, name: str) -> str:
    """For click: a name that a board can have."""
    from picolink import wire

    try:
        return wire.checked_name(name)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _virtual_one() -> str:
    """Advice for who has virtual boards and forgot to say so."""
    from .. import radio_door

    if "virtual" in sys.argv or not radio_door.is_open():
        return ""
    return ". Virtual boards are running: --radio virtual"


def readable(message: object) -> str:
    """A message for a terminal, in one line: text as it is, an object as JSON, anything else as hexadecimal
    digits."""
    message = as_bytes(message)
    with contextlib.suppress(UnicodeDecodeError):
        text = message.decode()
        if all(character.isprintable() or character in "\t\n\r" for character in text):
            return text.replace("\r", "").replace("\n", " ↵ ").replace("\t", "    ")
    return message.hex(" ")


def state(link: "Link") -> str:
    """Whether the board is there."""
    return "connected" if link.connected else "not connected: it is looked for"


def round_trip(stats: dict[str, int]) -> str:
    """That of a link, as soon as something was sent."""
    return f"{stats['rtt_ms']} ms" if stats["rtt_ms"] else "-"
