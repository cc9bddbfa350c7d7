"""One board of a simulation: an engine, the pump that carries its packets, and an application.

The application numbers its messages and checks those that come against what docs/protocol.md promises.
"""

import math
import random
import struct
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from errno import EAGAIN, EALREADY, EBUSY, ENOMEM, errorcode
from typing import Any

from picolink.flags import (
    BROKEN,
    FORGOTTEN,
    OPEN,
    OPENED,
    PEER_RESTARTED,
    READABLE,
    REFUSED,
    WRITABLE,
)

from picolink_pc.radio.air import record_octets

from .host_stack import HostStack
from .scheduler import Scheduler

RETRY_US = 2_000
"""How soon the pump offers a packet again that the host stack has refused: py/picolink/policy.py."""

TICK_US = 10_000
"""How finely the pump keeps the engine's timers: py/picolink/policy.py."""

READ_BURST = 32
"""Messages that are read before the pump hears of the room they have made: py/picolink/policy.py."""

FULL = frozenset((EAGAIN, ENOMEM, EBUSY, EALREADY))
"""Refusals after which the pump tries again; it hangs up after any other: py/picolink/policy.py."""

HANDSHAKE_US = SILENCE_US = 4_500_000
"""How long a peer may take to greet, or say nothing, until it is hung up on: py/picolink/policy.py."""

ALIVE_US = 1_000_000
"""Who has nothing to send says so this often, by an empty packet: py/picolink/policy.py."""

LOOK_US = 250_000
"""How often the pump looks after the connection if nothing wakes it: py/picolink/policy.py."""

_NUMBER = struct.Struct("<IH")  # at the beginning of a message: its number, and the sender's life
_FILLING = bytes(range(256)) * 130  # behind it
_TICKS = 0x3FFFFFFF  # ms modulo 2^30, as on boards
_PACKET = 244  # bytes


