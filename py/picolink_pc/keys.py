"""`picolink key`: keys for links, onto boards and onto this PC, and whether two boards have the same one."""

import secrets
from pathlib import Path
from typing import TextIO

import click
from mpremote.transport_serial import SerialTransport
from picolink import key as keys

from . import device, key_files
from .device import DeviceError, ports_option

_NO_PICOLINK = "no picolink"
_FINGERPRINT = f"""
try:
    from picolink import key
    print(key.fingerprint(key.secret(True)))
except ImportError:
    print("{_NO_PICOLINK}")
except OSError:
    print("no key")
except ValueError:
    print("no key that is whole")
"""

_pc_option = click.option("--pc", "on_pc", is_flag=True, help="This PC, too, for programs with key=True.")


@click.group()
def key() -> None:
    """Keys for links: a board without the same key is kept out.

    \b
    picolink key install --port /dev/ttyACM0 --port /dev/ttyACM1    a new one, onto both boards
    picolink key check --port /dev/ttyACM0 --port /dev/ttyACM1      do they have the same one?

    Then write key=True in both programs: picolink.advertise("PicoA", key=True).

    A board keeps its key in a file, picolink.key. Whoever holds the board in his hands can read it there.
    """


@key.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), required=False)
def new(file: Path | None) -> None:
    """Make a key: print it, or write it to FILE, which only you can read.

    \b
    picolink key new                 to paste into both programs: key="picolink-key-..."
    picolink key new robot.key       for picolink key install robot.key
    """
    text = keys.text(secrets.token_bytes(32))
    if file is None:
        click.echo(text)
        return
    try:
        key_files.write(file, text)
    except FileExistsError:
        raise click.ClickException(f"{file} is there already: a key that boards have may be in it") from None
    click.echo(f"A new key is in {file}; its fingerprint is {_fingerprint(text)}.")


@key.command()
@click.argument("file", type=click.File(), required=False)
@ports_option
@_pc_option
def install(file: TextIO | None, ports: tuple[str, ...], on_pc: bool) -> None:
    """Put the key in FILE onto boards, or a new one. It is not shown.

    \b
    picolink key install --port /dev/ttyACM0 --port /dev/ttyACM1    a new one, onto both boards
    picolink key install --port /dev/ttyACM0 --pc                   onto a board and this PC
    picolink key install robot.key                                  onto the only board that is connected
    """
    text = keys.text(secrets.token_bytes(32)) if file is None else file.read().strip()
    try:
        fingerprint = _fingerprint(text)
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    places = _ports(ports, on_pc)
    if file is None and len(places) + on_pc < 2:
        raise click.UsageError(
            "A new key is for two: name both boards, or --pc, or a FILE of picolink key new that you keep."
        )
    for port in places:  # all of them first: a new key is on none of them, or on all
        with device.connect(port) as board:
            if _of_board(board) == _NO_PICOLINK:
                raise DeviceError(
                    f"the board at {port} has no picolink that knows keys: run picolink install"
                )
    if on_pc:
        path = key_files.of_pc()
        path.parent.mkdir(parents=True, exist_ok=True)
        key_files.replace(path, text)
        click.echo(f"The key {fingerprint} is on this PC, in {path}.")
    for port in places:
        with device.connect(port) as board:
            board.fs_writefile(keys.FILE, text.encode())
            if _of_board(board) != fingerprint:
                raise DeviceError(f"the board at {port} does not keep the key: is its file system full?")
        click.echo(f"The key {fingerprint} is on the board at {port}.")


@key.command()
@ports_option
@_pc_option
def check(ports: tuple[str, ...], on_pc: bool) -> None:
    """Tell whether boards have the same key, by fingerprints: eight digits that do not tell the key."""
    found = {}
    for port in _ports(ports, on_pc):
        with device.connect(port) as board:
            found[f"the board at {port}"] = _of_board(board)
    if on_pc:
        try:
            found["this PC"] = _fingerprint(key_files.of_pc().read_text().strip())
        except FileNotFoundError:
            found["this PC"] = "no key"
    for place, what in found.items():
        click.echo(f"{what}  {place}")
    if any(what.startswith("no ") for what in found.values()):
        raise click.ClickException("not all have a key: see picolink key install --help")
    if len(set(found.values())) > 1:
        raise click.ClickException("these are different keys: install one on all of them")
    if len(found) > 1:
        click.echo("All have the same key.")


def _ports(ports: tuple[str, ...], on_pc: bool) -> list[str]:
    return list(ports) if ports or on_pc else [device.find_port(None)]


def _of_board(board: SerialTransport) -> str:
    device.soft_reset(board)
    return device.run(board, _FINGERPRINT).strip()


def _fingerprint(text: str) -> str:
    return keys.fingerprint(keys.secret(text))
