"""How long Bluetooth LE data takes in the air, and how much of it a connection can carry.

Times are in microseconds (us), sizes in octets.  Sources: Bluetooth Core 5.4, Vol 6, Part B, 2.1 and 2.2
(packet formats), 4.1.1 (inter frame space), 4.5.1 (connection events).
"""

import math
from dataclasses import dataclass

INTER_FRAME_SPACE_US = 150
"""T_IFS: the pause between two PDUs of a connection event."""

ATT_L2CAP_OCTETS = 7
"""Headers around an ATT value: 3 of a notification or a write command, 4 of L2CAP."""

# PHY: (microseconds per octet, octets around the payload: preamble, access address, PDU header, CRC).
_PHY = {"1M": (8, 1 + 4 + 2 + 3), "2M": (4, 2 + 4 + 2 + 3)}

PACKET_OVERHEAD = 12
"""Header and CRC of a picolink packet (docs/protocol.md)."""


def _require(name: str, value: object, valid: bool, limit: str) -> None:
    if not valid:
        raise ValueError(f"{name} is {value!r}: {limit}")


@dataclass(frozen=True)
class RadioSettings:
    """One radio, the same for every connection on it.  The defaults are those of a stock Pico W.

    interval_ms: connection interval, 7.5 to 4000 ms in steps of 1.25 ms.
    phy: "1M" or "2M".
    data_length: payload of a link-layer PDU, 27 octets, or up to 251 with data length extension.
    mtu: ATT MTU that hosts may agree on, 23 to 517 octets.  For hosts: the radio itself does not look at it.
    latency: connection events that a peripheral with nothing to say may sleep through, 0 to 499.
    pdus_per_event: pairs of PDUs (one each way) in a connection event at most, 1 or more; many controllers,
        phones and PCs allow few.  None: as many as fit.
    loss: probability that a PDU is lost in the air (the link layer sends it again), from 0 to less than 1.
    supervision_timeout_ms: silence that ends a connection, 100 to 32000 ms; None: as the central asks.
    seed: of all that is random in the radio.
    """

    interval_ms: float = 15.0
    phy: str = "1M"
    data_length: int = 27
    mtu: int = 247
    latency: int = 4
    pdus_per_event: int | None = None
    loss: float = 0.0
    supervision_timeout_ms: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises ValueError that names the value and its limit."""
        _require("interval_ms", self.interval_ms, 7.5 <= self.interval_ms <= 4000, "from 7.5 to 4000 ms")
        _require("interval_ms", self.interval_ms, self.interval_ms % 1.25 == 0, "a multiple of 1.25 ms")
        _require("phy", self.phy, self.phy in _PHY, '"1M" or "2M"')
        _require("data_length", self.data_length, 27 <= self.data_length <= 251, "from 27 to 251 octets")
        _require("mtu", self.mtu, 23 <= self.mtu <= 517, "from 23 to 517 octets")
        _require("latency", self.latency, 0 <= self.latency <= 499, "from 0 to 499 connection events")
        pairs = self.pdus_per_event
        _require("pdus_per_event", pairs, pairs is None or pairs >= 1, "1 or more")
        _require("loss", self.loss, 0 <= self.loss < 1, "from 0 to less than 1")
        timeout = self.supervision_timeout_ms
        if timeout is not None:
            _require("supervision_timeout_ms", timeout, 100 <= timeout <= 32000, "from 100 to 32000 ms")
            least = least_supervision_timeout_ms(self)
            _require(
                "supervision_timeout_ms",
                timeout,
                timeout > least,
                f"more than {least:g} ms at {self.interval_ms:g} ms with latency {self.latency}",
            )

    @property
    def interval_us(self) -> int:
        """Connection interval in us."""
        return round(self.interval_ms * 1000)


def least_supervision_timeout_ms(settings: RadioSettings) -> float:
    """What a supervision timeout has to exceed, in ms (Core 5.4, Vol 6, Part B, 4.5.2)."""
    return 2 * (1 + settings.latency) * settings.interval_ms


def pdu_us(octets: int, phy: str = "1M") -> int:
    """Air time in us of a data PDU with a payload of `octets` (0: an empty PDU)."""
    octet_us, overhead = _PHY[phy]
    return (octets + overhead) * octet_us


def exchange_us(central_octets: int, peripheral_octets: int, phy: str = "1M") -> int:
    """Time in us of one exchange: the central's PDU, the peripheral's answer, and the pause after each."""
    return pdu_us(central_octets, phy) + pdu_us(peripheral_octets, phy) + 2 * INTER_FRAME_SPACE_US


def pdu_octets(octets: int, data_length: int) -> list[int]:
    """Payloads of the PDUs that carry `octets` of an ACL packet or L2CAP frame, in order."""
    full, rest = divmod(octets, data_length)
    return [data_length] * full + ([rest] if rest else [])


def pdus_per_value(value: int, data_length: int) -> int:
    """How many PDUs one ATT value of `value` octets takes."""
    return len(pdu_octets(value + ATT_L2CAP_OCTETS, data_length))


def exchanges_per_event(settings: RadioSettings, one_exchange_us: int) -> int:
    """How many exchanges of `one_exchange_us` a connection event has; the first always takes place."""
    fitting = max(1, (settings.interval_us - INTER_FRAME_SPACE_US) // one_exchange_us)
    return min(fitting, settings.pdus_per_event or fitting)


def _exchanges_of_value(settings: RadioSettings, value: int, both_ways: bool) -> list[int]:
    """Times in us of the exchanges that carry one ATT value, against empty PDUs or the same value."""
    return [
        exchange_us(octets, octets if both_ways else 0, settings.phy)
        for octets in pdu_octets(value + ATT_L2CAP_OCTETS, settings.data_length)
    ]


def value_rate(settings: RadioSettings, value: int, both_ways: bool = False) -> float:
    """ATT values of `value` octets per second (each way) if connection events wasted no time."""
    return 1e6 / sum(_exchanges_of_value(settings, value, both_ways))


def value_rate_in_events(settings: RadioSettings, value: int, both_ways: bool = False) -> float:
    """ATT values of `value` octets per second (each way) in whole connection events without loss.

    An exchange that would end less than 150 us before the next event waits for that event, and so does one
    beyond `pdus_per_event`.
    """
    exchanges = _exchanges_of_value(settings, value, both_ways)
    room_us = settings.interval_us - INTER_FRAME_SPACE_US
    most = settings.pdus_per_event or math.inf
    # Play events until one begins with the same PDU of a value as an earlier one: from there it repeats.
    events = done = pdu = 0
    begun: dict[int, tuple[int, int]] = {}
    while pdu not in begun:
        begun[pdu] = (events, done)
        used_us = used = 0
        while not used or (used < most and used_us + exchanges[pdu] <= room_us):
            used_us += exchanges[pdu]
            used += 1
            pdu += 1
            if pdu == len(exchanges):
                pdu = 0
                done += 1
        events += 1
    first_event, first_done = begun[pdu]
    return (done - first_done) / (events - first_event) * 1e6 / settings.interval_us


def record_octets(message: int) -> int:
    """A message of `message` octets as a picolink record: channel and flags, varint length, payload."""
    length_octets = 1
    while message >> (7 * length_octets):
        length_octets += 1
    return 1 + length_octets + message


def ceiling(settings: RadioSettings, packet: int = 236, message: int = 18, both_ways: bool = False) -> float:
    """The most picolink messages per second (each way) that the air allows, without loss.

    packet: size of a picolink packet in octets; cut to what the MTU takes.  message: payload in octets.
    Messages are packed back to back into packets; acknowledgements ride on data and cost nothing.
    """
    packet = min(packet, settings.mtu - 3)
    if packet <= PACKET_OVERHEAD:
        raise ValueError(f"packet is {packet}: more than its {PACKET_OVERHEAD} octets of header and CRC")
    stream = value_rate_in_events(settings, packet, both_ways) * (packet - PACKET_OVERHEAD)
    return stream / record_octets(message)
