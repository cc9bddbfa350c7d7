"""Emulated boards in a room: real firmware with its own Bluetooth host, in virtual time."""

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from .boards import Board, BoardError
from .emulator import ROOM_CLOCK
from .emulator.board_process import BoardOptions, BoardProcess
from .emulator.repl import Repl

if TYPE_CHECKING:
    from .radio.controller import RadioController
    from .radio.virtual_radio import VirtualRadio

_START_S = 30
"""In virtual time: far more than a board takes to start."""

_HZ = 125_000_000

# Before a program that is to use the engine in Python, on firmware that has the native one built in.
_WITHOUT_NATIVE = "import sys\nsys.modules['_picolink'] = None"

# No file is left on the board: what ran before stands in for the module.
_AS_MODULE = "import sys, __main__\nsys.modules[{!r}] = __main__\n"

# For programs that tell others the time. The same in each room, whatever the time is here.
_SET_CLOCK = f"""
import time
from machine import mem32
CLOCK_OFFSET_US = mem32[{ROOM_CLOCK}] + (mem32[{ROOM_CLOCK + 4}] << 32) - time.time_ns() // 1000
"""


def modules_beside(program: Path) -> dict[str, str]:
    """Sources of the modules in its folder that a program imports, by name."""
    imports = re.findall(
        r"^\s*(?:from (\w+) )?import (.+)", program.read_text(encoding="utf-8"), re.MULTILINE
    )
    names = [name for one, several in imports for name in ([one] if one else re.findall(r"\w+", several))]
    files = {name: program.with_name(f"{name}.py") for name in dict.fromkeys(names)}
    return {name: file.read_text(encoding="utf-8") for name, file in files.items() if file.exists()}


