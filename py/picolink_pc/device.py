"""A MicroPython board at a serial port, reached with mpremote."""

import contextlib
import functools
import io
import time
from collections.abc import Iterator

import click
import serial.tools.list_ports
from mpremote.transport import TransportError, TransportExecError
from mpremote.transport_serial import SerialTransport
from rich.console import Console
from serial import Serial, SerialException, SerialTimeoutException

from . import pc

_RASPBERRY_PI_VID = 0x2E8A
_DEBUG_PROBE = (_RASPBERRY_PI_VID, 0x000C)
_SILENCE_S = 120
"""Longest silence of a board at work; compiling a large module takes seconds."""

_FIRST_TRY_S = 3
"""A board that has just been reset may lose the Ctrl-C that comes while it starts: then it is sent again."""

_INSIST_S = 20
_PAUSE_S = 0.02
_INSIST = b"\x03" * 255 + b"\x01"
_RAW_REPL = b"raw REPL; CTRL-B to exit"
"""A program that catches every exception ends when one Ctrl-C arrives while it handles another. So each burst
of Ctrl-C fills several USB packets, which arrive one right after the other. The Ctrl-A at its end is answered
only when the program has ended and the whole burst is read. Bursts follow each other for up to 20 s."""

_RESET_S = 60
"""Longest soft reset; the board's boot.py is a part of it."""

# Out of the raw REPL, then a soft reset, after which the board runs its main.py. Nothing waits for that.
_LEAVE = b"\r\x02\x04"

# A watchdog that the board's program has started runs on after the soft reset, and nobody feeds it any more.
# Bit ENABLE of its register CTRL.
_STOP_WATCHDOG = """
import sys
if sys.platform == "rp2":
    from machine import mem32
    mem32[0x400d8000 if "RP2350" in sys.implementation._machine else 0x40058000] &= ~(1 << 30)
"""

port_option = click.option("--port", help="Serial port of the board; needed when there are several.")
ports_option = click.option("--port", "ports", multiple=True, help="Serial port of a board; may be repeated.")


class DeviceError(click.ClickException):
    """Something that the user can act on, said in one line."""


class ProgramError(DeviceError):
    """A program ended on the board with a traceback."""


def list_ports() -> list[str]:
    """Serial ports that look like a MicroPython board: of Raspberry Pi's, or else of any USB device."""
    usb = [port for port in serial.tools.list_ports.comports() if port.vid is not None]
    usb = [port for port in usb if (port.vid, port.pid) != _DEBUG_PROBE]
    picos = [port for port in usb if port.vid == _RASPBERRY_PI_VID]
    return sorted(port.device for port in picos or usb)


def find_ports() -> list[str]:
    """Those of all boards.  Raises DeviceError for none."""
    ports = list_ports()
    if not ports:
        raise DeviceError(pc.why_no_board())
    return ports


def find_port(port: str | None) -> str:
    """`port`, or that of the only board.  Raises DeviceError for none and for several."""
    if port is not None:
        return port
    ports = find_ports()
    if len(ports) > 1:
        raise DeviceError(f"several boards found: choose with --port ({', '.join(ports)})")
    return ports[0]


@contextlib.contextmanager
def connect(port: str) -> Iterator[SerialTransport]:
    """mpremote's transport to the board at `port`, in its raw REPL after a soft reset.

    At the end another soft reset starts the board's own program again.
    Raises DeviceError when the board does not answer, fails, or is gone before the end.
    """
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            transport = SerialTransport(port)
    except (TransportError, SerialException):
        raise DeviceError(pc.why_not_opened(port)) from None
    _tell_when_unplugged(transport.serial)
    # Where mpremote names no limit its own is 10 s.
    transport.read_until = functools.partial(transport.read_until, timeout=_SILENCE_S)
    try:
        try:
            soft_reset(transport)
        except TransportError:
            raise DeviceError(
                f"{port} does not answer as a MicroPython board. Connect it with its BOOTSEL button held, "
                "then: picolink flash FIRMWARE.uf2. If its main.py ignores Ctrl-C, add --erase-files: that "
                "erases main.py and all other files on the board"
            ) from None
        yield transport
    except SerialException:
        raise DeviceError(f"the board at {port} is gone: check its cable and start again") from None
    except TransportExecError as error:
        raise ProgramError(f"the board at {port} failed: {error.error_output.splitlines()[-1]}") from None
    except TransportError:
        raise DeviceError(f"the board at {port} stopped answering: reset it and start again") from None
    finally:
        with contextlib.suppress(OSError):
            if transport.in_raw_repl:
                transport.serial.write(_LEAVE)
        with contextlib.suppress(OSError):
            transport.close()


def soft_reset(board: SerialTransport) -> None:
    """A fresh raw REPL: nothing is imported, main.py does not run.  Raises mpremote's TransportError."""
    with contextlib.redirect_stdout(io.StringIO()):  # mpremote prints what it did not expect
        try:
            board.enter_raw_repl(timeout_overall=_FIRST_TRY_S)
        except TransportError:
            with Console(stderr=True).status("The board's program does not stop: Ctrl-C again and again"):
                _insist(board.serial)
            board.enter_raw_repl(timeout_overall=_RESET_S)
    run(board, _STOP_WATCHDOG)


def _insist(port: Serial) -> None:
    """Sends Ctrl-C until the board is in its raw REPL.  Raises TransportError after _INSIST_S."""
    port.write_timeout = _PAUSE_S  # a board that prints takes nothing until its output is read
    seen = b""
    end = time.monotonic() + _INSIST_S
    while _RAW_REPL not in seen:
        if time.monotonic() > end:
            port.reset_output_buffer()
            raise TransportError("could not enter raw repl")
        with contextlib.suppress(SerialTimeoutException):
            port.write(_INSIST)
        seen = seen[-len(_RAW_REPL) :] + _read_for(port, _PAUSE_S)
    port.write_timeout = None


def _read_for(port: Serial, duration_s: float) -> bytes:
    data = b""
    end = time.monotonic() + duration_s
    while time.monotonic() < end:
        waiting = port.inWaiting()
        if waiting:
            data += port.read(waiting)
        else:
            time.sleep(0.001)
    return data


def run(board: SerialTransport, program: str, silence_s: float = _SILENCE_S) -> str:
    """What a MicroPython program prints.

    silence_s: longest silence.  Raises mpremote's TransportError, and for a traceback TransportExecError.
    """
    output, error = board.exec_raw(program, timeout=silence_s)
    if error:
        raise TransportExecError(output.decode(), error.decode())
    return output.decode().replace("\r\n", "\n")


def _tell_when_unplugged(port: Serial) -> None:
    """Makes a SerialException of the one OSError that pyserial lets through: of the bytes that wait."""
    waiting = port.inWaiting

    def in_waiting() -> int:
        try:
            return waiting()
        except OSError as error:
            raise SerialException(str(error)) from None

    port.inWaiting = in_waiting
