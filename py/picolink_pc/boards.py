"""Boards in a room, which a radio joins: virtual ones, each a process of its own, or emulated ones.

async with Room() as room:
    a = room.board("PicoA")
    await a.start("examples/pico_a.py")
    await a.line("connected")
"""

import asyncio
import contextlib
import itertools
import os
import re
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from . import extras, products
from .board_power import (
    STANDIN_ON_MICROPYTHON,
    CPythonPower,
    PcPower,
    RealStackPower,
    StandinPower,
    process_options,
)
from .radio.air import RadioSettings

if TYPE_CHECKING:  # they stand on Bumble, which takes a second to import: too long for --help
    from .emulated_boards import EmulatedBoard
    from .emulator.firmware import Firmware
    from .standin.host import StandinHost

_NATIVE = products.native_on_this_pc()

_ADDRESS = "28:CD:C1:00:00:{:02X}"
"""Public addresses of boards: the first three octets are Raspberry Pi's."""

_LINE_OCTETS = 1 << 20
"""Longest line that a board may print."""

_PROMPT_S = 0.2
"""A line that goes on for so long without its end waits for a person."""

_ASLEEP = 77
"""The exit code of a program that sleeps: standin_sleep.py."""

_SLEEP = re.compile(r"\(deep sleep for (\d+) ms\)")

ENGINES = ("native", "python")

INTERPRETERS = ("micropython", "cpython")
"""What runs the programs of virtual boards."""

Result = TypeVar("Result")


class BoardError(Exception):
    """A board did not do what was expected of it, or cannot be started; the message is for a person."""


class Board:
    """What every board in a room has.

    name: of the board, for people.  output: all lines that it has printed, since it was made.
    running: is its program running?  busy_s: for how long its CPU has worked; 0 where nobody knows.
    """

    busy_s = 0.0

    def __init__(self, name: str, on_line: Callable[[str, str], None] | None) -> None:
        self.name = name
        self.output: list[str] = []
        self.running = False
        self._on_line = on_line
        self._changed = asyncio.Event()
        self._unread = 0

    async def line(self, pattern: str, timeout: float = 30) -> str:
        """The next line that the regular expression `pattern` is found in; lines before it are passed over.

        timeout: seconds.  Raises BoardError, with what the board printed, if the line does not come or the
        program ends without it.
        """
        seen = self._unread
        try:
            async with asyncio.timeout(timeout):
                while True:
                    while self._unread < len(self.output):
                        self._unread += 1
                        if re.search(pattern, self.output[self._unread - 1]):
                            return self.output[self._unread - 1]
                    if not self.running:
                        raise BoardError(self._complaint(f"ended without {pattern!r}", seen))
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise BoardError(self._complaint(f"no {pattern!r} within {timeout} s", seen)) from None

    def _print(self, line: str) -> None:
        self.output.append(line)
        if self._on_line:
            self._on_line(self.name, line)
        self._changed.set()

    def _end(self) -> None:
        """Its program runs no more."""
        self.running = False
        self._changed.set()

    def _complaint(self, what: str, since: int) -> str:
        printed = "\n".join(f"    {line}" for line in self.output[since:][-40:]) or "    (nothing)"
        return f"{self.name}: {what}; it printed:\n{printed}"


