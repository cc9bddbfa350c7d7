"""The engine's tests: one file for every engine, on MicroPython (boards too) and CPython, without pytest.

Each test_* function takes an Engine class with the interface of picolink.pyengine.Engine; test_native_* are
only for an engine that does not allocate. What docs/protocol.md says of bytes and times stands here again, by
hand, so that an engine cannot agree with itself only.

    micropython engine_suite.py ENGINE [NAME...]

ENGINE: picolink.pyengine.Engine, _picolink.Engine, ...; NAME: a test, or a scripted exchange such as
vectors/hello.json; all tests by default. Prints "ok NAME" or "FAILED NAME: why" for each, and ends with
status 1 when one has failed.
"""

# Engine is a class wherever it is an argument; MicroPython has no (*a, b).
# ruff: noqa: N803, RUF005

import gc
import json
import struct
import sys
from array import array
from binascii import crc32, hexlify, unhexlify

READABLE = 0x01
WRITABLE = 0x02
PULL = 0x04
OPENED = 0x08
PEER_RESTARTED = 0x10
FORGOTTEN = 0x20
TOO_LARGE = 0x40
REFUSED = 0x80
BROKEN = 0x100
PEER_ENDED = 0x200
CONTRADICTED = 0x400
BYE = 0x800

IDLE = 0
GREETING = 1
OPEN = 2
CLOSED = 3

CLOSING = 1
PROGRAM_FAILED = 2
PARTNER_KNOWN = 3
OTHER_VERSION = 4
KEY_WANTED = 5
KEY_WRONG = 6
NONSENSE = 7
PACKETS_SMALL = 8

BYTES = 0
TEXT = 1
OBJECT = 2
NEWEST = 4

# Of packets: byte 0.
HELLO_PACKET = 0x01
IDENTITY_PACKET = 0x21
BYE_PACKET = 0x41
READY = 0x02
RENEWED = 0x10
ASK = 0x04
GAP = 0x08
OVERRUN = 0x10
COMMIT = 0x20

COMMITS = 0x02  # of HELLO: features

END = b"\x30\x00"

NEAR = 0x11223344  # session ids
FAR = 0x55667788
NEAR_ID = b"the near"  # identities
FAR_ID = b"far away"

COUNTERS = (
    "messages_sent",
    "messages_received",
    "messages_acknowledged",
    "packets_sent",
    "packets_received",
    "acks_alone",
    "retransmitted",
    "timeouts",
    "gaps_resent",
    "probes",
    "gaps",
    "duplicates",
    "corrupt",
    "malformed",
    "stale",
    "early",
    "overruns",
    "strangers",
    "contradictions",
    "dropped",
    "opened",
    "peer_restarts",
    "resent",
    "too_large",
    "replayed",
    "unproven",
)


# -- checks -------------------------------------------------------------------------------------------------


def same(got, wanted, what=""):
    if got != wanted:
        raise AssertionError(f"{what}: {got!r}, not {wanted!r}" if what else f"{got!r}, not {wanted!r}")


def true(condition, what):
    if not condition:
        raise AssertionError(what)


def raises(kind, text, function, *args):
    """The call must raise `kind` with `text` in its message."""
    try:
        result = function(*args)
    except kind as error:
        true(text in str(error), f"{text!r} is not in {error!r}")
        return
    raise AssertionError(f"no {kind.__name__} for {args!r}, but {result!r}")


def counted(engine, **wanted):
    """Counters must have these values."""
    stats = engine.stats()
    for name in wanted:
        same(stats[name], wanted[name], name)


# -- packets, records ---------------------------------------------------------------------------------------


def seal(body, start=0):
    return body + struct.pack("<I", crc32(body, start))


def bound(sender, receiver, sender_terms, receiver_terms):
    """What the CRC of a data packet starts with: sessions, and bytes 12 and 13 of HELLO."""
    return crc32(struct.pack("<II", sender, receiver) + sender_terms + receiver_terms)


def identity(session, tag, identity=FAR_ID, largest=244, version=2):
    return seal(struct.pack("<BBBBI", IDENTITY_PACKET, version, tag & 0xFF, largest, session) + identity)


def hello(
    session,
    tag,
    answers=0,
    answered_tag=0,
    flags=0,
    ring_bits=10,
    expected=0,
    version=2,
    features=0,
):
    tags = tag & 0xFF, answered_tag & 0xFF
    head = struct.pack("<BBBBII", HELLO_PACKET | flags, version, tags[0], tags[1], session, answers)
    return seal(head + struct.pack("<BBH", ring_bits, features, expected & 0xFFFF))


def bye(session, tag, answers, answered_tag, reason, version=2):
    head = struct.pack("<BBBBII", BYE_PACKET, version, tag & 0xFF, answered_tag & 0xFF, session, answers)
    return seal(head + struct.pack("<BBH", reason, 0, 0))


def packet(start, tag, offset=0, ack=0, credit=1024, data=b"", flags=0):
    """A data packet whose CRC starts with bound()."""
    head = struct.pack("<BBHHH", flags, tag & 0xFF, offset & 0xFFFF, ack & 0xFFFF, credit)
    return seal(head + data, start)


def parse(data, start):
    """A data packet as (flags, tag, offset, ack, credit, stream bytes)."""
    same(struct.unpack("<I", data[-4:])[0], crc32(data[:-4], start), "CRC")
    return struct.unpack("<BBHHH", data[:8]) + (data[8:-4],)


def record(data, channel=0):
    size = len(data)
    if size < 0x80:
        return bytes((channel, size)) + data
    if size < 0x4000:
        return bytes((channel, size & 0x7F | 0x80, size >> 7)) + data
    return bytes((channel, size & 0x7F | 0x80, size >> 7 & 0x7F | 0x80, size >> 14)) + data


def packet_size(mtu):
    """The largest packet at an ATT MTU: full 27-octet PDUs, three bytes for ATT, 236 at most."""
    size = 20
    while size + 27 <= mtu - 3 and size + 27 <= 236:
        size += 27
    return size


PATTERN = bytes(range(256)) * 5


def message(number, size):
    """A payload of up to 1024 bytes; neighbors in number have others."""
    number &= 0xFF
    return PATTERN[number : number + size]


def drained(engine):
    """All messages that have come, as a list of (channel, bytes)."""
    messages = []
    got = engine.recv()
    while got is not None:
        messages.append(got)
        got = engine.recv()
    return messages


def new(Engine, session=NEAR, tx=1024, rx=1024, window=4096, commit=False):
    """An engine. The board with the identity NEAR_ID has small session ids."""
    return Engine(session, NEAR_ID if session < 0x20000000 else FAR_ID, tx, rx, window, commit)


def pulled(engine, now):
    """The next packet as bytes, b"" for none; wait() must have known."""
    buf = bytearray(236)
    wait = engine.wait(now)
    size = engine.pull_into(buf, now)
    true((wait == 0) == (size > 0), f"wait() said {wait}, then pull_into() gave {size} bytes")
    return bytes(buf[:size])


class Peer:
    """The other side of one engine, by hand: it sends what a test says."""

    def __init__(self, engine, session=FAR, tag=0x40, ring_bits=10, features=0, identity=FAR_ID, largest=244):
        self.engine = engine
        self.session = session
        self.identity = identity
        self.largest = largest
        self.tag = tag
        self.ring_bits = ring_bits
        self.features = features
        self.offset = 0  # of the next byte of its stream
        self.base = 0  # where that begins for this peer which it calls 0: ack, offsets that it hears
        self.ack = 0  # what it has had of the engine's stream
        self.credit = 1 << ring_bits

    def hears_hello(self, now):
        """IDENTITY, and HELLO behind it. Returns HELLO."""
        data = pulled(self.engine, now)
        same((len(data), data[0]), (20, IDENTITY_PACKET), "IDENTITY")
        self.engine_identity = data[8:16]
        self.engine_largest = data[3]
        first = data[1:3] + data[4:8]
        data = pulled(self.engine, now)
        same((len(data), data[0] & ~(READY | RENEWED)), (20, HELLO_PACKET), "HELLO")
        same(data[1:3] + data[4:8], first, "version, tag and session")
        self.engine_tag = data[2]
        self.engine_session = struct.unpack("<I", data[4:8])[0]
        terms = bytes((self.ring_bits, self.features))
        self.start_out = bound(self.session, self.engine_session, terms, data[12:14])
        self.start_in = bound(self.engine_session, self.session, data[12:14], terms)
        return data

    def says_identity(self, now):
        return self.engine.feed(identity(self.session, self.tag, self.identity, self.largest), now)

    def hello(self, expected=0, flags=READY):
        """An answer to the HELLO heard last."""
        answers = self.engine_session
        bits = self.ring_bits
        expected += self.base
        return hello(
            self.session, self.tag, answers, self.engine_tag, flags, bits, expected, 2, self.features
        )

    def says_hello(self, now, expected=0, flags=READY):
        """Answer the HELLO heard last. Returns the flags."""
        self.says_identity(now)
        return self.engine.feed(self.hello(expected, flags), now)

    def says_bye(self, now, reason):
        return self.engine.feed(
            bye(self.session, self.tag, self.engine_session, self.engine_tag, reason), now
        )

    def greet(self, now=0, mtu=247, expected=0):
        """A whole handshake. Returns the flags it raised."""
        self.engine.start(mtu, now)
        self.hears_hello(now)
        self.says_hello(now, expected)
        same(self.engine.state, OPEN, "state")
        return self.engine.take_flags()

    def settle(self, now=0, mtu=247):
        """greet(), and each side tells its credit."""
        flags = self.greet(now, mtu)
        same(self.hears(now)[5], b"")
        self.says(b"", now)
        self.engine.take_flags()
        return flags

    def hears(self, now):
        """The engine's next packet, parsed, or None."""
        data = pulled(self.engine, now)
        return self.parsed(data) if data else None

    def parsed(self, data):
        flags, tag, offset, ack, credit, data = parse(data, self.start_in)
        return flags, tag, (offset - self.base) & 0xFFFF, ack, credit, data

    def says(self, data=b"", now=0, flags=0):
        """Stream bytes that follow what it said before."""
        result = self.engine.feed(self.packet(data, flags=flags), now)
        self.offset += len(data)
        return result

    def packet(self, data=b"", offset=None, flags=0):
        if offset is None:
            offset = self.offset
        return packet(self.start_out, self.engine_tag, offset, self.ack + self.base, self.credit, data, flags)

    def widens(self, now=0):
        """Acknowledges at once, until no more may be in flight. Offsets count from there."""
        limit = 0
        while self.engine.stats()["flight_limit"] > limit:
            limit = self.engine.stats()["flight_limit"]
            while self.engine.send(bytes(221)):  # a record of 224 bytes: a full packet
                pass
            got = self.hears(now)
            while got:
                self.ack = got[2] + len(got[5])
                got = self.hears(now)
            self.says(b"", now)
        while self.engine.pending():
            got = self.hears(now)
            self.ack = got[2] + len(got[5])
            self.says(b"", now)
        self.base += self.ack
        self.ack = 0
        self.engine.take_flags()


def full_flight(Engine, size):
    """A peer that has heard the first 16 packets, all that may be in flight, of a message of `size` bytes."""
    peer = Peer(new(Engine, NEAR, 8192), ring_bits=13)
    peer.settle()
    peer.widens()
    peer.engine.send(bytes(size))
    for _ in range(16):
        peer.hears(0)
    return peer


def everything(_):
    return True


def nothing(_):
    return False


