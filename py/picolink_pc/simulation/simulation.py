"""Two boards on one radio, the faults that befall them, and what came of it."""

import math
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from picolink_pc.percentile import percentile
from picolink_pc.radio import air
from picolink_pc.radio.air import RadioSettings
from picolink_pc.radio.link_layer import CENTRAL, PERIPHERAL, Kind, LinkLayer, RadioStatistics

from .air_time import PURPOSES, AirTime
from .board import Board, CallCosts, Traffic
from .faults import NO_FAULTS, PacketFaults
from .guest import Guest
from .host_stack import CONTROLLER_BUFFERS, STACKS, acl_octets
from .scheduler import Scheduler

CENTRAL_TO_PERIPHERAL, PERIPHERAL_TO_CENTRAL = 0, 1
"""The two directions."""

_STRANGER = "a stranger"
_LOOK_US = 100_000
_NO_COUNTERS = ("rtt_ms", "flight_limit")  # of what Engine.stats() gives


class Packet(StrEnum):
    """What kind of packet it is (docs/protocol.md, "Packets")."""

    HELLO = "HELLO"
    ACK = "acknowledgement"
    FRAGMENT = "fragment of a message"
    WHOLE = "whole messages"


class Moment(StrEnum):
    """When a trap closes on a packet."""

    SENT = "as it enters the controller"
    ARRIVING = "just before it arrives"
    ARRIVED = "just after it has arrived"


@dataclass
class Trap:
    """Calls `strike` at the moment of the packet with this number, from 1 on, of a kind."""

    kind: Packet
    number: int
    moment: Moment
    strike: Callable[[], None]


