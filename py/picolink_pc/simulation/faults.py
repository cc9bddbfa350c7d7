"""What may happen to packets between the radio and the receiving engine. Bluetooth itself never does it."""

import random
from collections import Counter
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

    def apply(self, packet: bytes, rng: random.Random, counts: Counter[str]) -> list[tuple[int, bytes]]:
        """What becomes of a packet: (delay in us, packet) for each time it arrives.

        counts: grows by 1 under the name of each fault that strikes.
        """
        if rng.random() < self.lost:
            counts["lost"] += 1
            return []
        if packet and rng.random() < self.corrupted:
            counts["corrupted"] += 1
            damaged = bytearray(packet)
            damaged[rng.randrange(len(packet))] ^= 1 << rng.randrange(8)
            packet = bytes(damaged)
        if packet and rng.random() < self.truncated:
            counts["truncated"] += 1
            packet = packet[: rng.randrange(len(packet))]
        delay_us = 0
        if rng.random() < self.delayed:
            counts["delayed"] += 1
            delay_us = self._delay_us(rng)
        arrivals = [(delay_us, packet)]
        if rng.random() < self.duplicated:
            counts["duplicated"] += 1
            arrivals.append((self._delay_us(rng), packet))
        return arrivals

    def _delay_us(self, rng: random.Random) -> int:
        return rng.randint(*self.delay_ms) * 1000


NO_FAULTS = PacketFaults()