class Wire:
    """Two engines and what is in the air between them, in steps of 5 ms; a packet takes one step.

    A step is longer where nothing happens, by what the engines' wait() says: emulated boards are slow.
    """

    def __init__(self, a, b, mtu=247, now=0, per_step=4):
        self.sides = [a, b]
        self.air = [[], []]  # what goes to each side
        self.got = [[], []]  # messages that each side has read
        self.mtu = mtu
        self.now = now
        self.per_step = per_step  # packets that leave each side in a step
        self.lost = nothing
        self.reading = True
        self.seen = [0, 0]  # flags
        self.count = 0  # packets that left
        self.start()

    def start(self):
        """A new connection: what was in the air is gone."""
        self.air = [[], []]
        for side in self.sides:
            side.start(self.mtu, self.now)

    def step(self, ms=5):
        self.now = (self.now + ms) & 0x3FFFFFFF
        for i in (0, 1):
            engine = self.sides[i]
            arrived = self.air[i]
            self.air[i] = []
            for data in arrived:
                engine.feed(data, self.now)
            self.seen[i] |= engine.take_flags()
            if self.reading:
                self.got[i] += drained(engine)
        for i in (0, 1):
            for _ in range(self.per_step):
                data = pulled(self.sides[i], self.now)
                if not data:
                    break
                self.count += 1
                true(len(data) <= packet_size(self.mtu), f"{len(data)} bytes at an MTU of {self.mtu}")
                if not self.lost(data):
                    self.air[1 - i].append(data)

    def until_next(self, left):
        """ms until something happens, in steps of 5; at most `left`."""
        if self.air[0] or self.air[1]:
            return 5
        for engine in self.sides:
            wait = engine.wait(self.now)
            if 0 <= wait < left:
                left = wait
        return max(5, (left + 4) // 5 * 5)

    def run(self, ms):
        step = 5  # the caller may have done something
        while ms >= 5:
            self.step(step)
            ms -= step
            step = self.until_next(ms)

    def until(self, condition, what, ms=60000):
        left = ms
        while left >= 5:
            if condition():  # which may do something itself
                return
            step = 5 if left == ms else self.until_next(left)
            self.step(step)
            left -= step
        raise AssertionError(f"{what}: not within {ms} ms")

    def open(self):
        self.until(lambda: self.sides[0].state == OPEN and self.sides[1].state == OPEN, "open")

    def transfer(self, side, payloads, channel=0):
        """Send these one after the other; they must come to the other side just so."""
        got = self.got[1 - side]
        wanted = []
        for data in payloads:
            wanted.append((channel, data))
            self.until(lambda data=data: self.sides[side].send(data, channel), "room to send")
            if len(got) and len(wanted) > 8:  # small heaps
                same(got[0], wanted[0])
                del got[0]
                del wanted[0]
        self.until(lambda: len(got) >= len(wanted) and not self.sides[side].pending(), "arrival")
        same(got, wanted)
        got.clear()


class Healing(Wire):
    """A wire whose links hang up when one side is CLOSED, and connect again; who forges is gone."""

    def __init__(self, a, b):
        self.closed_at = None
        Wire.__init__(self, a, b)

    def until_next(self, left):
        if self.closed_at is not None:
            left = min(left, 1000 - (self.now - self.closed_at))
        return Wire.until_next(self, left)

    def step(self, ms=5):
        Wire.step(self, ms)
        if CLOSED not in (self.sides[0].state, self.sides[1].state):
            self.closed_at = None
        elif self.closed_at is None:
            self.closed_at = self.now
        elif self.now - self.closed_at >= 1000:
            self.start()

    def heals(self, ms=10000):
        """What both send from now on must come within 10 s, by itself."""
        self.got = [[], []]
        wanted = (0, b"from side 1"), (0, b"from side 0")
        for side in (0, 1):
            true(self.sides[side].send(b"from side %d" % side), "room to send")
        self.until(lambda: wanted[0] in self.got[0] and wanted[1] in self.got[1], "healed", ms)
        self.until(lambda: self.sides[0].state == self.sides[1].state == OPEN, "open", ms)
        for side in (0, 1):
            self.until(lambda side=side: not self.sides[side].pending(), "acknowledgement", ms)


def linked(Engine, mtu=247, tx=1024, rx=1024, now=0):
    """Two engines with an open connection."""
    wire = Wire(new(Engine, NEAR, tx, rx), new(Engine, FAR, tx, rx), mtu, now)
    wire.open()
    return wire


class Numbers:
    """Pseudo-random numbers in small ints, the same on every machine."""

    def __init__(self, seed):
        self.state = seed & 0x7FFF | 1

    def below(self, limit):
        x = self.state  # a 16-bit xorshift: period 65535
        x ^= x << 7 & 0xFFFF
        x ^= x >> 9
        x ^= x << 8 & 0xFFFF
        self.state = x
        return x % limit


# -- handshake ----------------------------------------------------------------------------------------------


def test_hello_bytes(Engine):
    engine = new(Engine, NEAR, 256, 2048)
    engine.start(247, 0)
    same(hexlify(pulled(engine, 0)[:16]), b"210245f444332211" + hexlify(NEAR_ID))
    same(hexlify(pulled(engine, 0)[:16]), b"010245004433221100000000" + b"0b000000")
    same((engine.state, pulled(engine, 0)), (GREETING, b""))


def test_handshake_of_two_that_start_together(Engine):
    wire = linked(Engine)
    for i in (0, 1):
        same(wire.seen[i] & (OPENED | PEER_RESTARTED | FORGOTTEN | REFUSED), OPENED)
        counted(wire.sides[i], opened=1, early=0, stale=0, malformed=0)
        same((wire.sides[i].peer_version, wire.sides[i].reason), (2, 0))
        same(wire.sides[i].partner, (FAR_ID, NEAR_ID)[i])
    true(wire.now <= 30, f"took {wire.now} ms")


def greeting(engine, now):
    """IDENTITY and HELLO, which are due."""
    return (pulled(engine, now), pulled(engine, now))


def carry_greeting(one, other, now):
    for data in greeting(one, now):
        other.feed(data, now)


def test_handshake_when_one_starts_first(Engine):
    a, b = new(Engine), new(Engine, FAR)
    a.start(247, 0)
    carry_greeting(a, b, 0)  # b has no connection yet
    same(b.state, IDLE)
    counted(b, early=2)
    b.start(247, 40)
    carry_greeting(b, a, 40)
    same(a.state, GREETING)
    carry_greeting(a, b, 40)
    same(b.state, OPEN)
    carry_greeting(b, a, 40)
    same(a.state, OPEN)


def test_handshake_with_lost_hellos(Engine):
    for pattern in range(64):
        wire = Wire(new(Engine, NEAR, 256, 256), new(Engine, FAR, 256, 256))
        left = [pattern]

        def lost(data, left=left):
            if not data[0] & HELLO_PACKET:
                return False
            lose = left[0] & 1
            left[0] >>= 1
            return lose

        wire.lost = lost
        wire.transfer(0, (b"to", b""))
        wire.transfer(1, (b"fro",))
        wire.open()


def test_hello_is_repeated_every_250_ms(Engine):
    engine = new(Engine)
    engine.start(23, 1000)
    for now in (1000, 1250, 1500):
        same([data[0] for data in greeting(engine, now)], [IDENTITY_PACKET, HELLO_PACKET])
        same(engine.wait(now), 250)
        same(engine.wait(now + 249), 1)
        same(pulled(engine, now + 249), b"")


def test_ready_is_not_answered(Engine):
    peer = Peer(new(Engine))
    engine = peer.engine
    peer.settle()
    same(peer.says_hello(10, flags=0), PULL)  # has not had our READY: say it again
    data = peer.hears_hello(10)
    same(data[0], HELLO_PACKET | READY)
    same(peer.hears(10)[4:6], (1024, b""))  # it has missed the credit too
    peer.says_hello(20)
    same(engine.wait(20), -1)
    same(engine.state, OPEN)
    counted(engine, opened=1)


def test_answer_to_an_older_tag_does_not_open(Engine):
    peer = Peer(new(Engine))
    engine = peer.engine
    engine.start(247, 0)
    peer.hears_hello(0)
    engine.start(247, 10)
    peer.says_hello(10)
    same(engine.state, GREETING)
    peer.hears_hello(260)
    peer.says_hello(260)
    same(engine.state, OPEN)


def test_packets_of_an_earlier_connection_are_stale(Engine):
    peer = Peer(new(Engine))
    engine = peer.engine
    peer.settle()
    old = peer.packet(record(b"old"))
    peer.settle(100)
    same(engine.feed(old, 349), 0)
    counted(engine, stale=1)
    same(engine.recv(), None)
    same(engine.wait(349), -1)  # HELLO was said 249 ms ago
    same(engine.feed(old, 350), PULL)
    same(
        peer.hears_hello(350)[0], HELLO_PACKET | READY
    )  # should the peer believe in that tag, it learns better
    same(peer.hears(350)[4:6], (1024, b""))
    same(engine.wait(350), -1)
    peer.says(record(b"new"), 360)
    same(engine.recv(), (0, b"new"))


def test_hello_of_an_earlier_handshake_is_stale(Engine):
    peer = Peer(new(Engine))
    engine = peer.engine
    peer.settle()
    late = 0
    for flags in (0, READY):
        for behind, answered, session in (
            (1, -1, NEAR),
            (0x80, -0x7F, NEAR),
            (1, 0, NEAR + 1),
            (1, 1, NEAR + 1),
        ):
            engine.take_flags()
            now = 1000 + 250 * late
            engine.feed(hello(FAR, peer.tag - behind, session, peer.engine_tag + answered, flags), now)
            same(engine.state, OPEN)
            late += 1
            counted(engine, stale=late)
            same(engine.take_flags(), PULL)
            same(peer.hears_hello(now)[0], HELLO_PACKET | READY)  # it may be no late one
            same(peer.hears(now)[5], b"")
            engine.feed(hello(FAR, peer.tag - behind, session, peer.engine_tag + answered, flags), now + 249)
            same((engine.take_flags(), engine.wait(now + 249)), (0, -1))
            late += 1
    engine.feed(hello(FAR, peer.tag + 0x7F, NEAR, peer.engine_tag), 10000)
    same(engine.state, GREETING)


def test_hello_behind_that_answers_this_handshake_is_not_late(Engine):
    # The tag known is a forged one: nobody but the peer's true self can know this side's newest tag.
    for behind, answered in ((1, 0), (0x80, 0), (100, 2), (0x80, 0x7F), (1, 0x80)):
        peer = Peer(new(Engine))
        engine = peer.engine
        peer.settle()
        same(engine.feed(hello(FAR, peer.tag - behind, NEAR, peer.engine_tag + answered), 1000), PULL)
        same(engine.state, GREETING)
        counted(engine, stale=0)


def test_tags_that_come_apart_are_mended(Engine):
    # Both open, each with another idea of the other's tag: packets were late, a READY was lost.
    wire = linked(Engine)
    a, b = wire.sides
    late = []
    wire.lost = lambda data: late.append(data) or True
    wire.start()
    wire.step()
    hello_a, hello_b = late[:2], late[2:]
    for data in hello_a:
        b.feed(data, wire.now)
    answer = greeting(b, wire.now)
    b.start(wire.mtu, wire.now)
    greeting(b, wire.now)
    for data in hello_b:
        a.feed(data, wire.now)
    greeting(a, wire.now)
    for data in answer:
        a.feed(data, wire.now)  # a is open, with b's tag from before its second start
    same(a.state, OPEN)
    for data in greeting(a, wire.now):
        b.feed(data, wire.now)
    wire.lost = nothing
    wire.transfer(0, (b"there",))
    wire.transfer(1, (b"and back",))


def test_packets_before_the_handshake_are_early(Engine):
    engine = new(Engine)
    data = packet(0, 0x45, data=record(b"x"))
    engine.feed(data, 0)
    engine.start(247, 0)
    engine.feed(data, 0)
    engine.feed(data[:-1] + b"?", 0)  # its CRC is not looked at
    counted(engine, early=3, corrupt=0)
    same(engine.recv(), None)


def test_peer_greets_again(Engine):
    peer = Peer(new(Engine))
    engine = peer.engine
    peer.settle()
    engine.send(b"kept")
    true(peer.hears(5), "a packet")
    peer.tag += 1
    peer.says_hello(10, flags=0)
    same(engine.state, GREETING)
    peer.hears_hello(10)
    peer.says_hello(20)
    same(engine.state, OPEN)
    same(engine.take_flags() & (OPENED | PEER_RESTARTED | FORGOTTEN), OPENED)
    _, tag, offset, _, _, data = peer.hears(20)
    same((tag, offset, data), (peer.tag, 0, record(b"kept")))


def test_silent_before_start(Engine):
    engine = new(Engine)
    same(engine.send(b"waits"), True)
    same((engine.state, engine.pending(), engine.wait(0)), (IDLE, 7, -1))
    same(pulled(engine, 0), b"")
    wire = Wire(engine, new(Engine, FAR))
    wire.until(lambda: wire.got[1], "arrival")
    same(wire.got[1], [(0, b"waits")])


def test_tag_wraps(Engine):
    wire = Wire(new(Engine, 0x112233FE), new(Engine, 0x556677FF))
    for i in range(4):
        wire.transfer(0, (message(i, 9),))
        wire.start()
    wire.open()


# -- reconnects and restarts --------------------------------------------------------------------------------


def test_drop_at_any_point(Engine):
    sent = [message(i, 5 * i) for i in range(12)]
    for drop in range(1, 40, 2):
        wire = Wire(new(Engine, NEAR, 256, 256), new(Engine, FAR, 256, 256), 23, 0, 1)
        left = [list(sent), list(sent)]
        dropped = False
        while len(wire.got[0]) < len(sent) or len(wire.got[1]) < len(sent):
            true(wire.now < 60000, f"not all has arrived after a drop at packet {drop}")
            for i in (0, 1):
                if left[i] and wire.sides[i].send(left[i][0], i):
                    left[i].pop(0)
            wire.step()
            if wire.count >= drop and not dropped:
                dropped = True
                wire.start()
                wire.sides[drop // 2 & 1].start(23, wire.now)  # one of them even twice
        same(dropped, True)
        same(wire.got[0], [(1, data) for data in sent], f"after {drop} packets")
        same(wire.got[1], [(0, data) for data in sent], f"after {drop} packets")
        for i in (0, 1):
            same(wire.seen[i] & (PEER_RESTARTED | FORGOTTEN | REFUSED | BROKEN), 0)


def test_resume_at_another_mtu(Engine):
    wire = linked(Engine)
    engine = wire.sides[0]
    sent = [message(i, 100) for i in range(8)]
    for data in sent:
        true(engine.send(data), "room")
    wire.lost = everything
    wire.run(20)
    wire.lost = nothing
    wire.mtu = 23
    wire.start()
    wire.until(lambda: not engine.pending(), "arrival")
    same(wire.got[1], [(0, data) for data in sent])


def test_reconnect_forgets_the_timers(Engine):
    peer = Peer(new(Engine, NEAR, 8192), ring_bits=13)
    engine = peer.engine
    peer.credit = 448
    peer.settle()
    engine.send(bytes(2000))
    peer.hears(0)
    peer.ack = 224
    peer.credit = 224
    peer.says(b"", 100)
    peer.hears(100)
    same(engine.wait(100), 330)
    same(peer.hears(430)[0], ASK)  # a timeout
    engine.feed(peer.packet(b"behind a hole", offset=50), 600)
    same(peer.hears(600)[0], GAP)
    peer.ack, peer.credit = 448, 0
    peer.says(b"", 700)
    counted(engine, rtt_ms=100, timeouts=1)
    same(peer.hears(1030)[0], ASK | GAP)  # no credit: a probe
    # What was sent is acknowledged, there is no credit, and a minute goes by.
    peer.greet(60000, expected=448)
    same(peer.hears(60000)[0:5], (0, 0x40, 448, 0, 1024))
    counted(engine, rtt_ms=0, flight_limit=2)
    same(engine.wait(60000), 1000)
    peer.says(b"", 60100)
    same(engine.wait(60100), 900)


def test_hello_acknowledges(Engine):
    peer = Peer(new(Engine))
    engine = peer.engine
    peer.settle()
    engine.send(b"one")
    engine.send(b"two")
    same(peer.hears(0)[5], record(b"one") + record(b"two"))
    peer.greet(100, expected=5)
    same(engine.pending(), 5)
    same(peer.hears(100)[2:6], (5, 0, 1024, record(b"two")))


def test_peer_restarts(Engine):
    peer = Peer(new(Engine))
    engine = peer.engine
    peer.settle()
    peer.says(record(b"whole") + record(b"also whole") + record(bytes(90))[:40], 0)
    for data in (b"first", b"second", b"third"):
        engine.send(data)
    peer.hears(10)
    peer.ack = 7 + 3  # "first" and the beginning of "second"
    peer.says(b"", 20)
    engine.send(b"never sent before")
    same(engine.pending(), 8 + 7 + 19)
    engine.take_flags()

    again = Peer(engine, session=0x99AABBCC)
    same(again.greet(100) & (OPENED | PEER_RESTARTED | FORGOTTEN), OPENED | PEER_RESTARTED)
    counted(engine, peer_restarts=1, resent=2, opened=2)
    same(again.hears(100)[2:6], (0, 0, 1024 - len(record(b"whole") + record(b"also whole")), b""))
    again.says(b"", 100)
    _, _, offset, _, _, data = again.hears(100)
    same((offset, data), (0, record(b"second") + record(b"third") + record(b"never sent before")))
    again.says(record(b"fresh"), 110)
    same([data for _, data in drained(engine)], [b"whole", b"also whole", b"fresh"])


def test_own_restart(Engine):
    peer = Peer(new(Engine))
    engine = peer.engine
    engine.start(247, 0)
    engine_hello = peer.hears_hello(0)
    same(engine_hello[8:12], bytes(4))
    # The peer still greets the session before.
    engine.feed(hello(FAR, 0x41, NEAR - 1, 0x07, 0, 10, 0), 5)
    same(engine.state, GREETING)
    peer.tag = 0x41
    peer.hears_hello(5)
    peer.says_hello(10, flags=READY | RENEWED)
    same(engine.take_flags() & (OPENED | PEER_RESTARTED | FORGOTTEN), OPENED | FORGOTTEN)
    counted(engine, peer_restarts=0)


def test_both_learn_of_a_restart(Engine):
    wire = linked(Engine)
    living, old = wire.sides
    wire.transfer(0, (b"before",))
    wire.reading = False
    old.send(b"unread")
    wire.run(100)
    wire.lost = everything
    living.send(b"on its way")
    wire.run(50)
    wire.lost = nothing
    wire.reading = True
    wire.seen = [0, 0]
    wire.sides[1] = new(Engine, FAR + 1)
    wire.start()
    wire.until(lambda: not living.pending(), "arrival")
    same(wire.seen[0] & (PEER_RESTARTED | FORGOTTEN), PEER_RESTARTED)
    same(wire.seen[1] & (PEER_RESTARTED | FORGOTTEN), FORGOTTEN)
    same(wire.got, [[(0, b"unread")], [(0, b"on its way")]])
    counted(living, resent=1)


def test_hello_says_that_a_session_came_before(Engine):
    peer = Peer(new(Engine))
    engine = peer.engine
    engine.start(247, 0)
    same(peer.hears_hello(0)[0], HELLO_PACKET)
    peer.settle()
    engine.start(247, 10)
    same(peer.hears_hello(10)[0], HELLO_PACKET)  # the peer may live
    again = Peer(engine, session=0x99AABBCC, tag=0x50)
    engine.feed(hello(again.session, again.tag), 10)
    same(again.hears_hello(10)[0], HELLO_PACKET | RENEWED)
    engine.start(247, 20)  # nothing came of that
    data = peer.hears_hello(20)
    same((data[0], data[3], data[8:12]), (HELLO_PACKET, peer.tag, struct.pack("<I", FAR)))
    engine.feed(hello(again.session, again.tag), 20)
    again.hears_hello(20)
    again.says_hello(20, flags=0)
    same(again.hears_hello(20)[0], HELLO_PACKET | READY | RENEWED)


def renewed(session, identity):
    """The session id that follows, as docs/protocol.md says."""
    return crc32(identity, session) or 1


def test_impossible_place_begins_anew_at_once(Engine):
    peer = Peer(new(Engine))
    engine = peer.engine
    engine.start(247, 0)
    first = peer.hears_hello(0)
    same(peer.says_hello(0, expected=5), PULL | CONTRADICTED)  # of a stream that this engine does not know
    data = peer.hears_hello(0)
    same(peer.engine_session, renewed(NEAR, NEAR_ID))
    same((data[2], data[3], data[8:12]), (first[2] + 1, peer.tag, struct.pack("<I", FAR)))
    peer.says_hello(0, flags=READY | RENEWED)
    same(engine.state, OPEN)
    same(engine.take_flags() & FORGOTTEN, 0)
    counted(engine, malformed=0, peer_restarts=0, contradictions=1)


def test_return_to_an_earlier_peer(Engine):
    for first in (0, 1):
        a, b, c = new(Engine, 1000), new(Engine, 2000), new(Engine, 3000)
        for other in (b, c, b, c):
            wire = Wire(a, other) if first else Wire(other, a)
            a.send(b"from a")
            other.send(b"to a")
            wire.until(lambda a=a, other=other: not a.pending() and not other.pending(), "arrival")
            same(wire.got[first], [(0, b"from a")])
            same(wire.got[1 - first], [(0, b"to a")])


def test_session_after_what_is_no_record(Engine):
    session = 0xFFFFFFFF
    engine = new(Engine, session)
    Peer(engine, session=0x99AABBCC).settle()
    for _ in range(3):
        peer = Peer(engine)
        peer.settle(0)
        same(peer.engine_session, session)
        peer.says(record(b"x") + b"\x80\x00")
        engine.start(247, 10)
        data = peer.hears_hello(10)
        session = renewed(session, FAR_ID)
        same(peer.engine_session, session)
        known = data[0], data[3], data[8:12], data[14:16]
        same(known, (HELLO_PACKET, 0, bytes(4), bytes(2)))  # it knows no peer, nor its tag
        peer.says_hello(10, flags=READY | RENEWED)
        same(engine.take_flags() & (OPENED | FORGOTTEN | CONTRADICTED), OPENED)  # nothing is lost here
        same(peer.hears(10)[5], b"")
        engine.bye(CLOSING)  # neither of these is a reason to renew
        engine.start(247, 20)
        peer.hears_hello(20)
        peer.says_bye(20, NONSENSE)
        same((engine.state, engine.reason), (CLOSED, NONSENSE))


def test_messages_too_large_for_the_peer(Engine):
    peer = Peer(new(Engine), ring_bits=8)
    engine = peer.engine
    sizes = (10, 300, 253, 254, 0, 600, 5)
    for i in range(len(sizes)):
        same(engine.send(message(i, sizes[i]), i) or i == 5, True)
    engine.start(247, 0)
    peer.hears_hello(0)
    same(peer.says_hello(0) & (OPENED | TOO_LARGE), OPENED | TOO_LARGE)
    counted(engine, too_large=2)
    stream = b""
    for i in (0, 2, 4, 6):
        stream += record(message(i, sizes[i]), i)
    same(engine.pending(), len(stream))
    got = b""
    same(peer.hears(0)[5], b"")
    peer.says(b"", 0)
    while len(got) < len(stream):
        _, _, offset, _, _, data = peer.hears(0)
        same(offset, len(got))
        true(len(data), "stream bytes")
        got += data
        peer.ack = len(got)
        peer.says(b"", 0)
    same(got, stream)
    raises(ValueError, "254", engine.send, bytes(254))
    same(engine.send(bytes(253)), True)


# -- messages -----------------------------------------------------------------------------------------------


def test_every_size(Engine):
    wire = linked(Engine, 247, 256, 256)
    wire.per_step = 1
    wire.transfer(0, (message(size, size) for size in range(254)))
    raises(ValueError, "254", wire.sides[0].send, bytes(254))


def test_sizes_around_the_varint_steps(Engine):
    buf = bytearray(32765)  # one for all, and the first: boards have little memory
    wire = Wire(new(Engine, NEAR, 32768, 256), new(Engine, FAR, 256, 32768))
    wire.reading = False
    a, b = wire.sides
    for i in range(len(buf)):
        buf[i] = i * i >> 5 & 0xFF
    for size in (127, 128, 0x3FFF, 0x4000, 32764):
        view = memoryview(buf)[:size]
        check = crc32(view)
        same(a.send(view, 7), True)
        view[size - 1] ^= 0xFF
        wire.until(lambda: not a.pending(), "arrival")
        same(b.recv_into(view), 7 << 16 | size)
        same(crc32(view), check, f"CRC of {size} bytes")
    raises(ValueError, "32765", a.send, buf)


def test_channels(Engine):
    wire = linked(Engine)
    for channel in range(16):
        true(wire.sides[0].send(bytes((channel,)), channel), "room")
    wire.until(lambda: len(wire.got[1]) == 16, "arrival")
    same(wire.got[1], [(i, bytes((i,))) for i in range(16)])


def test_every_mtu(Engine):
    mtu = 23
    while mtu < 518:
        peer = Peer(new(Engine))
        peer.settle(0, mtu)
        peer.engine.send(message(mtu, 300))
        data = pulled(peer.engine, 0)
        same(len(data), packet_size(mtu), f"packet at an MTU of {mtu}")
        mtu += 1 if mtu < 250 else 89


def test_ring_and_offset_wrap(Engine):
    wire = Wire(new(Engine, NEAR, 1024, 256), new(Engine, FAR, 256, 512))
    wire.transfer(0, (message(i, 200 + i % 53) for i in range(310)))  # more than 65536 bytes
    counted(wire.sides[0], retransmitted=0)


def test_full_ring_takes_nothing(Engine):
    engine = new(Engine, NEAR, 256, 256)
    same(engine.send(bytes(100)), True)
    same(engine.send(bytes(150)), True)
    same(engine.pending(), 102 + 153)
    same(engine.send(b""), False)
    same(engine.end(), False)
    same(engine.pending(), 255)
    counted(engine, messages_sent=2)
    wire = Wire(engine, new(Engine, FAR, 256, 256))
    wire.until(lambda: engine.send(b""), "room")
    wire.until(lambda: len(wire.got[1]) == 3, "arrival")
    same([len(data) for _, data in wire.got[1]], [100, 150, 0])


def test_acknowledged_moves_as_the_peer_takes_parts_of_a_message(Engine):
    wire = linked(Engine, 23)
    engine = wire.sides[0]
    before = engine.acknowledged()
    engine.send(bytes(600))
    places = []
    while engine.pending():
        same(engine.pending(), 603)
        place = (engine.acknowledged() - before) & 0xFFFF
        if not places or places[-1] != place:
            places.append(place)
        wire.step()
    true(len(places) > 2, str(places))
    same(places, sorted(places))
    same((engine.acknowledged() - before) & 0xFFFF, 603)


def test_kinds_of_buffers(Engine):
    wire = linked(Engine)
    big = bytearray(b"..memoryview..")
    kinds = (b"bytes", bytearray(b"bytearray"), memoryview(big)[2:12], array("B", b"array"), "t\xfc\u4e16")
    kinds += (array("b", b"\x80signed"),)
    for data in kinds:
        wire.transfer(0, (b"before",))
        same(wire.sides[0].send(data, 3), True)
        wire.until(lambda: wire.got[1], "arrival")
        same(wire.got[1].pop(), (3 | TEXT << 4, data) if isinstance(data, str) else (3, bytes(data)))


def test_recv_into(Engine):
    wire = linked(Engine, 247, 256, 256)
    wire.reading = False
    a, b = wire.sides
    buf = bytearray(b"\xee" * 64)
    same(b.recv_into(buf), -1)
    for i in range(40):  # also where the ring wraps
        data = message(i, 31)
        a.send(data, 9)
        wire.until(lambda: not a.pending(), "arrival")
        raises(ValueError, "31", b.recv_into, bytearray(30))
        raises(ValueError, "31", b.recv_into, memoryview(buf)[:30])
        same(b.recv_into(memoryview(buf)[3:]), 9 << 16 | 31)
        same(bytes(buf), b"\xee" * 3 + data + b"\xee" * 30)
    counted(b, messages_received=40)
    a.send(b"", 2)
    wire.until(lambda: not a.pending(), "arrival")
    same(b.recv_into(bytearray(0)), 2 << 16)


def test_readable(Engine):
    wire = linked(Engine, 23)
    a, b = wire.sides
    wire.reading = False
    same(b.readable(), 0)
    a.send(bytes(300))
    received = b.stats()["packets_received"]
    wire.until(lambda: b.stats()["packets_received"] > received, "a part")
    same(b.readable(), 0)
    wire.until(lambda: not a.pending(), "arrival")
    a.send(b"", 15, NEWEST)
    a.end()
    wire.until(lambda: not a.pending(), "arrival")
    for first, size in ((0, 300), (15 | NEWEST << 4, 0)):
        same((b.readable(), b.readable(), b.ended), (0x100 | first, 0x100 | first, False))
        same(b.recv(), (first, bytes(size)))
    same((b.readable(), b.ended), (0, True))


def test_end(Engine):
    wire = linked(Engine)
    a, b = wire.sides
    wire.reading = False
    a.send(b"last")
    same(a.end(), True)
    wire.until(lambda: not a.pending(), "arrival")
    same(wire.seen[1] & (READABLE | PEER_ENDED), READABLE | PEER_ENDED)
    same(b.ended, False)
    same(b.recv(), (0, b"last"))
    same((b.recv(), b.recv_into(bytearray(9))), (None, -1))
    same((b.ended, a.ended), (True, False))
    b.send(b"still")  # the other direction goes on
    wire.until(lambda: a.recv() == (0, b"still"), "arrival")
    counted(a, messages_sent=1)
    counted(b, messages_received=1)


# -- acknowledgements, credit, timers -----------------------------------------------------------------------


def test_ack_is_delayed_30_ms(Engine):
    peer = Peer(new(Engine))
    engine = peer.engine
    peer.settle()
    peer.says(record(b"x"), 100)
    same(engine.wait(100), 30)
    peer.says(record(b"y"), 110)  # does not put it off
    same((engine.wait(110), engine.wait(129)), (20, 1))
    same(pulled(engine, 129), b"")
    same(engine.wait(135), 0)
    flags, tag, offset, ack, credit, data = peer.hears(135)
    same((flags, tag, offset, ack, credit, data), (0, 0x40, 0, 6, 1024 - 6, b""))
    same(engine.wait(135), -1)
    counted(engine, acks_alone=2)  # the first told the credit


def test_ack_rides_on_data(Engine):
    peer = Peer(new(Engine))
    engine = peer.engine
    peer.settle()
    peer.says(record(b"x"), 100)
    engine.send(b"y")
    same(peer.hears(105)[3:6], (3, 1021, record(b"y")))
    peer.ack = 3
    peer.says(b"", 110)
    same(engine.wait(110), -1)
    counted(engine, acks_alone=1)


def test_ask_is_answered_at_once(Engine):
    peer = Peer(new(Engine))
    peer.settle()
    same(peer.says(record(b"x"), 50, ASK) & (READABLE | PULL), READABLE | PULL)
    same(peer.hears(50)[3], 3)
    peer.says(b"", 60, ASK)
    same(peer.hears(60)[3], 3)
    same(peer.engine.wait(60), -1)


def test_asks_after_five_eighths_of_a_flight(Engine):
    peer = Peer(new(Engine, NEAR, 8192), ring_bits=13)  # 4096 // (236 + 7) = 16 packets
    for now in (0, 100):  # a new connection counts anew
        peer.greet(now)
        counted(peer.engine, flight_limit=2)
        peer.says(b"", now)
        peer.widens(now)
        peer.engine.send(bytes(8000))
        asks = []
        got = peer.hears(now)
        while got:
            asks.append(got[0])
            got = peer.hears(now)
        counted(peer.engine, flight_limit=16)
        first = asks.index(ASK)
        same(asks, [0 if (i - first) % 10 else ASK for i in range(16)])
        peer.ack = 16 * 224
        peer.says(b"", now)
        peer.base += peer.ack
        peer.ack = 0


def test_asks_more_often_after_a_loss(Engine):
    peer = full_flight(Engine, 8000)
    engine = peer.engine
    peer.credit = 224  # the gap
    peer.says(b"", 10, GAP)
    counted(engine, flight_limit=8)
    same([peer.hears(10)[0] for _ in range(8)], [ASK, 0, ASK, 0, ASK, 0, ASK, 0])  # every 2nd: 8 / 2 - 2


def test_window_limits_the_flight(Engine):
    for window, mtu, packets in ((256, 247, 1), (600, 247, 2), (256, 23, 9), (65535, 23, 128)):
        peer = Peer(new(Engine, NEAR, 8192, 256, window), ring_bits=13)
        peer.settle(0, mtu)
        peer.widens()
        peer.engine.send(bytes(8000))
        sent = 0
        while peer.hears(0):
            sent += 1
        same(sent, packets, f"packets for a window of {window}")


def test_asks_at_the_end_of_the_credit(Engine):
    peer = Peer(new(Engine, NEAR, 8192), ring_bits=13)
    peer.credit = 300
    peer.settle()
    peer.engine.send(bytes(500))
    same(len(peer.hears(0)[5]), 224)
    same(peer.hears(0), None)  # 76 more would fit: not worth a packet while one is on its way
    peer.ack, peer.credit = 224, 76
    peer.says(b"", 10)
    flags, _, _, _, _, data = peer.hears(10)
    same((flags, len(data)), (ASK, 76))
    same(peer.hears(10), None)


def test_zero_credit_probe_and_update(Engine):
    peer = Peer(new(Engine))
    engine = peer.engine
    peer.settle()
    peer.widens()
    engine.send(bytes(1021))  # takes all the credit
    while peer.hears(0):
        pass
    peer.ack, peer.credit = 1024, 0
    peer.says(b"", 40)
    same(engine.pending(), 0)
    same(engine.send(b"waits"), True)
    now = 40
    for wait in (300, 600, 1200, 2400, 2400):
        same(engine.wait(now), wait)
        same(pulled(engine, now + wait - 1), b"")
        now += wait
        flags, _, offset, _, _, data = peer.hears(now)
        same((flags, offset, data), (ASK, 1024, b""))
        peer.says(b"", now)  # still no credit
    counted(engine, probes=5, timeouts=0)
    peer.credit = 512
    same(peer.says(b"", now) & PULL, PULL)
    same(peer.hears(now)[5], record(b"waits"))
    same(engine.wait(now), 300)


def test_slow_reader_gives_credit(Engine):
    peer = Peer(new(Engine, NEAR, 256, 1024))
    engine = peer.engine
    peer.settle()
    part = message(1, 126)
    for i in range(8):
        peer.says(record(part), i)
    same(peer.hears(8 + 30)[3:5], (1024, 0))
    same(engine.wait(30), -1)
    engine.recv()
    same(engine.wait(30), -1)  # less than a quarter of the ring
    engine.recv()
    same(peer.hears(30)[3:5], (1024, 256))
    same(engine.wait(30), -1)
    for _ in range(6):
        engine.recv()
    same(peer.hears(31)[3:5], (1024, 1024))
    same(engine.wait(31), -1)


def test_reader_of_a_part_gives_the_last_credit(Engine):
    # All that came whole has been read, and a part of a message fills the rest of what the peer may send.
    peer = Peer(new(Engine, NEAR, 256, 256))
    engine = peer.engine
    peer.settle()
    stream = record(message(1, 30)) + record(message(2, 250))
    peer.says(stream[:200], 0)
    peer.says(stream[200:256], 0)
    same(peer.hears(30)[3:5], (256, 0))
    same(engine.wait(30), -1)
    engine.recv()
    same(peer.hears(30)[3:5], (256, 32))
    peer.says(stream[256:], 30)
    same(engine.recv(), (0, message(2, 250)))


def test_lost_credit_does_not_end_the_link(Engine):
    wire = linked(Engine, 247, 512, 256)
    a, b = wire.sides
    wire.reading = False
    for i in range(4):
        a.send(message(i, 120))
    wire.run(500)
    same(len(drained(b)), 2)
    wire.lost = everything
    wire.run(50)  # the news of the room is lost
    wire.lost = nothing
    wire.reading = True
    wire.until(lambda: not a.pending(), "arrival")
    same([data for _, data in wire.got[1]], [message(2, 120), message(3, 120)])
    true(a.stats()["probes"], "no probe")


def test_gap_is_told_once_and_what_is_behind_it_is_kept(Engine):
    peer = Peer(new(Engine))
    engine = peer.engine
    peer.settle()
    lost = record(b"lost")
    late = record(b"late")
    engine.feed(peer.packet(late, offset=len(lost)), 10)
    same(peer.hears(10)[0:5], (GAP, 0x40, 0, 0, len(lost)))
    engine.feed(peer.packet(late, offset=len(lost)), 15)
    same(engine.wait(15), 30)
    same(peer.hears(45)[0:5], (GAP, 0x40, 0, 0, len(lost)))
    counted(engine, gaps=2, messages_received=0)
    peer.says(lost, 50)
    same(peer.hears(50)[0:5], (0, 0x40, 0, 12, 1024 - 12))
    same([data for _, data in drained(engine)], [b"lost", b"late"])


def test_packets_behind_a_second_gap_are_not_kept(Engine):
    peer = Peer(new(Engine))
    engine = peer.engine
    peer.settle()
    parts = [record(b"%d" % i) for i in range(6)]
    size = len(parts[0])
    for i in (1, 2, 4, 5):
        engine.feed(peer.packet(parts[i], offset=i * size), 10)
    same(peer.hears(10)[0:5], (GAP, 0x40, 0, 0, size))
    peer.says(parts[0], 20)
    same(peer.hears(20)[0:4], (0, 0x40, 0, 3 * size))
    engine.feed(peer.packet(parts[5], offset=5 * size), 30)
    same(peer.hears(30)[0:5], (GAP, 0x40, 0, 3 * size, 2 * size))
    # One packet may close the gap and bring more than what was kept.
    engine.feed(peer.packet(parts[3] + parts[4] + parts[5], offset=3 * size), 40)
    same(peer.hears(40)[0:4], (0, 0x40, 0, 6 * size))
    same([data for _, data in drained(engine)], [b"%d" % i for i in range(6)])


def test_what_is_kept_fits_the_ring(Engine):
    peer = Peer(new(Engine, NEAR, 1024, 256))
    engine = peer.engine
    peer.settle()
    engine.feed(peer.packet(bytes(200), offset=56), 10)
    counted(engine, gaps=1, overruns=0)
    engine.feed(peer.packet(b"x", offset=256), 10)
    counted(engine, gaps=1, overruns=1)
    same(peer.hears(10)[0:5], (GAP, 0x40, 0, 0, 56))


def test_only_the_gap_is_sent_again(Engine):
    peer = full_flight(Engine, 4000)
    engine = peer.engine
    peer.ack = 224
    peer.says(b"", 80)  # a round trip of 80 ms: patience is 80 + 160 / 2
    peer.credit = 2 * 224 - 100  # the gap
    peer.says(b"", 80, GAP)
    counted(engine, gaps_resent=1, retransmitted=0, flight_limit=8, rtt_ms=80)
    same(peer.hears(80)[0:3], (ASK, 0x40, 224))
    first = peer.hears(80)
    same((first[0], first[2], len(first[5])), (ASK, 448, 124))
    same([peer.hears(80)[2] for _ in range(2)], [16 * 224, 17 * 224])
    counted(engine, retransmitted=2)
    # Reported again: sent again when patience is over, unless una has moved.
    peer.says(b"", 100, GAP)
    counted(engine, gaps_resent=1)
    same(engine.wait(100), 140)
    peer.ack = 448
    peer.credit = 124
    peer.says(b"", 110, GAP)
    # Its first 224 bytes gave another round trip: 30 ms. 590 / 8 + 170 / 2.
    same(engine.wait(110), 158)
    same(peer.hears(267), None)
    last = peer.hears(268)
    same((last[0], last[2], len(last[5])), (ASK, 448, 124))
    counted(engine, gaps_resent=2, flight_limit=8)
    # Not reported again: not sent again.
    true(engine.wait(268) > 160, "sent again unasked")
    # Filled: the peer has kept what is behind it.
    peer.ack = 15 * 224
    peer.credit = 8192
    peer.says(b"", 300)
    counted(engine, timeouts=0, gaps_resent=2)


def test_the_same_gap_is_sent_more_and_more_rarely(Engine):
    """Else those on their way in a slow host stack would be followed by more and more of them."""
    peer = full_flight(Engine, 4000)
    engine = peer.engine
    peer.ack = 224
    peer.says(b"", 10)  # a round trip of 10 ms: patience is 10 + 20 / 2
    peer.credit = 224
    now = 10
    for number, patience in enumerate((20, 40, 80, 160)):
        peer.says(b"", now, GAP)
        same(peer.hears(now)[2], 224)
        while peer.hears(now):
            pass
        peer.says(b"", now, GAP)
        same(engine.wait(now), patience)
        counted(engine, gaps_resent=1 + number, timeouts=0)
        now += patience
    # Filled: the next one is sent again after one patience.
    peer.ack = 16 * 224
    peer.credit = 8192
    peer.says(b"", now)
    while peer.hears(now):
        pass
    peer.credit = 100
    peer.says(b"", now, GAP)
    while peer.hears(now):
        pass
    peer.says(b"", now, GAP)
    same(engine.wait(now), 20)


def test_a_timeout_ends_the_filling(Engine):
    peer = full_flight(Engine, 4000)
    engine = peer.engine
    peer.credit = 100
    peer.says(b"", 80, GAP)
    same(len(peer.hears(80)[5]), 100)
    while peer.hears(80):
        pass
    same(peer.hears(1080)[0:3], (ASK, 0x40, 0))
    counted(engine, timeouts=1, flight_limit=1)


def test_gap_that_cannot_be_does_nothing(Engine):
    peer = Peer(new(Engine, NEAR, 8192), ring_bits=13)
    engine = peer.engine
    peer.settle()
    engine.send(bytes(400))
    peer.hears(0)
    peer.hears(0)
    for gap in (0, 403, 404, 8192):
        peer.credit = gap
        peer.says(b"", 10, GAP)
    counted(engine, gaps_resent=0)
    peer.credit = 402
    peer.says(b"", 10, GAP)
    counted(engine, gaps_resent=1)


def test_gap_flag_without_loss_does_nothing(Engine):
    peer = Peer(new(Engine))
    peer.settle()
    peer.says(b"", 10, GAP)
    counted(peer.engine, gaps_resent=0)
    same(peer.hears(10)[0], ASK)
    same(peer.engine.wait(10), -1)


def test_flight_grows_again(Engine):
    wire = linked(Engine, 247, 8192, 8192)
    a = wire.sides[0]
    same(a.stats()["flight_limit"], 2)
    for i in range(8):
        wire.transfer(0, (message(i, 1000),) * 3)
    same(a.stats()["flight_limit"], 16)
    drop = [0]

    def lost(_):
        drop[0] += 1
        return drop[0] == 6

    wire.lost = lost
    wire.transfer(0, (message(i, 1000) for i in range(6)))
    low = a.stats()["flight_limit"]
    true(4 <= low < 16, f"limit {low} after a loss")
    for i in range(40):
        wire.transfer(0, (message(i, 1000),) * 3)
        if a.stats()["flight_limit"] == 16:
            return
    raise AssertionError("it has not grown again")


def test_flight_grows_with_each_flight_acknowledged(Engine):
    peer = Peer(new(Engine, NEAR, 8192), ring_bits=13)
    engine = peer.engine
    peer.settle()
    engine.send(bytes(8000))
    while peer.hears(0):
        pass
    limits = []

    def acknowledge(packets):
        for _ in range(packets):
            while peer.hears(1000):
                pass
            peer.ack += 224
            peer.says(b"", 1000)
            limits.append(engine.stats()["flight_limit"])

    acknowledge(13)  # a timeout comes first: from 1 to 2 at once, then by one for each whole flight
    same(limits, [2, 2, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5])
    peer.credit = 224  # the gap; the other packets in flight came
    peer.says(b"", 1000, GAP)
    peer.credit = 8192
    limits.clear()
    peer.hears(1000)
    peer.ack += 4 * 224
    acknowledge(4)
    same(limits, [4, 4, 5, 5])


def test_timeout_and_backoff(Engine):
    peer = Peer(new(Engine))
    engine = peer.engine
    peer.settle()
    engine.send(message(1, 400))
    peer.hears(0)
    peer.hears(0)
    now = 0
    for wait in (1000, 2000, 4000, 8000, 8000):
        same(engine.wait(now), wait)
        same(pulled(engine, now + wait - 1), b"")
        now += wait
        flags, _, offset, _, _, data = peer.hears(now)
        same((flags, offset, len(data)), (ASK, 0, 224))
    counted(engine, timeouts=5, retransmitted=5, flight_limit=1)
    peer.ack = 224
    peer.says(b"", now)
    same(peer.hears(now)[2], 224)
    same(engine.wait(now), 8000)  # which of the six was acknowledged, nobody knows
    peer.ack = 403
    peer.says(b"", now + 10)
    engine.send(message(2, 100))
    peer.hears(now + 10)
    same(engine.wait(now + 10), 8000)
    peer.ack = 505
    peer.says(b"", now + 1510)  # this one was sent once: 1,500 ms
    engine.send(message(3, 100))
    peer.hears(now + 1510)
    same(engine.wait(now + 1510), 1500 + 4 * 750 + 30)


def test_slow_way_is_kept_short(Engine):
    for rtt, limit in ((375, 16), (376, 15), (1000, 6), (2000, 3), (2001, 2), (60000, 2)):
        peer = full_flight(Engine, 8000)
        peer.ack = 224
        peer.says(b"", rtt)
        counted(peer.engine, rtt_ms=min(rtt, 8000), flight_limit=limit)


def test_acks_wait_longer_on_a_slow_way_while_nothing_can_be_sent(Engine):
    peer = full_flight(Engine, 8000)
    engine = peer.engine
    peer.ack = 224
    peer.says(b"", 400)  # the round trip; 15 packets at most, and so many are in flight
    counted(engine, flight_limit=15)
    same(peer.hears(400), None)
    peer.says(b"abc", 500, ASK)
    same(engine.wait(500), 50)
    same(peer.hears(549), None)
    same(peer.hears(550)[3], 3)
    peer.ack = 15 * 224
    peer.says(b"", 560)
    while peer.hears(560):  # the limit lets more out again
        pass
    peer.ack = 20 * 224
    peer.says(b"def", 570, ASK)
    same(peer.hears(570)[3], 6)  # on stream bytes, or at once


def test_timeout_follows_the_round_trip(Engine):
    # RFC 6298 with 30 ms for the delayed acknowledgement, between 300 and 4000 ms.
    for rtt, wait in ((50, 300), (200, 630), (1000, 3030), (3000, 4000)):
        peer = Peer(new(Engine))
        engine = peer.engine
        peer.settle()
        engine.send(b"x")
        peer.hears(0)
        peer.ack = 3
        peer.says(b"", min(rtt, 999))
        if rtt > 999:
            continue  # the first timeout comes first
        same(engine.stats()["rtt_ms"], rtt)
        engine.send(b"y")
        peer.hears(rtt)
        same(engine.wait(rtt), wait)


def test_first_packet_of_a_flight_is_timed(Engine):
    peer = Peer(new(Engine))
    engine = peer.engine
    peer.settle()
    for data, now in ((b"x", 0), (b"other", 100), (b"later", 150)):
        engine.send(data)
        peer.hears(now)
        if now == 0:
            peer.ack = 3
            peer.says(b"", 8)
    counted(engine, rtt_ms=8)
    peer.ack = 8  # not the whole packet
    peer.says(b"", 160)
    counted(engine, rtt_ms=8)
    peer.ack = 17
    peer.says(b"", 180)
    counted(engine, rtt_ms=8 + (80 - 8) // 8)


def test_retransmission_is_not_timed(Engine):
    peer = Peer(new(Engine))
    peer.settle()
    peer.engine.send(b"x")
    peer.hears(0)
    peer.hears(1000)
    peer.ack = 3
    peer.says(b"", 1010)
    counted(peer.engine, rtt_ms=0)


def test_ack_of_more_than_was_sent_again(Engine):
    peer = Peer(new(Engine))
    engine = peer.engine
    peer.settle()
    peer.widens()
    engine.send(message(1, 600))
    for _ in range(3):
        peer.hears(0)
    peer.hears(1000)  # the first again
    peer.ack = 603
    peer.says(b"", 1001)
    same(engine.pending(), 0)
    same(engine.wait(1001), -1)


def test_impossible_acks_are_ignored(Engine):
    peer = Peer(new(Engine))
    engine = peer.engine
    peer.settle()
    engine.send(b"x")
    peer.hears(0)
    for ack in (4, 1000, 0x8000, 0xFFFF):
        peer.ack = ack
        peer.says(b"", 1)
        same(engine.pending(), 3)
    peer.ack = 3
    peer.says(b"", 1)
    same(engine.pending(), 0)
    peer.ack = 0  # overtaken
    peer.says(b"", 1)
    engine.send(b"y")
    same(peer.hears(1)[2], 3)


def test_times_wrap(Engine):
    top = 1 << 30
    peer = Peer(new(Engine))
    engine = peer.engine
    engine.start(247, top - 100)
    peer.hears_hello(top - 100)
    same(engine.wait(top - 1), 151)
    same(pulled(engine, 149), b"")
    peer.hears_hello(150)
    for begin in (top - 10, top - 1, 0):
        peer = Peer(new(Engine))
        engine = peer.engine
        peer.settle(begin)
        peer.says(record(b"x"), begin)
        same(engine.wait((begin + 15) % top), 15)
        same(peer.hears((begin + 30) % top)[3], 3)
        engine.send(b"y")
        peer.hears((begin + 30) % top)
        same(engine.wait((begin + 530) % top), 500)
        same(pulled(engine, (begin + 1029) % top), b"")
        same(peer.hears((begin + 1030) % top)[0], ASK)


def test_time_may_step_back_a_little(Engine):
    for begin in (1000, 2):
        peer = Peer(new(Engine))
        engine = peer.engine
        peer.settle(begin)
        before = (begin - 5) & 0x3FFFFFFF
        engine.send(b"x")
        peer.hears(begin)
        same(engine.wait(before), 1000)
        same(pulled(engine, before), b"")
        peer.says(record(b"y"), begin)
        same(engine.wait(before), 30)
        peer.ack = 3
        peer.says(b"", before)
        counted(engine, rtt_ms=0, timeouts=0)
        engine.start(247, begin)
        peer.hears_hello(begin)
        same(engine.wait(before), 250)


def test_wait_tells_when_pull_gives(Engine):
    # Every pull checks wait() == 0; here nothing may come earlier, and something must come then.
    for seed in range(3):
        numbers = Numbers(seed * 77 + 5)
        a, b = new(Engine, NEAR, 256, 256), new(Engine, FAR, 256, 256)
        a.start(60, 0)
        b.start(60, 0)
        now = 0
        for _ in range(120):
            for one, other in ((a, b), (b, a)):
                while True:
                    data = pulled(one, now)
                    if not data:
                        break
                    if numbers.below(4):
                        other.feed(data, now)
            a.send(bytes(numbers.below(120)))
            if numbers.below(3) == 0:
                drained(b)
            waits = [wait for wait in (a.wait(now), b.wait(now)) if wait >= 0]
            if waits and min(waits) > 0:
                same(pulled(a, now + min(waits) - 1) + pulled(b, now + min(waits) - 1), b"")
                now += min(waits)
                true(a.wait(now) == 0 or b.wait(now) == 0, "nothing after wait() ms")


# -- what may come from the air -----------------------------------------------------------------------------


def test_duplicates(Engine):
    peer = Peer(new(Engine))
    engine = peer.engine
    peer.settle()
    first = peer.packet(record(b"once"))
    peer.says(record(b"once"), 0)
    peer.hears(20)
    engine.feed(first, 30)
    same(peer.hears(30)[3], 6)  # its acknowledgement may have been lost
    counted(engine, duplicates=1, gaps=0)
    same(drained(engine), [(0, b"once")])


def test_overlap(Engine):
    peer = Peer(new(Engine))
    engine = peer.engine
    peer.settle()
    stream = b"".join([record(message(i, 20)) for i in range(6)])
    for begin, end in ((0, 30), (10, 31), (31, 50), (0, 90), (89, 132), (132, 132)):
        engine.feed(peer.packet(stream[begin:end], offset=begin), 0)
    same(drained(engine), [(0, message(i, 20)) for i in range(6)])
    counted(engine, gaps=0, duplicates=0)


def test_overrun_is_not_taken(Engine):
    peer = Peer(new(Engine, NEAR, 256, 256))
    engine = peer.engine
    peer.settle()
    peer.says(record(message(1, 200)), 0)
    engine.feed(peer.packet(record(message(2, 60))), 0)
    counted(engine, overruns=1)
    same(drained(engine), [(0, message(1, 200))])
    peer.says(record(message(2, 60)), 0)
    same(drained(engine), [(0, message(2, 60))])


def test_bad_records_end_the_connection(Engine):
    bad = (
        b"\x80\x00",  # reserved
        b"\xff\x00",
        b"\x31\x00",  # type 3 that is not END
        b"\x3f\x00",
        b"\x70\x00",
        b"\x7f\x00",
        b"\x30\x01",  # END with a payload
        b"\x00\x80\x00",  # not the shortest length
        b"\x30\x80\x00",
        b"\x00\xff\x00",
        b"\x00\x80\x80\x00",
        b"\x00\xff\xff\x00",
        b"\x00\xfe\x07",  # 1022 bytes of payload and 3 of header: larger than the ring
        b"\x00\x80\x80\x01",
        b"\x00\xff\xff\xff",
    )
    for data in bad:
        for cut in range(len(data)):  # the header may come in parts
            peer = Peer(new(Engine))
            engine = peer.engine
            peer.settle()
            peer.says(record(b"good") + data[:cut], 0)
            same(engine.state, OPEN, f"state before the end of {hexlify(data)}")
            engine.feed(hello(FAR, peer.tag, NEAR, peer.engine_tag), 0)  # a greeting is due
            flags = peer.says(data[cut:] + record(b"never"), 0)
            same(flags & (BROKEN | READABLE | REFUSED), BROKEN | READABLE)
            same((engine.state, engine.reason), (CLOSED, NONSENSE))
            counted(engine, malformed=1)
            said = bye(NEAR, peer.engine_tag, FAR, peer.tag, NONSENSE)
            same(pulled(engine, 0), said)
            same((engine.wait(0), pulled(engine, 5000)), (-1, b""))
            peer.says(record(b"never"), 10)
            counted(engine, early=1)
            same(drained(engine), [(0, b"good")])


def test_largest_record_is_good(Engine):
    peer = Peer(new(Engine, NEAR, 256, 256))
    peer.settle()
    whole = record(message(1, 253))
    for i in range(0, 256, 64):
        peer.says(whole[i : i + 64], i)
    same(drained(peer.engine), [(0, message(1, 253))])


def test_recovery_from_what_is_no_record(Engine):
    wire = linked(Engine)
    a, b = wire.sides
    wire.transfer(0, (b"before",))
    wire.reading = False
    a.send(b"unread")
    wire.run(50)
    # Someone speaks in a's name.
    sent = []
    wire.lost = lambda data: sent.append(data) or True
    a.send(b"on its way")
    wire.step()
    start = bound(NEAR, FAR, b"\x0a\x00", b"\x0a\x00")
    b.feed(seal(sent[0][:4] + bytes(4) + b"\x80\x00", start), wire.now)
    same(b.state, CLOSED)
    b.send(b"from the broken")
    wire.lost = nothing
    wire.seen = [0, 0]
    wire.reading = True
    wire.start()
    wire.until(lambda: not a.pending() and not b.pending(), "arrival")
    same(wire.got, [[(0, b"from the broken")], [(0, b"unread"), (0, b"on its way")]])
    same(wire.seen[0] & (OPENED | PEER_RESTARTED), OPENED | PEER_RESTARTED)
    same(a.state, OPEN)


def of_version(version, tag):
    """Greeting packets of a version, in answer to a tag; of lengths and kinds that this one has not, too."""
    return (
        hello(FAR, 9, NEAR, tag, READY, version=version),
        identity(FAR, 9, version=version),
        bye(FAR, 9, NEAR, tag, CLOSING, version),
        seal(bytes((0x61, version)) + bytes(10)),
        seal(bytes((0xFF, version)) + bytes(200)),
    )


def test_other_versions_are_refused(Engine):
    for version in (0, 1, 3, 255):
        for number in range(5):
            engine = new(Engine)
            engine.feed(of_version(version, 0)[number], 0)
            same((engine.state, engine.wait(0)), (IDLE, -1))
            engine.start(247, 0)
            tag = greeting(engine, 0)[1][2]
            data = of_version(version, tag)[number]
            engine.feed(hello(FAR, 0x40), 5)
            same(engine.feed(data, 5) & ~PULL, REFUSED)
            same((engine.state, engine.peer_version, engine.reason), (CLOSED, version, OTHER_VERSION))
            # Not the greeting that was due, but once why: so both learn both versions.
            same(pulled(engine, 5), bye(NEAR, tag, FAR, 0x40, OTHER_VERSION))
            same((engine.wait(5), pulled(engine, 300)), (-1, b""))
            engine.feed(data, 10)
            same(engine.wait(10), -1)
            counted(engine, malformed=3, early=0)
            peer = Peer(engine)
            peer.settle(20)  # a new connection, a peer of this version
            same((engine.peer_version, engine.reason), (2, OTHER_VERSION))
            same(engine.feed(data, 30), 0)  # while open it is only counted
            same((engine.state, engine.wait(30)), (OPEN, -1))
            counted(engine, malformed=4)


def test_greeting_packets_that_make_no_sense(Engine):
    def bad(tag):
        for bits in (0, 7, 16, 255):
            yield hello(FAR, 9, NEAR, tag, READY, bits)
        for largest in (0, 19, 245, 255):
            yield identity(FAR, 9, FAR_ID, largest)
        yield identity(FAR, 9, bytes(8))
        for good in (hello(FAR, 9, NEAR, tag, READY), identity(FAR, 9), bye(FAR, 9, NEAR, tag, CLOSING)):
            yield seal(good[:4] + bytes(4) + good[8:16])  # session 0
            yield seal(bytes((good[0] | 0x60,)) + good[1:16])  # reserved for keys
            for size in (8, 9, 15, 17, 240):
                yield seal((good[:16] + bytes(240))[:size])
        yield hello(NEAR, 9, 0, 0, READY, 16)  # one's own session, too

    count = 0
    for data in bad(0x45):
        engine = new(Engine)
        engine.feed(data, 0)
        same((engine.state, engine.wait(0)), (IDLE, -1))
        peer = Peer(engine)
        engine.start(247, 0)
        peer.hears_hello(0)
        same((engine.feed(data, 1), engine.state, engine.wait(1)), (0, GREETING, 249))
        peer.settle(2)
        same((engine.feed(data, 3), engine.state, engine.wait(3)), (0, OPEN, -1))
        engine.bye(CLOSING)
        engine.feed(data, 4)
        same(len(pulled(engine, 4)), 20)
        same(engine.wait(4), -1)
        counted(engine, malformed=4, early=0, corrupt=0)
        count += 1
    same(count, 31)


def test_unknown_bits_of_greeting_packets_are_ignored(Engine):
    peer = Peer(new(Engine), features=0xFC)
    engine = peer.engine
    engine.start(247, 0)
    peer.hears_hello(0)
    data = identity(FAR, 0x40)
    engine.feed(seal(bytes((data[0] | 0x9E,)) + data[1:16]), 0)
    data = peer.hello()
    engine.feed(seal(bytes((data[0] | 0x8C,)) + data[1:16]), 0)
    same((engine.state, engine.partner), (OPEN, FAR_ID))
    same(peer.hears(0)[4], 1024)  # and what HELLO says goes into the CRC as it is
    data = bye(FAR, 0x40, NEAR, peer.engine_tag, 77)
    engine.feed(seal(bytes((data[0] | 0x9E,)) + data[1:13] + b"\x01\x02\x03"), 0)
    same((engine.state, engine.reason), (CLOSED, 77))


def fingerprint(engine, now):
    """What a damaged packet must not change."""
    stats = engine.stats()
    del stats["corrupt"]
    del stats["packets_received"]
    return (stats, engine.state, engine.pending(), engine.wait(now), engine.ended, engine.peer_version)


def damaged(data):
    """Every single-bit flip, every truncation, some more bytes."""
    for i in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[i >> 3] ^= 1 << (i & 7)
        yield flipped
    for size in range(len(data)):
        yield data[:size]
    for more in (b"\x00", b"\xff", bytes(4), bytes(300)):
        yield data + more


def unchanged_by_damage(engine, data, now, kept=everything):
    """kept: whether a damaged packet is of the kind of packets that it was."""
    before = fingerprint(engine, now)
    corrupt = engine.stats()["corrupt"]
    flags = engine.take_flags()
    same(flags, 0)
    for bad in damaged(data):
        if not kept(bad):
            continue
        same(engine.feed(bad, now), 0, "flags")
        corrupt += 1
    same(engine.stats()["corrupt"], corrupt, "corrupt")
    same(fingerprint(engine, now), before)
    engine.feed(data, now)  # the same packet undamaged does something
    true(fingerprint(engine, now) != before, "the undamaged packet changed nothing")


def test_damaged_hello(Engine):
    peer = Peer(new(Engine))
    engine = peer.engine
    engine.start(247, 0)
    peer.hears_hello(0)
    peer.says_identity(1)
    # With bit 0 damaged it is a data packet, and early.
    unchanged_by_damage(engine, peer.hello(), 1, lambda data: len(data) < 12 or data[0] & 1)
    same(engine.state, OPEN)


def test_damaged_identity(Engine):
    peer = Peer(new(Engine))
    engine = peer.engine
    engine.start(247, 0)
    peer.hears_hello(0)
    for bad in damaged(identity(FAR, 0x40)):
        engine.feed(bad, 1)
    engine.feed(peer.hello(), 1)
    same((engine.state, engine.partner), (GREETING, None))
    peer.says_identity(1)
    engine.feed(peer.hello(), 1)
    same((engine.state, engine.partner), (OPEN, FAR_ID))


def test_damaged_bye(Engine):
    peer = Peer(new(Engine))
    peer.settle()
    unchanged_by_damage(peer.engine, bye(FAR, 0x40, NEAR, peer.engine_tag, CLOSING), 1)
    same(peer.engine.state, CLOSED)


def test_damaged_stream_packet(Engine):
    peer = Peer(new(Engine))
    peer.settle()
    unchanged_by_damage(peer.engine, peer.packet(record(b"undamaged")), 1)
    same(drained(peer.engine), [(0, b"undamaged")])


def test_damaged_ack(Engine):
    peer = Peer(new(Engine))
    peer.settle()
    peer.engine.send(b"x")
    peer.hears(0)
    peer.ack = 3
    unchanged_by_damage(peer.engine, peer.packet(flags=ASK), 1)
    same(peer.engine.pending(), 0)


def test_noise(Engine):
    peer = Peer(new(Engine))
    peer.settle()
    numbers = Numbers(4711)
    before = fingerprint(peer.engine, 0)
    for size in range(260):
        peer.engine.feed(bytes(numbers.below(256) for _ in range(size)), 0)
    same(fingerprint(peer.engine, 0), before)
    counted(peer.engine, corrupt=260)


def test_packets_longer_than_244_are_corrupt(Engine):
    peer = Peer(new(Engine))
    peer.settle()
    peer.engine.feed(peer.packet(record(bytes(240))[:233]), 0)
    counted(peer.engine, corrupt=1)
    peer.says(record(bytes(240))[:232], 0)  # 244 is taken
    counted(peer.engine, corrupt=1)
    peer.says(record(bytes(240))[232:], 0)
    same(drained(peer.engine), [(0, bytes(240))])


def test_flags_that_cannot_be(Engine):
    peer = Peer(new(Engine))
    engine = peer.engine
    peer.settle()
    bad = (READY, 0x40, 0x80, 0xC0 | ASK, COMMIT, COMMIT | ASK, GAP | OVERRUN, GAP | COMMIT, 0x38, 0x3C)
    for flags in bad:
        same(engine.feed(peer.packet(record(b"x"), flags=flags), 0), 0)
    counted(engine, malformed=len(bad))
    same((engine.recv(), engine.state, engine.wait(0)), (None, OPEN, -1))


def test_lossy_wire(Engine):
    for seed in (1, 2, 3):
        numbers = Numbers(seed)
        wire = Wire(new(Engine, NEAR, 512, 512), new(Engine, FAR, 512, 512), 23 + 40 * seed)
        wire.lost = lambda _, numbers=numbers: numbers.below(7) == 0
        sent = [message(i, numbers.below(150)) for i in range(40)]
        left = [list(sent), list(sent)]
        for _ in range(12000):
            for i in (0, 1):
                if left[i] and wire.sides[i].send(left[i][0], 0):
                    left[i].pop(0)
            wire.step()
            if len(wire.got[0]) == len(wire.got[1]) == len(sent):
                break
        for i in (0, 1):
            same(wire.got[i], [(0, data) for data in sent])


# -- who is there -------------------------------------------------------------------------------------------


STRANGER = b"stranger"
THIRD = 0x77777777  # session


def test_hello_of_an_unknown_identity_does_not_open(Engine):
    peer = Peer(new(Engine))
    engine = peer.engine
    engine.start(247, 0)
    peer.hears_hello(0)
    engine.feed(identity(THIRD, 1), 0)  # of another session
    same(engine.feed(peer.hello(flags=0), 5), PULL)
    same(engine.state, GREETING)
    same(peer.hears_hello(5)[8:12], struct.pack("<I", FAR))  # an answer, which has nothing to hide
    peer.says_identity(10)
    engine.feed(peer.hello(), 10)
    same((engine.state, engine.partner), (OPEN, FAR_ID))


def test_identity_is_forgotten_with_the_connection(Engine):
    peer = Peer(new(Engine))
    engine = peer.engine
    peer.settle()
    engine.start(247, 10)
    peer.hears_hello(10)
    engine.feed(peer.hello(), 10)
    same(engine.state, GREETING)


def test_a_stranger_is_turned_away(Engine):
    peer = Peer(new(Engine))
    engine = peer.engine
    peer.settle()
    engine.send(b"for the partner")
    for connection in (1, 2):
        other = Peer(engine, THIRD, 0x21, identity=STRANGER)
        engine.start(247, 10)
        other.hears_hello(10)
        engine.feed(hello(THIRD, 0x20), 10)  # a greeting is due
        same(other.says_identity(10), REFUSED | PULL)
        same((engine.state, engine.reason, engine.partner), (CLOSED, PARTNER_KNOWN, FAR_ID))
        counted(engine, strangers=connection, opened=1, peer_restarts=0)
        same(pulled(engine, 10), bye(NEAR, other.engine_tag, THIRD, 0x21, PARTNER_KNOWN))
        same((engine.wait(10), pulled(engine, 300)), (-1, b""))
        engine.feed(other.hello(), 20)  # too late
        engine.feed(identity(FAR, 0x41), 20)
        counted(engine, early=2 * connection)
        same((engine.state, engine.take_flags()), (CLOSED, REFUSED | PULL))
    same(peer.greet(100) & (PEER_RESTARTED | FORGOTTEN), 0)  # the partner goes on as if nothing had been
    same(peer.hears(100)[5], record(b"for the partner"))


def test_both_sides_learn_of_a_stranger(Engine):
    a, b = new(Engine), Engine(FAR, STRANGER)
    a.set_partner(FAR_ID)
    wire = Wire(a, b)
    wire.until(lambda: a.state == b.state == CLOSED, "both know", 100)
    same((a.reason, b.reason), (PARTNER_KNOWN, PARTNER_KNOWN))
    same((wire.seen[0] & (REFUSED | BYE), wire.seen[1] & (REFUSED | BYE)), (REFUSED, BYE))
    same((a.partner, b.partner), (FAR_ID, None))
    counted(a, strangers=1)


def test_a_stranger_is_only_counted_while_open(Engine):
    peer = Peer(new(Engine))
    engine = peer.engine
    peer.settle()
    same(engine.feed(identity(FAR, 0x41, STRANGER), 10), 0)
    engine.feed(identity(THIRD, 1, STRANGER), 10)
    counted(engine, strangers=2)
    same((engine.state, engine.wait(10)), (OPEN, -1))
    # Its session is that of nobody known.
    same(engine.feed(hello(THIRD, 1, NEAR, peer.engine_tag), 10), 0)
    counted(engine, early=1)
    same(engine.state, OPEN)


def test_set_partner(Engine):
    peer = Peer(new(Engine))
    engine = peer.engine
    engine.set_partner(memoryview(STRANGER))
    same(engine.partner, STRANGER)
    engine.start(247, 0)
    peer.hears_hello(0)
    same(peer.says_identity(0) & REFUSED, REFUSED)
    engine.set_partner(None)
    same(engine.partner, None)
    peer.settle()
    same(engine.partner, FAR_ID)
    engine.set_partner(None)
    peer.settle(10)
    same(engine.partner, FAR_ID)  # a resume is a handshake, too
    # Heard before it was set.
    engine.start(247, 20)
    peer.hears_hello(20)
    peer.says_identity(20)
    engine.set_partner(STRANGER)
    engine.feed(peer.hello(), 20)
    same(engine.state, GREETING)
    engine.set_partner(FAR_ID)
    engine.feed(peer.hello(), 20)
    same(engine.state, GREETING)
    peer.says_identity(20)
    engine.set_partner(bytearray(FAR_ID))
    engine.feed(peer.hello(), 20)
    same(engine.state, OPEN)


def test_the_partner_after_a_restart_needs_an_identity(Engine):
    peer = Peer(new(Engine))
    engine = peer.engine
    peer.settle()
    again = Peer(engine, THIRD, 0x77)
    engine.feed(hello(THIRD, 0x77), 10)
    same(engine.state, OPEN)
    counted(engine, early=1)
    again.says_identity(20)
    engine.feed(hello(THIRD, 0x77), 20)
    same(engine.state, GREETING)
    again.hears_hello(20)
    again.says_hello(20)
    same(engine.take_flags() & (OPENED | PEER_RESTARTED), OPENED | PEER_RESTARTED)


def test_sides_that_have_drawn_the_same_session_id(Engine):
    for first in (0, 1):  # each of them, and both at once
        for session in (1, 7, 0xFFFFFFFF):
            wire = Wire(Engine(session, NEAR_ID), Engine(session, FAR_ID))
            if first:
                wire.step()
                wire.air[0] = []
            wire.transfer(0, (b"there",))
            wire.transfer(1, (b"and back",))
            same(wire.seen[0] | wire.seen[1], READABLE | WRITABLE | PULL | OPENED)
            true(wire.now < 2000, f"took {wire.now} ms")


def test_own_session_id_with_a_peer_in_force(Engine):
    peer = Peer(new(Engine))
    engine = peer.engine
    now = 0
    for bad in (hello(NEAR, 9, NEAR, 9), identity(NEAR, 9, NEAR_ID), bye(NEAR, 9, NEAR, 9, 1)):
        peer.settle(now)
        same((engine.feed(bad, now + 249), engine.wait(now + 249)), (0, -1))
        # The peer may have restarted and drawn it: then it renews when it hears of it.
        same(engine.feed(bad, now + 250), PULL)
        same(peer.hears_hello(now + 250)[0], HELLO_PACKET | READY)
        same(peer.hears(now + 250)[5], b"")
        now += 1000
        engine.start(247, now)
        peer.hears_hello(now)
        engine.take_flags()
        same((engine.feed(bad, now), engine.wait(now)), (0, 250))
    same((engine.feed(identity(NEAR, 9, b"stranger"), now), engine.wait(now)), (0, 250))
    counted(engine, malformed=10, contradictions=0, strangers=0)
    same(peer.engine_session, NEAR)


def test_answers_to_hello_are_bounded(Engine):
    """Many HELLOs, of whoever: four greetings in 250 ms, and one more when the side's own time has come."""
    for opened in (False, True):
        peer = Peer(new(Engine))
        engine = peer.engine
        if opened:
            peer.settle(0)
        else:
            engine.start(247, 0)
            peer.hears_hello(0)
        greetings = []
        for now in range(1, 500):
            peer.says_identity(now)
            if opened:
                engine.feed(peer.hello(flags=0), now)
            else:
                engine.feed(hello(FAR, now, 0, 0), now)  # another tag each time
            data = pulled(engine, now)
            while data:
                if data[0] & 0x61 == HELLO_PACKET:
                    greetings.append(now)
                data = pulled(engine, now)
        same(greetings, [1, 2, 3, 4, 251, 252, 253, 254])
        same(engine.state, OPEN if opened else GREETING)


def test_a_new_connection_is_answered_at_once(Engine):
    peer = Peer(new(Engine))
    engine = peer.engine
    engine.start(247, 0)
    for now in (1, 2, 3, 4, 5):
        engine.feed(hello(FAR, 9), now)
        while pulled(engine, now):
            pass
    engine.start(247, 6)
    peer.hears_hello(6)
    engine.feed(hello(FAR, 9), 7)
    peer.hears_hello(7)


def test_a_partner_with_the_own_session_id(Engine):
    for opened in (True, False):
        peer = Peer(new(Engine))
        engine = peer.engine
        peer.settle(0)
        engine.send(b"kept")
        peer.hears(0)
        if not opened:
            engine.start(247, 10)
            peer.hears_hello(10)
            engine.take_flags()
        same(engine.feed(identity(NEAR, 9), 10), CONTRADICTED | PULL)
        counted(engine, malformed=1, contradictions=1)
        peer.hears_hello(10)
        same(peer.engine_session, renewed(NEAR, NEAR_ID))
        peer.says_hello(10)
        peer.hears(10)
        peer.says(b"", 10)
        same(peer.hears(10)[5], record(b"kept"))


def test_sides_with_the_same_session_id_that_are_deceived_about_each_other(Engine):
    wire = Healing(Engine(NEAR, NEAR_ID), Engine(NEAR, FAR_ID))
    for side, name in ((0, FAR_ID), (1, NEAR_ID)):
        forger = Peer(wire.sides[side], identity=name)
        forger.settle(wire.now)
    wire.heals()


def test_a_peer_that_restarts_with_the_other_ones_session_id(Engine):
    wire = linked(Engine)
    wire.transfer(0, (b"before",))
    wire.sides[1] = Engine(NEAR, FAR_ID)
    wire.sides[1].start(247, wire.now)  # the other one has not noticed
    wire.until(lambda: wire.sides[1].state == OPEN, "open", 2000)
    wire.transfer(0, (b"there",))
    wire.transfer(1, (b"and back",))


def test_own_session_id_without_a_peer(Engine):
    session = NEAR
    for bad in (hello(NEAR, 9), identity(NEAR, 9), bye(NEAR, 9, NEAR, 9, 1)):
        peer = Peer(new(Engine))
        engine = peer.engine
        engine.send(b"kept")
        engine.start(247, 0)
        tag = peer.hears_hello(0)[2]
        same(engine.feed(bad, 10), PULL)
        counted(engine, malformed=1, contradictions=0)
        peer.hears_hello(10)
        same((peer.engine_session, peer.engine_tag), (renewed(session, NEAR_ID), tag + 1))
        peer.says_hello(10, flags=READY | RENEWED)
        same(engine.take_flags() & (FORGOTTEN | CONTRADICTED | OPENED), OPENED)
        peer.hears(10)
        peer.says(b"", 10)
        same(peer.hears(10)[5], record(b"kept"))


def test_largest_packet_is_what_both_can(Engine):
    for mtu in (23, 24, 49, 50, 185, 247, 517):
        for largest in (20, 46, 47, 100, 236, 244):
            peer = Peer(new(Engine), largest=largest)
            peer.settle(0, mtu)
            same(peer.engine_largest, min(mtu - 3, 244))
            peer.engine.send(bytes(300))
            same(len(pulled(peer.engine, 0)), packet_size(min(mtu, largest + 3)), f"{mtu}, {largest}")


def test_every_largest_packet(Engine):
    for largest in range(20, 245):
        peer = Peer(new(Engine), largest=largest)
        peer.settle()
        peer.engine.send(bytes(300))
        same(len(pulled(peer.engine, 0)), packet_size(largest + 3), f"packet for {largest}")


# -- goodbyes -----------------------------------------------------------------------------------------------


def test_bye(Engine):
    engine = new(Engine)
    engine.bye(CLOSING)  # nothing is there to end
    same((engine.state, engine.reason, engine.wait(0)), (IDLE, 0, -1))
    peer = Peer(engine)
    engine.start(247, 0)
    peer.hears_hello(0)
    engine.bye(PROGRAM_FAILED)  # in GREETING: nobody was heard
    same((engine.state, engine.reason, engine.take_flags()), (CLOSED, PROGRAM_FAILED, 0))
    same(pulled(engine, 0), bye(NEAR, peer.engine_tag, 0, 0, PROGRAM_FAILED))
    same((engine.wait(0), pulled(engine, 9999)), (-1, b""))
    peer.settle(10)
    engine.send(b"waits")
    engine.feed(peer.hello(flags=0), 10)  # a greeting is due
    engine.bye(CLOSING)
    engine.bye(255)
    same((engine.state, engine.reason), (CLOSED, CLOSING))
    same(pulled(engine, 10), bye(NEAR, peer.engine_tag, FAR, 0x40, CLOSING))
    same(engine.wait(10), -1)
    engine.start(247, 20)  # the next connection goes on
    peer.hears_hello(20)
    engine.bye(200)
    engine.start(247, 30)  # and forgets a BYE that is due
    peer.hears_hello(30)
    peer.says_hello(30)
    same((peer.hears(30)[5], engine.reason), (record(b"waits"), 200))


def test_bye_is_heard(Engine):
    for state in (GREETING, OPEN):
        for reason in (0, CLOSING, NONSENSE, 99, 255):
            peer = Peer(new(Engine))
            engine = peer.engine
            engine.start(247, 0)
            peer.hears_hello(0)
            if state == OPEN:
                peer.settle(0)
            tag = peer.engine_tag
            stale = 0
            for wrong in (
                bye(FAR, 0x40, NEAR, tag - 1, reason),
                bye(FAR, 0x40, NEAR, tag + 1, reason),
                bye(FAR, 0x40, NEAR + 1, tag, reason),
                bye(FAR, 0x40, 0, 0, reason),
                bye(FAR + 1, 0x40, NEAR, tag, reason),
            ):
                if state == OPEN or wrong[4:8] == struct.pack("<I", FAR):
                    same(engine.feed(wrong, 5), 0)
                    stale += 1
                    same(engine.state, state)
            counted(engine, stale=stale)
            engine.feed(hello(FAR, 0x40), 5)  # a greeting is due
            engine.take_flags()
            same(peer.says_bye(5, reason), BYE | PULL)
            same((engine.state, engine.reason, engine.wait(5)), (CLOSED, reason, -1))
            same(pulled(engine, 5), b"")  # no answer
            peer.says_bye(6, 5)
            counted(engine, early=1)
            same(engine.reason, reason)


def test_byes_of_two(Engine):
    wire = linked(Engine)
    a, b = wire.sides
    a.send(b"said before")
    wire.run(10)
    a.bye(PROGRAM_FAILED)
    wire.until(lambda: b.state == CLOSED, "BYE", 50)
    same((b.reason, wire.seen[1] & BYE, wire.seen[0] & BYE), (PROGRAM_FAILED, BYE, 0))
    same(wire.got[1], [(0, b"said before")])
    wire.run(5000)
    same((a.state, b.state), (CLOSED, CLOSED))
    wire.start()
    wire.until(lambda: not a.pending(), "the rest")
    counted(b, opened=2, peer_restarts=0)


# -- contradictions -----------------------------------------------------------------------------------------


def test_impossible_packets_make_a_side_ask(Engine):
    for ack, credit, flags in (
        (4, 1024, 0),
        (0x8000, 1024, 0),
        (0xFFFF, 1024, 0),
        (0, 1025, 0),
        (0, 0xFFFF, 0),
        (0, 0, GAP),
        (0, 3, GAP),
        (1, 2, GAP),
        (0, 1025, OVERRUN),
        (4, 1, GAP),
    ):
        peer = Peer(new(Engine))
        engine = peer.engine
        peer.settle()
        engine.send(b"x")
        peer.hears(0)
        peer.ack, peer.credit = ack, credit
        same(peer.says(record(b"taken"), 10, flags), PULL | READABLE)
        same(peer.hears(10)[0:4], (ASK, 0x40, 3, 7))
        same(engine.wait(10), 990)
        peer.says(b"", 20, flags | ASK)
        engine.send(b"rides")
        same((peer.hears(20)[0], peer.hears(20)), (ASK, None))
        same(engine.pending(), 3 + 7)
        counted(engine, malformed=0, gaps_resent=0, contradictions=0, stale=0)
        peer.ack, peer.credit = 10, 1024
        peer.says(b"", 30)
        same((engine.pending(), engine.wait(30)), (0, -1))


def doubting(peer, times, flags=0):
    """Packets with an impossible acknowledgement at these times."""
    ack = peer.ack
    peer.ack = 999
    for now in times:
        peer.says(b"", now, flags)
        if peer.engine.state == OPEN:
            same(peer.hears(now)[0], ASK)
    peer.ack = ack


def test_a_doubt_ends_in_a_handshake(Engine):
    peer = Peer(new(Engine))
    engine = peer.engine
    peer.settle()
    doubting(peer, (1000, 1001, 1002, 1499))
    same(engine.state, OPEN)
    doubting(peer, (1500,))
    same(engine.state, GREETING)
    peer.hears_hello(1500)
    peer.says_hello(1510)  # it knows all that this side knows: a false alarm, and nothing has happened
    same(engine.take_flags() & (OPENED | CONTRADICTED | PEER_RESTARTED | FORGOTTEN), OPENED)
    counted(engine, contradictions=0)
    peer.hears(1510)
    doubting(peer, (1600, 2600, 3600))  # three are not enough
    same(engine.state, OPEN)
    peer.says(b"", 3700)
    doubting(peer, (3800, 4800, 5800))
    same(engine.state, OPEN)
    # The last one of a doubt is not taken.
    peer.ack = 999
    peer.says(record(b"lost"), 6800, ASK)
    same((engine.state, engine.recv()), (GREETING, None))
    peer.hears_hello(6800)
    same(engine.wait(6800), 250)


def test_a_handshake_forgets_what_was_to_be_asked_and_told(Engine):
    peer = Peer(new(Engine))
    engine = peer.engine
    peer.settle()
    peer.ack = 999
    engine.feed(peer.packet(bytes(100), offset=1000), 0)  # impossible, and an overrun
    peer.ack = 0
    peer.greet(10)
    same(peer.hears(10)[0:5], (0, 0x40, 0, 0, 1024))


def test_a_doubt_lasts_over_long_pauses(Engine):
    # Times are modulo 2^30 ms: 12 days. Halfway, "500 ms ago" must not be read as "not yet".
    day = 24 * 3600 * 1000
    for days in (1, 6, 7, 12):
        peer = Peer(new(Engine))
        peer.settle()
        doubting(peer, (0, 1, 2))
        same(peer.engine.state, OPEN)
        doubting(peer, (days * day & 0x3FFFFFFF,))
        same(peer.engine.state, GREETING, f"after {days} days")


def test_a_peer_that_has_less_than_it_acknowledged(Engine):
    # A forged acknowledgement has hidden a message: noticed, told, and the session is another one.
    peer = Peer(new(Engine))
    engine = peer.engine
    peer.settle()
    peer.says(record(b"unread"), 0)
    engine.send(b"hidden")
    engine.send(b"half hidden")
    peer.hears(0)
    engine.feed(packet(peer.start_out, peer.engine_tag, 8, 8 + 5), 10)
    same(engine.pending(), 13)
    peer.ack = 0
    for now in (100, 200, 300, 600):
        peer.says(b"", now)
        if now < 600:
            same(peer.hears(now)[0], ASK)
    same(engine.state, GREETING)
    peer.hears_hello(600)
    engine.take_flags()
    same(peer.says_hello(610, expected=0), CONTRADICTED | PULL)
    counted(engine, contradictions=1, opened=1)
    peer.hears_hello(610)
    same(peer.engine_session, renewed(NEAR, NEAR_ID))
    peer.says_hello(620, flags=READY | RENEWED)
    same(engine.take_flags() & (OPENED | PEER_RESTARTED | FORGOTTEN), OPENED)
    same(peer.hears(620)[2:6], (0, 0, 1024 - 8, b""))
    peer.says(b"", 620)
    same(peer.hears(620)[2:6], (0, 0, 1016, record(b"half hidden")))
    same(engine.recv(), (0, b"unread"))
    counted(engine, resent=1)


def test_hello_that_contradicts(Engine):
    for expected, ring_bits, features in (
        (3, 10, 0),
        (0xFFFF, 10, 0),
        (0, 11, 0),
        (0, 10, 1),
        (0, 10, COMMITS),
    ):
        peer = Peer(new(Engine))
        engine = peer.engine
        peer.settle()
        engine.send(b"")
        peer.hears(0)
        engine.start(247, 10)
        peer.hears_hello(10)
        peer.ring_bits, peer.features = ring_bits, features
        same(peer.says_hello(10, expected), CONTRADICTED | PULL)
        counted(engine, contradictions=1, opened=1)
        peer.hears_hello(10)
        same(peer.engine_session, renewed(NEAR, NEAR_ID))
        peer.says_hello(20)
        same(engine.take_flags() & OPENED, OPENED)
        same(peer.hears(20)[2], 0)
        peer.says(b"", 20)
        same(peer.hears(20)[2:6], (0, 0, 1024, record(b"")))


def test_hello_with_another_ring_while_open(Engine):
    for ring_bits, features in ((11, 0), (10, COMMITS), (10, 0x80)):
        for behind in (0, 1, 5):  # never taken as late
            peer = Peer(new(Engine))
            engine = peer.engine
            peer.settle()
            other = hello(
                FAR, peer.tag - behind, NEAR, peer.engine_tag - behind, READY, ring_bits, 0, 2, features
            )
            engine.feed(other, 1000)
            same(engine.state, GREETING)
            counted(engine, stale=0)
            peer.hears_hello(1000)
            peer.says_hello(1000)  # the true one is as before
            same(engine.take_flags() & (OPENED | CONTRADICTED | PEER_RESTARTED), OPENED)


def test_packets_are_bound_to_both_sessions(Engine):
    peer = Peer(new(Engine))
    engine = peer.engine
    peer.settle()
    near, far = b"\x0a\x00", b"\x0a\x00"
    others = (
        0,
        bound(FAR, NEAR - 1, far, near),
        bound(FAR + 1, NEAR, far, near),
        bound(NEAR, FAR, near, far),
        bound(FAR, NEAR, b"\x0b\x00", near),
        bound(FAR, NEAR, far, b"\x0a\x02"),
    )
    for start in others:
        engine.feed(packet(start, peer.engine_tag, 0, 0, 1024, record(b"of another session")), 10)
    counted(engine, corrupt=len(others), stale=0, malformed=0)
    same((engine.recv(), engine.wait(10)), (None, -1))
    start = bound(FAR, NEAR, far, near)
    engine.feed(packet(start, peer.engine_tag, 0, 0, 1024, record(b"of this one")), 10)
    same(engine.recv(), (0, b"of this one"))


def test_damaged_packets_are_answered_every_250_ms(Engine):
    peer = Peer(new(Engine))
    engine = peer.engine
    peer.settle(1000)
    noise = bytes(40)
    answers = 0
    now = 1000
    for _ in range(100):
        flags = engine.feed(noise, now)
        if (now - 1000) % 250 or now == 1000:
            same(flags, 0)
        else:
            same(engine.take_flags(), PULL)
            same(peer.hears_hello(now)[0], HELLO_PACKET | READY)
            same(peer.hears(now)[4:6], (1024, b""))
            answers += 1
        same(pulled(engine, now), b"")
        now += 10
    same(answers, 3)
    same(engine.feed(noise[:11], 9000), 0)  # too short to be anything
    same(engine.feed(seal(noise)[:-1] + b"!", 9000) & PULL, PULL)
    peer.hears_hello(9000)
    peer.hears(9000)
    # After many days, too.
    for days in (6, 7, 12, 13):
        same(engine.feed(noise, 9000 + days * 86400000 & 0x3FFFFFFF), PULL, f"after {days} days")
        engine = Peer(new(Engine))
        engine.settle(9000)
        engine = engine.engine


def test_a_forged_ring_heals(Engine):
    """One HELLO in the peer's name with another ring, or with COMMIT, before the true one."""
    for ring_bits, features in ((8, 0), (15, 0), (10, COMMITS)):
        for true_tag in (True, False):  # does the other side open, too?
            a, b = new(Engine), new(Engine, FAR)
            wire = Healing(a, b)
            tag_a, tag_b = NEAR + 1 & 0xFF, FAR + 1 & 0xFF
            carry_greeting(a, b, 0)
            greeting(b, 0)
            a.feed(identity(FAR, tag_b), 0)
            tag = tag_b if true_tag else tag_b + 1
            a.feed(hello(FAR, tag, NEAR, tag_a, 0, ring_bits, 0, 2, features), 0)
            same(a.state, OPEN)
            wire.heals()
            same(wire.seen[0] & (CONTRADICTED | BROKEN), CONTRADICTED)
            counted(a, contradictions=1)


def test_a_forged_credit_heals(Engine):
    wire = Healing(new(Engine, NEAR, 1024, 256), new(Engine, FAR, 256, 256))
    wire.open()
    wire.run(50)
    a, b = wire.sides
    wire.reading = False
    start = bound(FAR, NEAR, b"\x08\x00", b"\x08\x00")
    for i in range(4):
        a.send(message(i, 120))
    b.feed(pulled(a, wire.now), wire.now)
    a.feed(packet(start, NEAR + 1, 0, 224, 256), wire.now)  # there is room for 32 bytes
    wire.run(6000)
    true(b.stats()["overruns"] > 0, "no overrun")
    true(b.stats()["overruns"] < 8, str(b.stats()))
    wire.reading = True
    wire.until(lambda: len(wire.got[1]) == 4, "arrival")
    same(wire.got[1], [(0, message(i, 120)) for i in range(4)])
    wire.heals()
    counted(a, contradictions=0)
    counted(b, contradictions=0)


def test_a_forged_acknowledgement_heals(Engine):
    wire = Healing(new(Engine), new(Engine, FAR))
    wire.open()
    wire.run(50)
    a = wire.sides[0]
    start = bound(FAR, NEAR, b"\x0a\x00", b"\x0a\x00")
    for i in range(4):
        a.send(message(i, 200))
    while pulled(a, wire.now):
        pass  # lost
    a.feed(packet(start, NEAR + 1, 0, 203, 1024), wire.now)
    wire.seen = [0, 0]
    wire.heals()
    same(wire.got[1][:3], [(0, message(i, 200)) for i in (1, 2, 3)])
    same((wire.seen[0] & CONTRADICTED, wire.seen[1] & PEER_RESTARTED), (CONTRADICTED, PEER_RESTARTED))
    counted(a, contradictions=1)


def test_forged_tags_heal(Engine):
    """Either side, or both, believe in a tag of the other one that is far from the true one."""
    for near in (0, 1, 100, 127, 128, 200, 255):
        for far in (0, 1, 100, 127, 128, 200, 255):
            wire = Healing(new(Engine), new(Engine, FAR))
            wire.open()
            wire.run(50)
            wire.lost = everything
            # Both begin a handshake; their greetings are lost, the forger's are heard.
            wire.start()
            tags = []
            for engine in wire.sides:
                tags.append(greeting(engine, wire.now)[1][2])
            wire.sides[0].feed(identity(FAR, 0), wire.now)
            wire.sides[0].feed(hello(FAR, tags[1] + near, NEAR, tags[0], READY), wire.now)
            wire.sides[1].feed(identity(NEAR, 0, NEAR_ID), wire.now)
            wire.sides[1].feed(hello(NEAR, tags[0] + far, FAR, tags[1], READY), wire.now)
            same((wire.sides[0].state, wire.sides[1].state), (OPEN, OPEN))
            wire.run(500)
            wire.lost = nothing
            # Only one side has something to say.
            wire.sides[near & 1].send(b"all is well")
            got = wire.got[1 - (near & 1)]
            wire.until(lambda got=got: got, f"healed {near} {far}", 10000)
            wire.heals()
            for engine in wire.sides:
                counted(engine, contradictions=0)


def test_forged_tag_of_one_side_heals(Engine):
    """A is OPEN with a forged tag of B, B is GREETING."""
    for ahead in (1, 100, 127, 128, 255):
        wire = Healing(new(Engine), new(Engine, FAR))
        wire.open()
        wire.run(50)
        a = wire.sides[0]
        wire.start()
        a.feed(identity(FAR, 0), wire.now)
        same(a.feed(hello(FAR, FAR + 2 + ahead, NEAR, NEAR + 2), wire.now) & OPENED, OPENED)
        wire.heals(2000)
        counted(a, contradictions=0)


def test_a_forged_session_heals(Engine):
    """A is OPEN with a session of the partner that does not exist, B with A."""
    for silent in (False, True):
        wire = Healing(new(Engine), new(Engine, FAR))
        wire.open()
        wire.run(50)
        a, b = wire.sides
        wire.start()
        carry_greeting(a, b, wire.now)
        carry_greeting(b, a, wire.now)
        carry_greeting(a, b, wire.now)
        same((a.state, b.state), (OPEN, OPEN))
        tag = NEAR + 2
        a.feed(identity(THIRD, 9), wire.now)
        a.feed(hello(THIRD, 9), wire.now)
        same(a.state, GREETING)
        a.feed(hello(THIRD, FAR + 2, NEAR, tag + 1, READY), wire.now)
        same(a.state, OPEN)
        greeting(a, wire.now)
        wire.air = [[], []]
        if silent:
            wire.run(1000)  # what is said at first is lost
        wire.heals()


def test_a_packet_of_an_earlier_session_is_never_taken(Engine):
    # The new session has the same tag, by chance; the same bytes are expected next.
    wire = linked(Engine)
    a, b = wire.sides
    late = []
    wire.lost = late.append  # and not lost
    a.send(b"old")
    wire.run(100)
    same(wire.got[1], [(0, b"old")])
    wire.lost = nothing
    wire.sides[1] = b = new(Engine, FAR + 0x100)
    wire.start()
    wire.open()
    wire.run(50)
    for data in late:
        if not data[0] & 1:
            b.feed(data[:1] + bytes((b.state,)) + data[2:], wire.now)
            b.feed(data, wire.now)
    same(drained(b), [])
    counted(b, stale=0)
    wire.got = [[], []]
    wire.transfer(0, (b"new", b"newer"))


def test_late_packets_of_a_session_that_had_only_greeted(Engine):
    wire = linked(Engine)
    old, b = wire.sides
    wire.transfer(0, (b"first",))
    wire.start()
    b_hello = []
    carry_greeting(old, b, wire.now)
    b_hello = greeting(b, wire.now)
    for data in b_hello:
        old.feed(data, wire.now)
    old.send(bytes((0, 30)) * 10)
    late = []
    data = pulled(old, wire.now)
    while data:
        late.append(data)
        data = pulled(old, wire.now)
    again = Healing(new(Engine, NEAR + 0x10000), b)
    again.open()
    for data in late:
        if not data[0] & 1:
            b.feed(data, again.now)
    again.transfer(0, [message(i, 12) for i in range(3)])
    same(again.seen[1] & BROKEN, 0)


def test_forged_gaps_are_bounded(Engine):
    peer = Peer(new(Engine, NEAR, 8192), ring_bits=13)
    engine = peer.engine
    peer.settle()
    peer.widens()
    for i in range(30):
        engine.send(message(i, 250))
    heard = 0
    while peer.hears(0):
        heard += 1
    same(heard, 16)
    heard = 0
    for gap in range(1, 101):
        peer.credit = gap
        peer.says(b"", 0, GAP)
        while True:
            data = pulled(engine, 0)
            if not data:
                break
            heard += len(data)
    true(heard <= 13 + 8 * 236, f"{heard} bytes for 1,200")
    counted(engine, gaps_resent=1)
    # Each byte is sent again once for it, whatever he says; and once more in its time.
    sent = engine.stats()["packets_sent"]
    for ack in range(1, 3000):
        peer.ack = ack
        peer.credit = 100
        peer.says(b"", 0, GAP)
        while pulled(engine, 0):
            pass
    true(engine.stats()["gaps_resent"] <= 1 + 30, str(engine.stats()))
    true(engine.stats()["packets_sent"] - sent < 100, str(engine.stats()))


def test_forged_round_trips_do_not_make_the_gap_urgent(Engine):
    peer = full_flight(Engine, 4000)
    engine = peer.engine
    peer.ack = 224
    peer.says(b"", 0)  # at once
    peer.credit = 224
    peer.says(b"", 0, GAP)
    while peer.hears(0):
        pass
    for _ in range(10):
        peer.says(b"", 0, GAP)
        same((engine.wait(0), pulled(engine, 9)), (10, b""))
    counted(engine, gaps_resent=1)
    same(peer.hears(10)[2], 224)


def test_another_end_of_a_known_gap(Engine):
    for end, rest in ((224, [3584]), (100, [3584]), (1000, [224, 448, 672, 896])):
        peer = full_flight(Engine, 8000)
        engine = peer.engine
        peer.credit = 500
        peer.says(b"", 80, GAP)
        same(peer.hears(80)[2], 0)
        peer.credit = end  # nxt is at 224
        peer.says(b"", 80, GAP)
        counted(engine, gaps_resent=1, flight_limit=8)
        heard = []
        data = peer.hears(80)
        while data and len(heard) < len(rest):
            heard.append(data[2])
            same(data[2] + len(data[5]) <= end or data[2] >= 3584, True)
            data = peer.hears(80)
        same(heard, rest)
        while data:
            data = peer.hears(80)
        same(engine.wait(80), 10)  # then the gap, which was reported again, is sent once more
        same(peer.hears(90)[2], 0)
        counted(engine, gaps_resent=2)


def test_what_is_behind_a_gap_has_room(Engine):
    # Somebody has said that there is none; the peer speaks of its gap only, never of its credit.
    peer = full_flight(Engine, 8000)
    peer.credit = 0
    peer.says(b"", 80, OVERRUN)
    same(peer.hears(80), None)
    peer.credit = 300
    peer.says(b"", 90, GAP)
    same(len(peer.hears(90)[5]), 224)
    flags, _, offset, _, _, data = peer.hears(90)
    same((flags, offset, len(data)), (ASK, 224, 76))
    same(peer.hears(90), None)
    peer.ack, peer.credit = 3584, 4000
    peer.says(b"", 100)
    same(peer.hears(100)[2], 3584)


def test_a_gap_that_there_is_no_room_for_is_not_sent_again(Engine):
    """wait() is right: nothing is due for a gap whose first byte has no room any more."""
    peer = full_flight(Engine, 8000)
    engine = peer.engine
    peer.credit = 224
    peer.says(b"", 80, GAP)
    while peer.hears(80):
        pass
    peer.says(b"", 85, GAP)
    peer.credit = 0
    peer.says(b"", 86, OVERRUN)
    true(engine.wait(86) > 100, str(engine.wait(86)))
    same(peer.hears(186), None)
    counted(engine, gaps_resent=1)
    peer.credit = 224
    peer.says(b"", 190, GAP)
    same(peer.hears(200)[2], 0)
    counted(engine, gaps_resent=2)


def test_a_forged_overrun_while_there_is_a_gap_heals(Engine):
    wire = Healing(new(Engine), new(Engine, FAR))
    wire.open()
    wire.run(50)
    a, b = wire.sides
    for i in range(4):
        a.send(message(i, 200))
    packets = [pulled(a, wire.now) for _ in range(4)]
    for data in packets[1:]:
        b.feed(data, wire.now)
    pulled(b, wire.now)  # its GAP is lost
    start = bound(FAR, NEAR, b"\x0a\x00", b"\x0a\x00")
    a.feed(packet(start, NEAR + 1, 0, 0, 0, b"", OVERRUN), wire.now)
    wire.heals()
    same(wire.got[1][:4], [(0, message(i, 200)) for i in range(4)])


def test_bytes_that_only_a_forger_has_sent_heal(Engine):
    """Kept behind a gap that does not exist, taken, or no record at all: the next messages come."""
    for offset in (0, 1, 50, 500):
        for data in (record(b"forged"), b"\x80\x80", b"\x00", b"\x00\xff", bytes(200)):
            wire = Healing(new(Engine), new(Engine, FAR))
            wire.open()
            wire.run(50)
            b = wire.sides[1]
            start = bound(NEAR, FAR, b"\x0a\x00", b"\x0a\x00")
            b.feed(packet(start, FAR + 1, offset, 0, 1024, data), wire.now)
            wire.run(3000)
            wire.heals()
            true(wire.got[1][-1][1] == b"from side 0", "the last message")
            wire.heals(2000)


def test_bytes_later_than_32_kib_heal(Engine):
    # Beyond the limits: they pass for new ones.
    wire = Healing(new(Engine, NEAR, 2048, 256), new(Engine, FAR, 256, 32768))
    wire.open()
    a, b = wire.sides
    a.send(message(7, 200))
    late = pulled(a, wire.now)
    b.feed(late, wire.now)
    wire.run(100)
    wire.got = [[], []]
    for i in range(170):
        wire.transfer(0, (message(i, 220),))
    b.feed(late, wire.now)
    wire.heals()
    for i in range(170):
        a.send(message(i, 220))
        wire.run(100)
    wire.heals()


# -- overruns -----------------------------------------------------------------------------------------------


def test_what_fits_is_taken_and_the_edge_is_told(Engine):
    peer = Peer(new(Engine, NEAR, 256, 256))
    engine = peer.engine
    peer.settle()
    stream = record(message(1, 150)) + record(message(2, 150))
    peer.says(stream[:200], 0)
    engine.feed(peer.packet(stream[200:], offset=200), 0)
    counted(engine, overruns=1)
    same(peer.hears(0)[0:5], (OVERRUN, 0x40, 0, 256, 0))
    same(engine.wait(0), -1)
    engine.feed(peer.packet(stream[256:], offset=256), 1)  # no room at all
    same(peer.hears(1)[0:5], (OVERRUN, 0x40, 0, 256, 0))
    engine.feed(peer.packet(stream[260:], offset=260), 1)  # behind rcv: none of it
    counted(engine, overruns=3, gaps=0)
    same(peer.hears(1)[0:5], (OVERRUN, 0x40, 0, 256, 0))
    same(engine.recv(), (0, message(1, 150)))
    same(peer.hears(1)[0:5], (0, 0x40, 0, 256, 153))
    engine.feed(peer.packet(stream[256:], offset=256), 2)
    same(engine.recv(), (0, message(2, 150)))
    counted(engine, overruns=3)


def test_an_overrun_is_told_when_the_gap_is_over(Engine):
    peer = Peer(new(Engine, NEAR, 256, 256))
    engine = peer.engine
    peer.settle()
    stream = record(message(1, 253))
    engine.feed(peer.packet(stream[200:], offset=200), 0)
    engine.feed(peer.packet(b"more", offset=254), 0)
    same(peer.hears(0)[0:5], (GAP, 0x40, 0, 0, 200))
    engine.feed(peer.packet(stream[:200], offset=0), 1)
    same(peer.hears(1)[0:5], (OVERRUN, 0x40, 0, 256, 0))


def test_overrun_moves_the_edge_back(Engine):
    peer = full_flight(Engine, 8000)
    engine = peer.engine
    peer.ack = 224
    peer.credit = 300
    peer.says(b"", 80, OVERRUN)  # una has just moved: only the edge
    counted(engine, flight_limit=16)
    same(peer.hears(80), None)
    peer.says(b"", 239, OVERRUN)
    same(peer.hears(239), None)
    peer.says(b"", 240, OVERRUN)  # patience: 80 + 160 / 2
    counted(engine, flight_limit=16, timeouts=0, gaps_resent=0)
    same(peer.hears(240)[2], 224)
    same(peer.hears(240), None)  # 76 more
    peer.says(b"", 250, OVERRUN)
    same(peer.hears(250), None)
    peer.credit = 8192
    peer.says(b"", 260)
    same(peer.hears(260)[2], 448)
    peer.credit = 1000
    peer.ack = 300
    peer.says(b"", 300)  # no OVERRUN: overtaken by the other one
    same(peer.hears(300)[2], 672)


def test_a_handshake_starts_the_clock_of_overruns(Engine):
    peer = Peer(new(Engine, NEAR, 8192), ring_bits=13)
    engine = peer.engine
    peer.settle(1000)
    engine.send(bytes(300))
    same((len(peer.hears(1000)[5]), len(peer.hears(1000)[5])), (224, 79))
    peer.credit = 100
    peer.says(b"", 1299, OVERRUN)  # patience: 300
    same(peer.hears(1299), None)
    peer.says(b"", 1300, OVERRUN)
    same(len(peer.hears(1300)[5]), 100)


def test_overrun_without_credit(Engine):
    peer = full_flight(Engine, 8000)
    engine = peer.engine
    peer.credit = 0
    peer.says(b"", 5, OVERRUN)
    same(peer.hears(5), None)
    now = 300
    for _ in range(4):
        same(engine.wait(now), 0)
        flags, _, offset, _, _, data = peer.hears(now)  # the timeout asks, and sends nothing
        same((flags, offset, data), (ASK, 0, b""))
        now += engine.wait(now)
    peer.credit = 224
    peer.says(b"", now)
    same(len(peer.hears(now)[5]), 224)


def test_acks_beyond_an_edge_that_was_none(Engine):
    peer = full_flight(Engine, 8000)
    peer.credit = 100
    peer.says(b"", 5, OVERRUN)
    peer.ack = 1000
    peer.credit = 0
    peer.says(b"", 20)
    same(peer.hears(20), None)
    peer.credit = 8192 - 1000
    peer.says(b"", 30)
    same(peer.hears(30)[2], 3584)


# -- commit -------------------------------------------------------------------------------------------------


def committing(Engine, tx=1024):
    """A peer that commits."""
    peer = Peer(new(Engine, NEAR, tx), features=COMMITS)
    peer.settle()
    return peer


def test_what_is_not_committed_is_kept(Engine):
    peer = committing(Engine)
    engine = peer.engine
    for i in range(3):
        engine.send(message(i, 300))
    got = peer.hears(0)
    while got:
        peer.ack = got[2] + len(got[5])
        peer.says(b"", 0)
        got = peer.hears(0)
    same(peer.ack, 909)
    engine.take_flags()
    same(peer.says(b"", 10), PULL)
    same((engine.pending(), engine.acknowledged()), (909, 909))
    counted(engine, messages_acknowledged=0)
    same(engine.send(bytes(300)), False)
    peer.credit = 909 - 400  # uncommitted
    same(peer.says(b"", 20, COMMIT), PULL | WRITABLE)
    same(engine.pending(), 606)
    counted(engine, messages_acknowledged=1)
    peer.credit = 0
    same(peer.says(b"", 30, COMMIT) & WRITABLE, WRITABLE)
    same((engine.pending(), engine.wait(30)), (0, -1))
    counted(engine, messages_acknowledged=3, probes=0)


def test_a_commit_acknowledges_too(Engine):
    peer = committing(Engine)
    engine = peer.engine
    engine.send(b"one")
    engine.send(b"two")
    peer.hears(0)
    peer.ack, peer.credit = 10, 5
    peer.says(b"", 10, COMMIT)
    same((engine.pending(), engine.acknowledged()), (5, 10))


def test_a_missing_commit_is_asked_for(Engine):
    peer = committing(Engine)
    engine = peer.engine
    engine.send(b"x")
    peer.hears(0)
    peer.ack = 3
    peer.says(b"", 10)
    now = 10
    for wait in (300, 600, 1200, 2400, 2400):
        same(engine.wait(now), wait)
        now += wait
        flags, _, offset, _, _, data = peer.hears(now)
        same((flags, offset, data), (ASK, 3, b""))
        peer.says(b"", now)
    counted(engine, probes=5, timeouts=0)
    engine.send(b"y")
    peer.hears(now)
    peer.ack, peer.credit = 6, 3
    peer.says(b"", now + 10, COMMIT)
    same(engine.wait(now + 10) < 600, True)
    now += 10 + engine.wait(now + 10)
    peer.hears(now)
    peer.credit = 0
    peer.says(b"", now, COMMIT)
    same(engine.wait(now), -1)


def test_commits_that_cannot_be(Engine):
    peer = committing(Engine)
    engine = peer.engine
    for _ in range(3):
        engine.send(b"12345678")
    peer.hears(0)
    peer.ack, peer.credit = 20, 10
    peer.says(b"", 10, COMMIT)
    same(engine.pending(), 20)
    for ack, uncommitted in ((20, 11), (30, 21), (30, 0xFFFF), (31, 0), (9, 0)):
        peer.ack, peer.credit = ack, uncommitted
        peer.says(b"", 20, COMMIT)
        same((engine.pending(), engine.acknowledged()), (20, 20))
        same(peer.hears(20)[0], ASK)
    peer.ack, peer.credit = 30, 20
    peer.says(b"", 20, COMMIT)
    same((engine.pending(), engine.acknowledged(), engine.wait(20) > 0), (20, 30, True))


def test_commit_of_a_peer_without_the_feature_is_malformed(Engine):
    peer = Peer(new(Engine))
    peer.settle()
    peer.says(b"", 0, COMMIT)
    counted(peer.engine, malformed=1)


def test_a_committing_peer_restarts(Engine):
    peer = committing(Engine)
    engine = peer.engine
    for i in range(4):
        engine.send(message(i, 20))
    peer.hears(0)
    peer.ack, peer.credit = 88, 66 - 5
    peer.says(b"", 10, COMMIT)
    again = Peer(engine, THIRD, features=COMMITS)
    same(again.greet(100) & PEER_RESTARTED, PEER_RESTARTED)
    again.hears(100)
    again.says(b"", 100)
    stream = b""
    for i in (1, 2, 3):
        stream += record(message(i, 20))
    same(again.hears(100)[2:6], (0, 0, 1024, stream))
    counted(engine, resent=3, messages_acknowledged=1)
    # A resume leaves what is committed as it is.
    again.ack, again.credit = 66, 44
    again.says(b"", 110, COMMIT)
    same(again.greet(200, expected=66) & PEER_RESTARTED, 0)
    same((again.hears(200)[2], engine.pending()), (66, 44))


def test_commit_is_told(Engine):
    peer = Peer(new(Engine, commit=True))
    engine = peer.engine
    engine.start(247, 0)
    same(peer.hears_hello(0)[13], COMMITS)
    peer.says_hello(0)
    same(peer.hears(0)[0:6], (COMMIT, 0x40, 0, 0, 0, b""))  # a handshake is done
    same(peer.hears(0)[0:6], (0, 0x40, 0, 0, 1024, b""))
    peer.says(record(b"first") + record(b"second") + record(b"third")[:3], 100)
    same(peer.hears(130)[0:5], (0, 0x40, 0, 18, 1006))
    engine.commit()  # nothing was read
    same(engine.wait(130), -1)
    engine.recv()
    engine.commit()
    same(peer.hears(130)[0:6], (COMMIT, 0x40, 0, 18, 11, b""))
    engine.commit()
    same(engine.wait(130), -1)
    engine.recv()
    engine.commit()
    same((engine.wait(131), pulled(engine, 159)), (29, b""))
    same(peer.hears(160)[0:5], (COMMIT, 0x40, 0, 18, 3))
    counted(engine, acks_alone=5)
    # A probe asks, too; what it asks for first is the acknowledgement of bytes.
    peer.says(b"", 170, ASK)
    same(peer.hears(170)[0:5], (0, 0x40, 0, 18, 1024 - 3))
    same(engine.wait(170), 20)
    same(peer.hears(190)[0:5], (COMMIT, 0x40, 0, 18, 3))
    peer.says(record(b"third")[3:], 200, ASK)
    same((peer.hears(200)[0], engine.wait(200)), (0, -1))


def test_commit_neither_asks_nor_acknowledges(Engine):
    peer = Peer(new(Engine, commit=True))
    engine = peer.engine
    peer.greet()
    peer.hears(0)
    peer.hears(0)
    peer.says(b"", 0)
    peer.credit = 1025  # impossible
    peer.says(record(b"x"), 100)
    engine.recv()
    engine.commit()
    same(peer.hears(100)[0], COMMIT)
    same(peer.hears(100)[0:5], (ASK, 0x40, 0, 3, 1024))


def test_commit_waits_for_the_end_of_a_gap(Engine):
    peer = Peer(new(Engine, commit=True))
    engine = peer.engine
    peer.greet()
    peer.hears(0)
    peer.hears(0)
    peer.says(record(b"x"), 100)
    engine.recv()
    engine.commit()
    engine.feed(peer.packet(record(b"z"), offset=6), 100)
    same(peer.hears(100)[0:5], (GAP, 0x40, 0, 3, 3))
    same(engine.wait(100), -1)
    peer.says(record(b"y"), 110)
    same(peer.hears(110)[0:5], (COMMIT, 0x40, 0, 9, 6))


def test_commit_of_the_end(Engine):
    for early in (False, True):  # does END come after the last commit()?
        peer = Peer(new(Engine, commit=True))
        engine = peer.engine
        peer.greet()
        peer.hears(0)
        peer.hears(0)
        peer.says(record(b"last"), 0)
        if not early:
            peer.says(END, 0)
        same(engine.recv(), (0, b"last"))
        if early:
            engine.commit()
            same(peer.hears(100)[0:5], (COMMIT, 0x40, 0, 6, 0))
            peer.says(END, 100)
            same(peer.hears(130)[0:4], (0, 0x40, 0, 8))
            same(engine.recv(), None)
        else:
            same(engine.recv(), None)
            same(peer.hears(130)[0:4], (0, 0x40, 0, 8))
            engine.commit()
        same(engine.ended, True)
        same(peer.hears(150)[0:5], (COMMIT, 0x40, 0, 8, 0))
        # Not when what comes before it is not committed.
        peer = Peer(new(Engine, commit=True))
        engine = peer.engine
        peer.greet()
        peer.hears(0)
        peer.hears(0)
        peer.says(record(b"last") + END, 0)
        engine.recv()
        same((engine.recv(), peer.hears(30)[0:4], engine.wait(30)), (None, (0, 0x40, 0, 8), -1))


def test_commit_over_a_restart_of_the_peer(Engine):
    """What is unread of a dead session needs no commit, and is not taken for the new session's."""
    for size in (256, 32768):  # a full ring
        peer = Peer(new(Engine, NEAR, 256, size, 4096, True))
        engine = peer.engine
        peer.greet()
        peer.hears(0)
        count = size // 64
        for i in range(count):
            peer.says(record(message(i, 62)), 0)
        peer.hears(30)
        again = Peer(engine, THIRD)
        again.greet(100)
        same(again.hears(100)[0:5], (COMMIT, 0x40, 0, 0, 0))
        same(again.hears(100)[3:5], (0, 0))
        for i in range(count):
            same(engine.recv(), (0, message(i, 62)))
            engine.commit()
        same(engine.wait(200), 0)
        same(again.hears(200)[0:5], (0, 0x40, 0, 0, size))
        # The new one's: its whole ring is read before the first commit.
        for i in range(count):
            again.says(record(message(i, 62)), 200)
            engine.recv()
            while pulled(engine, 240):
                pass
        engine.commit()
        same(again.hears(300)[0:5], (COMMIT, 0x40, 0, size & 0xFFFF, 0))


def test_commits_of_two(Engine):
    a = new(Engine)
    b = new(Engine, FAR, 1024, 1024, 4096, True)
    wire = Wire(a, b)
    read = 0

    def check(read):
        # As they come: a board has no room for all of them twice.
        for got in wire.got[1]:
            same(got, (0, message(read, 90)))
            read += 1
        wire.got[1].clear()
        return read

    for i in range(300):
        data = message(i, 90)
        wire.until(lambda data=data: a.send(data), "room")
        wire.step()
        read = check(read)
        if i % 7 == 0:
            b.commit()
        if i == 100:
            wire.start()
    wire.run(500)
    b.commit()
    wire.until(lambda: not a.pending(), "commits")
    same(check(read), 300)
    counted(a, messages_acknowledged=300)


def test_restart_of_a_side_that_commits(Engine):
    wire = Wire(new(Engine), new(Engine, FAR, 1024, 1024, 4096, True))
    a = wire.sides[0]
    for i in range(5):
        a.send(message(i, 50))
    wire.run(500)
    same(wire.got[1], [(0, message(i, 50)) for i in range(5)])
    same(a.pending(), 5 * 52)
    wire.reading = False
    wire.sides[1] = again = new(Engine, FAR + 1, 1024, 1024, 4096, True)
    wire.start()
    wire.run(500)
    for i in range(2):
        same(again.recv(), (0, message(i, 50)))
    again.commit()
    wire.run(500)
    same(a.pending(), 3 * 52)
    wire.sides[1] = again = new(Engine, FAR + 2, 1024, 1024, 4096, True)
    wire.start()
    wire.run(500)
    same(drained(again), [(0, message(i, 50)) for i in (2, 3, 4)])
    again.commit()
    wire.run(5000)
    same(a.pending(), 0)


# -- END ----------------------------------------------------------------------------------------------------


def test_nothing_is_taken_behind_the_end(Engine):
    peer = Peer(new(Engine))
    engine = peer.engine
    peer.settle()
    same((engine.send(b"x"), engine.end(), engine.end()), (True, True, True))
    same((engine.send(b"y"), engine.pending()), (False, 5))
    raises(ValueError, "1022", engine.send, bytes(1022))
    counted(engine, messages_sent=1)
    same(peer.hears(0)[5], record(b"x") + END)
    peer.ack = 5
    peer.says(b"", 10)
    same((engine.end(), engine.pending(), engine.send(b"")), (True, 0, False))
    same(engine.wait(10), -1)
    counted(engine, messages_acknowledged=1)


def test_end_that_finds_no_room(Engine):
    peer = Peer(new(Engine, NEAR, 256))
    engine = peer.engine
    engine.send(bytes(253))
    same((engine.end(), engine.send(b"")), (False, False))
    peer.settle()
    while peer.hears(0):
        pass
    peer.ack = 256
    peer.says(b"", 0)
    same((engine.send(b""), engine.end(), engine.send(b"")), (True, True, False))


def test_nothing_is_read_behind_the_end(Engine):
    peer = Peer(new(Engine))
    engine = peer.engine
    peer.settle()
    same(peer.says(record(b"last") + END + record(b"behind"), 0) & PEER_ENDED, PEER_ENDED)
    same((drained(engine), engine.ended), ([(0, b"last")], True))
    peer.says(record(b"more"), 0)
    same((engine.recv(), engine.recv_into(bytearray(9)), engine.readable()), (None, -1, False))
    again = Peer(engine, THIRD)  # nor of a new session
    again.settle(10)
    again.says(record(b"new"), 10)
    same((engine.recv(), engine.ended), (None, True))


def test_end_and_the_restart_of_the_peer(Engine):
    for acked, wanted in ((0, record(b"last") + END), (6, END), (7, END), (8, b"")):
        peer = Peer(new(Engine))
        engine = peer.engine
        peer.settle()
        engine.send(b"last")
        engine.end()
        peer.hears(0)
        peer.ack = acked
        peer.says(b"", 0)
        again = Peer(engine, THIRD)
        again.greet(10)
        again.hears(10)
        again.says(b"", 10)
        got = again.hears(10)
        same(got[5] if got else b"", wanted)
        same((engine.send(b"more"), engine.end()), (False, True))
        counted(engine, resent=1 if acked < 6 else 0, too_large=0)
        again.ack = len(wanted)
        again.says(b"", 20)
        same((engine.pending(), engine.wait(20)), (0, -1))


def test_end_of_two_and_a_restart_in_between(Engine):
    wire = linked(Engine)
    a, b = wire.sides
    wire.lost = everything
    a.send(b"last")
    a.end()
    wire.run(50)
    wire.lost = nothing
    wire.sides[1] = b = new(Engine, FAR + 1)
    wire.start()
    wire.until(lambda: b.ended and not a.pending(), "END")
    same(wire.got[1], [(0, b"last")])
    b.send(b"still")  # the other direction goes on
    b.end()
    wire.until(lambda: a.ended and not b.pending(), "END back")
    same(wire.got[0], [(0, b"still")])


def test_kinds(Engine):
    wire = linked(Engine)
    wire.run(20)  # values are taken when there is credit
    wire.reading = False
    a, b = wire.sides
    sent = []
    for kind in (BYTES, TEXT, OBJECT, BYTES | NEWEST, TEXT | NEWEST, OBJECT | NEWEST):
        for channel in (0, 1, 15):
            true(a.send(bytes((kind, channel)), channel, kind), "room")
            sent.append((channel | kind << 4, bytes((kind, channel))))
    wire.run(100)
    same(sorted([b.recv(True) for _ in sent]), sorted(sent))
    a.send("t\xfc\u4e16", 2, TEXT | NEWEST)
    a.send("as bytes", 3, BYTES)
    a.send("as bytes", 4, BYTES)
    wire.run(100)
    buf = bytearray(16)
    same(b.recv_into(buf), (2 | 5 << 4) << 16 | 6)
    same((b.recv(), b.recv(), b.recv()), ((3, b"as bytes"), (4, b"as bytes"), None))
    peer = Peer(new(Engine))
    peer.settle()
    peer.engine.send(b"x", 15, OBJECT | NEWEST)
    same(peer.hears(0)[5], b"\x6f\x01x")


INTS = (0, 127, 128, -1, -32, -33, 65535, 65536, 2**31, -(2**31), 2**32 + 5, 2**64 - 1, -(2**63))
OBJECTS = INTS + (
    None,
    True,
    False,
    0.5,
    -(2.0**99),
    [],
    {},
    [1, "two", b"three", [None, {"four": [4.5]}]],
    {"t": 21.5, "on": True, "name": "t\xfc\u4e16", 7: [1, 2, 3], "data": bytes(200)},
    list(range(300)),
)


def test_what_goes_in_comes_out(Engine):
    wire = linked(Engine, 247, 2048, 2048)
    wire.reading = False
    a, b = wire.sides
    for sent in OBJECTS + ("text", "t\xfc\u4e16", "", b"bytes", b""):
        true(a.send(sent, 5), "room")
        wire.run(100)
        kind = BYTES if isinstance(sent, bytes) else TEXT if isinstance(sent, str) else OBJECT
        first, got = b.recv()
        same((first, got, type(got)), (5 | kind << 4, sent, type(sent)))
    a.send((1, bytearray(b"2"), memoryview(b"3")))
    wire.run(100)
    same(b.recv(), (OBJECT << 4, [1, b"2", b"3"]))


def test_an_object_that_wraps_in_the_ring(Engine):
    wire = linked(Engine, 247, 256, 256)
    a, b = wire.sides
    sent = {"t": 21.5, "on": True, "name": "x" * 60}
    for i in range(16):
        wire.transfer(0, (b"",))
        wire.reading = False
        true(a.send(sent if i & 1 else "t\xfc\u4e16" * 17), "room")
        wire.run(100)
        same(b.recv()[1], sent if i & 1 else "t\xfc\u4e16" * 17)
        wire.reading = True


def test_what_is_no_object(Engine):
    a = linked(Engine).sides[0]
    pending = a.pending()
    around = []
    around.append(around)
    for error, text, bad in (
        (TypeError, "message['a'][3] is a set", {"a": [0, 1, 2, {3}]}),
        (TypeError, "message is an object", object()),
        (TypeError, "message[1] has the key None: keys are str or int", [0, {None: 1}]),
        (TypeError, "message has the key True", {True: 1}),
        (ValueError, "message['n'] is an int of more than 64 bits", {"n": 2**64}),
        (ValueError, "message is an int of more than 64 bits", -(2**63) - 1),
        (ValueError, "more than 16 containers inside each other", around),
    ):
        raises(error, text, a.send, bad)
    raises(ValueError, "never fits", a.send, [bytes(1100)])
    same(a.pending(), pending)


def test_what_a_peer_should_not_send_is_gone_when_read(Engine):
    wire = linked(Engine)
    wire.reading = False
    a, b = wire.sides
    for payload, at in (
        (b"", 0),
        (b"\xdd\xff\xff\xff\xff", 0),  # 4 Gi items
        (b"\x92\x01", 0),
        (b"\x01\x02", 1),
        (b"\x92\x01\xc1", 2),
        (b"\x81\xc0\x01", 1),
        (b"\x91\xa2\xc3\x28", 1),
        (b"\x91" * 17 + b"\x01", 16),
    ):
        a.send(payload, 0, OBJECT)
        a.send(b"next")
        wire.run(100)
        raises(ValueError, f"at byte {at}: ", b.recv)
        same(b.recv(), (0, b"next"))
    a.send(b"\xc3\x28", 0, TEXT)
    a.send(b"\x91" * 16 + b"\xcb\x3f\xe0\0\0\0\0\0\0", 0, OBJECT)
    wire.run(100)
    raises(ValueError, "", b.recv)
    got = b.recv()[1]
    for _ in range(16):
        got = got[0]
    same(got, 0.5)


def values(data):
    """The records in stream bytes: [first byte, size of the payload, its first byte]."""
    found = []
    at = 0
    while at < len(data):
        size = data[at + 1]
        found.append((data[at], size, data[at + 2]))
        at += 2 + size
    return found


def test_a_newest_value_goes_before_what_was_not_sent(Engine):
    peer = Peer(new(Engine))
    peer.settle()
    engine = peer.engine
    for i in range(10):
        engine.send(bytes((i,)) * 50)  # records of 52 bytes: a packet holds four, and 16 bytes of the fifth
    sent = peer.hears(0)[5]
    for value in (b"\xaa", b"\xbb" * 9):
        true(engine.send(value, 3, NEWEST), "room in the next packet")
    sent += peer.hears(0)[5]
    true(not engine.send(b"\xcc", 3, NEWEST), "two packets are all that may be in flight")
    same(engine.pending(), 10 * 52 + 3 + 11)
    peer.ack = len(sent)
    peer.says()
    engine.send(b"\x0a" * 50)
    true(engine.send(b"\xcc", 4, NEWEST | TEXT), "room again")
    while got := peer.hears(0):
        sent += got[5]
        peer.ack = len(sent)
        peer.says()
    ordinary = [(0, 50, i) for i in range(11)]
    newest = [(0x43, 1, 0xAA), (0x43, 9, 0xBB)]
    same(values(sent), ordinary[:5] + newest + ordinary[5:9] + [(0x54, 1, 0xCC)] + ordinary[9:])
    same(engine.pending(), 0)
    counted(engine, messages_sent=14, messages_acknowledged=14, retransmitted=0)


def test_a_newest_value_waits_for_the_handshake(Engine):
    engine = new(Engine)
    same(engine.send(b"x", 1, NEWEST), False)
    peer = Peer(engine)
    engine.start(247, 0)
    same(engine.send(b"x", 1, NEWEST), False)
    peer.settle()
    same(engine.send(b"x", 1, NEWEST), True)
    same(peer.hears(0)[5], b"\x41\x01x")
    counted(engine, messages_sent=1)


def test_a_newest_value_waits_behind_a_large_message(Engine):
    peer = Peer(new(Engine))
    peer.settle()
    engine = peer.engine
    engine.send(bytes(600))
    peer.ack += len(peer.hears(0)[5])
    peer.says()
    same(engine.send(b"x", 1, NEWEST), False)  # 379 bytes of it are left: more than the next packet
    peer.ack += len(peer.hears(0)[5])
    peer.says()
    same(engine.send(b"x", 1, NEWEST), True)
    same(peer.hears(0)[5][-3:], b"\x41\x01x")


def test_newest_values_and_ordinary_messages_take_turns(Engine):
    peer = Peer(new(Engine))
    peer.settle()
    engine = peer.engine
    for _ in range(3):
        engine.send(b"o" * 221)  # with its header a packet
    order = b""
    value = before = 0
    while got := peer.hears(0):
        order += got[5][3:4]
        peer.ack += before  # all but the last one, which says whose turn it is
        before = len(got[5])
        peer.says()
        if value < 5 and engine.send(b"v" * 221, 1, NEWEST):
            value += 1
    same(order, b"ovovo" + b"vvv")


def test_a_newest_value_waits_while_something_is_sent_again(Engine):
    peer = Peer(new(Engine))
    peer.settle()
    engine = peer.engine
    peer.widens()
    for _ in range(3):
        engine.send(bytes(222))
        peer.hears(0)
    peer.engine.feed(packet(peer.start_out, peer.engine_tag, 0, peer.base, 224, b"", GAP), 0)
    same(engine.send(b"x", 1, NEWEST), False)
    peer.hears(0)
    same(engine.send(b"x", 1, NEWEST), True)


def test_newest_values_keep_their_order_when_sent_anew(Engine):
    """To a peer that has restarted: a message that was sent before a value waits before it."""
    peer = Peer(new(Engine))
    peer.settle()
    engine = peer.engine
    engine.send(b"o" * 50)
    peer.hears(0)
    true(engine.send(b"\x01", 3, NEWEST), "room in the next packet")
    peer.hears(0)
    again = Peer(engine, session=0x99AABBCC)
    again.greet(100)
    again.hears(100)
    again.says(b"", 100)
    true(engine.send(b"\x02", 3, NEWEST), "room in the next packet")
    same(values(again.hears(100)[5]), [(0, 50, 0x6F), (0x43, 1, 1), (0x43, 1, 2)])


def test_newest_values_in_every_place_of_the_ring(Engine):
    wire = linked(Engine, 247, 256, 256)
    a, b = wire.sides
    numbers = Numbers(7)
    sent = [[], []]  # that are on their way
    count = [0, 0]
    for i in range(600):
        newest = int(numbers.below(3) == 0)
        data = bytes((i & 0xFF,)) * (1 + numbers.below(60))
        if a.send(data, newest, NEWEST if newest else 0):
            sent[newest].append((newest | newest << 6, data))
            count[newest] += 1
        if numbers.below(3) == 0:
            wire.step()
        arrived(wire.got[1], sent)
    wire.until(lambda: not a.pending(), "arrival")
    arrived(wire.got[1], sent)
    same(sent, [[], []])
    true(min(count) > 50, "many of both")
    counted(b, malformed=0)


def arrived(got, sent):
    """Ordinary messages come in order, newest values too."""
    while got:
        message = got.pop(0)
        same(message, sent[message[0] >> 6].pop(0))


# -- the interface ------------------------------------------------------------------------------------------


def test_flags_are_cleared_when_taken(Engine):
    peer = Peer(new(Engine))
    engine = peer.engine
    same(peer.greet() & (OPENED | WRITABLE), OPENED | WRITABLE)
    same(engine.take_flags(), 0)
    peer.hears(0)
    same(peer.says(record(b"x")), READABLE | PULL)
    same(peer.says(b""), READABLE | PULL)
    same(engine.take_flags(), READABLE | PULL)
    same(engine.take_flags(), 0)
    engine.send(b"y")
    peer.hears(0)
    peer.ack = 2
    same(peer.says(b""), PULL)  # not the whole message
    peer.ack = 3
    same(peer.says(b""), PULL | WRITABLE)


def test_stats(Engine):
    stats = new(Engine).stats()
    same(sorted(stats), sorted(COUNTERS + ("rtt_ms", "flight_limit")))
    for name in COUNTERS:
        same(stats[name], 0, name)
    wire = linked(Engine)
    wire.transfer(0, [message(i, 100) for i in range(20)])
    wire.until(lambda: not wire.sides[0].pending(), "acknowledgement")
    counted(wire.sides[0], messages_sent=20, messages_received=0, messages_acknowledged=20, opened=1)
    counted(wire.sides[1], messages_sent=0, messages_received=20, messages_acknowledged=0, opened=1)
    same(wire.sides[0].stats()["packets_received"], wire.sides[1].stats()["packets_sent"])


def test_constructor_arguments(Engine):
    for session in (0, -1, 1 << 32, 1 << 40):
        raises(ValueError, str(session), Engine, session, NEAR_ID)
    for ring in (0, 128, 255, 257, 300, 65536, -256, 1 << 40):
        raises(ValueError, str(ring), Engine, 1, NEAR_ID, ring)
        raises(ValueError, str(ring), Engine, 1, NEAR_ID, 256, ring)
    for window in (0, 255, 65536, -1, 1 << 40):
        raises(ValueError, str(window), Engine, 1, NEAR_ID, 256, 256, window)
    for bad in ("12", 2.5, None, True):
        raises(TypeError, repr(bad), Engine, bad, NEAR_ID)
        raises(TypeError, repr(bad), Engine, 1, NEAR_ID, bad)
        raises(TypeError, repr(bad), Engine, 1, NEAR_ID, 256, bad)
        raises(TypeError, repr(bad), Engine, 1, NEAR_ID, 256, 256, bad)
    raises(ValueError, "tx_size", Engine, 1, NEAR_ID, 300)
    raises(ValueError, "rx_size", Engine, 1, NEAR_ID, 256, 300)
    for bad in (b"", b"1234567", b"123456789", bytes(8), bytearray(8)):
        raises(ValueError, "identity must be 8 bytes that are not all 0, not " + repr(bad), Engine, 1, bad)
    for bad in (None, 8, "identity", [1] * 8):
        raises(TypeError, "identity must be bytes, not " + repr(bad), Engine, 1, bad)
    for good in (NEAR_ID, bytearray(NEAR_ID), memoryview(NEAR_ID)):
        same(Engine(1, good).partner, None)
    Engine(session=0xFFFFFFFF, identity=FAR_ID, tx_size=256, rx_size=512, window=65535, commit=True)


def test_call_arguments(Engine):
    engine = new(Engine)
    for mtu in (22, 518, -1, 0, 1 << 40):
        raises(ValueError, str(mtu), engine.start, mtu, 0)
    raises(TypeError, "'247'", engine.start, "247", 0)
    same(engine.state, IDLE)
    for channel in (-1, 16, 1 << 40):
        raises(ValueError, str(channel), engine.send, b"x", channel)
    for kind in (-1, 3, 7, 8, 1 << 40):
        raises(ValueError, f"kind must be 0, 1, 2, 4, 5 or 6, not {kind}", engine.send, b"x", 0, kind)
    for kind in ("0", False, 1.0):
        raises(TypeError, f"kind must be an int, not {kind!r}", engine.send, b"x", 0, kind)
    for reason in (0, -1, 256, 1 << 40):
        raises(ValueError, f"reason must be 1 to 255, not {reason}", engine.bye, reason)
    raises(TypeError, "reason must be an int, not '1'", engine.bye, "1")
    raises(ValueError, "identity must be 8 bytes that are not all 0, not b''", engine.set_partner, b"")
    raises(TypeError, "identity must be bytes, not 5", engine.set_partner, 5)
    raises(ValueError, "this engine was made without commit=True", engine.commit)
    raises(TypeError, "'0'", engine.send, b"x", "0")
    for data in (5, None, [1], array("H", [1])):
        raises(TypeError, repr(data), engine.send, data, 0, BYTES)
    raises(TypeError, "message is an array", engine.send, array("H", [1]))
    raises(ValueError, "1022", engine.send, bytes(1022))
    same(engine.send(b"x", 1), True)
    same(engine.pending(), 3)
    engine.start(23, 0)
    raises(ValueError, "235", engine.pull_into, bytearray(235), 0)
    raises(TypeError, "", engine.pull_into, bytes(236), 0)
    same(len(pulled(engine, 0)), 20)


def test_pull_writes_only_its_packet(Engine):
    peer = Peer(new(Engine))
    engine = peer.engine
    peer.settle()
    peer.widens()
    for size in (1, 50, 300):
        engine.send(message(size, size))
        buf = bytearray(b"\xee" * 300)
        length = engine.pull_into(memoryview(buf)[20:], 0)
        true(length > 12, "a packet")
        same(bytes(buf[:20]), b"\xee" * 20)
        same(bytes(buf[20 + length :]), b"\xee" * (280 - length))
        parse(bytes(buf[20 : 20 + length]), peer.start_in)


def test_feed_takes_any_buffer(Engine):
    peer = Peer(new(Engine))
    peer.settle()
    for kind in (bytes, bytearray, memoryview):
        peer.engine.feed(kind(peer.packet(record(b"abc"))), 0)
        peer.offset += 5
        same(peer.engine.recv(), (0, b"abc"))
    padded = b"..." + peer.packet(record(b"def")) + b"..."
    peer.engine.feed(memoryview(padded)[3:-3], 0)
    same(peer.engine.recv(), (0, b"def"))


def test_native_calls_do_not_allocate(Engine):
    _assert_nothing_allocated(new(Engine, NEAR, 512, 512), new(Engine, FAR, 512, 512))


def test_native_calls_with_a_key_do_not_allocate(Engine):
    key = bytes(range(32))
    a = Engine(NEAR, NEAR_ID, tx_size=512, rx_size=512, key=key, seed=bytes(32))
    _assert_nothing_allocated(a, Engine(FAR, FAR_ID, tx_size=512, rx_size=512, key=key, seed=key))


def _assert_nothing_allocated(a, b):
    import micropython

    a.start(120, 0)
    b.start(120, 0)
    buf = bytearray(244)
    view = memoryview(buf)
    views = [view[:size] for size in range(245)]
    inbox = bytearray(244)
    payload = message(1, 100)
    noise = bytes(30)
    got = 0
    now = 0
    micropython.heap_lock()
    try:
        while now < 3000 and got < 60:
            a.send(payload, 5)
            b.send(payload, 5)
            now += 5
            for _ in range(3):
                size = a.pull_into(buf, now)
                if size:
                    b.feed(views[size], now)
                size = b.pull_into(buf, now)
                if size:
                    a.feed(views[size], now)
                a.feed(noise, now)
            a.take_flags()
            if a.recv_into(inbox) >= 0:
                got += 1
            if b.recv_into(inbox) >= 0:
                got += 1
            if a.wait(now) < -1 or a.pending() < 0 or a.state != OPEN or a.ended:
                got = -1000
    finally:
        micropython.heap_unlock()
    same(got >= 60, True, "messages under heap_lock()")
    same(bytes(inbox[:100]), payload)


# -- scripted exchanges -------------------------------------------------------------------------------------


def has_aes(Engine):
    """Whether it can work with a key. The engine in Python must say what it needs where it cannot."""
    try:
        Engine(NEAR, NEAR_ID, key=bytes(32), seed=bytes(32))
        return True
    except RuntimeError as error:
        same(sys.implementation.name, "micropython")
        true("cryptolib on a board" in str(error), error)
        raises(ImportError, "", __import__, "cryptolib")
        return False


def play(Engine, path):
    """Run one exchange of tests/vectors/: every call must give what is written there."""
    with open(path) as file:  # noqa: PTH123 - MicroPython has no pathlib
        exchange = json.load(file)
    engines = {}
    for name in exchange["engines"]:
        args = exchange["engines"][name]
        if "key" in args and not has_aes(Engine):
            return
        engines[name] = Engine(
            int(args["session"], 16),
            unhexlify(args["identity"]),
            args["tx_size"],
            args["rx_size"],
            args["window"],
            args["commit"],
            *([unhexlify(args["key"]), unhexlify(args["seed"])] if "key" in args else []),
        )
    buf = bytearray(236)
    for step in exchange["steps"]:
        name, call, args, wanted = step[:4]
        engine = engines[name]
        if call == "pull_into":
            size = engine.pull_into(buf, *args)
            got = hexlify(buf[:size]).decode()
        elif call in ("feed", "send", "set_partner"):
            data = None if args[0] is None else unhexlify(args[0])
            got = getattr(engine, call)(data, *args[1:])
        elif call == "partner":
            got = engine.partner and hexlify(engine.partner).decode()
        elif call == "recv":
            got = engine.recv(True)
            if got is not None:
                got = [got[0], hexlify(got[1]).decode()]
        elif call == "stats":
            stats = engine.stats()
            got = {key: stats[key] for key in wanted}
        else:
            got = getattr(engine, call)
            if callable(got):
                got = got(*args)
        same(got, wanted, f"{name}.{call}{tuple(args)}")


# -- running ------------------------------------------------------------------------------------------------


def names(native):
    """The tests in the order of their names, with those for native engines or without."""
    tests = [name for name in globals() if name.startswith("test_")]
    return sorted(name for name in tests if native or not name.startswith("test_native_"))


def run(Engine, chosen):
    """Run these tests and exchanges, print one line for each. Returns how many failed."""
    failed = 0
    for name in chosen:
        gc.collect()
        try:
            if name.endswith(".json"):
                play(Engine, name)
            else:
                globals()[name](Engine)
            print("ok", name)
        except Exception as error:
            failed += 1
            print(f"FAILED {name}: {type(error).__name__}: {error}")
    return failed


def engine_named(path):
    """The class with a dotted name like _picolink.Engine."""
    module, name = path.rsplit(".", 1)
    return getattr(__import__(module, None, None, (name,)), name)


def main(args):
    failed = run(engine_named(args[0]), args[1:] or names(args[0].startswith("_picolink")))
    if failed:
        sys.exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