@dataclass(frozen=True)
class CallCosts:
    """CPU time in us of one call, and for each octet of a packet.

    transmit: the host stack's, for a packet; all others are calls of the engine.
    """

    send: float = 0.0
    pull: float = 0.0
    pull_octet: float = 0.0
    transmit: float = 0.0
    feed: float = 0.0
    feed_octet: float = 0.0
    recv: float = 0.0


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
    counts: how often something befell this board.

    Simulation sets `peer`, `stack`, and `hang_up`: what ends the connection at this board's wish.
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
        self.hang_up: Callable[[], None]
        self.counts: Counter[str] = Counter()
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
        self._had: dict[tuple[int, int], int] = {}  # (own life, peer's life): first message it did not have
        self.power_on()

    def power_on(self) -> None:
        """A new life: nothing is left of the one before."""
        if self.life:
            self._take_stock()
        self.life += 1
        self.disconnect()
        self.engine: Any = self._engine_class(self._rng.randrange(1, 1 << 32), **self._rings)
        self.sent = 0  # messages that the engine has taken in this life
        self._busy_until_us = 0.0
        self._no_memory_until_us = self._no_reading_until_us = 0
        self._pump_at_us = -1
        self._pumps_asked = 0
        self._refused: bytes | None = None  # a packet that waits for the host stack
        self._sending = self._blocked = self._reading = False
        self._due_us = 0  # when the application wants to send its next message
        self._due_at_us: list[int] = []  # when it wanted to send each message of this life
        self._unacknowledged: deque[tuple[int, int]] = deque()  # number of a message and octets of its record
        self._unacknowledged_octets = 0
        self._expected: dict[int, int] = {}  # peer's life: next message that is to come from it
        self._resent = 0  # the engine's counter of messages sent again to a restarted peer
        self._read = 0

    def connect(self, mtu: int, calls: bool) -> None:
        """A new connection is there. calls: this side speaks first; the other one begins when it hears it."""
        self.connection += 1
        self.connected = True
        self._mtu = mtu
        self._peer_life = self.peer.life  # even if the peer dies and this side has not noticed
        self._called = self.opened = False
        self._connected_at_us = self._heard_at_us = self._sent_at_us = self._scheduler.now_us
        if calls:
            self._do(self._start, 0, self.connection)
        self._wake_pump(self._scheduler.now_us + LOOK_US)

    def disconnect(self) -> None:
        """The connection is gone, and with it everything that was on its way."""
        self.connection += 1
        self.connected = False

    def freeze(self, until_us: int) -> None:
        """The interpreter stands still; what arrives meanwhile waits in its host stack."""
        self._busy_until_us = max(self._busy_until_us, until_us)
        self.counts["freezes"] += 1

    def exhaust_heap(self, until_us: int) -> None:
        """Nothing can be allocated: packets that come are lost, none goes, and the application waits."""
        self._no_memory_until_us = until_us
        self.counts["heap exhausted"] += 1

    def stall_reader(self, until_us: int) -> None:
        """The application reads nothing."""
        self._no_reading_until_us = until_us
        self.counts["reader stalled"] += 1

    def stop(self) -> None:
        """The application sends no more, and reads all that comes."""
        self._stopped = True
        self.read_every_us = self._no_reading_until_us = 0

    @property
    def idle(self) -> bool:
        """Whether it is connected, has nothing left to send, and its application has read everything."""
        engine = self.engine
        return engine.state == OPEN and not (engine.pending() or self._reading or self._blocked)

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

    def _do(self, action: Callable[..., float], at_us: float = 0, *arguments: object) -> None:
        """Run an action at a time, or as soon after it as the CPU is free. It returns its CPU time in us."""
        self._scheduler.at(at_us, self._run, self.life, action, arguments)

    def _run(self, life: int, action: Callable[..., float], arguments: tuple) -> None:
        if life != self.life:
            return
        now_us = self._scheduler.now_us
        if now_us < int(self._busy_until_us):
            self._scheduler.at(self._busy_until_us, self._run, life, action, arguments)
            return
        cost_us = action(*arguments)
        if cost_us:
            self.cpu_us += cost_us
            self._busy_until_us = max(self._busy_until_us, now_us) + cost_us

    # -- packets ------------------------------------------------------------------------------------------

    def _start(self, connection: int) -> float:
        if connection != self.connection:
            return 0
        self._called = True
        self._refused = None
        self.engine.start(self._mtu, self._ticks())
        self._wake_pump()
        if not self._sending and self.traffic.per_second != 0:
            self._sending = True
            self._due_us = self._scheduler.now_us
            self._do(self._send)
        return 0

    def deliver(self, packet: bytes) -> None:
        """A packet has come from the host stack."""
        self._do(self._feed, 0, packet, self.connection)

    def _feed(self, packet: bytes, connection: int) -> float:
        if connection != self.connection:
            return 0
        if self._scheduler.now_us < self._no_memory_until_us:
            self.counts["packets unread for want of heap"] += 1
            return 0
        self._heard_at_us = self._scheduler.now_us
        if not self._called:
            return self._start(connection)
        if not packet:
            return 0
        if self.engine.feed(packet, self._ticks()):
            self._wake_pump()
        self._report()
        return self._costs.feed + self._costs.feed_octet * len(packet)

    def _wake_pump(self, at_us: float = 0) -> None:
        at_us = max(at_us, self._scheduler.now_us)
        if 0 <= self._pump_at_us <= at_us:
            return
        self._pump_at_us = at_us
        self._pumps_asked += 1
        self._do(self._pump, at_us, self._pumps_asked)

    def _pump(self, asked: int) -> float:
        """Packets to the host stack until there are none, it has no room, or the CPU has worked."""
        if asked != self._pumps_asked:
            return 0
        self._pump_at_us = -1
        if not self.connected:
            return 0
        now_us = self._scheduler.now_us
        if self._peer_is_silent(now_us):
            self.counts["hung up on a silent peer"] += 1
            self._hang_up()
        elif not self._called:
            self._wake_pump(now_us + LOOK_US)
        else:
            cost = 0.0
            while not cost and self._pump_at_us < 0:
                cost = self._carry(now_us)
            if self._pump_at_us < 0:
                self._wake_pump()
            return cost
        return 0

    def _carry(self, now_us: int) -> float:
        """One packet to the host stack; if that is not possible now, the pump wakes when it may be."""
        cost = 0.0
        if self._refused is None:
            size = self.engine.pull_into(self._buffer, self._ticks())
            if not size:
                if self.opened and now_us - self._sent_at_us >= ALIVE_US and self.stack.take(b"", now_us):
                    self._sent_at_us = now_us
                wait_ms = self.engine.wait(self._ticks())
                if 0 <= wait_ms * 1000 < LOOK_US:
                    self._wake_pump(math.ceil((now_us + wait_ms * 1000 + 1) / TICK_US) * TICK_US)
                else:
                    self._wake_pump(now_us + LOOK_US)
                return 0
            cost = self._costs.pull + self._costs.pull_octet * size
            self._refused = bytes(self._buffer[:size])
        if now_us < self._no_memory_until_us:
            self.counts["packets held back for want of heap"] += 1
            self._wake_pump(now_us + RETRY_US)
        elif self.stack.take(self._refused, math.ceil(now_us + cost)):
            self._refused = None
            self._sent_at_us = now_us
            return cost + self._costs.transmit
        else:
            errno = self.stack.errno
            self.counts[errorcode[errno]] += 1
            self._wake_pump(now_us + RETRY_US)
            if errno not in FULL:
                self.counts["hung up after an error"] += 1
                self._hang_up()
        return cost

    def _peer_is_silent(self, now_us: int) -> bool:
        if not self.opened:
            return now_us - self._connected_at_us > HANDSHAKE_US
        return now_us - self._heard_at_us > SILENCE_US

    def _hang_up(self) -> None:
        self._scheduler.at(0, self._hang_up_now, self.connection)

    def _hang_up_now(self, connection: int) -> None:
        if connection == self.connection:
            self.hang_up()

    def _report(self) -> None:
        flags = self.engine.take_flags()
        pending = self.engine.pending()
        unacknowledged = self._first_unacknowledged
        while self._unacknowledged_octets > pending:
            self._unacknowledged_octets -= self._unacknowledged.popleft()[1]
        if flags & OPENED:
            self._open(flags, unacknowledged)
        if flags & (REFUSED | BROKEN):
            self.received.errors.append(f"{self.name}: what the peer says makes no sense to the engine")
            self._hang_up()
        if flags & WRITABLE and self._blocked:
            self._blocked = False
            self._do(self._send)
        if flags & READABLE and not self._reading:
            self._reading = True
            self._do(self._read_next)

    @property
    def _first_unacknowledged(self) -> int:
        return self._unacknowledged[0][0] if self._unacknowledged else self.sent

    def _open(self, flags: int, unacknowledged: int) -> None:
        """The handshake is done: was what the engine says of restarts true, and will all go to the peer?

        unacknowledged: the first message that was so before.
        """
        self.counts["handshakes"] += 1
        self.opened = True
        lives = (self.life, self._peer_life)
        errors = self.received.errors
        earlier = [peer for own, peer in self._first_numbers if own == self.life and peer != self._peer_life]
        new = lives not in self._first_numbers
        if bool(flags & PEER_RESTARTED) != (new and bool(earlier)):
            errors.append(
                f"{self.name}: PEER_RESTARTED is wrong: life {lives[1]} of the peer, after {earlier}"
            )
        if not new:
            return
        known = any(peer < self.life for own, peer in self.peer._first_numbers if own == self._peer_life)
        if bool(flags & FORGOTTEN) != (known and not earlier):
            errors.append(f"{self.name}: FORGOTTEN is wrong: the peer knew an earlier life: {known}")
        first = self._first_numbers[lives] = self._first_unacknowledged
        if earlier:
            dead = max(earlier)
            had = self.peer._had.get((dead, self.life), self.first_number(self.life, dead))
            resent = self.engine.stats()["resent"]
            if first > min(unacknowledged, had):
                lost = min(unacknowledged, had)
                errors.append(f"{self.name}: message {lost} is not sent again to the restarted peer")
            if had - first > resent - self._resent:
                errors.append(f"{self.name}: {had - first} messages a second time, {resent} counted")
            self.counts["messages sent again to a restarted peer"] += resent - self._resent
            self._resent = resent

    def _take_stock(self) -> None:
        """At the end of a life: what has come of the peer's messages, read or unread."""
        had = dict(self._expected)
        while message := self.engine.recv():
            number, life = _NUMBER.unpack_from(message[1])
            had[life] = number + 1
            self.counts["messages lost unread with a board's memory"] += 1
        for life, number in had.items():
            self._had[self.life, life] = number

    # -- the application ----------------------------------------------------------------------------------

    def _send(self) -> float:
        """Send the next message, or wait until the engine has room for it."""
        if self._stopped or self.sent == self.traffic.count:
            self._sending = False
            return 0
        if self._scheduler.now_us < self._no_memory_until_us:
            self._do(self._send, self._no_memory_until_us)
            return 0
        if self.sent == len(self._due_at_us):
            self._due_at_us.append(self._due_us)
            size = self.traffic.size
            self._size = size if isinstance(size, int) else self._rng.randint(*size)
        message = _message(self.sent, self.life, self._size)
        if not self.engine.send(message, self.sent & 15):
            self._blocked = True
            return self._costs.send
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
        return self._costs.send

    def _read_next(self) -> float:
        """Read a message, and go on with the next one until there is none."""
        not_before_us = max(self._no_memory_until_us, self._no_reading_until_us)
        if self._scheduler.now_us < not_before_us:
            self._do(self._read_next, not_before_us)
            return 0
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
        return self._costs.recv

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
