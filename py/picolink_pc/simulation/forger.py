"""A third device that hears all that two boards say, and says in either one's name what it likes.

It knows what can be known without keys: sessions, identities, tags, offsets, what the CRCs are bound to.
What must not come of it, docs/protocol.md says under "Forgers"; DeceivedBoard looks after that.
"""

import random
import struct
from binascii import crc32
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from picolink_pc.radio.link_layer import CENTRAL, PERIPHERAL

from .board import NUMBER, Board, message_of

IDENTITY = b"a forger"

_VERSION = 2
_OVERHEAD = 12
_RING_BITS = (8, 15)
_REMEMBERED = 300  # packets of each side
_STEP_US = 30_000  # between two attempts of a handshake
_STEPS = 5
_JAM_US = 400_000

_READY, _RENEWED = 0x02, 0x10
_ASK, _GAP, _OVERRUN, _COMMIT = 0x04, 0x08, 0x10, 0x20
_REASONS = (0, 1, 2, 3, 4, 7, 99)


class Lie(StrEnum):
    """What it may say."""

    RING = "HELLO with another ring"
    TAG = "HELLO with a tag far ahead"
    SESSION = "HELLO of session 0xffffffff, or of the board's own"
    HANDSHAKE = "a handshake in the partner's name"
    STRANGER = "a handshake of a stranger"
    VERSION = "another version"
    IDENTITY = "IDENTITY"
    BYE = "BYE"
    CREDIT = "credit"
    ACK = "acknowledgement"
    GAP = "GAP"
    OVERRUN = "OVERRUN"
    FLAGS = "unknown flags"
    LATE = "a packet of an earlier time"
    LATE_BYTES = "bytes 33 to 64 KiB late"
    ECHO = "a packet of the board's own"
    NOISE = "noise with a right CRC"
    MESSAGE = "a message"
    BAD_BYTES = "records that make no sense"
    BAD_END = "END with channel bits"
    END = "END"


INJECTING = (Lie.MESSAGE, Lie.BAD_BYTES, Lie.BAD_END, Lie.END)
"""Lies whose stream bytes are accepted: what docs/protocol.md says that only keys close."""


@dataclass
class Deceit:
    """What was said to one board that docs/protocol.md does not promise to mend.

    acknowledged: perhaps more than the partner has.   shrunk: the partner's ring was said to be smaller.
    injected: stream bytes, perhaps.   ended: END, perhaps.
    """

    acknowledged: bool = False
    shrunk: bool = False
    injected: bool = False
    ended: bool = False


@dataclass
class _Known:
    """What a board has said of itself."""

    session: int = 0
    tag: int = 0
    terms: bytes = bytes(2)
    identity: bytes = bytes(8)
    end: int = 0  # of the stream bytes that it sent last
    ack: int = 0
    credit: int = 0
    packets: deque[bytes] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))

    def begin(self) -> None:
        """New streams."""
        self.end = self.ack = 0


