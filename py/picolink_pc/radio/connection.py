"""A connection of two Bumble controllers, its link layer played in real time."""

import asyncio
import dataclasses
import math
from collections import deque
from typing import TYPE_CHECKING

from bumble import controller as bumble_controller
from bumble import hci, ll
from bumble.core import PhysicalTransport

from .link_layer import CENTRAL, PERIPHERAL, Kind, LinkLayer, Outcome

if TYPE_CHECKING:
    from .controller import RadioController
    from .virtual_radio import VirtualRadio

_FIRST_EVENT_US = 2500  # after the request to connect: window delay 1.25 ms and window (Vol 6, Part B, 4.5.3)


@dataclasses.dataclass
class VersionInd(ll.ControlPdu):
    """LL_VERSION_IND; `wants_answer` stands for "this side has not sent its own yet"."""

    opcode = ll.ControlPdu.Opcode.LL_VERSION_IND

    version: int
    company: int
    subversion: int
    wants_answer: bool


# Payloads of LL control PDUs in octets, opcode included (Vol 6, Part B, 2.4.2).
_CONTROL_OCTETS = {
    ll.TerminateInd: 2,
    ll.FeatureReq: 9,
    ll.FeatureRsp: 9,
    ll.PeripheralFeatureReq: 9,
    VersionInd: 6,
    ll.ConnectionUpdateInd: 12,
    ll.EncReq: 23,
    ll.StartEncRsp: 1,
    ll.RejectExtInd: 3,
}


class ConnectionEnd(bumble_controller.Connection):
    """One controller's half of an AirConnection."""

    def __init__(self, air: "AirConnection", side: int, controller: "RadioController", addresses: tuple):
        super().__init__(
            controller=controller,
            handle=controller.allocate_connection_handle(),
            role=hci.Role.CENTRAL if side == CENTRAL else hci.Role.PERIPHERAL,
            self_address=addresses[side],
            peer_address=addresses[1 - side],
            link=controller.link,
            transport=PhysicalTransport.LE,
            link_type=hci.HCI_Connection_Complete_Event.LinkType.ACL,
        )
        self.air = air
        self.side = side
        self.packets_held = 0  # ACL packets of the host that are not yet acknowledged by the peer

    def send_acl(self, boundary: int, data: bytes) -> None:
        """Transmit an ACL packet of the host; `boundary` is its packet boundary flag."""
        self.packets_held += 1
        self.air.send(self.side, (boundary, data), len(data))

    def send_ll_control_pdu(self, packet: ll.ControlPdu) -> None:
        """Bumble's way to speak to the peer's link layer."""
        self.air.send(self.side, packet, _CONTROL_OCTETS[type(packet)], control=True)

    def terminate(self, reason: int) -> None:
        """Tell the peer's link layer that this is the end."""
        self.air.terminate(self.side, ll.TerminateInd(reason))


