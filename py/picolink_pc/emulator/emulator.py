"""An emulated Raspberry Pi Pico that runs real firmware, as a process of its own."""

import json
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from mpremote.transport import TransportExecError
from mpremote.transport_serial import SerialTransport

from . import packages
from .errors import EmulatorError

CYCLE_COUNTER = 0x40068000
"""Write to it with machine.mem32 to start at 0, read it for the CPU cycles since (see cycle_counter.mjs)."""

ROOM_CLOCK = CYCLE_COUNTER + 8
"""The time that boards of a room share, in us: the lower half, and 4 bytes further the upper one."""

_LIMIT_S = 120
"""Generous: a start takes a second on an idle machine."""


class Emulator:
    """A Pico with `firmware` (UF2) in its flash.

        with Emulator(Path("firmware.uf2")) as pico:
            with pico.raw_repl() as board:
                board.exec("print('hello')")

    firmware: a UF2 file for the RP2040.
    flash: a file that keeps the flash contents, made when missing; None: they are forgotten.
    drive: a folder that stands for the board's RPI-RP2 drive while its USB bootloader runs; None: a board
        that is asked for its bootloader only restarts.
    radio: a Pico W, with its radio; has no drive.   programs: on virtual boards in range of that.
    capture: where HCI packets of boards with a radio go; None: nowhere.
    sample_cycles: while the cycle counter runs, look where the CPU is after so many; 0: never.  A Pico only.
    python_types: for that, addresses of the types of functions in Python.
    pair: two Pico Ws, in range of each other.   miss_cycles: of a Pico W, see BoardOptions.

    port: name of its USB serial port for mpremote and pyserial, one client at a time.
    ports: of a pair, both.
    samples: after close(), (address, address of the Python function's bytecode or 0, how often) since the
        counter was started last.
    """

    def __init__(
        self,
        firmware: Path,
        *,
        flash: Path | None = None,
        drive: Path | None = None,
        radio: bool = False,
        programs: tuple[Path, ...] = (),
        capture: Path | None = None,
        sample_cycles: int = 0,
        python_types: Sequence[int] = (),
        pair: bool = False,
        miss_cycles: int = 0,
    ) -> None:
        self.firmware = firmware
        self._radio = radio
        self._programs = programs
        self.port = ""
        self.ports: tuple[str, ...] = ()
        self._boards = 1 + pair
        self._options = []
        if flash is not None:
            self._options += ["--flash", str(flash)]
        if drive is not None:
            self._options += ["--drive", str(drive)]
        if capture is not None:
            self._options += ["--capture", str(capture)]
        if sample_cycles:
            self._options += ["--sample", str(sample_cycles), "--functions", ",".join(map(str, python_types))]
        self._is_sampled = sample_cycles > 0
        self.samples: list[tuple[int, int, int]] = []
        if pair:
            self._options.append("--pair")
        if miss_cycles:
            self._options += ["--miss-cycles", str(miss_cycles)]
        self._process: subprocess.Popen[str] | None = None
        self._events: queue.SimpleQueue[dict | None] = queue.SimpleQueue()

    def start(self) -> Self:
        """Returns when the USB serial port is there.  Raises EmulatorError."""
        if not self.firmware.exists():
            raise EmulatorError(f"there is no firmware at {self.firmware}")
        program = [sys.executable, "-m", "picolink_pc.pico_w"] if self._radio else packages.program()
        command = [*program, *self._options, str(self.firmware), *map(str, self._programs)]
        self._stderr = tempfile.TemporaryFile(mode="w+")  # noqa: SIM115 (closed by close)
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._stderr, text=True
        )
        threading.Thread(target=self._read_events, daemon=True).start()
        ports = self.wait_for("listening")["ports"]
        self.ports = tuple(f"socket://127.0.0.1:{port}" for port in ports)
        self.port = self.ports[0]
        for _ in range(self._boards):
            self.wait_for("serial")
        return self

    def wait_for(self, event: str, timeout_s: float = _LIMIT_S) -> dict:
        """The next event of this name; earlier ones of other names are dropped.

        "serial": the USB serial port is there (after each boot).  "reset" and "bootloader": a program on the
        board asked for them, or its watchdog timed out.  Raises EmulatorError when the board stopped, or on
        a time-out.
        """
        while True:
            try:
                happened = self._events.get(timeout=timeout_s)
            except queue.Empty:
                raise EmulatorError(f"the emulated board: no {event!r} within {timeout_s} s") from None
            if happened is None:
                self._events.put(None)  # for whoever asks next
                self._stderr.seek(0)
                reason = self._stderr.read().strip() or "no reason given"
                raise EmulatorError(f"the emulated board stopped: {reason}")
            if happened["event"] == event:
                return happened

    @contextmanager
    def raw_repl(self) -> Iterator[SerialTransport]:
        """mpremote's transport to the board, after a soft reset, ready for exec() and the fs_* methods."""
        transport = SerialTransport(self.port)
        try:
            transport.enter_raw_repl(soft_reset=True, timeout_overall=_LIMIT_S)
            yield transport
            transport.exit_raw_repl()
        finally:
            transport.close()

    def run(self, program: str, timeout_s: float = _LIMIT_S) -> str:
        """What `program` (MicroPython source) prints, run after a soft reset.

        timeout_s: longest silence.  Raises mpremote's TransportExecError with the board's traceback.
        """
        with self.raw_repl() as board:
            output, error = board.exec_raw(program, timeout=timeout_s)
        if error:
            raise TransportExecError(output.decode(), error.decode())
        return output.decode().replace("\r\n", "\n")

    def close(self) -> None:
        """Switches the board off.  Its flash file, if any, is up to date at any moment."""
        if self._process is not None:
            self._process.stdin.close()  # the emulator ends with its standard input
            if self._is_sampled:
                self.samples = [tuple(sample) for sample in self.wait_for("samples")["samples"]]
            self._process.wait()
            self._process = None
            self._stderr.close()

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read_events(self) -> None:
        with self._process.stdout as lines:
            for line in lines:
                self._events.put(json.loads(line))
        self._events.put(None)