class Forger:
    """simulation: a picolink_pc.simulation.simulation.Simulation, with DeceivedBoards.   lies: what it says.

    tell: called with the side (int) that hears a lie, and a line.

    deceits: what was said to the central and to the peripheral.   counts: how often each lie was told.
    """

    def __init__(
        self, simulation: Any, rng: random.Random, lies: list[Lie], tell: Callable[[int, str], None]
    ):
        self.deceits = Deceit(), Deceit()
        self.counts: Counter[str] = Counter()
        self._simulation = simulation
        self._rng = rng
        self._lies = lies
        self._tell = tell
        self._known = _Known(), _Known()
        self._masks: list[tuple[int, bytes] | None] = [None, None]  # session and terms in a forged handshake
        self._told: dict[Lie, Callable[[int], list[bytes]]] = {
            Lie.RING: self._ring,
            Lie.TAG: self._tag,
            Lie.SESSION: self._session,
            Lie.HANDSHAKE: self._handshake,
            Lie.STRANGER: self._stranger,
            Lie.VERSION: self._version,
            Lie.IDENTITY: self._identity,
            Lie.BYE: self._bye,
            Lie.CREDIT: self._credit,
            Lie.ACK: self._ack,
            Lie.GAP: self._gap,
            Lie.OVERRUN: self._overrun,
            Lie.FLAGS: self._flags,
            Lie.LATE: self._late,
            Lie.LATE_BYTES: self._late_bytes,
            Lie.ECHO: self._echo,
            Lie.NOISE: self._noise,
            Lie.MESSAGE: self._message,
            Lie.BAD_BYTES: self._bad_bytes,
            Lie.BAD_END: self._bad_end,
            Lie.END: self._end,
        }
        simulation.ear = self._hear

    def forge(self) -> None:
        """One lie to one of the boards, if that is connected."""
        to = self._rng.choice((CENTRAL, PERIPHERAL))
        if not self._known[to].session or not self._board(to).connected:
            return
        lie = self._rng.choice(self._lies)
        self.counts[lie] += 1
        for packet in self._told[lie](to):
            self._say(to, packet, lie)

    def _board(self, side: int) -> "DeceivedBoard":
        return self._simulation.boards[side]

    def _say(self, to: int, packet: bytes, lie: str) -> None:
        board = self._board(to)
        if board.connected:
            self._tell(to, f"{lie}: {packet.hex()}")
            board.deliver(packet)

    # -- what it hears ------------------------------------------------------------------------------------

    def _hear(self, side: int, packet: bytes) -> None:
        """A board has said something."""
        if len(packet) < _OVERHEAD:
            return
        me, other = self._known[side], self._known[1 - side]
        me.packets.append(packet)
        kind = packet[0] & 0x61
        if not kind & 1:
            flags, _, offset, ack, credit = struct.unpack_from("<BBHHH", packet)
            me.ack, me.end = ack, (offset + len(packet) - _OVERHEAD) & 0xFFFF
            if not flags & (_GAP | _COMMIT):
                me.credit = credit
        elif kind == 0x01:
            session = int.from_bytes(packet[4:8], "little")
            if session != me.session:
                me.begin()
                other.begin()
            me.session, me.tag, me.terms = session, packet[2], packet[12:14]
        elif kind == 0x21:
            me.identity = packet[8:16]

    # -- greeting packets ---------------------------------------------------------------------------------

    def _name(self, to: int) -> bytes:
        """The identity of the one in whose name it speaks: they are no secret."""
        return self._board(1 - to).identity

    def _introduction(self, to: int, session: int, tag: int, name: bytes | None = None) -> bytes:
        largest = self._rng.choice((244, 244, 20))
        name = name or self._name(to)
        return sealed_with_crc(struct.pack("<BBBBI8s", 0x21, _VERSION, tag & 0xFF, largest, session, name))

    def _hello(
        self,
        to: int,
        session: int,
        tag: int,
        terms: bytes,
        flags: int = 0,
        expected: int = 0,
        ahead: int = 0,
        version: int = _VERSION,
    ) -> bytes:
        """Answers what the board has said last."""
        me = self._known[to]
        answered = (me.tag + ahead) & 0xFF
        head = struct.pack("<BBBBII", 1 | flags, version, tag & 0xFF, answered, session, me.session)
        return sealed_with_crc(head + terms + struct.pack("<H", expected))

    def _other_terms(self, to: int) -> bytes:
        terms = self._known[1 - to].terms
        bits = self._rng.randint(*_RING_BITS)
        return bytes((bits, self._rng.choice((terms[1], 0, 2))))

    def _is_smaller(self, terms: bytes, to: int) -> bool:
        """Whether this ring may be smaller than the partner's: that is not known before it has spoken."""
        return terms[0] < (self._known[1 - to].terms[0] or _RING_BITS[1])

    def _ring(self, to: int) -> list[bytes]:
        partner = self._known[1 - to]
        tag = partner.tag + self._rng.choice((0, 0, 1))
        terms = self._other_terms(to)
        self.deceits[to].shrunk |= self._is_smaller(terms, to)
        flags = self._rng.choice((0, _READY))
        return [
            self._introduction(to, partner.session, tag),
            self._hello(to, partner.session, tag, terms, flags, self._true_expected(to)),
        ]

    def _true_expected(self, to: int) -> int:
        return self._known[1 - to].ack

    def _tag(self, to: int) -> list[bytes]:
        partner = self._known[1 - to]
        tag = partner.tag + self._rng.choice((1, 2, 100, 126, 127, 128, 129, 255))
        ahead = self._rng.choice((0, 0, 1, 127, 128, 255))
        flags = self._rng.choice((0, _READY))
        hello = self._hello(to, partner.session, tag, partner.terms, flags, self._true_expected(to), ahead)
        return [self._introduction(to, partner.session, tag), hello]

    def _session(self, to: int) -> list[bytes]:
        session = self._rng.choice((0xFFFFFFFF, self._known[to].session, 0, 1))
        tag = self._rng.randrange(256)
        packets = [
            self._introduction(to, session, tag),
            self._hello(to, session, tag, self._known[1 - to].terms),
        ]
        return packets[self._rng.randrange(2) :]

    def _handshake(self, to: int) -> list[bytes]:
        """In the partner's name, until the board believes it; perhaps the partner is not heard meanwhile."""
        rng = self._rng
        partner = self._known[1 - to]
        session = rng.choice((partner.session, partner.session, rng.randrange(1, 1 << 32), 0xFFFFFFFF))
        terms = rng.choice((partner.terms, partner.terms, self._other_terms(to)))
        self._shake_hands(to, session, terms, None)
        return []

    def _stranger(self, to: int) -> list[bytes]:
        self._shake_hands(to, self._rng.randrange(1, 1 << 32), bytes((10, 0)), IDENTITY)
        return []

    def _shake_hands(self, to: int, session: int, terms: bytes, name: bytes | None) -> None:
        rng, scheduler = self._rng, self._simulation.scheduler
        tag = self._known[1 - to].tag + rng.choice((0, 1, 1, 2, 100))
        resumes = session == self._known[1 - to].session
        expected = self._true_expected(to) if resumes else 0
        if Lie.ACK in self._lies and rng.random() < 0.3:
            expected = (expected + rng.randrange(600)) & 0xFFFF
            self.deceits[to].acknowledged = True
        self.deceits[to].shrunk |= self._is_smaller(terms, to)
        lie = Lie.STRANGER if name else Lie.HANDSHAKE
        if rng.random() < 0.7:
            self._tell(to, "hears nothing of the partner for a while")
            self._simulation.jam(to, _JAM_US)

        def step() -> None:
            self._masks[to] = session, terms
            self._say(to, self._introduction(to, session, tag, name), lie)
            self._say(to, self._hello(to, session, tag, terms, 0, expected), lie)

        for i in range(_STEPS):
            scheduler.at(scheduler.now_us + i * _STEP_US, step)

    def _version(self, to: int) -> list[bytes]:
        partner = self._known[1 - to]
        version = self._rng.choice((0, 1, 3, 255))
        hello = self._hello(to, partner.session, partner.tag, partner.terms, version=version)
        return [hello]

    def _identity(self, to: int) -> list[bytes]:
        partner = self._known[1 - to]
        session = self._rng.choice((partner.session, self._rng.randrange(1, 1 << 32)))
        name = self._rng.choice((self._name(to), IDENTITY, self._board(to).identity))
        return [self._introduction(to, session, partner.tag, name)]

    def _bye(self, to: int) -> list[bytes]:
        me, partner = self._known[to], self._known[1 - to]
        head = struct.pack("<BBBBII", 0x41, _VERSION, partner.tag, me.tag, partner.session, me.session)
        return [sealed_with_crc(head + bytes((self._rng.choice(_REASONS), 0, 0, 0)))]

    # -- data packets -------------------------------------------------------------------------------------

    def _data(
        self,
        to: int,
        flags: int = 0,
        ack: int | None = None,
        value: int = 0,
        data: bytes = b"",
        offset: int = -1,
    ) -> list[bytes]:
        """In the partner's name, or in that of the one who the board takes for it.

        Everything that is not given is as true as it can be known.
        """
        me, partner = self._known[to], self._known[1 - to]
        session, terms = partner.session, partner.terms
        mask = self._masks[to]
        if mask and self._rng.random() < 0.5:
            session, terms = mask
        start = crc32(struct.pack("<II", session, me.session) + terms + me.terms)
        if ack is None:
            ack = partner.ack
            # To a board that has begun new streams with a forger it is no true one.
            self.deceits[to].acknowledged |= bool(ack and self._masks[to])
        offset = me.ack if offset < 0 else offset
        head = struct.pack("<BBHHH", flags, me.tag, offset & 0xFFFF, ack & 0xFFFF, value & 0xFFFF)
        return [sealed_with_crc(head + data, start)]

    def _ring_of(self, side: int) -> int:
        return 1 << self._known[side].terms[0]

    def _credit(self, to: int) -> list[bytes]:
        most = self._ring_of(1 - to)
        return self._data(to, value=self._rng.choice((0, 1, most, most, most + 1, 0xFFFF, most // 2)))

    def _ack(self, to: int) -> list[bytes]:
        """Of what was sent and has perhaps not come, or was not even sent."""
        rng, me, partner = self._rng, self._known[to], self._known[1 - to]
        ack = rng.choice(
            (
                me.end,
                me.end,
                partner.ack + rng.randrange(600),
                me.end + 1,
                partner.ack - 1,
                rng.randrange(1 << 16),
            )
        )
        self.deceits[to].acknowledged = True
        return self._data(to, rng.choice((0, _ASK)), ack, self._ring_of(1 - to))

    def _gap(self, to: int) -> list[bytes]:
        rng, me = self._rng, self._known[to]
        missing = (me.end - self._known[1 - to].ack) & 0xFFFF
        lengths = (missing - 1, missing // 2, 1, 0, 0xFFFF, rng.randrange(600))
        return [
            packet
            for _ in range(rng.choice((1, 1, 20)))
            for packet in self._data(to, _GAP, value=rng.choice(lengths))
        ]

    def _overrun(self, to: int) -> list[bytes]:
        return self._data(to, _OVERRUN, value=self._rng.choice((0, 0, 1, self._rng.randrange(600))))

    def _flags(self, to: int) -> list[bytes]:
        return self._data(to, self._rng.choice((0x02, 0x40, 0x80, _GAP | _OVERRUN, _COMMIT, _COMMIT | _GAP)))

    def _late(self, to: int) -> list[bytes]:
        packets = self._known[1 - to].packets
        if not packets:
            return []
        first = self._rng.randrange(len(packets))
        return list(packets)[first : first + self._rng.choice((1, 1, 10))]

    def _late_bytes(self, to: int) -> list[bytes]:
        """So late that they pass for others that are still to come."""
        me, partner = self._known[to], self._known[1 - to]
        offset = (partner.end - self._rng.randrange(33 << 10, 1 << 16)) & 0xFFFF
        least, most = (offset - partner.end) & 0xFFFF, (offset - me.ack) & 0xFFFF
        if not self._ring_of(to) <= least <= most < 0x8000:
            self.deceits[to].injected = True  # there may be room for them
        return self._data(to, data=bytes(50), offset=offset)

    def _echo(self, to: int) -> list[bytes]:
        packets = self._known[to].packets
        return [self._rng.choice(packets)] if packets else []

    def _noise(self, to: int) -> list[bytes]:
        del to
        packet = bytearray(self._rng.randbytes(self._rng.choice((8, 16, 16, 30, 100))))
        packet[0] |= 1
        if self._rng.random() < 0.7:
            packet[1] = _VERSION
        return [sealed_with_crc(bytes(packet))]

    def _injected(self, to: int, data: bytes) -> list[bytes]:
        self.deceits[to].injected = True
        return self._data(to, value=self._ring_of(1 - to), data=data)

    def _message(self, to: int) -> list[bytes]:
        size = self._rng.choice((0, 5, 100))
        data = bytes((3, size)) + self._rng.randbytes(size)
        return self._injected(to, data[: self._rng.choice((1, len(data), len(data)))])

    def _bad_bytes(self, to: int) -> list[bytes]:
        bad = (b"\x80\x00", b"\x00\x80\x00", b"\x00\xff\xff\xff\xff", b"\x30\x01x", b"\xff" * 30)
        return self._injected(to, self._rng.choice(bad))

    def _bad_end(self, to: int) -> list[bytes]:
        return self._injected(to, bytes((self._rng.choice((0x31, 0x3F, 0x70, 0xB0)), 0)))

    def _end(self, to: int) -> list[bytes]:
        self.deceits[to].ended = True
        return self._injected(to, b"\x30\x00")


def sealed_with_crc(packet: bytes, start: int = 0) -> bytes:
    return packet + struct.pack("<I", crc32(packet, start))


class DeceivedBoard(Board):
    """A board that hears a forger. Its life in this run is one: it does not lose its memory.

    foreign: messages that its peer has not sent, in hex.
    jumps: how often another message came than the next one.   again, lost: so many messages.
    """

    def __init__(self, *arguments: Any):
        self.foreign: list[str] = []
        self.jumps = self.again = self.lost = 0
        self._next = 0  # behind all that were read
        super().__init__(*arguments)

    def know(self, peer: Board) -> None:
        """It has met the peer before, and remembers it."""
        self.engine.set_partner(peer.identity)

    def forget_strangers(self) -> bool:
        """What a user does whose board has met a stranger first. Returns whether it had."""
        stranger = self.engine.partner not in (None, self.peer.identity)
        if stranger:
            self.policy.forget()
        return stranger

    def talk(self, traffic: Any) -> None:
        """Send so from now on."""
        self.traffic = traffic
        if not self._sending:
            self._sending = True
            self._due_us = self._scheduler.now_us
            self._do(self._send)

    def next_from_peer(self) -> int:
        """The message that is to come next."""
        return self._expected.get(self.peer.life, 0)

    @property
    def troubled(self) -> bool:
        """Whether something else than the forger still ails it."""
        now_us = self._scheduler.now_us
        return max(self._busy_until_us, self._no_memory_until_us, self._no_reading_until_us) > now_us

    def broken_promises(self) -> list[str]:
        return []  # simulation.chaos asks for them with what it knows of the forger

    def wrongs(self, to_it: Deceit, to_peer: Deceit, met: bool) -> list[str]:
        """What has come of the peer's messages that cannot be the forger's work, a line each.

        met: one of the boards took the forger for its partner.
        """
        peer = self.peer
        if to_it.injected or met:
            return []
        errors = []
        if self.foreign:
            errors.append(f"{self.name}: a message that was not sent: {self.foreign[0]}")
        both = self.engine.stats(), peer.engine.stats()
        told = sum(stats["contradictions"] + stats["peer_restarts"] for stats in both) + both[1]["too_large"]
        if self.jumps > told:
            errors.append(f"{self.name}: {self.jumps} times messages were lost or came again, {told} told")
        # Whom a forger has given the streams of a restart does not know that it has had them; it was told.
        if self.again > both[1]["resent"] and not both[0]["peer_restarts"]:
            errors.append(f"{self.name}: {self.again} messages came again, {both[1]['resent']} counted")
        if not to_peer.acknowledged and self.lost > both[1]["too_large"]:
            errors.append(f"{self.name}: {self.lost} messages lost that nobody has acknowledged")
        if both[1]["too_large"] and not to_peer.shrunk:
            errors.append(f"{self.name}: messages were removed for a ring that nobody has told of")
        return errors

    def _check(self, channel: int, message: bytes) -> None:
        number, life = NUMBER.unpack_from(message.ljust(NUMBER.size))
        if message != message_of(number, life, len(message)) or channel != number & 15:
            self.foreign.append(message.hex())
            return
        awaited = self._expected.get(life, 0)
        self.jumps += number != awaited
        self.again += number < self._next
        self.lost += max(0, number - self._next)
        self._next = max(self._next, number + 1)
        self._expected[life] = number + 1
        self.received.messages += 1
        self.received.octets += len(message)

    def _send(self) -> float:
        try:
            return super()._send()
        except ValueError:  # too large for the ring that a forger has told of
            self.counts["told that a message never fits"] += 1
            self._do(self._send, self._scheduler.now_us + 100_000)
            return 0

    def _open(self, unacknowledged: int) -> None:
        del unacknowledged
        self.counts["handshakes"] += 1

    def _check_told(self) -> None:
        """Sessions come and go as the forger likes."""

    def _complain(self) -> None:
        """It is the forger who makes no sense."""
