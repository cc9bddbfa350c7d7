"""`picolink gateway`: boards at an MQTT broker."""

import asyncio
import contextlib
import logging
import signal
import sqlite3
from pathlib import Path

import click

from .. import extras, key_files
from ..terminal.visit import open_radio


@click.command()
@click.argument("config", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--check", is_flag=True, help="Only read CONFIG and try the broker.")
@click.option("--verbose", is_flag=True, help="Also say what is usual: connections that come and go.")
def gateway(config: Path, check: bool, verbose: bool) -> None:
    """Join boards to an MQTT broker, as the file CONFIG says.

    \b
    picolink gateway gateway.toml --check     is the file right, and does the broker answer?
    picolink gateway gateway.toml             until Ctrl-C

    \b
    [broker]
    host = "localhost"
    [gateway]
    name = "attic"
    [[board]]
    name = "PicoA"

    A message of the board goes to picolink/PicoA/message/0; what comes at picolink/PicoA/send/0 goes to the
    board. docs/gateway.md has the rest: topics, Home Assistant, TLS, what is guaranteed.
    """
    extras.require("gateway", "gateways")
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.WARNING)
    logging.getLogger(__name__).setLevel(logging.INFO if verbose else logging.WARNING)
    from . import config as configs

    try:
        settings = configs.load(config)
        if settings.keys:
            key_files.require_cipher()
        radio = _radio(settings.gateway)
        asyncio.run(_check(settings) if check else _run(settings, radio))
    except configs.ConfigError as error:
        raise click.ClickException(str(error)) from None
    except sqlite3.OperationalError as error:
        what = "another gateway uses it" if "locked" in str(error) else str(error)
        raise click.ClickException(f"{settings.gateway.outbox}: {what}") from None
    if check:
        click.echo(f"{config} is right, and the broker answers.")


def _radio(settings: object) -> object:
    folder = Path(settings.radio)
    if "/" in settings.radio and folder.is_dir():
        from ..socket_radio import SocketRadio

        return SocketRadio(folder, settings.name)
    try:
        return open_radio(settings.radio)
    except click.BadParameter as error:
        from .config import ConfigError

        raise ConfigError(f"radio in [gateway]: {error.message}") from None


async def _check(settings: object) -> None:
    import aiomqtt

    from .broker import Broker

    try:
        await Broker(settings, None, {}, asyncio.Event()).check()
    except (aiomqtt.MqttError, OSError) as error:
        at = f"{settings.broker.host}:{settings.broker.port}"
        raise click.ClickException(f"the broker at {at} does not take this gateway: {error}") from None


async def _run(settings: object, radio: object) -> None:
    """Until it is told to end."""
    from .boards import Board
    from .broker import Broker
    from .store import Store

    me = asyncio.current_task()
    for name in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows
            asyncio.get_running_loop().add_signal_handler(name, me.cancel)
    changed = asyncio.Event()
    with contextlib.suppress(asyncio.CancelledError):
        async with Store(Path(settings.gateway.outbox), settings.gateway.limit) as store:
            boards = {
                name: Board(name, radio, settings.gateway, store, changed, settings.keys.get(name))
                for name in settings.boards
            }
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(Broker(settings, store, boards, changed).run())
                for board in boards.values():
                    tasks.create_task(board.run())