class AirConnection:
    """Plays a LinkLayer against the event loop's clock and tells both controllers what comes of it.

    An exchange is played when it has begun, and its outcomes are told when it has ended.  A late event loop
    delays that, but loses no connection event: what is overdue is played as it would have been on time, and
    events told of only after their end are counted in the radio's statistics.
    """

    def __init__(
        self,
        radio: "VirtualRadio",
        controllers: tuple["RadioController", "RadioController"],
        addresses: tuple[hci.Address, hci.Address],
        supervision_timeout_ms: int,
    ):
        """controllers, addresses: the central's and the peripheral's."""
        self.radio = radio
        self.controllers = controllers
        self.layer = LinkLayer(
            radio.settings,
            radio.now_us() + _FIRST_EVENT_US,
            supervision_timeout_ms,
            radio.statistics,
            radio.random,
        )
        self.layer.in_range = radio.reach(*controllers)
        self.ends: list[ConnectionEnd | None] = [
            ConnectionEnd(self, side, controllers[side], addresses) for side in (CENTRAL, PERIPHERAL)
        ]
        self._outcomes: deque[Outcome] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._schedule()

    def send(self, side: int, token: object, octets: int, control: bool = False) -> None:
        """Queue ACL data or an LL control PDU for the air."""
        self.layer.send(side, token, octets, self.radio.now_us(), control)

    def terminate(self, side: int, packet: ll.TerminateInd) -> None:
        """Queue the LL control PDU that ends the connection."""
        self.layer.terminate(side, packet, _CONTROL_OCTETS[ll.TerminateInd], self.radio.now_us())

    def leave(self, side: int) -> None:
        """This side is gone without a word (reset, or the board has no power)."""
        self.ends[side] = None
        self.layer.leave(side)
        if self.layer.next_us == math.inf:
            self.close()

    def lose(self) -> None:
        """The connection is over, and both hosts hear of it at once, as from a supervision timeout."""
        for end in self.ends:
            if end:
                self._disconnect(end, hci.HCI_ErrorCode.CONNECTION_TIMEOUT_ERROR)
        self.close()

    def close(self) -> None:
        """Stop at once; no host hears of it."""
        self.layer.close()
        self.ends = [None, None]
        self._outcomes.clear()
        if self._timer:
            self._timer.cancel()
        self.radio.forget(self)

    def _schedule(self) -> None:
        due_us = self.layer.next_us
        if self._outcomes:
            due_us = min(due_us, self._outcomes[0].time_us)
        if due_us == math.inf:
            self.close()
        else:
            self._timer = asyncio.get_running_loop().call_at((due_us + 1) / 1e6, self._play)

    def _play(self) -> None:
        layer = self.layer
        now_us = self.radio.now_us()
        self._count_lateness(now_us)
        for side, end in zip(layer.sides, self.ends, strict=True):
            side.accepting = end is None or end.controller.host_has_room
        self._outcomes.extend(layer.play(now_us))
        completed = [0, 0]
        while self._outcomes and self._outcomes[0].time_us <= now_us:
            outcome = self._outcomes.popleft()
            if end := self.ends[outcome.side]:
                self._tell(end, outcome, completed)
            if outcome.kind == Kind.COMPLETED and isinstance(outcome.token, ll.TerminateInd):
                layer.close()
        for end, packets in zip(self.ends, completed, strict=True):
            if end and packets:
                end.packets_held -= packets
                end.controller.report_completed(end, packets)
        self._schedule()

    def _tell(self, end: ConnectionEnd, outcome: Outcome, completed: list[int]) -> None:
        controller, token = end.controller, outcome.token
        if outcome.kind == Kind.LOST:
            self._disconnect(end, hci.HCI_ErrorCode.CONNECTION_TIMEOUT_ERROR)
        elif outcome.kind == Kind.DELIVERED:
            if isinstance(token, ll.TerminateInd):
                self._disconnect(end, token.error_code)
            elif isinstance(token, ll.ControlPdu):
                controller.on_ll_control_pdu(end.peer_address, token)
            else:
                controller.report_acl(end, *token)
        elif isinstance(token, ll.TerminateInd):
            self._disconnect(end, hci.HCI_ErrorCode.CONNECTION_TERMINATED_BY_LOCAL_HOST_ERROR)
        elif isinstance(token, ll.ControlPdu):
            controller.on_control_acknowledged(end, token)
        else:
            completed[end.side] += 1

    def _disconnect(self, end: ConnectionEnd, reason: int) -> None:
        self.ends[end.side] = None
        end.controller.on_le_disconnected(end, reason)

    def _count_lateness(self, now_us: int) -> None:
        interval_us = self.radio.settings.interval_us
        lateness_us = now_us - self.layer.next_us
        statistics = self.radio.statistics
        if lateness_us > statistics.worst_lateness_us:
            statistics.worst_lateness_us = int(lateness_us)
        if lateness_us > interval_us:
            statistics.late_events += int(lateness_us // interval_us)