def packet_octets(mtu: int) -> int:
    """The largest packet that an engine makes at an ATT MTU (docs/protocol.md, "Sizes")."""
    return min((mtu + 4) // 27 * 27 - 7, 236)


@dataclass(frozen=True)
class Setup:
    """Everything that a run depends on, besides the engines. Pairs are [central's, peripheral's].

    stack: "btstack" or "nimble".   controller_buffers: ACL packets that a controller holds.
    rings: keyword arguments for the engines (tx_size, rx_size, window).
    read_every_us: pause of an application after each message it has read.
    clocks_ms: what the boards' clocks show at the beginning.
    reconnect_ms: from connect(), or the loss of a connection, until packets can flow.
    sessions: of the boards' first lives; None: random.
    """

    radio: RadioSettings = field(default_factory=RadioSettings)
    stack: str = "btstack"
    controller_buffers: int = CONTROLLER_BUFFERS
    rings: tuple[dict[str, int], dict[str, int]] = ({}, {})
    traffic: tuple[Traffic, Traffic] = (Traffic(), Traffic())
    costs: tuple[CallCosts, CallCosts] = (CallCosts(), CallCosts())
    read_every_us: tuple[int, int] = (0, 0)
    clocks_ms: tuple[int, int] = (0, 0)
    reconnect_ms: int = 300
    sessions: tuple[int | None, int | None] = (None, None)
    seed: int = 0


@dataclass(frozen=True)
class Flow:
    """One direction over the time that was measured.

    messages: arrived.   per_second: of these.
    ceiling: most messages per second that the air allows (radio/air.py); None for messages of several sizes.
    latency_ms: p50, p95, p99, greatest; None without messages.
    engine: what the sender's counters grew by.
    host_peak_octets: most octets of packets that ever waited in the sender's host stack.
    """

    messages: int
    per_second: float
    ceiling: float | None
    latency_ms: tuple[float, float, float, float] | None
    engine: dict[str, int]
    host_peak_octets: int

    @property
    def share(self) -> float | None:
        """How much of the ceiling was reached."""
        return self.per_second / self.ceiling if self.ceiling else None


class Simulation:
    """engines: classes with the interface of picolink.pyengine.Engine, of the central and of the peripheral.

    faults: what happens to packets from now on; may be set at any time.
    trap: strikes once, at one packet; may be set at any time, and is None when it has struck.
    counts: how often each of the faults has struck a packet.
    boards: the central and the peripheral, of board_class.
    ear: hears each packet that a side (int) sends, or None.
    """

    def __init__(
        self, engines: tuple[type, type], setup: Setup | None = None, board_class: type[Board] = Board
    ):
        self.setup = setup = setup or Setup()
        self.scheduler = Scheduler()
        self.faults: PacketFaults = NO_FAULTS
        self.trap: Trap | None = None
        self.counts: Counter[str] = Counter()
        self.air = RadioStatistics()
        self._air_time = AirTime(setup.radio)
        self._rng = random.Random(setup.seed)
        self._layer: LinkLayer | None = None
        self._connections = 0
        self._far_until_us = 0
        self._visited: int | None = None  # the side to which a stranger connects next
        self._guest: Guest | None = None  # who it is, if it says anything
        self._jammed_until_us = [0, 0]  # each side hears nothing of the other one
        self.ear: Callable[[int, bytes], None] | None = None
        self._radio_rng = random.Random(self._rng.random())
        self.boards = tuple(
            board_class(
                name,
                self.scheduler,
                random.Random(self._rng.random()),
                engines[side],
                setup.rings[side],
                setup.traffic[side],
                setup.costs[side],
                setup.read_every_us[side],
                setup.clocks_ms[side],
                setup.sessions[side],
            )
            for side, name in ((CENTRAL, "central"), (PERIPHERAL, "peripheral"))
        )
        for side, board in enumerate(self.boards):
            board.peer = self.boards[1 - side]
            board.hang_up = self.drop
            board.stack = STACKS[setup.stack][side](self._transmitter(side), setup.controller_buffers)
        self._measured: tuple[Any, ...] = ()
        self.measure()

    # -- what can be done to it ---------------------------------------------------------------------------

    def connect(self) -> None:
        """Connect in setup.reconnect_ms, unless that is under way, and when the boards are in range.

        Not when a link is closed: its board looks for nobody.
        """
        self._connections += 1
        if any(board.closed for board in self.boards):
            return
        pause_us = max(board.seek() for board in self.boards)
        ready_us = max(self.scheduler.now_us + pause_us, self._far_until_us) + self.setup.reconnect_ms * 1000
        self.scheduler.at(ready_us, self._connected, self._connections)

    def drop(self) -> None:
        """The connection is lost, both sides know it, and connect again."""
        for side in (CENTRAL, PERIPHERAL):
            self._lose(side)
        self.connect()

    def leave_range(self, seconds: float) -> None:
        """The boards do not hear each other for a time: each side notices by its supervision timeout."""
        until_us = self.scheduler.now_us + round(seconds * 1e6)
        self._far_until_us = max(self._far_until_us, until_us)
        if self._layer:
            self._layer.in_range = False
        self.scheduler.at(until_us, self._come_back)

    @property
    def far(self) -> bool:
        """Whether the boards are out of range."""
        return self.scheduler.now_us < self._far_until_us

    def restart(self, side: int, unheard: bool = False) -> None:
        """One board loses its memory. unheard: the peer has to notice by its supervision timeout."""
        self.boards[side].power_on()
        if not unheard:
            self.drop()
        elif self._layer:
            self._layer.leave(side)
            self._lose(side)
        else:
            self.connect()

    def visit(self, side: int, guest: Guest | None = None) -> None:
        """The connection is lost, and the next one of this side is a stranger's.

        guest: who that is; None: somebody who says nothing.
        """
        self.drop()
        self._visited, self._guest = side, guest

    def dismiss_guest(self) -> None:
        """Who has come leaves, and nobody else comes."""
        guest, self._visited = self._guest, None
        if guest:
            self.drop()

    def jam(self, side: int, us: int) -> None:
        """This side hears nothing of the other one for so long."""
        self._jammed_until_us[side] = self.scheduler.now_us + us

    def jam_nobody(self) -> None:
        self._jammed_until_us = [0, 0]

    def close(self, sides: tuple[int, ...], timeout_ms: int = 3000) -> None:
        """The applications of these sides close their links at the same time."""
        for side in sides:
            self.boards[side].close(timeout_ms)

    def run_until_closed(self, seconds: float) -> bool:
        """Let virtual time go on until both applications have closed their links; False: not in this time."""
        end_us = self.scheduler.now_us + round(seconds * 1e6)
        while self.scheduler.now_us < end_us:
            if all(board.undelivered is not None for board in self.boards):
                return True
            self.run(0.05)
        return False

    def run(self, seconds: float) -> None:
        """Let virtual time go on."""
        self.scheduler.run(self.scheduler.now_us + round(seconds * 1e6))

    def run_until_struck(self, seconds: float) -> bool:
        """Let virtual time go on until the trap has struck; False: it did not in this time, and is gone."""
        end_us = self.scheduler.now_us + round(seconds * 1e6)
        while self.trap and self.scheduler.now_us < end_us:
            self.run(0.01)
        struck = self.trap is None
        self.trap = None
        return struck

    def drain(self, seconds: float) -> bool:
        """Let the applications send no more, and what they have sent arrive. False if that takes longer."""
        for board in self.boards:
            board.stop()
        end_us = self.scheduler.now_us + round(seconds * 1e6)
        while self.scheduler.now_us < end_us:
            self.run(0.05)
            if all(board.idle for board in self.boards):
                return True
        return False

    # -- what came of it ----------------------------------------------------------------------------------

    def broken_promises(self) -> list[str]:
        """What docs/protocol.md promises and did not come true; after drain() also what did not arrive."""
        return [error for board in self.boards for error in board.broken_promises()]

    def measure(self) -> None:
        """Begin to measure here."""
        self._measured = (
            self.scheduler.now_us,
            [dict(board.engine.stats()) for board in self.boards],
            [board.received.messages for board in self.boards],
            [len(board.received.latencies_us) for board in self.boards],
            [board.cpu_us for board in self.boards],
            self._air_time.all_us(self.air, self.scheduler.now_us),
        )

    def cpu_use(self, side: int) -> float:
        """The part of the time since measure() in which the CPU of a board has worked (setup.costs)."""
        began_us, *_, cpu_us, _ = self._measured
        return (self.boards[side].cpu_us - cpu_us[side]) / max(1, self.scheduler.now_us - began_us)

    def air_use(self) -> dict[str, float]:
        """What the air was used for since measure(): parts of the time by purpose, which add up to 1."""
        began_us, *_, air_us = self._measured
        elapsed_us = max(1, self.scheduler.now_us - began_us)
        now_us = self._air_time.all_us(self.air, self.scheduler.now_us)
        return {purpose: (now_us[purpose] - air_us[purpose]) / elapsed_us for purpose in PURPOSES}

    def flow(self, direction: int) -> Flow:
        """What went from the central to the peripheral, or back, since measure()."""
        began_us, engines, messages, latencies, *_ = self._measured
        before = engines[direction]
        sender, receiver = self.boards[direction], self.boards[1 - direction]
        arrived = receiver.received.messages - messages[1 - direction]
        stats = sender.engine.stats()
        size = sender.traffic.size
        ceiling = None
        if isinstance(size, int):
            both_ways = all(board.traffic.per_second is None for board in self.boards)
            ceiling = air.ceiling(self.setup.radio, packet_octets(self.setup.radio.mtu), size, both_ways)
        return Flow(
            messages=arrived,
            per_second=arrived / max(1e-6, (self.scheduler.now_us - began_us) / 1e6),
            ceiling=ceiling,
            latency_ms=_percentiles(receiver.received.latencies_us[latencies[1 - direction] :]),
            engine={name: stats[name] - before[name] for name in stats if name not in _NO_COUNTERS},
            host_peak_octets=sender.stack.peak_octets,
        )

    # -- the radio ----------------------------------------------------------------------------------------

    def _connected(self, connection: int) -> None:
        if connection != self._connections:
            return
        if self.scheduler.now_us < self._far_until_us:
            self.connect()
            return
        if self._visited is not None:
            self._let_in(self.boards[self._visited])
            return
        if self.boards[CENTRAL].shuns_peer():  # it looks for another board of that name
            self.scheduler.at(self.scheduler.now_us + _LOOK_US, self._connected, connection)
            return
        settings = self.setup.radio
        self._layer = LinkLayer(settings, self.scheduler.now_us, statistics=self.air, rng=self._radio_rng)
        for side, board in enumerate(self.boards):
            board.connect(settings.mtu, side == CENTRAL, board.peer.address)
        self._play(self._layer)

    def _let_in(self, board: Board) -> None:
        """A stranger has connected to this board."""
        self._visited = None
        guest = self._guest
        if not guest:
            self.counts["tolerated until it had to greet"] += 1
        board.connect(self.setup.radio.mtu, bool(guest) and board is self.boards[CENTRAL], _STRANGER)
        if guest:
            guest.connect(board)

    def _come_back(self) -> None:
        if self._layer and self.scheduler.now_us >= self._far_until_us:
            self._layer.in_range = True

    def _lose(self, side: int) -> None:
        """The connection is over for one side; when it is for both, they connect again."""
        board = self.boards[side]
        board.stack.disconnected()
        board.disconnect()
        if self._guest and self._visited is None:
            self._guest.leave()
            self._guest = None
        if self._layer and not any(board.connected for board in self.boards):
            self._layer.close()
            self._layer = None
            self.connect()

    def _transmitter(self, side: int) -> Callable[[bytes, int], None]:
        def transmit(value: bytes, now_us: int) -> None:
            if self.ear and value:
                self.ear(side, value)
            if self._guest and not self._layer:
                self._guest.hear(value)
                self.scheduler.at(0, self._taken, side, self._guest)
            if self._layer:
                if self._catches(value, Moment.SENT, self.boards[side]):
                    self.scheduler.at(0, self._strike())
                self._layer.send(side, value, acl_octets(value), now_us)

        return transmit

    def _taken(self, side: int, guest: Guest) -> None:
        if guest is self._guest:
            self.boards[side].stack.completed(self.scheduler.now_us)

    def _play(self, layer: LinkLayer) -> None:
        """One exchange; the next one when its time has come."""
        if layer is not self._layer:
            return
        for outcome in layer.play(layer.next_us):
            self.scheduler.at(outcome.time_us, self._tell, layer, outcome)
        if layer.next_us != math.inf:
            self.scheduler.at(layer.next_us, self._play, layer)

    def _tell(self, layer: LinkLayer, outcome: Any) -> None:
        board = self.boards[outcome.side]
        if layer is not self._layer or not board.connected:
            return
        if outcome.kind == Kind.LOST:
            self.counts["supervision timeouts"] += 1
            self._lose(outcome.side)
        elif outcome.kind == Kind.COMPLETED:
            if outcome.token:
                self._air_time.count(outcome.side, outcome.token)
            board.stack.completed(self.scheduler.now_us)
        elif self.scheduler.now_us < self._jammed_until_us[outcome.side]:
            self.counts["jammed"] += 1
        elif self.faults is NO_FAULTS:
            self._arrive(layer, board, outcome.token)
        else:
            for delay_us, packet in self.faults.apply(outcome.token, self._rng, self.counts):
                self.scheduler.at(self.scheduler.now_us + delay_us, self._arrive, layer, board, packet)

    def _arrive(self, layer: LinkLayer, board: Board, packet: bytes) -> None:
        if layer is not self._layer or not board.connected:
            return
        if self._catches(packet, Moment.ARRIVING, board.peer):
            self._strike()()
            return
        board.deliver(packet)
        if self._catches(packet, Moment.ARRIVED, board.peer):
            self.scheduler.at(0, self._strike())

    def _catches(self, packet: bytes, moment: Moment, sender: Board) -> bool:
        """Is this the packet that the trap waits for, and the moment?"""
        trap = self.trap
        if (
            not trap
            or trap.moment != moment
            or trap.kind != packet_kind(packet, sender.traffic, sender.keyed)
        ):
            return False
        trap.number -= 1
        return not trap.number

    def _strike(self) -> Callable[[], None]:
        strike, self.trap = self.trap.strike, None
        return strike


_SEALED_OVERHEAD = 18  # octets of a data packet with a key


def packet_kind(packet: bytes, traffic: Traffic, keyed: bool = False) -> Packet | None:
    """Of a packet from a board that sends this; None: it is damaged. A fragment holds no whole message."""
    if len(packet) < air.PACKET_OVERHEAD:
        return None
    if packet[0] & 1:
        return Packet.HELLO
    stream = len(packet) - (_SEALED_OVERHEAD if keyed else air.PACKET_OVERHEAD)
    if stream <= 0:
        return Packet.ACK
    least = traffic.size if isinstance(traffic.size, int) else traffic.size[0]
    return Packet.FRAGMENT if stream < air.record_octets(least) else Packet.WHOLE


def _percentiles(latencies_us: list[int]) -> tuple[float, float, float, float] | None:
    if not latencies_us:
        return None
    ordered = sorted(latencies_us)
    p50, p95, p99 = (percentile(ordered, share) / 1000 for share in (0.50, 0.95, 0.99))
    return p50, p95, p99, ordered[-1] / 1000
