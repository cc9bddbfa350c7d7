"""One board of a simulation: what picolink runs on a board, in virtual time, and an application.

The engine and the policy are those of the link (picolink.policy). The application numbers its messages and
checks those that come against what docs/protocol.md promises.
"""

import math
import random
import struct
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from errno import errorcode
from typing import Any

from picolink import flags as fl
from picolink.errors import LinkClosedError
from picolink.lifecycle import CLOSED, CONNECTED, READY, SETTING_UP
from picolink.policy import BURST, HANG_UP, HEARD_AT, TICK_MS, Policy

from picolink_pc.radio.air import record_octets

from .host_stack import HostStack
from .scheduler import Scheduler

_TICK_US = TICK_MS * 1000
_OTHERS_US = 1000  # from one turn to the next when others have theirs in between
_LOST = "the connection was lost"
_CLOSED = "this side has closed the link"
NUMBER = struct.Struct("<IH")  # at the beginning of a message: its number, and the sender's life
_FILLING = bytes(range(256)) * 130  # behind it
_TICKS = 0x3FFFFFFF  # ms modulo 2^30, as on boards


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


class _Bell:
    """Calls `ring` when it is set: what the link's tasks wait for."""

    def __init__(self, ring: Callable[[], None]):
        self.set = ring


class Board:
    """engine_class: with the interface of picolink.pyengine.Engine.   rings: keyword arguments for it.

    read_every_us: pause of the application after each message it has read; 0: it reads all at once.
    clock_ms: what the board's clock shows when the simulation begins.
    session: of its first life; None: as in the others a random one.

    keyed: has it a key?   address, identity: of the board, for its peer.
    policy: of the link in this life of the board.
    cpu_us: time that the CPU has worked (CallCosts).
    counts: how often something happened to this board.
    undelivered: messages that it said were not acknowledged when it closed; None: it has not closed yet.

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
        session: int | None = None,
    ):
        self.name = self.address = name
        self.traffic = traffic
        self.received = Received()
        self.peer: Board
        self.stack: HostStack
        self.hang_up: Callable[[], None]
        self.counts: Counter[str] = Counter()
        self.keyed = False
        self.life = 0
        self.connection = 0
        self.cpu_us = 0.0
        self._scheduler = scheduler
        self._rng = rng
        self._engine_class = engine_class
        self.identity = name.encode()[:8].ljust(8, b" ")
        self._rings = rings
        self._costs = costs
        self.read_every_us = read_every_us
        self._clock_ms = clock_ms
        self._session = session
        self._stopped = False
        self._first_numbers: dict[tuple[int, int], int] = {}  # (own life, peer's life): first message for it
        self._had: dict[tuple[int, int], int] = {}  # (own life, peer's life): first message it did not have
        self.power_on()

    def power_on(self) -> None:
        """A new life: nothing is left of the one before."""
        if self.life:
            self._take_stock()
        self.life += 1
        self.connection += 1
        session, self._session = self._session or self._rng.randrange(1, 1 << 32), None
        self.engine: Any = self._engine_class(session, self.identity, **self._rings)
        self.policy = Policy(
            self.engine,
            "simulated",
            self._rings.get("tx_size", 8192),
            self._on_event,
            wake=_Bell(self._wake_pump),
            opened=_Bell(lambda: None),
            readable=_Bell(self._on_readable),
            room=_Bell(self._on_room),
        )
        self.policy.keyed = int(self.keyed)
        self.policy.transmit = self._transmit
        self.policy.open()
        self.sent = 0  # messages that the engine has taken in this life
        self.undelivered: int | None = None
        self._busy_until_us = 0.0
        self._no_memory_until_us = self._no_reading_until_us = 0
        self._pump_at_us = -1
        self._pumps_asked = 0
        self._cost_us = 0.0  # of the turn that is under way
        self._refused = False  # does a packet wait for the host stack?
        self._sending = self._blocked = self._reading = self._closing = False
        self._due_us = 0  # when the application wants to send its next message
        self._due_at_us: list[int] = []  # when it wanted to send each message of this life
        self._unacknowledged: deque[tuple[int, int]] = deque()  # number of a message and octets of its record
        self._unacknowledged_octets = 0
        self._expected: dict[int, int] = {}  # peer's life: next message that is to come from it
        self._resent = 0  # the engine's counter of messages sent again to a restarted peer
        self._handshakes: set[str] = set()  # events that the program is to be told of the last handshakes
        self._told: set[str] = set()
        self._read = 0

    def connect(self, mtu: int, calls: bool, address: str) -> None:
        """A new connection is there. calls: this side speaks first; the other one begins when it hears it.

        address: of who is at the other end.
        """
        self.connection += 1
        self._mtu = mtu
        self._peer_life = self.peer.life  # even if the peer dies and this side has not noticed
        self._refused = False
        now = self._ticks()
        self.policy.adopt(now, address, address)
        if calls:
            self._call()
        self._turns = self.policy.turns(now)
        next(self._turns)
        self._wake_pump()

    def disconnect(self) -> None:
        """The connection is gone, and with it everything that was on its way."""
        self.connection += 1
        self.policy.hang_up(self._ticks(), _LOST)
        self._check_told()
        if self.policy.gone(answered=True):
            self.counts["host stack restarted"] += 1
        if self.policy.over():
            self.policy.shut("the peer has closed the link")

    def seek(self) -> int:
        """Look for the other board again. Returns the us that the link waits before it does."""
        pause_ms = self.policy.pause(self._ticks())
        self.policy.seek(self._ticks())
        return 1000 * pause_ms

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

    def close(self, timeout_ms: int = 3000) -> None:
        """The application closes the link, as Link.close() does."""
        if not self._closing:
            self._closing = self._stopped = True
            self.policy.close(self._ticks())
            self._do(self._close, 0, timeout_ms)

    def _close(self, timeout_ms: int) -> float:
        if self.policy.closing(self._ticks(), timeout_ms):
            self._do(self._close, self._scheduler.now_us + _TICK_US, timeout_ms)
            return 0
        self.policy.shut(_CLOSED)
        if self.connected:
            self._hang_up()
        self.undelivered = 0
        self.policy.tell_undelivered()
        return 0

    def shuns_peer(self) -> bool:
        """Whether the other board has said a moment ago that it serves another one."""
        return self.policy.shuns(self._ticks(), self.peer.address)

    @property
    def connected(self) -> bool:
        """Whether there is a connection, as far as this board knows."""
        return self.policy.connection >= SETTING_UP

    @property
    def frozen(self) -> bool:
        return self._busy_until_us > self._scheduler.now_us

    @property
    def opened(self) -> bool:
        """Whether the handshake is done."""
        return self.policy.connection == CONNECTED

    @property
    def closed(self) -> bool:
        """Whether its link is closed, by itself or by the peer: its board looks for nobody any more."""
        return self.policy.life >= CLOSED

    @property
    def idle(self) -> bool:
        """Whether it is connected, has nothing left to send, and its application has read everything."""
        return self.opened and not (self.engine.pending() or self._reading or self._blocked)

    def broken_promises(self) -> list[str]:
        """What has gone wrong with messages to this board, a line each; also what has not come yet."""
        errors = list(self.received.errors)
        peer = self.peer
        if peer.undelivered is not None and not peer.has_met(self):
            return errors  # what it sent was for an earlier life of this board
        awaited = self._expected.get(peer.life, peer.first_number(peer.life, self.life))
        if awaited < peer.sent - (peer.undelivered or 0):
            errors.append(f"{self.name}: message {awaited} of {peer.sent} did not come")
        return errors

    def has_met(self, peer: "Board") -> bool:
        """Whether this life has shaken hands with the other board's."""
        return (self.life, peer.life) in self._first_numbers

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

    def _call(self) -> None:
        """The other board takes packets."""
        self.policy.call(self._mtu)
        if not self._sending and self.traffic.per_second != 0:
            self._sending = True
            self._due_us = self._scheduler.now_us
            self._do(self._send)

    def deliver(self, packet: bytes) -> None:
        """A packet has come from the host stack."""
        self._do(self._feed, 0, packet, self.connection)

    def _feed(self, packet: bytes, connection: int) -> float:
        if connection != self.connection:
            return 0
        if self._scheduler.now_us < self._no_memory_until_us:
            self.counts["packets unread for want of heap"] += 1
            self.policy.path[HEARD_AT] = self._ticks()
            return 0
        if self.policy.connection < READY:
            self._call()
            self._wake_pump()
            return 0
        before = self._first_unacknowledged()
        was_open = self.engine.state == fl.OPEN
        self._cost_us = self._costs.feed + self._costs.feed_octet * len(packet)
        self.policy.feed(packet, self._ticks())
        if not was_open and self.engine.state == fl.OPEN:
            self._open(before)
        return self._cost_us

    def _wake_pump(self, at_us: float = 0) -> None:
        at_us = max(at_us, self._scheduler.now_us)
        if 0 <= self._pump_at_us <= at_us:
            return
        self._pump_at_us = at_us
        self._pumps_asked += 1
        self._do(self._pump, at_us, self._pumps_asked)

    def _pump(self, asked: int) -> float:
        """A turn of the policy, as picolink.link has them."""
        if asked != self._pumps_asked:
            return 0
        self._pump_at_us = -1
        if not self.connected or self.closed:
            return 0
        now_us = self._scheduler.now_us
        self._cost_us = 0.0
        wait = self._turns.send(self._ticks())
        if wait == HANG_UP:
            self._give_up()
            return self._cost_us
        self._check_told()
        self._wake_pump(now_us + (wait * 1000 or _OTHERS_US))
        return self._cost_us

    def _transmit(self, packet: memoryview) -> None:
        """To the host stack, as a board's radio does."""
        if packet and not self._refused:
            self._cost_us += self._costs.pull + self._costs.pull_octet * len(packet)
        self._refused = bool(packet)
        now_us = self._scheduler.now_us
        if now_us < self._no_memory_until_us:
            self.counts["packets held back for want of heap"] += 1
            raise MemoryError
        if not self.stack.take(bytes(packet), math.ceil(now_us + self._cost_us)):
            self.counts[errorcode[self.stack.errno]] += 1
            raise OSError(self.stack.errno, "refused")
        self._refused = False
        if packet:
            self._cost_us += self._costs.transmit

    def _give_up(self) -> None:
        why = self.policy.why
        if isinstance(why, OSError):
            self.counts["hung up after an error"] += 1
        else:
            self.counts["hung up on a silent peer"] += 1
        if self.engine.state == fl.CLOSED:
            self._complain()
        self._hang_up()

    def _complain(self) -> None:
        self.received.errors.append(f"{self.name}: what the peer says makes no sense to the engine")

    def _hang_up(self) -> None:
        self._scheduler.at(0, self._hang_up_now, self.connection)

    def _hang_up_now(self, connection: int) -> None:
        if connection == self.connection:
            self.hang_up()

    def _first_unacknowledged(self) -> int:
        pending = self.engine.pending()
        while self._unacknowledged_octets > pending:
            self._unacknowledged_octets -= self._unacknowledged.popleft()[1]
        return self._unacknowledged[0][0] if self._unacknowledged else self.sent

    def _open(self, unacknowledged: int) -> None:
        """The handshake is done: what is the program to be told, and will all go to the peer?

        unacknowledged: the first message that was so before.
        """
        self.counts["handshakes"] += 1
        lives = (self.life, self._peer_life)
        errors = self.received.errors
        earlier = [peer for own, peer in self._first_numbers if own == self.life and peer != self._peer_life]
        new = lives not in self._first_numbers
        self._handshakes.add("connected")
        if new and earlier:
            self._handshakes.add("peer restarted")
        if not new:
            return
        known = any(peer < self.life for own, peer in self.peer._first_numbers if own == self._peer_life)
        if known and not earlier:
            self._handshakes.add("restarted")
        first = self._first_numbers[lives] = self._first_unacknowledged()
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

    def _on_event(self, event: str, detail: str) -> None:
        if event == "undelivered":
            self.undelivered = int(detail.split()[0])
        elif event == "disconnected":
            self.counts["told: disconnected"] += 1
        else:
            self._told.add(event)

    def _check_told(self) -> None:
        """Was the program told of the handshakes, and of restarts exactly when there were some?"""
        for event in self._told ^ self._handshakes:
            told = "was told" if event in self._told else "was not told"
            self.received.errors.append(f"{self.name}: {event!r} {told}: life {self._peer_life} of the peer")
        self._told.clear()
        self._handshakes.clear()

    def _take_stock(self) -> None:
        """At the end of a life: what has come of the peer's messages, read or unread."""
        had = dict(self._expected)
        while message := self.engine.recv(True):
            number, life = NUMBER.unpack_from(message[1])
            had[life] = number + 1
            self.counts["messages lost unread with a board's memory"] += 1
        for life, number in had.items():
            self._had[self.life, life] = number

    # -- the application ----------------------------------------------------------------------------------

    def _on_room(self) -> None:
        if self._blocked:
            self._blocked = False
            self._do(self._send)

    def _on_readable(self) -> None:
        if not self._reading:
            self._reading = True
            self._do(self._read_next)

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
        message = message_of(self.sent, self.life, self._size)
        try:
            taken = self._send_in_turn(message, self.sent & 15)
        except LinkClosedError:
            self._stopped = True
            return 0
        if not taken:
            self._blocked = True
            return self._costs.send
        octets = record_octets(self._size)
        self._unacknowledged.append((self.sent, octets))
        self._unacknowledged_octets += octets
        self.sent += 1
        self._due_us = self._scheduler.now_us
        if self.traffic.per_second:
            pause_us = 1e6 / self.traffic.per_second * self._rng.uniform(0.5, 1.5)
            self._due_us = round(self._due_at_us[-1] + pause_us)
        self._do(self._send, self._due_us)
        return self._costs.send

    def _send_in_turn(self, message: bytes, channel: int) -> bool:
        """As Link.send(), but it says when it waits: until _on_room()."""
        policy = self.policy
        if not policy.line:
            if policy.send_nowait(message, channel):
                return True
            policy.queue_up(message)
        if not policy.send_first(message, channel):
            return False
        policy.line.clear()
        return True

    def _read_next(self) -> float:
        """Read a message, and go on with the next one until there is none."""
        not_before_us = max(self._no_memory_until_us, self._no_reading_until_us)
        if self._scheduler.now_us < not_before_us:
            self._do(self._read_next, not_before_us)
            return 0
        message = self.engine.recv(True)
        if message is None:
            self._reading = False
            self.policy.has_read(self._ticks())
            if self.engine.ended:
                self.close()  # as a program does behind its `async for`
            return 0
        self._check(*message)
        self._read += 1
        if self._read % BURST == 0:
            self.policy.has_read(self._ticks())
        self._do(self._read_next, self._scheduler.now_us + self.read_every_us)
        return self._costs.recv

    def _check(self, channel: int, message: bytes) -> None:
        received = self.received
        number, life = NUMBER.unpack_from(message.ljust(NUMBER.size))
        if message != message_of(number, life, len(message)) or channel != number & 15:
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
        if life == self.peer.life and number < len(self.peer._due_at_us):
            received.latencies_us.append(self._scheduler.now_us - self.peer._due_at_us[number])


def message_of(number: int, life: int, size: int) -> bytes:
    start = number & 0xFF
    return (NUMBER.pack(number, life) + _FILLING[start : start + size])[:size]
