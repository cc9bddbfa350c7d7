"""The most that a radio carries: both sides always have a full packet ready, and wait for nothing."""

from picolink_pc.radio.air import ATT_L2CAP_OCTETS, PACKET_OVERHEAD, RadioSettings, record_octets
from picolink_pc.radio.link_layer import Kind, LinkLayer

_READY = 3
"""Packets of each side in the controller: as many as it never runs out of."""

_NEVER_MS = 1 << 30


def full_packet(mtu: int) -> int:
    """Bytes of the largest packet that an engine makes (docs/protocol.md, "Sizes")."""
    return min((mtu + 4) // 27 * 27 - 7, 236)


def always_ready(radio: RadioSettings, size: int, seconds: float, settle_s: float = 0) -> tuple[float, float]:
    """Messages of `size` bytes per second to the peripheral and to the central, without any acknowledgement.

    On the modelled link layer alone, with its losses, for `seconds` of virtual time after `settle_s`.
    """
    link = LinkLayer(radio, supervision_timeout_ms=_NEVER_MS)
    packet = full_packet(radio.mtu)
    octets = packet + ATT_L2CAP_OCTETS
    for side in (0, 1):
        for _ in range(_READY):
            link.send(side, None, octets, 0)
    packets = [0, 0]
    begin_us, end_us = settle_s * 1e6, (settle_s + seconds) * 1e6
    while link.next_us < end_us:
        for outcome in link.play(link.next_us):
            if outcome.kind == Kind.COMPLETED:
                link.send(outcome.side, None, octets, round(outcome.time_us))
            elif outcome.kind == Kind.DELIVERED and begin_us <= outcome.time_us < end_us:
                packets[1 - outcome.side] += 1
    messages = (packet - PACKET_OVERHEAD) / record_octets(size)
    return packets[0] * messages / seconds, packets[1] * messages / seconds
