"""The boards of a `picolink run`: who types to which, what a person does to them, how their programs end."""

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .boards import Room, VirtualBoard

PREFIX = ":"
"""A line that begins with it is a command; twice: it goes to a board, with one of them."""

COMMANDS = {
    "restart": "power off and on",
    "off": "cut the power",
    "away": "out of range",
    "back": "in range again",
    "quit": "all off",
}


# To look at a few files costs nothing; a library that asks the system would be one more compiled package.
_LOOK_S = 0.25


def help_lines(names: list[str]) -> list[str]:
    """What a person can type, for a person."""
    example = f"{PREFIX}restart {names[-1]}"
    whom = f"Lines that you type go to input() on {names[0]}"
    if len(names) > 1:
        whom += f"; after {PREFIX}{names[1]}, to {names[1]}"
    commands = ", ".join(f"{PREFIX}{name} ({text})" for name, text in COMMANDS.items())
    return [f"{whom}.", f"Commands: {commands}. For one board: {example}."]


def somebody_types() -> bool:
    """Is standard input a terminal, and this process in its foreground?  Elsewhere reading stops it."""
    if not sys.stdin.isatty():
        return False
    try:
        return os.name == "nt" or os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except OSError:  # a terminal that controls another session
        return True


class Session:
    """Starts each board with its program, and waits until all have ended. Use it with `async with`.

    tell: shows a line about the boards to a person.
    exit_code: the highest that a program has ended with by itself; of a signal, its number.
    """

    def __init__(
        self, room: "Room", boards: "list[VirtualBoard]", programs: list[Path], tell: Callable[[str], None]
    ) -> None:
        self.exit_code = 0
        self._room = room
        self._boards = {board.name: board for board in boards}
        self._programs = dict(zip(self._boards, programs, strict=True))
        self._chosen = boards[0]
        self._tell = tell
        self._ends: dict[str, asyncio.Task] = {}
        self._others: list[asyncio.Task] = []
        self._to_start = set(self._boards)
        self._off: set[str] = set()
        """Boards that a person has switched off, and may switch on again."""
        self._over = asyncio.Event()
        self._watches = False

    async def __aenter__(self) -> "Session":
        return self

    async def __aexit__(self, *_exception) -> None:
        # What ends now does not fail.
        for task in (*self._others, *self._ends.values()):
            task.cancel()

    async def start(self, typed: bool, watch: bool = False) -> None:
        """Switch all boards on.

        typed: does standard input go to them?   watch: restart each one when the file of its program changes,
        and go on when all programs have ended.
        """
        self._watches = watch
        for name, board in self._boards.items():
            if typed:
                board.allow_typing()
            await board.start(self._programs[name])
            self._to_start.discard(name)
            self._watch(name)
        if typed:
            self._others.append(asyncio.create_task(self._read()))
        if watch:
            self._others.append(asyncio.create_task(self._restart_what_changes()))

    async def wait(self, seconds: float | None) -> None:
        """Until all programs have ended, for `seconds` at most, or until a person has had enough."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._over.wait()

    def _watch(self, name: str) -> None:
        self._ends[name] = asyncio.create_task(self._wait(name))

    async def _wait(self, name: str) -> None:
        code = abs(await self._boards[name].exit_code())
        self.exit_code = max(self.exit_code, code)
        running = self._running()
        if code:
            rest = f"; {', '.join(running)} still running" if running else ""
            self._tell(f"{name} has failed: exit code {code}{rest}.")
        self._end_if_over()

    def _running(self) -> list[str]:
        return [name for name, board in self._boards.items() if board.running or name in self._to_start]

    def _end_if_over(self) -> None:
        if not self._off and not self._watches and not self._running():
            self._over.set()

    async def _read(self) -> None:
        read: asyncio.Queue[bytes] = asyncio.Queue()
        _read_in_thread(asyncio.get_running_loop(), read)
        waiting = b""
        while octets := await read.get():
            *lines, waiting = (waiting + octets).split(b"\n")
            for line in lines:
                await self.take(line.decode(errors="replace").removesuffix("\r"))
        if waiting:
            await self.take(waiting.decode(errors="replace"))
        for board in self._boards.values():
            board.end_typing()
        self._off.clear()
        self._end_if_over()

    async def take(self, line: str) -> None:
        """One line that a person has typed."""
        if not line.startswith(PREFIX) or line.startswith(PREFIX * 2):
            self._chosen.type(line.replace(PREFIX * 2, PREFIX, 1) if line.startswith(PREFIX) else line)
            return
        command = line.removeprefix(PREFIX).strip()
        if command in self._boards:
            self._chosen = self._boards[command]
            self._tell(f"Your lines now go to {command}.")
            return
        verb, _, name = command.partition(" ")
        name = name.strip()
        if verb not in COMMANDS or (name and name not in self._boards):
            names = ", ".join(PREFIX + word for word in (*COMMANDS, *self._boards))
            self._tell(f"There is no {PREFIX}{command}; there is: {names}.")
        elif verb == "quit":
            self._over.set()
        elif name:
            await self._do(verb, name)
        elif verb in ("away", "back"):
            self._room.radio.in_range = verb == "back"
            self._tell("All out of range of each other." if verb == "away" else "All in range again.")
        else:
            for board in self._boards:
                await self._do(verb, board)

    async def _restart_what_changes(self) -> None:
        runs = seen = {path: _state(path) for path in self._programs.values()}
        while True:
            await asyncio.sleep(_LOOK_S)
            before, seen = seen, {path: _state(path) for path in runs}
            # An editor may write a file in parts, or replace it: it has to stay the same for a moment.
            changed = {path for path, state in seen.items() if state and state == before[path] != runs[path]}
            runs = runs | {path: seen[path] for path in changed}
            for path in changed:
                self._tell(f"{path.name} has changed.")
            for name, path in self._programs.items():
                if path in changed and name not in self._off:
                    await self._do("restart", name)

    async def _do(self, verb: str, name: str) -> None:
        board = self._boards[name]
        if verb in ("away", "back"):
            self._room.radio.set_away(name, verb == "away")
            self._tell(f"{name} is out of range." if verb == "away" else f"{name} is in range again.")
            return
        self._ends[name].cancel()  # its end is no failure
        if verb == "restart":
            self._off.discard(name)
            await board.restart()
            self._tell(f"{name} was restarted.")
            self._watch(name)
        else:
            self._off.add(name)
            await board.kill()
            self._tell(f"{name} is off.")


def _state(path: Path) -> tuple[int, int, int] | None:
    """What changes when a file does; None: there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _read_in_thread(loop: asyncio.AbstractEventLoop, read: asyncio.Queue[bytes]) -> None:
    """What comes on standard input goes into the queue, and b"" at its end: the same on every system."""
    # Not through the buffer: its lock, which a waiting thread holds, would stop the end of this process.
    raw = sys.stdin.buffer.raw

    def run() -> None:
        with contextlib.suppress(RuntimeError):  # the loop has been closed meanwhile
            while octets := raw.read(4096):
                loop.call_soon_threadsafe(read.put_nowait, octets)
            loop.call_soon_threadsafe(read.put_nowait, b"")

    threading.Thread(target=run, daemon=True).start()
