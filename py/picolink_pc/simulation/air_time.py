"""What the time of a connection is used for in the air."""

from picolink_pc.radio.air import (
    ATT_L2CAP_OCTETS,
    INTER_FRAME_SPACE_US,
    PACKET_OVERHEAD,
    RadioSettings,
    pdu_us,
    pdus_per_value,
)
from picolink_pc.radio.link_layer import RadioStatistics

STREAM = "stream"
PACKETS = "packets"
ATT = "att"
PDUS = "pdus"
ALONE = "alone"
AGAIN = "again"
REPEATED = "repeated"
EMPTY = "empty"
UNUSED = "unused"

PURPOSES = {
    STREAM: "bytes of messages and records, for the first time",
    PACKETS: "header and CRC of the packets that carry them",
    ATT: "ATT and L2CAP headers around these packets",
    PDUS: "headers of their link-layer PDUs, and the pause after each",
    ALONE: "packets without stream bytes (acknowledgements, HELLO), with all headers and pauses",
    AGAIN: "stream bytes that an engine sends again",
    REPEATED: "PDUs that the link layer sends again",
    EMPTY: "PDUs without data, and the pause after each",
    UNUSED: "nothing: there was nothing to send, or the rest of an event was too short for an exchange",
}

_OFFSETS = 1 << 16


class AirTime:
    """us: time by purpose, both sides together, of the packets that the radio has carried.

    settings: the radio.
    """

    def __init__(self, settings: RadioSettings) -> None:
        self._settings = settings
        self._empty_us = pdu_us(0, settings.phy)
        self._octet_us = pdu_us(1, settings.phy) - self._empty_us
        self._ends: list[int | None] = [None, None]  # offset behind the last new byte of each side
        self.us = dict.fromkeys((STREAM, PACKETS, ATT, ALONE, AGAIN), 0)

    def count(self, side: int, packet: bytes) -> None:
        """The radio has carried a packet of this side."""
        us, octet_us = self.us, self._octet_us
        pdus = pdus_per_value(len(packet), self._settings.data_length)
        whole_us = (len(packet) + ATT_L2CAP_OCTETS) * octet_us + pdus * (
            self._empty_us + INTER_FRAME_SPACE_US
        )
        stream = len(packet) - PACKET_OVERHEAD
        if packet[0] & 1 or not stream:  # HELLO (docs/protocol.md, "Packets")
            us[ALONE] += whole_us
            return
        end = int.from_bytes(packet[2:4], "little") + stream
        known = end - stream if self._ends[side] is None else self._ends[side]
        new = min(stream, (end - known + _OFFSETS // 2) % _OFFSETS - _OFFSETS // 2)
        if new <= 0:
            us[AGAIN] += whole_us
            return
        self._ends[side] = end
        us[STREAM] += new * octet_us
        us[AGAIN] += (stream - new) * octet_us
        us[PACKETS] += PACKET_OVERHEAD * octet_us
        us[ATT] += ATT_L2CAP_OCTETS * octet_us

    def all_us(self, radio: RadioStatistics, elapsed_us: int) -> dict[str, int]:
        """Time by purpose (PURPOSES) since the beginning; it adds up to `elapsed_us`."""
        empty = sum(radio.pdus) - sum(radio.data_pdus)
        repeated = sum(radio.retransmissions)
        us = self.us | {
            REPEATED: sum(radio.repeated_us) + repeated * INTER_FRAME_SPACE_US,
            EMPTY: empty * (self._empty_us + INTER_FRAME_SPACE_US),
        }
        used_us = sum(radio.air_us) + sum(radio.pdus) * INTER_FRAME_SPACE_US
        return us | {PDUS: used_us - sum(us.values()), UNUSED: elapsed_us - used_us}
