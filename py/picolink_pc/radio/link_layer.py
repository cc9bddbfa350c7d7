"""Model of the link layer of one Bluetooth LE connection: no clock, no event loop, no Bluetooth library.

Two sides, CENTRAL and PERIPHERAL, meet in a connection event at every multiple of the connection interval.
In an event the central sends a PDU and the peripheral answers; both go on while one of them has more, and as
far as the settings and the time until the next event allow it (Core 5.4, Vol 6, Part B, 4.5).  A PDU without
data is empty, not absent.  A PDU that is lost, or whose acknowledgement is lost, ends the event and is sent
again: everything arrives, once, in order.

The model is causal at any pace of calling: a PDU is sent only in an exchange that begins after its data was
queued, so that playing late, or several events at once, changes nothing but when the caller hears of it.

    link = LinkLayer(RadioSettings())
    link.send(CENTRAL, token, octets=27, now_us=0)
    for outcome in link.play(until_us=20_000): ...

Not modelled: channel hopping, clock drift, other traffic in the air (connections do not disturb each other).
"""

import math
import random
from collections import deque
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, NamedTuple

from .air import INTER_FRAME_SPACE_US, RadioSettings, least_supervision_timeout_ms, pdu_us

CENTRAL, PERIPHERAL = 0, 1

DEFAULT_SUPERVISION_TIMEOUT_MS = 5000
"""Without other settings; aioble's connect() asks for the same."""


class Kind(IntEnum):
    """What an outcome says of its side."""

    DELIVERED = 0  # this side has received a whole packet
    COMPLETED = 1  # this side's packet was wholly transmitted and acknowledged
    LOST = (
        2  # this side has not heard its peer for the supervision timeout; its part of the connection is over
    )


class Outcome(NamedTuple):
    """Something that a host hears of.  token: as given to LinkLayer.send, None for LOST."""

    time_us: int
    kind: Kind
    side: int
    token: Any


@dataclass
class RadioStatistics:
    """Counters of one connection or of all on a radio; pairs are [central's, peripheral's]."""

    events: int = 0
    pdus: list[int] = field(default_factory=lambda: [0, 0])  # sent, empty ones too
    data_pdus: list[int] = field(default_factory=lambda: [0, 0])  # sent, with data
    retransmissions: list[int] = field(default_factory=lambda: [0, 0])  # of data_pdus
    repeated_us: list[int] = field(default_factory=lambda: [0, 0])  # of air_us, for retransmissions
    lost: list[int] = field(default_factory=lambda: [0, 0])  # of pdus, in the air
    unheard: int = 0  # of the central's pdus, sent to a peripheral that slept or was away
    air_us: list[int] = field(default_factory=lambda: [0, 0])  # time spent sending
    late_events: int = 0  # in real time only: events that were played after their end
    worst_lateness_us: int = 0  # in real time only


class _Packet:
    """An ACL packet or LL control PDU that waits in the controller."""

    __slots__ = ("octets", "ready_us", "token")

    def __init__(self, token: Any, octets: int, ready_us: int):
        self.token = token
        self.octets = octets  # not yet sent
        self.ready_us = ready_us


class _Side:
    """One controller's half of the connection."""

    __slots__ = (
        "accepting",
        "control",
        "flight_ends",
        "flight_is_data",
        "flight_octets",
        "flight_received",
        "flight_sent",
        "heard_us",
        "leaves_us",
        "present",
        "queue",
    )

    def __init__(self, now_us: int):
        self.queue: deque[_Packet] = deque()
        self.control: deque[_Packet] = deque()  # LL control PDUs go ahead of data
        self.present = True
        self.accepting = True  # False: no room for data; the peer has to send it again
        self.heard_us = now_us  # when the last PDU of the peer arrived
        self.leaves_us = math.inf  # when it ends the connection by itself, because it has said so before
        self.flight_octets = -1  # payload of the PDU being sent until it is acknowledged; -1: none, 0: empty
        self.flight_ends: _Packet | None = None  # the packet whose last PDU is in flight
        self.flight_is_data = False  # and neither an LL control PDU nor empty
        self.flight_sent = False
        self.flight_received = False

    def has_data(self, now_us: int) -> bool:
        """Is something waiting behind the PDU in flight?"""
        return bool(self.queue and self.queue[0].ready_us <= now_us) or bool(
            self.control and self.control[0].ready_us <= now_us
        )

    def next_octets(self, now_us: int, data_length: int) -> int:
        """Payload of the PDU that would be sent now."""
        if self.flight_octets >= 0 and not self.flight_received:
            return self.flight_octets
        if self.control and self.control[0].ready_us <= now_us:
            return self.control[0].octets
        if self.queue and self.queue[0].ready_us <= now_us:
            return min(data_length, self.queue[0].octets)
        return 0

    def load(self, now_us: int, data_length: int) -> None:
        """Put the next PDU in flight."""
        self.flight_octets = self.next_octets(now_us, data_length)
        self.flight_sent = self.flight_received = False
        self.flight_ends = None
        self.flight_is_data = False
        if self.control and self.control[0].ready_us <= now_us:
            self.flight_ends = self.control.popleft()
        elif self.flight_octets:
            self.flight_is_data = True
            packet = self.queue[0]
            packet.octets -= self.flight_octets
            if not packet.octets:
                self.flight_ends = self.queue.popleft()


