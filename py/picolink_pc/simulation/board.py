"""One board of a simulation: an engine, the pump that carries its packets, and an application.

The application numbers its messages and checks those that come against what docs/protocol.md promises.
"""

import math
import random
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from picolink.flags import OPEN, OPENED, READABLE, WRITABLE

from picolink_pc.radio.air import record_octets

from .host_stack import HostStack
from .scheduler import Scheduler

RETRY_US = 2_000
"""How soon the pump offers a packet again that the host stack has refused: py/picolink/link.py."""

TICK_US = 10_000
"""How finely the pump keeps the engine's timers: py/picolink/link.py."""

READ_BURST = 32
"""Messages that are read before the pump hears of the room they have made: py/picolink/link.py."""

_NUMBER = struct.Struct("<IH")  # at the beginning of a message: its number, and the sender's life
_FILLING = bytes(range(256)) * 130  # behind it
_TICKS = 0x3FFFFFFF  # ms modulo 2^30, as on boards
_PACKET = 244  # bytes


@dataclass(frozen=True)
class CallCosts:
    """CPU time in us of one call, and for each octet of its message or packet.

    transmit: the host stack's, for a packet; all others are calls of the engine.
    """

    send: float = 0.0
    send_octet: float = 0.0
    pull: float = 0.0
    pull_octet: float = 0.0
    transmit: float = 0.0
    feed: float = 0.0
    feed_octet: float = 0.0
    recv: float = 0.0
    recv_octet: float = 0.0


@dataclass(frozen=True)
class Traffic:
    """What a board's application sends.

    size: bytes of a message, 6 or more, or (least, most), evenly spread.
    per_second: messages; None: as fast as the link takes them; 0: none.
    count: how many in each life of the board; None: no end.
    """

    size: int | tuple[int, int] = 18
    per_second: float | None = None
    count: int | None = None


NO_TRAFFIC = Traffic(per_second=0)


@dataclass
class Received:
    """What has arrived at a board.

    messages: how many.   latencies_us: of each, from the moment the sender wanted to send it.
    errors: how the promises of docs/protocol.md were broken, a line each.
    """

    messages: int = 0
    octets: int = 0
    latencies_us: list[int] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


