"""Two boards, virtual or emulated, or one and a PC, that exchange messages, and all that befalls them.

All the time 2 % of the packets are lost above the radio, and 0.2 % damaged: programs/board.py.
"""

import asyncio
import contextlib
import json
import logging
import random
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..boards import BoardError, Room
from ..radio.air import RadioSettings
from ..radio_door import RadioDoor
from .oracle import Oracle

if TYPE_CHECKING:
    from ..emulator.firmware import Firmware

ROLES = ("peripheral", "central")
SUPERVISION_S = 2.0
"""Without a sign of each other for so long the connection is over: picolink.radio.aioble asks for that."""

LONGEST_PAUSE_MS = 80

_PROGRAM = Path(__file__).parent / "programs" / "board.py"
_OPEN = {"peripheral": "advertise", "central": "connect"}
_KEPT_LINES = 1000
"""Of what a board prints, for complaints: a long run must not fill the memory."""

_LIMIT_S = 60
"""In which messages flow again, or all have arrived: far more than it takes."""


class BrokenPromiseError(Exception):
    """Messages did not flow again; the text is for a person."""


class Look(NamedTuple):
    """at_us: on the room's clock.   heap: bytes in use.   latencies_ms: of messages read since the last look.

    messages: read until now.   faults: that had struck by then.
    """

    at_us: int
    heap: int
    latencies_ms: list[int]
    messages: int
    faults: int