class LinkLayer:
    """One connection; times are in us on whatever clock the caller uses.

    settings: the radio.  start_us: the first connection event.
    supervision_timeout_ms: see set_supervision_timeout.
    statistics: counters to add to; own ones if not given.
    """

    def __init__(
        self,
        settings: RadioSettings,
        start_us: int = 0,
        supervision_timeout_ms: int = DEFAULT_SUPERVISION_TIMEOUT_MS,
        statistics: RadioStatistics | None = None,
        rng: random.Random | None = None,
    ):
        self.settings = settings
        self.set_supervision_timeout(supervision_timeout_ms)
        self.statistics = statistics or RadioStatistics()
        self.in_range = True
        self.sides = (_Side(start_us), _Side(start_us))
        self.next_us: float = start_us
        """When the next exchange begins; infinite once the connection is over."""
        self.anchor_us = start_us
        """When the present connection event began, or the next one if none is under way."""
        self._said_us = start_us  # when the sides last said whether they have more
        self._in_event = False
        self._pairs = 0  # exchanges begun in this event
        self._most_pairs = settings.pdus_per_event or math.inf
        self._listening = False  # is the peripheral awake in this event?
        self._events_slept = 0
        self._attentive = True  # the peripheral does not sleep right after an event with data or a lost PDU
        self._random = rng or random.Random(settings.seed)
        self._pdu_us = [pdu_us(octets, settings.phy) for octets in range(settings.data_length + 1)]

    def set_supervision_timeout(self, asked_ms: int) -> None:
        """As the hosts ask, unless the settings say otherwise; but as long as interval and latency need."""
        least_ms = int(least_supervision_timeout_ms(self.settings)) // 10 * 10 + 10  # hosts count in 10 ms
        self.supervision_timeout_us = (self.settings.supervision_timeout_ms or max(asked_ms, least_ms)) * 1000

    def send(self, side: int, token: Any, octets: int, now_us: int, control: bool = False) -> None:
        """Queue a packet of `octets` (at least 1) on `side`.

        token: anything; comes back in the outcomes when the packet has arrived and when it is acknowledged.
        control: an LL control PDU of at most 27 octets, which goes ahead of data.
        """
        if octets < 1:
            raise ValueError(f"octets is {octets}: at least 1")
        if control and octets > 27:
            raise ValueError(f"octets is {octets}: at most 27 in an LL control PDU")
        sender = self.sides[side]
        (sender.control if control else sender.queue).append(_Packet(token, octets, now_us))

    def terminate(self, side: int, token: Any, octets: int, now_us: int) -> None:
        """Queue the LL control PDU that ends the connection; see `send`.

        If it is not acknowledged within the supervision timeout, this side ends it alone: LOST is the outcome
        (Vol 6, Part B, 5.1.6).
        """
        self.send(side, token, octets, now_us, control=True)
        self.sides[side].leaves_us = now_us + self.supervision_timeout_us

    def leave(self, side: int) -> None:
        """This side is gone without a word; the other one notices by its supervision timeout."""
        self.sides[side].present = False
        if side == PERIPHERAL:
            self._listening = False
        if not any(side.present for side in self.sides):
            self.close()

    def close(self) -> None:
        """End the connection: nothing is played any more."""
        self.next_us = math.inf

    def play(self, until_us: float) -> list[Outcome]:
        """Play every exchange that begins up to `until_us`; the outcomes in order of time.

        An exchange is decided when it begins: the last outcomes may lie up to one exchange after `until_us`.
        """
        outcomes: list[Outcome] = []
        while self.next_us <= until_us:
            self._exchange(outcomes)
        return outcomes

    def _begin_event(self, now_us: int, outcomes: list[Outcome]) -> None:
        for number, side in enumerate(self.sides):
            ends_us = min(side.heard_us + self.supervision_timeout_us, side.leaves_us)
            if side.present and now_us >= ends_us:
                outcomes.append(Outcome(now_us, Kind.LOST, number, None))
                self.leave(number)
        peripheral = self.sides[PERIPHERAL]
        wanted = self._attentive or peripheral.has_data(now_us)
        self._listening = peripheral.present and (wanted or self._events_slept >= self.settings.latency)
        self._events_slept = 0 if self._listening else self._events_slept + 1
        self._in_event = True
        self._pairs = 0
        if self._listening:
            self._attentive = False

    def _end_event(self) -> None:
        self._in_event = False
        self.anchor_us += self.settings.interval_us
        if self.next_us != math.inf:
            self.next_us = self.anchor_us

    def _transmit(self, number: int, now_us: int) -> int:
        """Send a side's PDU and count it; its air time in us."""
        side = self.sides[number]
        statistics = self.statistics
        if side.flight_octets < 0:
            side.load(now_us, self.settings.data_length)
        elif side.flight_octets:
            statistics.retransmissions[number] += 1
            statistics.repeated_us[number] += self._pdu_us[side.flight_octets]
        statistics.pdus[number] += 1
        if side.flight_octets:
            statistics.data_pdus[number] += 1
        air_us = self._pdu_us[side.flight_octets]
        statistics.air_us[number] += air_us
        return air_us

    def _arrives(self, number: int) -> bool:
        """Does the PDU that this side has just sent reach the other one?"""
        if not self.in_range or (self.settings.loss and self._random.random() < self.settings.loss):
            self.statistics.lost[number] += 1
            return False
        return True

    def _receive(self, number: int, now_us: int, outcomes: list[Outcome]) -> None:
        """This side hears the PDU that its peer has in flight, and the acknowledgement in it."""
        side, peer = self.sides[number], self.sides[1 - number]
        side.heard_us = now_us
        if side.flight_received:
            side.flight_octets = -1
            side.flight_received = False
            if side.flight_ends:
                outcomes.append(Outcome(now_us, Kind.COMPLETED, number, side.flight_ends.token))
        if not peer.flight_received and (side.accepting or not peer.flight_is_data):
            peer.flight_received = True
            if peer.flight_ends:
                outcomes.append(Outcome(now_us, Kind.DELIVERED, number, peer.flight_ends.token))

    def _exchange(self, outcomes: list[Outcome]) -> None:
        central, peripheral = self.sides
        now_us = int(self.next_us)
        known_us = now_us
        if not self._in_event:
            self._begin_event(now_us, outcomes)
            self.statistics.events += central.present
        elif not self._fits(now_us, now_us):
            known_us = self._said_us  # what has come since then is too long for the rest of this event
        if not central.present:
            self._end_event()
            return
        self._pairs += 1
        heard_us = now_us + self._transmit(CENTRAL, known_us)
        if not self._listening:
            self.statistics.unheard += 1
            self._end_event()
            return
        if not self._arrives(CENTRAL):
            self._attentive = True
            self._end_event()
            return
        self._receive(PERIPHERAL, heard_us, outcomes)
        answered_us = heard_us + INTER_FRAME_SPACE_US + self._transmit(PERIPHERAL, known_us)
        if central.flight_octets or peripheral.flight_octets:
            self._attentive = True
        if not self._arrives(PERIPHERAL):
            self._attentive = True
            self._end_event()
            return
        self._receive(CENTRAL, answered_us, outcomes)
        if self._goes_on(now_us, answered_us + INTER_FRAME_SPACE_US):
            self.next_us = answered_us + INTER_FRAME_SPACE_US
        else:
            self._end_event()

    def _goes_on(self, now_us: int, next_us: int) -> bool:
        """Has a side said in the exchange begun at `now_us` to have more, and may it go at `next_us`?"""
        self._said_us = now_us
        return (
            self._pairs < self._most_pairs and any(self._next_octets(now_us)) and self._fits(now_us, next_us)
        )

    def _next_octets(self, known_us: int) -> list[int]:
        """Payloads of the next PDUs of both sides, with the data that had come by `known_us`."""
        return [side.next_octets(known_us, self.settings.data_length) for side in self.sides]

    def _fits(self, known_us: int, begin_us: int) -> bool:
        """Does an exchange of those PDUs, begun at `begin_us`, end in time for the next event?"""
        pdus_us = sum(self._pdu_us[octets] + INTER_FRAME_SPACE_US for octets in self._next_octets(known_us))
        return begin_us + pdus_us <= self.anchor_us + self.settings.interval_us - INTER_FRAME_SPACE_US
