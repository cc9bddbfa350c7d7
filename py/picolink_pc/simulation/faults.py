"""What may happen to packets between the radio and the receiving engine. Bluetooth itself never does it."""

import random
from dataclasses import dataclass


@dataclass(frozen=True)
class PacketFaults:
    """Probabilities, from 0 to 1, per packet received.

    lost: never arrives.
    corrupted: one bit is flipped.
    truncated: its end is missing.
    duplicated: arrives a second time, after `delay_ms`.
    delayed: arrives after `delay_ms`, behind later ones.
    delay_ms: least and most, evenly spread.
    """

    lost: float = 0.0
    corrupted: float = 0.0
    truncated: float = 0.0
    duplicated: float = 0.0
    delayed: float = 0.0
    delay_ms: tuple[int, int] = (1, 100)

    def apply(self, packet: bytes, rng: random.Random) -> list[tuple[int, bytes]]:
        """What becomes of a packet: (delay in us, packet) for each time it arrives."""
        if rng.random() < self.lost:
            return []
        if rng.random() < self.corrupted:
            damaged = bytearray(packet)
            damaged[rng.randrange(len(packet))] ^= 1 << rng.randrange(8)
            packet = bytes(damaged)
        if rng.random() < self.truncated:
            packet = packet[: rng.randrange(len(packet))]
        arrivals = [(self._delay_us(rng) if rng.random() < self.delayed else 0, packet)]
        if rng.random() < self.duplicated:
            arrivals.append((self._delay_us(rng), packet))
        return arrivals

    def _delay_us(self, rng: random.Random) -> int:
        return rng.randint(*self.delay_ms) * 1000


NO_FAULTS = PacketFaults()
