"""Two boards at serial ports, or one and this PC: they run programs, and are watched, struck and reset."""

import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

import serial.tools.list_ports
from mpremote.transport import TransportError

from .. import device
from ..boards import BoardError
from ..device import DeviceError

ROLES = ("peripheral", "central")

_SILENCE_S = 120
"""Longest silence of a program: they print every few seconds; emulated boards take several times as long."""

_INTERRUPT_S = 3
_INTERRUPTS = 20
_PAUSE_S = 0.3
_BACK_S = 60
"""In which a board that was reset is at its port again."""

# No file is left on the board: what ran before stands in for the module.
_AS_MODULE = "import sys, __main__\nsys.modules[{!r}] = __main__\n"


class Side:
    """One end of the link: it runs programs, one at a time, and what they print is read in a thread.

    role: for people.   lines: that the program has printed, each with the time.monotonic() at which it came.
    is_board: can it be struck and reset?   Raises BoardError when a program fails.
    """

    is_board = True

    def __init__(self, role: str) -> None:
        self.role = role
        self.lines: list[tuple[float, str]] = []
        self._partial = b""
        self._error = b""
        self._thread: threading.Thread | None = None
        self._news = threading.Event()

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
        lines = (line.partition(" ") for _, line in self.lines)
        return [json.loads(rest) for word, _, rest in lines if word == kind]

    @property
    def running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def join(self) -> None:
        """Wait until the program has ended by itself."""
        self._thread.join()
        self._thread = None
        if self._error:
            raise BoardError(self._complaint("failed"))

    def _follow(self, read: Callable[[], bytes]) -> None:
        """In a thread, until the program has ended.   read: returns its traceback; calls _take meanwhile."""
        self.lines.clear()
        self._partial = self._error = b""

        def follow() -> None:
            try:
                self._error = read()
            except (TransportError, OSError) as error:
                self._error = str(error).encode()
            self._news.set()

        self._thread = threading.Thread(target=follow, daemon=True)
        self._thread.start()

    def _take(self, data: bytes) -> None:
        *whole, self._partial = (self._partial + data).replace(b"\x04", b"").split(b"\n")
        now = time.monotonic()
        self.lines += [(now, line.decode(errors="replace").rstrip("\r")) for line in whole]
        self._news.set()

    def _complaint(self, what: str) -> str:
        said = [line for _, line in self.lines[-5:]] + self._error.decode(errors="replace").splitlines()[-6:]
        return "\n    ".join((f"the {self.role} {what}; it has said:", *said))


class PortBoard(Side):
    """The board at `port`, in its raw REPL.  Raises DeviceError, too, when it does not answer."""

    def __init__(self, port: str, role: str) -> None:
        super().__init__(role)
        self._port = port
        self._usb_number = _usb_number(port)
        self._open = contextlib.ExitStack()

    def connect(self) -> None:
        """A soft reset is a part of it."""
        self._transport = self._open.enter_context(device.connect(self._port))

    def close(self) -> None:
        """Its own program starts again."""
        with contextlib.suppress(BoardError, DeviceError, OSError, TransportError):
            self.interrupt()
        self._open.close()

    def start(self, program: Path, words: tuple[str, ...], modules: tuple[Path, ...] = ()) -> None:
        """Run it with sys.argv[1:] == words; modules: files that it imports."""
        for module in modules:
            device.run(
                self._transport, module.read_text(encoding="utf-8") + "\n" + _AS_MODULE.format(module.stem)
            )
        device.run(self._transport, f"import sys\nsys.argv[:] = {['', *words]!r}\n")
        self._transport.exec_raw_no_follow(program.read_text(encoding="utf-8"))
        self._follow(lambda: self._transport.follow(_SILENCE_S, self._take)[1])

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
            raise BoardError(self._complaint("does not stop at Ctrl-C"))
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
            time.sleep(_PAUSE_S)
            self._port = _port_of(self._usb_number) or self._port
            try:
                self.connect()
                return
            except DeviceError:
                if time.monotonic() > end:
                    raise


class PcSide(Side):
    """This PC, with Bluetooth of its own.  radio: as open_radio() takes it."""

    is_board = False

    def __init__(self, radio: str, role: str) -> None:
        super().__init__(role)
        self._radio = radio
        self._process: subprocess.Popen[bytes] | None = None

    def connect(self) -> None:
        pass

    def close(self) -> None:
        self.soft_reset()

    def start(self, program: Path, words: tuple[str, ...], modules: tuple[Path, ...] = ()) -> None:  # noqa: ARG002
        """As PortBoard's; it finds its modules beside it."""
        command = (sys.executable, "-u", "-m", "picolink_pc.prove.pc_side", self._radio, str(program), *words)
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe)
        self._follow(self._read)

    def type(self, text: str) -> None:
        self._process.stdin.write(text.encode())
        self._process.stdin.flush()

    def soft_reset(self) -> None:
        """End the program, if it runs."""
        if self._process:
            self._process.kill()
            self._thread.join() if self._thread else None
            self._process = self._thread = None

    def _read(self) -> bytes:
        for line in self._process.stdout:
            self._take(line)
        error = self._process.stderr.read()
        return error if self._process.wait() else b""


class SidePair:
    """Both: use it with `with`.  ports: of the peripheral and the central; one: the PC is the central."""

    def __init__(self, ports: tuple[str, ...], radio: str) -> None:
        central = PortBoard(ports[1], "central") if ports[1:] else PcSide(radio, "central")
        self.sides = {"peripheral": PortBoard(ports[0], "peripheral"), "central": central}

    def __enter__(self) -> Self:
        try:
            for side in self.sides.values():
                side.connect()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for side in self.sides.values():
            with contextlib.suppress(DeviceError):
                side.close()

    def run(self, program: Path, words: Callable[[str], tuple[str, ...]], tell: Callable[[], None]) -> None:
        """Freshly reset, both run it to its end.  words: for a role.   tell: called often meanwhile."""
        for role, side in self.sides.items():
            side.soft_reset()
            side.start(program, words(role))
        while any(side.running for side in self.sides.values()):
            tell()
            time.sleep(0.1)
        for side in self.sides.values():
            side.join()


def _usb_number(port: str) -> str | None:
    return next(
        (each.serial_number for each in serial.tools.list_ports.comports() if each.device == port), None
    )


def _port_of(usb_number: str | None) -> str | None:
    ports = serial.tools.list_ports.comports() if usb_number else ()
    return next((each.device for each in ports if each.serial_number == usb_number), None)