class Board:
    """engine_class: with the interface of picolink.pyengine.Engine.   rings: keyword arguments for it.

    read_every_us: pause of the application after each message it has read; 0: it reads all at once.
    clock_ms: what the board's clock shows when the simulation begins.

    cpu_us: time that the CPU has worked (CallCosts).
    """

    def __init__(
        self,
        name: str,
        scheduler: Scheduler,
        rng: random.Random,
        engine_class: type,
        rings: dict[str, int],
        traffic: Traffic,
        costs: CallCosts,
        read_every_us: int,
        clock_ms: int,
    ):
        self.name = name
        self.traffic = traffic
        self.received = Received()
        self.peer: Board
        self.stack: HostStack
        self.life = 0
        self.connection = 0
        self.connected = False
        self.cpu_us = 0.0
        self._scheduler = scheduler
        self._rng = rng
        self._engine_class = engine_class
        self._rings = rings
        self._costs = costs
        self.read_every_us = read_every_us
        self._clock_ms = clock_ms
        self._buffer = bytearray(_PACKET)
        self._stopped = False
        self._first_numbers: dict[tuple[int, int], int] = {}  # (own life, peer's life): first message for it
        self.power_on()

    def power_on(self) -> None:
        """A new life: nothing is left of the one before."""
        self.life += 1
        self.disconnect()
        self.engine: Any = self._engine_class(self._rng.randrange(1, 1 << 32), **self._rings)
        self.sent = 0  # messages that the engine has taken in this life
        self._busy_until_us = 0.0
        self._pump_at_us = -1
        self._pumps_asked = 0
        self._refused: bytes | None = None  # a packet that waits for the host stack
        self._sending = self._blocked = self._reading = False
        self._due_us = 0  # when the application wants to send its next message
        self._due_at_us: list[int] = []  # when it wanted to send each message of this life
        self._unacknowledged: deque[tuple[int, int]] = deque()  # number of a message and octets of its record
        self._unacknowledged_octets = 0
        self._expected: dict[int, int] = {}  # peer's life: next message that is to come from it
        self._read = 0

    def connect(self, mtu: int) -> None:
        """A new connection is ready for packets."""
        self.connection += 1
        self.connected = True
        self._do(lambda: self._start(mtu))

    def disconnect(self) -> None:
        """The connection is gone, and with it everything that was on its way."""
        self.connection += 1
        self.connected = False

    def freeze(self, until_us: int) -> None:
        """The interpreter stands still; what arrives meanwhile waits in its host stack."""
        self._busy_until_us = max(self._busy_until_us, until_us)

    def stop(self) -> None:
        """The application sends no more."""
        self._stopped = True

    @property
    def idle(self) -> bool:
        """Whether it is connected, has nothing left to send, and its application has read everything."""
        engine = self.engine
        return engine.state == OPEN and not (engine.pending or self._reading or self._blocked)

    def broken_promises(self) -> list[str]:
        """What has gone wrong with messages to this board, a line each; also what has not come yet."""
        errors = list(self.received.errors)
        awaited = self._expected.get(self.peer.life, self.peer.first_number(self.peer.life, self.life))
        if awaited != self.peer.sent:
            errors.append(f"{self.name}: message {awaited} of {self.peer.sent} did not come")
        return errors

    def first_number(self, life: int, peer_life: int) -> int:
        """The first message of a life of this board that is for a life of the peer."""
        return self._first_numbers.get((life, peer_life), 0)

    def _ticks(self) -> int:
        return (self._clock_ms + self._scheduler.now_us // 1000) & _TICKS

    def _do(self, action: Callable[[], float], at_us: float = 0) -> None:
        """Run an action at a time, or as soon after it as the CPU is free. It returns its CPU time in us."""
        life = self.life

        def run() -> None:
            if life != self.life:
                return
            if self._scheduler.now_us < int(self._busy_until_us):
                self._scheduler.at(self._busy_until_us, run)
                return
            cost_us = action()
            self.cpu_us += cost_us
            self._busy_until_us = max(self._busy_until_us, self._scheduler.now_us) + cost_us

        self._scheduler.at(at_us, run)

    # -- packets ------------------------------------------------------------------------------------------

    def _start(self, mtu: int) -> float:
        self._refused = None
        self.engine.start(mtu, self._ticks())
        self._wake_pump()
        if not self._sending and self.traffic.per_second != 0:
            self._sending = True
            self._due_us = self._scheduler.now_us
            self._do(self._send)
        return 0

    def deliver(self, packet: bytes) -> None:
        """A packet has come from the host stack."""
        connection = self.connection

        def feed() -> float:
            if connection != self.connection:
                return 0
            if self.engine.feed(packet, self._ticks()):
                self._wake_pump()
            self._report()
            return self._costs.feed + self._costs.feed_octet * len(packet)

        self._do(feed)

    def _wake_pump(self, at_us: float = 0) -> None:
        at_us = max(at_us, self._scheduler.now_us)
        if 0 <= self._pump_at_us <= at_us:
            return
        self._pump_at_us = at_us
        self._pumps_asked += 1
        asked = self._pumps_asked
        self._do(lambda: self._pump() if asked == self._pumps_asked else 0, at_us)

    def _pump(self) -> float:
        """One packet to the host stack, or a time to look again."""
        self._pump_at_us = -1
        if not self.connected:
            return 0
        now_us = self._scheduler.now_us
        cost = 0.0
        if self._refused is None:
            size = self.engine.pull_into(self._buffer, self._ticks())
            if not size:
                wait_ms = self.engine.wait(self._ticks())
                if wait_ms >= 0:
                    self._wake_pump(math.ceil((now_us + wait_ms * 1000 + 1) / TICK_US) * TICK_US)
                return 0
            cost = self._costs.pull + self._costs.pull_octet * size
            self._refused = bytes(self._buffer[:size])
        if not self.stack.take(self._refused, math.ceil(now_us + cost)):
            self._wake_pump(now_us + RETRY_US)
            return cost
        self._refused = None
        self._wake_pump()
        return cost + self._costs.transmit

    def _report(self) -> None:
        flags = self.engine.take_flags()
        pending = self.engine.pending
        while self._unacknowledged_octets > pending:
            self._unacknowledged_octets -= self._unacknowledged.popleft()[1]
        lives = (self.life, self.peer.life)
        if flags & OPENED and lives not in self._first_numbers:
            self._first_numbers[lives] = self._unacknowledged[0][0] if self._unacknowledged else self.sent
        if flags & WRITABLE and self._blocked:
            self._blocked = False
            self._do(self._send)
        if flags & READABLE and not self._reading:
            self._reading = True
            self._do(self._read_next)

    # -- the application ----------------------------------------------------------------------------------

    def _send(self) -> float:
        """Send the next message, or wait until the engine has room for it."""
        if self._stopped or self.sent == self.traffic.count:
            self._sending = False
            return 0
        if self.sent == len(self._due_at_us):
            self._due_at_us.append(self._due_us)
            size = self.traffic.size
            self._size = size if isinstance(size, int) else self._rng.randint(*size)
        message = _message(self.sent, self.life, self._size)
        if not self.engine.send(message, self.sent & 15):
            self._blocked = True
            return self._costs.send  # nothing was copied
        octets = record_octets(self._size)
        self._unacknowledged.append((self.sent, octets))
        self._unacknowledged_octets += octets
        self.sent += 1
        self._wake_pump()
        self._due_us = self._scheduler.now_us
        if self.traffic.per_second:
            pause_us = 1e6 / self.traffic.per_second * self._rng.uniform(0.5, 1.5)
            self._due_us = round(self._due_at_us[-1] + pause_us)
        self._do(self._send, self._due_us)
        return self._costs.send + self._costs.send_octet * self._size

    def _read_next(self) -> float:
        """Read a message, and go on with the next one until there is none."""
        message = self.engine.recv()
        if message is None:
            self._reading = False
            self._wake_pump()
            return 0
        self._check(*message)
        self._read += 1
        if self._read % READ_BURST == 0:
            self._wake_pump()
        self._do(self._read_next, self._scheduler.now_us + self.read_every_us)
        return self._costs.recv + self._costs.recv_octet * len(message[1])

    def _check(self, channel: int, message: bytes) -> None:
        received = self.received
        number, life = _NUMBER.unpack_from(message.ljust(_NUMBER.size))
        if message != _message(number, life, len(message)) or channel != number & 15:
            received.errors.append(f"{self.name}: a message is not what was sent: {message.hex()}")
            return
        expected = self._expected.get(life)
        if expected is None:
            expected = self.peer.first_number(life, self.life)
        if number != expected:
            received.errors.append(f"{self.name}: message {number} came instead of {expected}")
        self._expected[life] = number + 1
        received.messages += 1
        received.octets += len(message)
        if life == self.peer.life:
            received.latencies_us.append(self._scheduler.now_us - self.peer._due_at_us[number])


def _message(number: int, life: int, size: int) -> bytes:
    start = number & 0xFF
    return (_NUMBER.pack(number, life) + _FILLING[start : start + size])[:size]