class Pair:
    """Use it with `async with`: two boards on a radio of their own that send to each other all the time.

    name: of the link.  seed: of all that is random.  settings: of the radio.
    engines: of each role, "native" or "python".
    pc: is the central a PC, with bleak?  Then cutting its power ends its program and its adapter.
    firmware: for emulated Pico Ws; `play` has to run what uses them.
    longest_pause_ms: between bursts of messages; the mean is half of it.

    counts: how often each fault has struck.   stats: each board's link.stats at the end.
    again_s: seconds from the moment when boards could connect again until both had read a message.
    looks: what each board has said of itself once a second.
    """

    def __init__(
        self,
        name: str,
        seed: int,
        settings: RadioSettings,
        engines: dict[str, str],
        pc: bool = False,
        firmware: "Firmware | None" = None,
        longest_pause_ms: int = LONGEST_PAUSE_MS,
    ) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        self.again_s: dict[str, list[float]] = {"drop": [], "restart": []}
        self.looks: dict[str, list[Look]] = {role: [] for role in ROLES}
        self.stats: dict[str, dict[str, int]] = {}
        self.rng = random.Random(seed)
        self._name = name
        self._engines = engines
        self._pc = pc
        self._emulated = firmware is not None
        self._longest_pause_ms = longest_pause_ms
        self._room = Room(settings, on_line=self._on_line, firmware=firmware)
        self._lives = dict.fromkeys(ROLES, 0)
        self._oracles = {role: Oracle(f"{name}, to the {role}") for role in ROLES}
        self._sent: dict[str, int] = {}
        self._connected_us = dict.fromkeys(ROLES, 0)
        self._got_us = dict.fromkeys(ROLES, 0)
        self._since_us = 0
        self._must_connect = False
        self._news = asyncio.Event()
        self._exceptions: list[str] = []
        self._in_exception = dict.fromkeys(ROLES, False)

    async def __aenter__(self) -> "Pair":
        # Bumble warns of packets for a connection that has just been dropped.
        logging.getLogger("bumble.host").setLevel(logging.ERROR)
        self._open = contextlib.AsyncExitStack()
        folder = self._open.enter_context(tempfile.TemporaryDirectory(prefix="picolink-chaos-"))
        await self._open.enter_async_context(self._room)
        self._stop = None if self._emulated else Path(folder) / "stop"
        try:
            self._boards = {
                role: self._room.board(role, self._engines[role]) for role in ROLES[: 2 - self._pc]
            }
            if self._pc:
                door = await self._open.enter_async_context(RadioDoor(self._room.radio))
                self._boards["central"] = self._room.pc("central", door.file, self._engines["central"])
            self._expect_messages(connect=True)
            for role in ROLES:
                await self._start(role)
            await self.flow()
        except BaseException:
            await self._open.aclose()
            raise
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._open.__aexit__(*exception)

    @property
    def errors(self) -> list[str]:
        """The promises broken, a line each."""
        return self._exceptions + [error for oracle in self._oracles.values() for error in oracle.errors]

    @property
    def messages(self) -> Counter[str]:
        """What happened to messages, both directions together."""
        return self._oracles[ROLES[0]].counts + self._oracles[ROLES[1]].counts

    # -- what can be done to it ---------------------------------------------------------------------------

    async def drop(self) -> None:
        """The connection is lost, and both boards know it at once."""
        self._count_drop("while messages flow")
        self._expect_messages(connect=True)
        self._room.radio.drop()
        await self.flow("drop")

    async def drop_while_connecting(self) -> None:
        """The connection is lost, and so is the next one, somewhere in discovery or handshake."""
        self._count_drop("while messages flow")
        self._room.radio.drop()
        try:
            async with asyncio.timeout(_LIMIT_S):
                while not self._room.radio.connections:
                    await asyncio.sleep(0.005)
        except TimeoutError:
            raise BrokenPromiseError(self._complaint(f"no connection within {_LIMIT_S} s")) from None
        await asyncio.sleep(self.rng.uniform(0, 0.35))
        self._count_drop("while they connect or greet")
        self._expect_messages(connect=True)
        self._room.radio.drop()
        await self.flow("drop")

    async def leave_range(self) -> None:
        """The boards do not hear each other for longer than the supervision timeout."""
        self._count_drop("out of range")
        self._room.radio.in_range = False
        await asyncio.sleep(SUPERVISION_S + self.rng.uniform(0.2, 2))
        self._expect_messages(connect=True)
        self._room.radio.in_range = True
        await self.flow("drop")

    async def fade(self) -> None:
        """The boards do not hear each other for less than the supervision timeout."""
        self.counts["radio", "out of range for up to 1.2 s"] += 1
        self._room.radio.in_range = False
        await asyncio.sleep(self.rng.uniform(0.05, 1.2))
        self._expect_messages(connect=False)
        self._room.radio.in_range = True
        await self.flow()

    async def freeze(self) -> None:
        """One board stands still for up to 3 s."""
        role = self.rng.choice(ROLES)
        self.counts["boards", "frozen for up to 3 s"] += 1
        self._boards[role].freeze()
        await asyncio.sleep(self.rng.uniform(0.1, 3))
        self._expect_messages(connect=False)
        self._boards[role].thaw()
        await self.flow()

    async def restart(self, role: str) -> None:
        """One board loses its power, and has it again after up to a second."""
        self.counts["power cut", role] += 1
        await self._boards[role].kill()
        self._lives[role] += 1
        other = ROLES[role == ROLES[0]]
        self._oracles[role].receiver_restarts()
        self._oracles[other].sender_restarts()
        await asyncio.sleep(self.rng.uniform(0, 1))
        self._expect_messages(connect=True)
        await self._start(role)
        await self.flow("restart")

    async def flow(self, after: str | None = None) -> None:
        """Wait until both boards have read a message since what was last done to them.

        after: what to count the time as.   Raises BrokenPromiseError if that does not come.
        """
        try:
            async with asyncio.timeout(_LIMIT_S):
                while not all(self._got_us.values()):
                    self._check_running()
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise BrokenPromiseError(self._complaint(f"no messages both ways within {_LIMIT_S} s")) from None
        if after:
            self.again_s[after].append((max(self._got_us.values()) - self._since_us) / 1e6)

    async def finish(self) -> None:
        """The boards send no more, everything arrives, and their programs end; else BrokenPromiseError."""
        if self._stop:
            self._stop.touch()
        for board in self._boards.values() if self._emulated else ():
            board.type("")
        for role, board in self._boards.items():
            try:
                code = await board.exit_code(_LIMIT_S)
            except BoardError as error:
                raise BrokenPromiseError(str(error)) from None
            if code or role not in self._sent:
                raise BrokenPromiseError(self._complaint(f"the {role} ended with code {code}"))
        for role, oracle in self._oracles.items():
            oracle.end(self._sent[ROLES[role == ROLES[0]]])

    # -- what the boards say ------------------------------------------------------------------------------

    async def _start(self, role: str) -> None:
        life, stop, pause = str(self._lives[role]), str(self._stop or "-"), str(self._longest_pause_ms)
        await self._boards[role].start(_PROGRAM, _OPEN[role], self._name, life, stop, "lost", pause)

    def _expect_messages(self, connect: bool) -> None:
        """From now on. connect: only after a new handshake."""
        self._since_us = self._room.now_us()
        self._must_connect = connect
        self._connected_us = dict.fromkeys(ROLES, 0)
        self._got_us = dict.fromkeys(ROLES, 0)

    def _on_line(self, role: str, line: str) -> None:
        output = self._boards[role].output
        if len(output) > _KEPT_LINES:
            del output[: _KEPT_LINES // 2]
        if self._in_exception[role]:
            self._exceptions[-1] += f"\n{line}"
            self._in_exception[role] = line.startswith(" ")
            return
        kind, _, rest = line.partition(" ")
        oracle = self._oracles[role]
        if kind == "got":
            at_us, *numbers = map(int, rest.split())
            oracle.got(*numbers)
            ready = self._connected_us[role] if self._must_connect else self._since_us
            if ready and at_us >= ready and not self._got_us[role]:
                self._got_us[role] = at_us
        elif kind == "event":
            at_us, event = rest.split(" ", 1)
            if event.startswith("connected:") and int(at_us) >= self._since_us:
                self._connected_us[role] = int(at_us)
            elif event.startswith("peer restarted:"):
                self._oracles[ROLES[role == ROLES[0]]].resent(int(event.split()[2]))
        elif kind == "heap":
            at_us, used, *latencies = map(int, rest.split())
            counts = oracle.counts["messages"], sum(self.counts.values())
            self.looks[role].append(Look(at_us, used, latencies, *counts))
        elif kind == "sent":
            self._sent[role] = int(rest)
        elif kind == "stats":
            self.stats[role] = json.loads(rest)
        elif kind == "Traceback":
            self._exceptions.append(f"{self._name}, the {role} printed an exception:\n{line}")
            self._in_exception[role] = True
        elif kind == "damaged":
            oracle.errors.append(f"{self._name}, the {role}: {line}")
        self._news.set()

    def _check_running(self) -> None:
        for role, board in self._boards.items():
            if not board.running:
                raise BrokenPromiseError(self._complaint(f"the program of the {role} has ended"))

    def _complaint(self, what: str) -> str:
        lines = [f"{self._name}: {what}"]
        for role, board in self._boards.items():
            told = [f"    {line}" for line in board.output if not line.startswith("heap")]
            lines += [f"the {role} printed last:", *told[-15:]]
        return "\n".join(lines)

    def _count_drop(self, what: str) -> None:
        self.counts["connection dropped", what] += 1
