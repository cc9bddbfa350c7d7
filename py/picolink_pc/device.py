"""A MicroPython board at a serial port, reached with mpremote."""

import contextlib
import io
from collections.abc import Iterator

import click
import serial.tools.list_ports
from mpremote.transport import TransportError, TransportExecError
from mpremote.transport_serial import SerialTransport
from serial import SerialException

_RASPBERRY_PI_VID = 0x2E8A
_SILENCE_S = 120
"""Longest silence of a board at work; compiling a large module takes seconds."""

port_option = click.option("--port", help="Serial port of the board; needed when there are several.")


class DeviceError(click.ClickException):
    """Something that the user can act on, said in one line."""


def list_ports() -> list[str]:
    """Serial ports that look like a MicroPython board: of Raspberry Pi's, or else of any USB device."""
    usb = [port for port in serial.tools.list_ports.comports() if port.vid is not None]
    picos = [port for port in usb if port.vid == _RASPBERRY_PI_VID]
    return sorted(port.device for port in picos or usb)


def find_port(port: str | None) -> str:
    """`port`, or that of the only board.  Raises DeviceError for none and for several."""
    if port is not None:
        return port
    ports = list_ports()
    if not ports:
        raise DeviceError(
            "no board found: connect one with a USB data cable; a new board first needs firmware: "
            "picolink flash"
        )
    if len(ports) > 1:
        raise DeviceError(f"several boards found: choose one with --port ({', '.join(ports)})")
    return ports[0]


@contextlib.contextmanager
def connect(port: str) -> Iterator[SerialTransport]:
    """mpremote's transport to the board at `port`, in its raw REPL after a soft reset.

    Raises DeviceError when the board does not answer, or is gone before the end.
    """
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            transport = SerialTransport(port)
    except (TransportError, SerialException):
        raise DeviceError(
            f"cannot open {port}: is the name right, is another program using it, may you use serial ports?"
        ) from None
    try:
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # mpremote prints what it did not expect
                transport.enter_raw_repl()
        except TransportError:
            raise DeviceError(
                f"{port} does not answer as a MicroPython board: reset it, or give it firmware with "
                "picolink flash"
            ) from None
        yield transport
        with contextlib.suppress(OSError):
            transport.exit_raw_repl()
    except SerialException:
        raise DeviceError(f"the board at {port} is gone: check its cable and start again") from None
    finally:
        with contextlib.suppress(OSError):
            transport.close()


def run(board: SerialTransport, program: str) -> str:
    """What a MicroPython program prints.  Raises mpremote's TransportExecError with the board's traceback."""
    output, error = board.exec_raw(program, timeout=_SILENCE_S)
    if error:
        raise TransportExecError(output.decode(), error.decode())
    return output.decode().replace("\r\n", "\n")