class VirtualBoard(Board):
    """One board, switched off at first.  Made by `Room.board`; or a PC, made by `Room.pc`.

    host: its Bluetooth host, None in real stack mode and of a PC.
    """

    def __init__(
        self,
        name: str,
        power: StandinPower | CPythonPower | RealStackPower | PcPower,
        host: "StandinHost | None",
        folder: Path,
        on_line: Callable[[str, str], None] | None,
    ) -> None:
        super().__init__(name, on_line)
        self.host = host
        self._power = power
        self._folder = folder
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task | None = None
        self._program: tuple[str, ...] = ()
        self._typing = False
        self._cut = asyncio.Event()

    def allow_typing(self) -> None:
        """From the next start on, the program's input() waits for `type`; else it finds the end of its input.

        A prompt without an end of line is then printed as soon as the program waits.
        """
        self._typing = True

    def type(self, line: str) -> None:
        """One line for the program's input(). Lost where no program reads it any more."""
        if self.running and self._process.stdin:
            self._process.stdin.write(f"{line}\n".encode())

    def end_typing(self) -> None:
        """input() finds the end: EOFError."""
        if self._process and self._process.stdin:
            self._process.stdin.close()

    async def start(self, program: str | os.PathLike, *args: str, heap: int | None = None) -> None:
        """Switch on and run the file `program` with `args`.  Raises BoardError if it runs already.

        heap: bytes that MicroPython has; None: its own default, more than on a Pico.
        """
        options = () if heap is None else ("-X", f"heapsize={heap}")
        await self._start(*options, str(Path(program).resolve()), *args)

    async def start_code(self, code: str) -> None:
        """Switch on and run `code`.  Raises BoardError if the board runs already."""
        await self._start("-c", code)

    async def restart(self) -> None:
        """Cut the power if it is on, and run the same program again."""
        await self.kill()
        await self._start(*self._program)

    async def _start(self, *program: str) -> None:
        if self.running:
            raise BoardError(f"{self.name} is running already")
        self._program = program
        self._cut.clear()
        await self._switch_on()
        self.running = True
        self._reader = asyncio.create_task(self._live())

    async def _switch_on(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *self._power.command,
            *self._program,
            env=os.environ | self._power.on(),
            cwd=self._folder,  # aioble may leave a file where it runs
            stdin=asyncio.subprocess.PIPE if self._typing else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=_LINE_OCTETS,
            **process_options(),
        )

    async def _live(self) -> None:
        while True:
            output = self._process.stdout
            async for raw in _lines_and_prompts(output) if self._typing else output:
                self._print(raw.decode(errors="replace").rstrip("\r\n"))
            await self._process.wait()
            self._power.off()
            if not await self._wakes():
                break
            await self._switch_on()
        self._end()

    async def _wakes(self) -> bool:
        """False: its program has ended, or its power was cut in its sleep."""
        if self._process.returncode != _ASLEEP or not (sleep := _SLEEP.fullmatch(self.output[-1])):
            return False
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._cut.wait(), int(sleep[1]) / 1000)
        return not self._cut.is_set()

    async def exit_code(self, timeout: float | None = None) -> int:
        """Wait until the program ends by itself: its exit code, negative: the signal that ended it.

        timeout: seconds, None: no limit.  Raises BoardError when it is over, or if nothing was started.
        """
        if self._process is None:
            raise BoardError(f"{self.name} was never started")
        try:
            await asyncio.wait_for(asyncio.shield(self._reader), timeout)
        except TimeoutError:
            raise BoardError(self._complaint(f"still running after {timeout} s", 0)) from None
        return self._process.returncode

    async def kill(self) -> None:
        """Cut the power: the program ends at once and nothing is said on the air."""
        if self._process is None:
            return
        self._cut.set()
        if os.name == "nt":
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
        else:
            self._signal(signal.SIGKILL)
        await self._reader

    def freeze(self) -> None:
        """Stop the processor where it is; the radio goes on."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let the processor go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        # Not by the process object: it would take the exit code of one that has just ended from asyncio.
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, number)


async def _lines_and_prompts(output: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """What a program prints, by lines; what has no end of line, after _PROMPT_S."""
    waiting = b""
    more: asyncio.Task | None = None
    while True:
        more = more or asyncio.create_task(output.read(_LINE_OCTETS))
        done, _ = await asyncio.wait([more], timeout=_PROMPT_S if waiting else None)
        if not done:
            yield waiting
            waiting = b""
            continue
        octets, more = more.result(), None
        *lines, waiting = (waiting + octets).split(b"\n")
        for line in lines:
            yield line
        if not octets:
            if waiting:
                yield waiting
            return


class Room:
    """Boards within range of each other, and their radio.

    Use it with `async with`: at its end all boards are off.

    settings: of the radio.  micropython, aioble: real stack mode, see `picolink run --help`.
    on_line: called with a board's name and each line that it prints.
    firmware: what emulated Pico Ws run; then boards are emulated, and `play` has to run what uses the room.
    interpreter: one of INTERPRETERS for virtual boards; None: MicroPython where there is one for this PC.
    capture: where HCI packets go, see Capture.
    Raises BoardError for something that is missing, and says how to get it.
    """

    def __init__(
        self,
        settings: RadioSettings | None = None,
        micropython: Path | None = None,
        aioble: Path | None = None,
        on_line: Callable[[str, str], None] | None = None,
        firmware: "Firmware | None" = None,
        interpreter: str | None = None,
        capture: Path | None = None,
    ) -> None:
        self.boards: list[Board] = []
        self._settings = settings or RadioSettings()
        extras.require("virtual", "virtual boards")
        self._firmware = firmware
        self._micropython = micropython or products.MICROPYTHON
        self.interpreter = interpreter or ("micropython" if micropython or aioble else default_interpreter())
        if not firmware and self.interpreter == "micropython":
            _require(self._micropython, "MicroPython")
        self._real_stack = micropython is not None
        self._aioble = _aioble_folder(aioble) if aioble else None
        if self._real_stack and not self._aioble:
            raise BoardError("the real Bluetooth stack needs the real aioble: give its folder (--aioble)")
        self._on_line = on_line
        self._capture = capture
        self._addresses = itertools.count(1)
        self._cleanup = contextlib.ExitStack()

    @property
    def in_cpython(self) -> bool:
        """Are the boards, unless they are asked for otherwise, processes of CPython?"""
        return self.interpreter == "cpython" and not self._firmware

    async def __aenter__(self) -> "Room":
        from .radio.virtual_radio import VirtualRadio

        self._folder = Path(self._cleanup.enter_context(tempfile.TemporaryDirectory(prefix="picolink-")))
        self.radio = VirtualRadio(self._settings)
        """The radio: in_range, statistics."""
        self._cleanup.callback(self.radio.close)
        if self._capture:
            from .capture import Capture

            self._cleanup.enter_context(Capture(self.radio, self._capture, self.now_us))
        return self

    def now_us(self) -> int:
        """The time on the clock that all boards of the room share: real, or virtual, which begins in 1970."""
        return round(asyncio.get_running_loop().time() * 1e6) if self._firmware else time.time_ns() // 1000

    async def __aexit__(self, *_exception) -> None:
        try:
            await asyncio.gather(*(board.kill() for board in self.boards))
        finally:
            self._cleanup.close()

    def board(
        self, name: str, engine: str | None = None, virtual: bool = False
    ) -> "VirtualBoard | EmulatedBoard":
        """A new board.

        engine: "native", or "python": a board without the native module; None: native, but not in CPython.
        virtual: a virtual board in a room of emulated ones.
        """
        if engine not in (None, *ENGINES):
            raise ValueError(f"engine is {engine!r}: one of {', '.join(ENGINES)}")
        emulated = self._firmware and not virtual
        board = self._emulated(name, engine or "native") if emulated else self._virtual(name, engine)
        self.boards.append(board)
        return board

    def pc(self, name: str, door: Path, engine: str | None = None) -> VirtualBoard:
        """A PC, which connects by bleak and a virtual adapter: it plays programs of boards in CPython.

        door: RadioDoor.file of this room's radio.  engine: as board(); None: what the program asks for.
        """
        extras.require("pc", "links from this PC")
        pc = VirtualBoard(name, PcPower(door, engine or "any"), None, self._folder, self._on_line)
        self.boards.append(pc)
        return pc

    def _emulated(self, name: str, engine: str) -> "EmulatedBoard":
        from .emulated_boards import EmulatedBoard
        from .emulator.board_process import BoardOptions

        number = next(self._addresses)
        flash = self._folder / f"flash-{number}.bin"
        flash.write_bytes(self._firmware.flash)
        options = BoardOptions(
            self._firmware.path,
            number,
            self._settings.seed,
            flash=flash,
            miss_cycles=self._firmware.miss_cycles,
            sample_cycles=self._firmware.sample_cycles,
        )
        board = EmulatedBoard(name, self.radio, options, engine, self._on_line)
        self._cleanup.callback(board.close)
        return board

    def _virtual(self, name: str, engine: str | None) -> VirtualBoard:
        if self.interpreter == "cpython":
            return self._in_cpython(name, engine)
        micropython = _require(self._micropython, "MicroPython")
        address = _ADDRESS.format(next(self._addresses))
        path = [products.ON_BOARDS]
        host = None
        if engine != "python":
            module = _require(_NATIVE, "the native module for this PC (without it: --engine python)")
            path.insert(0, module.parent)
        if self._real_stack:
            path.append(self._aioble)
            power = RealStackPower(micropython, path, self.radio, name, address)
        else:
            # Real aioble goes before the stand-in's, on the stand-in for `bluetooth`.
            path += [self._aioble] if self._aioble else []
            path += STANDIN_ON_MICROPYTHON
            from .standin.host import StandinHost

            host = StandinHost(self.radio, name, address, self._settings.mtu)
            socket = self._folder / address.replace(":", "")
            host.listen(socket)
            self._cleanup.callback(host.close)
            power = StandinPower(micropython, path, socket)
        return VirtualBoard(name, power, host, self._folder, self._on_line)

    def _in_cpython(self, name: str, engine: str | None) -> VirtualBoard:
        if engine == "native" or self._real_stack or self._aioble:
            raise BoardError("boards in CPython have the Python engine and the stand-in for Bluetooth only")
        from .standin.host import StandinHost

        host = StandinHost(self.radio, name, _ADDRESS.format(next(self._addresses)), self._settings.mtu)
        power = CPythonPower(products.PACKAGE.parent, host.listen_on_loopback())
        self._cleanup.callback(host.close)
        return VirtualBoard(name, power, host, self._folder, self._on_line)


def default_interpreter() -> str:
    """MicroPython where there is one, or `make` would build one."""
    return "micropython" if products.CHECKOUT or products.MICROPYTHON.exists() else "cpython"


def play(
    work: Coroutine[object, object, Result], firmware: "Firmware | None", pace: float | None = None
) -> Result:
    """What `work` returns, which uses a room with this firmware; asyncio.run, where there is none.

    pace: virtual seconds in a real one, at most.  Virtual boards live in real time: 1 for a room with some.
    """
    if not firmware:
        return asyncio.run(work)
    from .emulator.virtual_time import VirtualTimeLoop

    with asyncio.Runner(loop_factory=lambda: VirtualTimeLoop(pace)) as runner:
        return runner.run(work)


def _require(path: Path, what: str) -> Path:
    if not path.exists():
        ours = path in (products.MICROPYTHON, _NATIVE)
        advice = products.how_to_get("native") if ours else "is the path right?"
        raise BoardError(f"{what} is missing ({path}): {advice}")
    return path.resolve()


def _aioble_folder(path: Path) -> Path:
    """The folder to search for aioble: `path`, or the one around it if it is the package itself."""
    for folder in (path, path.parent):
        if (folder / "aioble" / "core.py").exists():
            return folder.resolve()
    raise BoardError(f"no aioble in {path}: it holds the folder aioble of micropython-lib's package")