class EmulatedBoard(Board):
    """One board with `firmware`, switched off at first.  Made by `Room.board`.

    A program is typed into its raw REPL, over its USB serial port.

    led: is its LED on?  problems: what the model of the radio chip did not understand, told as lines as well.
    torn: how often power was cut while a call wrote to its flash or erased it, and so did that in part.
    """

    def __init__(
        self,
        name: str,
        radio: "VirtualRadio",
        options: BoardOptions,
        engine: str,
        on_line: Callable[[str, str], None] | None,
    ) -> None:
        super().__init__(name, on_line)
        self.led = False
        self.problems: list[str] = []
        self.torn = 0
        self._radio = radio
        self._engine = engine
        self._controller: RadioController | None = None
        self._address = options.mac[:-1] + bytes((options.mac[-1] + 1,))
        self.process = BoardProcess(asyncio.get_running_loop(), options, self._on_happened)
        self._repl = Repl(self.process.write_serial)
        self._serial = asyncio.Event()
        self._off = asyncio.Event()
        self._off.set()
        self._play: asyncio.Task | None = None
        self._line = ""
        self._program: tuple[str, tuple[str, ...], dict[str, str]] = ("", (), {})
        self._exit_code = 0

    async def start(self, program: str | Path, *args: str) -> None:
        """Switch on and run the file `program` with `args`.  Raises BoardError if it runs already.

        It finds the modules beside it, and in them CLOCK_OFFSET_US: what to add to time.time_ns() // 1000 to
        get the time that all boards of a room share.
        """
        await self._start(Path(program).read_text(encoding="utf-8"), args, modules_beside(Path(program)))

    async def start_code(self, code: str) -> None:
        """Switch on and run `code`.  Raises BoardError if the board runs already."""
        await self._start(code, (), {})

    def type(self, line: str) -> None:
        """One line for the program's input(). Lost where no program reads it any more."""
        if self.running:
            self.process.write_serial(f"{line}\r".encode())  # as the Enter key of a terminal

    async def restart(self) -> None:
        """Cut the power if it is on, and run the same program again."""
        await self.kill()
        await self._start(*self._program)

    async def _start(self, code: str, args: tuple[str, ...], modules: dict[str, str]) -> None:
        if self.running:
            raise BoardError(f"{self.name} is running already")
        await self.kill()  # the program has ended, but the board is on
        self._program = code, args, modules
        self._serial.clear()
        self._off.clear()
        self.process.power(True)
        self.running = True
        self._play = asyncio.create_task(self._run(code, args, modules))

    async def _run(self, code: str, args: tuple[str, ...], modules: dict[str, str]) -> None:
        preparation = f"import sys\nsys.argv[:] = {['', *args]!r}\n"
        if self._engine == "python":
            preparation += _WITHOUT_NATIVE
        parts = [preparation]
        for name, source in modules.items():
            parts += [source, _AS_MODULE.format(name)]
        if modules:
            parts.append(_SET_CLOCK)
        try:
            async with asyncio.timeout(_START_S):
                await self._serial.wait()
                self.process.open_serial(True)
                await self._repl.enter()
                error = ""
                for part in parts:
                    error = error or await self._repl.run(part, self._on_text)
        except TimeoutError:
            error = f"{self.name} does not start: no REPL within {_START_S} s"
        if not error:
            error = await self._repl.run(code, self._on_text)
        if error:
            self._on_text(error)
        self._exit_code = 1 if error else 0
        if self._line:
            self._on_text("\n")
        self._end()

    async def exit_code(self, timeout: float | None = None) -> int:
        """Wait until the program ends by itself: 0, or 1 if by an exception.

        timeout: seconds, None: no limit.  Raises BoardError when it is over, or if nothing was started.
        """
        if self._play is None:
            raise BoardError(f"{self.name} was never started")
        done, _ = await asyncio.wait([self._play], timeout=timeout)
        if not done:
            raise BoardError(self._complaint(f"still running after {timeout} s", 0))
        return self._exit_code

    async def kill(self) -> None:
        """Cut the power: the program ends at once and nothing is said on the air."""
        if self._off.is_set():
            return
        if self._play and not self._play.done():
            self._play.cancel()
            await asyncio.wait([self._play])
        self.process.power(False)
        await self._off.wait()
        self._line = ""
        self._end()

    def freeze(self) -> None:
        """Stop the processor where it is; the radio goes on."""
        self.process.freeze(True)

    def thaw(self) -> None:
        """Let the processor go on."""
        self.process.freeze(False)

    def close(self) -> None:
        """End the emulator's process."""
        self._power_radio(False)
        self.process.close()

    @property
    def busy_s(self) -> float:
        """For how long its CPU has worked, waiting for flash included, in s."""
        return self.process.cycles / _HZ

    # -- what happens on the board ------------------------------------------------------------------------

    def _on_happened(self, _at_ns: int, what: str, detail: object) -> None:
        if what == "hci" and self._controller:
            self._controller.on_packet(bytes.fromhex(detail))
        elif what == "output":
            self._repl.feed(detail)
        elif what == "serial":
            self._serial.set()
        elif what == "radio":
            self._power_radio(detail)
        elif what == "led":
            self.led = detail
        elif what == "torn":
            self.torn += 1
        elif what == "off":
            self._off.set()
        elif what == "problem":
            self.problems.append(detail)
            self._print(detail)
        elif what == "reset":
            self._abort("(the program has reset the board)")
        elif what == "bootloader":
            self._abort("(the program has started the board's USB bootloader)")
        elif what == "died":
            self._abort(f"the emulated board stopped: {detail}")
            self._off.set()

    def _abort(self, why: str) -> None:
        """The program has ended, and not by itself."""
        if self.running:
            self._play.cancel()
            self._exit_code = 1
            self._print(why)
            self._end()

    def _on_text(self, text: str) -> None:
        """Something that the program has printed, a character for each byte."""
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            self._print(line.encode("latin-1", errors="replace").decode(errors="replace").rstrip("\r"))

    # -- its radio ----------------------------------------------------------------------------------------

    def _power_radio(self, on: bool) -> None:
        if self._controller:
            self._radio.remove_controller(self._controller)
            self._controller = None
        if on:
            address = ":".join(f"{octet:02X}" for octet in self._address)
            self._controller = self._radio.add_controller(self.name, address)
            self._controller.host = self

    def on_packet(self, packet: bytes) -> None:
        """A packet of the controller for its host."""
        self.process.send_hci(bytes(packet))

    @property
    def backlog(self) -> int:
        """Octets that the host has not taken yet: see RadioController."""
        return self.process.backlog
