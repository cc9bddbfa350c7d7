"""Two boards at serial ports that run programs while this PC watches, strikes and restarts them."""

import contextlib
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

import serial.tools.list_ports
from mpremote.transport import TransportError
from mpremote.transport_serial import SerialTransport

from .. import device
from ..boards import BoardError
from ..device import DeviceError

ROLES = ("peripheral", "central")

_SILENCE_S = 120
"""Longest silence of a program: they print every few seconds; emulated boards take several times as long."""

_INTERRUPT_S = 3
_INTERRUPTS = 20
_BACK_S = 60
"""In which a board that was reset is at its port again."""

# No file is left on the board: what ran before stands in for the module.
_AS_MODULE = "import sys, __main__\nsys.modules[{!r}] = __main__\n"


class PortBoard:
    """The board at `port`, in its raw REPL.

    role: for people.   lines: that the program has printed, each with the time.monotonic() at which it came.
    Raises DeviceError when it does not answer, BoardError when a program on it fails.
    """

    def __init__(self, port: str, role: str) -> None:
        self.role = role
        self.lines: list[tuple[float, str]] = []
        self._port = port
        self._usb_number = _usb_number(port)
        self._partial = b""
        self._error = b""
        self._thread: threading.Thread | None = None
        self._open = contextlib.ExitStack()
        self._news = threading.Event()

    @property
    def transport(self) -> SerialTransport:
        return self._transport

    def connect(self) -> None:
        """A soft reset is a part of it."""
        self._transport = self._open.enter_context(device.connect(self._port))

    def close(self) -> None:
        """Its own program starts again."""
        with contextlib.suppress(DeviceError, OSError, TransportError):
            self.interrupt()
        self._open.close()

    def start(self, program: Path, words: tuple[str, ...], modules: tuple[Path, ...] = ()) -> None:
        """Run it with sys.argv[1:] == words; modules: files that it imports."""
        self.lines.clear()
        self._partial = self._error = b""
        for module in modules:
            device.run(self._transport, module.read_text() + "\n" + _AS_MODULE.format(module.stem))
        device.run(self._transport, f"import sys\nsys.argv[:] = {['', *words]!r}\n")
        self._transport.exec_raw_no_follow(program.read_text())
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def wait_line(self, kind: str, limit_s: float = _SILENCE_S, since: int = 0) -> str:
        """The rest of the first line that begins with `kind`, from number `since` on."""
        end = time.monotonic() + limit_s
        seen = since
        while True:
            self._news.clear()
            lines = self.lines
            while seen < len(lines):
                seen += 1
                word, _, rest = lines[seen - 1][1].partition(" ")
                if word == kind:
                    return rest
            if not self.running:
                raise BoardError(self._complaint(f"ended without {kind!r}"))
            if time.monotonic() > end:
                raise BoardError(self._complaint(f"no {kind!r} within {limit_s:.0f} s"))
            self._news.wait(0.2)

    def told(self, kind: str) -> list[dict]:
        """What the lines of this kind have in JSON."""
        return [
            json.loads(rest)
            for word, _, rest in (line.partition(" ") for _, line in self.lines)
            if word == kind
        ]

    @property
    def running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def join(self) -> None:
        """Wait until the program has ended by itself."""
        self._thread.join()
        self._thread = None
        if self._error:
            raise BoardError(self._complaint("failed"))

    def type(self, text: str) -> None:
        """For the program's standard input."""
        self._transport.serial.write(text.encode())

    def interrupt(self) -> None:
        """Ctrl-C, until the program has ended."""
        for _ in range(_INTERRUPTS):
            if not self.running:
                break
            self._transport.serial.write(b"\x03")
            self._thread.join(_INTERRUPT_S)
        else:
            raise BoardError(self._complaint("Ctrl-C does not stop the program"))
        self._thread = None

    def soft_reset(self) -> None:
        """Interrupt the program, then Ctrl-D."""
        self.interrupt()
        device.soft_reset(self._transport)

    def hard_reset(self) -> None:
        """machine.reset(): its USB port goes away and comes back, perhaps with another name."""
        self.interrupt()
        self._transport.exec_raw_no_follow("import machine\nmachine.reset()")
        with contextlib.suppress(OSError):  # it is gone
            self._transport.close()
        with contextlib.suppress(DeviceError, OSError):
            self._open.close()
        end = time.monotonic() + _BACK_S
        while True:
            time.sleep(0.3)
            self._port = _port_of(self._usb_number) or self._port
            try:
                self.connect()
                return
            except DeviceError:
                if time.monotonic() > end:
                    raise

    def _follow(self) -> None:
        try:
            _, self._error = self._transport.follow(_SILENCE_S, self._take)
        except (TransportError, OSError) as error:
            self._error = str(error).encode()
        self._news.set()

    def _take(self, data: bytes) -> None:
        *whole, self._partial = (self._partial + data).replace(b"\x04", b"").split(b"\n")
        now = time.monotonic()
        self.lines += [(now, line.decode(errors="replace").rstrip("\r")) for line in whole]
        self._news.set()

    def _complaint(self, what: str) -> str:
        said = [line for _, line in self.lines[-5:]] + self._error.decode(errors="replace").splitlines()[-6:]
        return "\n    ".join((f"the {self.role} {what}; it has said:", *said))


class PortPair:
    """The boards at two ports: use it with `with`."""

    def __init__(self, ports: tuple[str, ...]) -> None:
        self.boards = {role: PortBoard(port, role) for role, port in zip(ROLES, ports, strict=True)}

    def __enter__(self) -> Self:
        try:
            for board in self.boards.values():
                board.connect()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for board in self.boards.values():
            with contextlib.suppress(DeviceError):
                board.close()

    def run(
        self, program: Path, words: Callable[[str], tuple[str, ...]], tell: Callable[[], None]
    ) -> dict[str, PortBoard]:
        """Freshly reset, both run it to its end.  words: for a role.   tell: called often meanwhile."""
        for role, board in self.boards.items():
            device.soft_reset(board.transport)
            board.start(program, words(role))
        while any(board.running for board in self.boards.values()):
            tell()
            time.sleep(0.1)
        for board in self.boards.values():
            board.join()
        return self.boards


def _usb_number(port: str) -> str | None:
    return next(
        (each.serial_number for each in serial.tools.list_ports.comports() if each.device == port), None
    )


def _port_of(usb_number: str | None) -> str | None:
    ports = serial.tools.list_ports.comports() if usb_number else ()
    return next((each.device for each in ports if each.serial_number == usb_number), None)
