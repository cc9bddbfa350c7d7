"""Boards with a key, and a forger who has not got it."""

import struct
from collections.abc import Callable
from typing import Any

from .forger import Forger, Lie, sealed_with_crc

KEY = bytes(range(32))
WRONG_KEY = bytes(32)

LEAST_MTU = 50

_KEYED, _BYE = 0x61, 0x41
_OVERHEAD = 18
_HELLO_SIZE, _RANDOM_SIZE, _PROOF_SIZE, _TAG_SIZE = 16, 16, 8, 8


def with_key(engine_class: type, key: bytes = KEY) -> Callable[..., Any]:
    """What makes engines of this class, with a key, and with another seed each."""
    made = 0

    def make(session: int, identity: bytes, **options: Any) -> Any:
        nonlocal made
        made += 1
        seed = struct.pack("<8sII", identity, session, made).ljust(32)
        return engine_class(session, identity, key=key, seed=seed, **options)

    return make


class KeylessForger(Forger):
    """Says the same as one without keys about, in the packets of sides with a key, as well as it can.

    repeated: packets of a board whose nonce it has used before under the same key, a line each.
    """

    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        self.repeated: list[str] = []
        self._randoms = [b"", b""]  # last heard of each side
        self._proofs = [b"", b""]
        self._nonces: dict[tuple[int, bytes, int], bytes] = {}

    def _hear(self, side: int, packet: bytes) -> None:
        if packet and packet[0] & 0x61 == _KEYED:
            self._randoms[side], self._proofs[side] = packet[16:32], packet[32:40]
            super()._hear(side, bytes((packet[0] & ~0x60,)) + packet[1:])
            self._known[side].packets[-1] = packet
            return
        if len(packet) >= _OVERHEAD and not packet[0] & 1:
            counter = packet[8] | packet[9] << 8
            # A side draws another random for each handshake: so it names the key.
            if self._nonces.setdefault((side, self._randoms[side], counter), packet) != packet:
                self.repeated.append(f"side {side}: counter {counter} came twice under one key")
        super()._hear(side, packet)
        if len(packet) >= _OVERHEAD and not packet[0] & 1:
            me = self._known[side]
            me.end = (me.end - _OVERHEAD + 12) & 0xFFFF

    def _say(self, to: int, packet: bytes, lie: str) -> None:
        super()._say(to, self._dressed(to, packet, lie), lie)

    def _dressed(self, to: int, packet: bytes, lie: str) -> bytes:
        """As a side with a key would send it: HELLO as KEYED, with a tag for a CRC."""
        rng = self._rng
        if lie in (Lie.LATE, Lie.ECHO):
            if rng.random() < 0.5:
                return packet
            changed = bytearray(packet)  # real, but for a bit
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
            return sealed_with_crc(bytes(changed[:-4])) if changed[0] & 1 else bytes(changed)
        if rng.random() < 0.2:
            return packet  # as a side without a key
        kind = packet[0] & 0x61
        if kind == 0x01 and len(packet) == _HELLO_SIZE + 4:
            head = bytes((packet[0] | 0x60,)) + packet[1:13] + bytes((packet[13] | 1,)) + packet[14:16]
            randoms = (self._randoms[1 - to], self._randoms[to], rng.randbytes(_RANDOM_SIZE))
            proofs = (self._proofs[1 - to], self._proofs[to], bytes(_PROOF_SIZE), rng.randbytes(_PROOF_SIZE))
            random_ = rng.choice(randoms).ljust(_RANDOM_SIZE, b"\0")
            return sealed_with_crc(head + random_ + rng.choice(proofs).ljust(_PROOF_SIZE, b"\0"))
        if kind == _BYE and len(packet) == _HELLO_SIZE + 4:
            proof = rng.choice((self._proofs[1 - to], self._proofs[to], bytes(_PROOF_SIZE)))
            return sealed_with_crc(packet[:_HELLO_SIZE] + proof.ljust(_PROOF_SIZE, b"\0"))
        if not packet[0] & 1:
            partner = self._known[1 - to]
            last = next((real for real in reversed(partner.packets) if not real[0] & 1), bytes(_OVERHEAD))
            counter = (last[8] | last[9] << 8) + rng.choice((0, 1, 1, 2, 1000))
            tags = (last[-_TAG_SIZE:], bytes(_TAG_SIZE), rng.randbytes(_TAG_SIZE))
            return packet[:8] + struct.pack("<H", counter & 0xFFFF) + packet[8:-4] + rng.choice(tags)
        return packet


def accepted(boards: Any) -> list[str]:
    """What only a side with the key can bring about, and none with it has done: a line each."""
    errors = []
    for board in boards:
        stats = board.engine.stats()
        errors += [
            f"{board.name}: {stats[name]} {name}"
            for name in ("contradictions", "peer_restarts", "resent", "too_large")
            if stats[name]
        ]
    return errors
