"""`picolink emulate`: a REPL, or one program, on an emulated Raspberry Pi Pico."""

import argparse
import contextlib
import sys
import threading
from pathlib import Path

import click
from mpremote.main import State
from mpremote.repl import do_repl
from mpremote.transport import stdout_write_bytes
from mpremote.transport_serial import SerialTransport
from rich.console import Console
from serial import SerialException

from . import extras, products
from .emulator import Emulator, EmulatorError, packages
from .emulator.firmware import MISS_CYCLES, read_firmware
from .run import capture_option

console = Console(stderr=True, highlight=False)


@click.command()
@click.argument("firmware", required=False, type=click.Path(dir_okay=False, path_type=Path))
@click.argument("script", required=False, type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--flash", type=click.Path(dir_okay=False, path_type=Path), help="Keep the board's flash in this file."
)
@click.option("--port", is_flag=True, help="Only offer the board's port to mpremote, until Ctrl-C.")
@click.option(
    "--pair",
    is_flag=True,
    help="For a Pico W: offer the ports of two, in range of each other, with misses of the flash cache.",
)
@click.option(
    "--with",
    "programs",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="PROGRAM",
    help="For a Pico W: run it on a virtual board within range; can be given again.",
)
@capture_option
def emulate(
    firmware: Path | None,
    script: Path | None,
    flash: Path | None,
    port: bool,
    pair: bool,
    programs: tuple[Path, ...],
    capture: Path | None,
) -> None:
    """A REPL on an emulated Pico, or the output of one program.

    \b
    picolink emulate                    a REPL with picolink's own firmware
    picolink emulate hello.py           run a program and end
    picolink emulate micropython.uf2    any firmware for the Pico (not the Pico 2)
    picolink emulate micropython.uf2 hello.py
    picolink emulate --port             shows its port, for mpremote elsewhere
    picolink emulate pico_w.uf2 --with examples/pico_a.py
                                        a Pico W, and a virtual board that its radio finds
    picolink emulate pico_w.uf2 --pair  the ports of two Pico Ws, as for picolink prove

    The chip is emulated at up to half of a Pico's speed.  Firmware for a Pico W has a radio, whose time is
    real time at most: try aioble.scan(), picolink install --port PORT with stock MicroPython, or in another
    terminal picolink chat PicoA --radio virtual while examples/pico_a.py runs there.
    """
    if firmware is not None and firmware.suffix == ".py" and script is None:
        firmware, script = None, firmware
    source = None
    if script is not None:
        try:
            source = script.read_bytes()
        except OSError as error:
            raise click.ClickException(f"cannot read {script}: {error.strerror}") from None
    if firmware is None:
        firmware = products.firmware("RPI_PICO")
        if not firmware.exists():
            raise click.ClickException(
                "name a UF2 file: picolink's own firmware for the Pico is missing "
                f"({products.how_to_get('firmware BOARD=RPI_PICO')})"
            )
    try:
        if not packages.installed():
            with console.status("Installing the emulator's npm packages (once)"):
                packages.program()
        radio = _is_for_pico_w(firmware)
        for option, given in (("--with", programs), ("--capture", capture), ("--pair", pair)):
            if given and not radio:
                raise click.UsageError(f"{option} needs firmware for a Pico W: others have no radio")
        more = {"pair": True, "miss_cycles": MISS_CYCLES} if pair else {}
        with Emulator(firmware, flash=flash, radio=radio, programs=programs, capture=capture, **more) as pico:
            if source is not None:
                _run(pico, source)
            elif port or pair:
                _offer(pico)
            else:
                _repl(pico)
    except EmulatorError as error:
        raise click.ClickException(str(error)) from None


def _is_for_pico_w(firmware: Path) -> bool:
    try:
        read_firmware(firmware)
    except EmulatorError:
        return False  # said by the emulator, if it cannot run that either
    extras.require("virtual", "a radio")
    return True


def _run(pico: Emulator, source: bytes) -> None:
    with pico.raw_repl() as board:
        _, error = board.exec_raw(source, timeout=None, data_consumer=stdout_write_bytes)
    if error:
        click.echo(error.decode().replace("\r\n", "\n"), err=True, nl=False)
        sys.exit(1)


def _offer(pico: Emulator) -> None:
    click.echo("\n".join(pico.ports))
    click.echo(f"For example: mpremote connect {pico.port} exec 'print(1)'", err=True)
    click.echo(f"Ctrl-C ends the {'board' if len(pico.ports) == 1 else 'boards'}.", err=True)
    with contextlib.suppress(KeyboardInterrupt):
        threading.Event().wait()


def _repl(pico: Emulator) -> None:
    if not sys.stdin.isatty():
        raise click.ClickException("a REPL needs a terminal: name a program to run, or use --port")
    settings = argparse.Namespace(
        escape_non_printable=False, capture=None, inject_code=None, inject_file=None
    )
    while True:
        state = State()
        state.transport = SerialTransport(pico.port)
        # mpremote's console waits for this descriptor; pyserial's sockets give it no such name.
        state.transport.serial.fd = state.transport.serial.fileno()
        state.transport.serial.write(b"\r")  # Enter, for a prompt
        try:
            if not do_repl(state, settings):
                return
        except SerialException:
            pass
        finally:
            state.transport.close()
        pico.wait_for("serial")  # the board was reset
