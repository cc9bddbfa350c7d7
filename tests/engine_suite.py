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

IDLE = 0
GREETING = 1
OPEN = 2
REFUSING = 3
POISONED = 4

HELLO = 0x01
READY = 0x02
ASK = 0x04
GAP = 0x08
RENEWED = 0x10
END = 0x10

NEAR = 0x11223344  # session ids
FAR = 0x55667788

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
    "dropped",
    "opened",
    "peer_restarts",
    "resent",
    "too_large",
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


def seal(body):
    return body + struct.pack("<I", crc32(body))


def hello(session, tag, answers=0, answered_tag=0, flags=0, ring_bits=10, expected=0, version=1):
    head = struct.pack("<BBBBII", HELLO | flags, version, tag, answered_tag, session, answers)
    return seal(head + struct.pack("<BBH", ring_bits, 0, expected & 0xFFFF))


def packet(tag, offset=0, ack=0, credit=1024, data=b"", flags=0):
    return seal(struct.pack("<BBHHH", flags, tag & 0xFF, offset & 0xFFFF, ack & 0xFFFF, credit) + data)


def parse(data):
    """A stream packet as (flags, tag, offset, ack, credit, stream bytes)."""
    same(struct.unpack("<I", data[-4:])[0], crc32(data[:-4]), "CRC")
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


def new(Engine, session=NEAR, tx=1024, rx=1024, window=4096):
    return Engine(session, tx, rx, window)


def pulled(engine, now):
    """The next packet as bytes, b"" for none; wait() must have known."""
    buf = bytearray(236)
    wait = engine.wait(now)
    size = engine.pull_into(buf, now)
    true((wait == 0) == (size > 0), f"wait() said {wait}, then pull_into() gave {size} bytes")
    return bytes(buf[:size])


class Peer:
    """The other side of one engine, by hand: it sends what a test says."""

    def __init__(self, engine, session=FAR, tag=0x40, ring_bits=10):
        self.engine = engine
        self.session = session
        self.tag = tag
        self.ring_bits = ring_bits
        self.offset = 0  # of the next byte of its stream
        self.ack = 0  # what it has had of the engine's stream
        self.credit = 1 << ring_bits

    def hears_hello(self, now):
        data = pulled(self.engine, now)
        same(len(data), 20, "length of a HELLO")
        same(data[0] & ~(READY | RENEWED), HELLO, "flags of a HELLO")
        self.engine_tag = data[2]
        self.engine_session = struct.unpack("<I", data[4:8])[0]
        return data

    def says_hello(self, now, expected=0, flags=READY):
        """Answer the HELLO heard last."""
        answer = hello(
            self.session, self.tag, self.engine_session, self.engine_tag, flags, self.ring_bits, expected
        )
        return self.engine.feed(answer, now)

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
        return parse(data) if data else None

    def says(self, data=b"", now=0, flags=0):
        """Stream bytes that follow what it said before."""
        result = self.engine.feed(self.packet(data, flags=flags), now)
        self.offset += len(data)
        return result

    def packet(self, data=b"", offset=None, flags=0):
        if offset is None:
            offset = self.offset
        return packet(self.engine_tag, offset, self.ack, self.credit, data, flags)


def full_flight(Engine, size):
    """A peer that has heard the first 16 packets, all that may be in flight, of a message of `size` bytes."""
    peer = Peer(new(Engine, NEAR, 8192), ring_bits=13)
    peer.settle()
    peer.engine.send(bytes(size))
    for _ in range(16):
        peer.hears(0)
    return peer


def everything(_):
    return True


def nothing(_):
    return False


class Wire:
    """Two engines and what is in the air between them, in steps of 5 ms; a packet takes one step."""

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

    def step(self):
        self.now = (self.now + 5) & 0x3FFFFFFF
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

    def run(self, ms):
        for _ in range(ms // 5):
            self.step()

    def until(self, condition, what, ms=60000):
        for _ in range(ms // 5):
            if condition():
                return
            self.step()
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
    same(hexlify(pulled(engine, 0)[:16]), b"010145004433221100000000" + b"0b000000")
    same(engine.state, GREETING)


def test_handshake_of_two_that_start_together(Engine):
    wire = linked(Engine)
    for i in (0, 1):
        same(wire.seen[i] & (OPENED | PEER_RESTARTED | FORGOTTEN | REFUSED), OPENED)
        counted(wire.sides[i], opened=1, early=0, stale=0, malformed=0)
        same(wire.sides[i].peer_version, 1)
    true(wire.now <= 30, f"took {wire.now} ms")


def test_handshake_when_one_starts_first(Engine):
    a, b = new(Engine), new(Engine, FAR)
    a.start(247, 0)
    b.feed(pulled(a, 0), 0)  # b has no connection yet
    same(b.state, IDLE)
    counted(b, early=1)
    b.start(247, 40)
    a.feed(pulled(b, 40), 40)
    b.feed(pulled(a, 40), 40)
    same(b.state, OPEN)
    a.feed(pulled(b, 40), 40)
    same(a.state, OPEN)


def test_handshake_with_lost_hellos(Engine):
    for pattern in range(16):
        wire = Wire(new(Engine, NEAR, 256, 256), new(Engine, FAR, 256, 256))
        left = [pattern]

        def lost(data, left=left):
            if not data[0] & HELLO:
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
        same(engine.wait(now), 0)
        first = pulled(engine, now)
        same(engine.wait(now), 250)
        same(engine.wait(now + 249), 1)
        same(pulled(engine, now + 249), b"")
    same(len(first), 20)


def test_ready_is_not_answered(Engine):
    peer = Peer(new(Engine))
    engine = peer.engine
    peer.settle()
    same(peer.says_hello(10, flags=0), PULL)  # has not had our READY: say it again
    data = peer.hears_hello(10)
    same(data[0], HELLO | READY)
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
    peer.settle()
    old = peer.packet(record(b"old"))
    peer.settle(100)
    same(peer.engine.feed(old, 100), PULL)
    counted(peer.engine, stale=1)
    same(peer.engine.recv(), None)
    peer.hears_hello(100)  # should the other side believe in that tag, it learns better
    peer.says(record(b"new"), 100)
    same(peer.engine.recv(), (0, b"new"))


def test_hello_of_an_earlier_handshake_is_stale(Engine):
    peer = Peer(new(Engine))
    engine = peer.engine
    peer.settle()
    for behind in (1, 0x80):
        engine.feed(hello(FAR, peer.tag - behind & 0xFF, NEAR, peer.engine_tag), 10)
        same(engine.state, OPEN)
    counted(engine, stale=2)
    same(engine.wait(10), -1)
    engine.feed(hello(FAR, peer.tag + 0x7F & 0xFF, NEAR, peer.engine_tag), 10)
    same(engine.state, GREETING)


def test_tags_that_come_apart_are_mended(Engine):
    # Both open, each with another idea of the other's tag: packets were late, a READY was lost.
    wire = linked(Engine)
    a, b = wire.sides
    late = []
    wire.lost = lambda data: late.append(data) or True
    wire.start()
    wire.step()
    hello_a, hello_b = late
    b.feed(hello_a, wire.now)
    answer = pulled(b, wire.now)
    b.start(wire.mtu, wire.now)
    pulled(b, wire.now)
    a.feed(hello_b, wire.now)
    pulled(a, wire.now)
    a.feed(answer, wire.now)  # a is open, with b's tag from before its second start
    same(a.state, OPEN)
    ready = pulled(a, wire.now)
    b.feed(ready, wire.now)
    wire.lost = nothing
    wire.transfer(0, (b"there",))
    wire.transfer(1, (b"and back",))


def test_packets_before_the_handshake_are_early(Engine):
    engine = new(Engine)
    data = packet(0x45, data=record(b"x"))
    engine.feed(data, 0)
    engine.start(247, 0)
    engine.feed(data, 0)
    counted(engine, early=2)
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
    counted(engine, rtt_ms=0, flight_limit=16)
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
    same(peer.hears_hello(0)[0], HELLO)
    peer.settle()
    engine.start(247, 10)
    same(peer.hears_hello(10)[0], HELLO)  # the peer may live
    again = Peer(engine, session=0x99AABBCC, tag=0x50)
    engine.feed(hello(again.session, again.tag), 10)
    same(again.hears_hello(10)[0], HELLO | RENEWED)
    engine.start(247, 20)  # nothing came of that
    data = peer.hears_hello(20)
    same((data[0], data[3], data[8:12]), (HELLO, peer.tag, struct.pack("<I", FAR)))
    engine.feed(hello(again.session, again.tag), 20)
    again.hears_hello(20)
    again.says_hello(20, flags=0)
    same(again.hears_hello(20)[0], HELLO | READY | RENEWED)


def test_impossible_place_begins_anew_at_once(Engine):
    peer = Peer(new(Engine))
    engine = peer.engine
    engine.start(247, 0)
    first = peer.hears_hello(0)
    same(peer.says_hello(0, expected=5), PULL)  # of a stream that this engine does not know
    data = peer.hears_hello(0)
    same(peer.engine_session, NEAR + 1)
    same((data[2], data[3], data[8:12]), (first[2] + 1, peer.tag, struct.pack("<I", FAR)))
    peer.says_hello(0)
    same(engine.state, OPEN)
    counted(engine, malformed=0, peer_restarts=0)


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


def test_session_after_poison(Engine):
    engine = new(Engine, 0xFFFFFFFE)
    Peer(engine, session=0x99AABBCC).settle()
    for session in (0xFFFFFFFF, 1, 2):
        peer = Peer(engine)
        peer.settle(0)
        peer.says(record(b"x") + b"\x20\x00")
        engine.start(247, 10)
        data = peer.hears_hello(10)
        same(peer.engine_session, session)
        same((data[0], data[8:12], data[14:16]), (HELLO, bytes(4), bytes(2)))  # it knows no peer


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
    wire = Wire(new(Engine, NEAR, 32768, 256), new(Engine, FAR, 256, 32768))
    wire.reading = False
    a, b = wire.sides
    buf = bytearray(32765)  # one for all: boards have little memory
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
        same(wire.got[1].pop(), (3, data.encode() if isinstance(data, str) else bytes(data)))


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
    same(b.readable(), False)
    a.send(bytes(300))
    received = b.stats()["packets_received"]
    wire.until(lambda: b.stats()["packets_received"] > received, "a part")
    same(b.readable(), False)
    wire.until(lambda: not a.pending(), "arrival")
    a.send(b"")
    a.end()
    wire.until(lambda: not a.pending(), "arrival")
    for size in (300, 0):
        same((b.readable(), b.readable(), b.ended), (True, True, False))
        same(b.recv(), (0, bytes(size)))
    same((b.readable(), b.ended), (False, True))


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
    peer.engine.send(bytes(8000))
    for now in (0, 100):  # a new connection counts anew
        peer.greet(now)
        peer.says(b"", now)
        asks = []
        got = peer.hears(now)
        while got:
            asks.append(got[0])
            got = peer.hears(now)
        same(asks, [0] * 9 + [ASK] + [0] * 6)
        counted(peer.engine, flight_limit=16)
        same(peer.engine.wait(now), 1000)


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
    same(peer.engine.wait(10), -1)


def test_flight_grows_again(Engine):
    wire = linked(Engine, 247, 8192, 8192)
    a = wire.sides[0]
    limit = a.stats()["flight_limit"]
    same(limit, 16)
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

    acknowledge(13)  # a timeout comes first: from 1 by one each to 4, then by one for each whole flight
    same(limits, [2, 3, 4, 4, 4, 4, 5, 5, 5, 5, 5, 6, 6])
    peer.credit = 224  # the gap; the other packets in flight came
    peer.says(b"", 1000, GAP)
    peer.credit = 8192
    limits.clear()
    peer.hears(1000)
    peer.ack += 5 * 224
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
    for wait in (1000, 2000, 4000, 4000, 4000):
        same(engine.wait(now), wait)
        same(pulled(engine, now + wait - 1), b"")
        now += wait
        flags, _, offset, _, _, data = peer.hears(now)
        same((flags, offset, len(data)), (ASK, 0, 224))
    counted(engine, timeouts=5, retransmitted=5, flight_limit=1)
    peer.ack = 224
    peer.says(b"", now)
    same(peer.hears(now)[2], 224)
    same(engine.wait(now), 1000)


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


def test_bad_records_poison(Engine):
    bad = (
        b"\x20\x00",  # reserved bits
        b"\x40\x00",
        b"\x80\x00",
        b"\xff\x00",
        b"\x10\x01",  # END with a payload
        b"\x00\x80\x00",  # not the shortest length
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
            flags = peer.says(data[cut:] + record(b"never"), 0)
            same(flags & (BROKEN | READABLE), BROKEN | READABLE)
            same(engine.state, POISONED)
            counted(engine, malformed=1)
            same(engine.wait(0), -1)
            same(pulled(engine, 5000), b"")
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


def test_recovery_from_poison(Engine):
    wire = linked(Engine)
    a, b = wire.sides
    wire.transfer(0, (b"before",))
    wire.reading = False
    a.send(b"unread")
    wire.run(50)
    # Someone speaks in a's name.
    tag = []
    wire.lost = lambda data: tag.append((data[1], data[2:4])) or True
    a.send(b"on its way")
    wire.step()
    b.feed(seal(b"\x00" + bytes((tag[0][0],)) + tag[0][1] + bytes(4) + b"\x20\x00"), wire.now)
    same(b.state, POISONED)
    b.send(b"from the poisoned")
    wire.lost = nothing
    wire.seen = [0, 0]
    wire.reading = True
    wire.start()
    wire.until(lambda: not a.pending() and not b.pending(), "arrival")
    same(wire.got, [[(0, b"from the poisoned")], [(0, b"unread"), (0, b"on its way")]])
    same(wire.seen[0] & (OPENED | PEER_RESTARTED), OPENED | PEER_RESTARTED)
    same(a.state, OPEN)


def test_refused_hellos(Engine):
    for changes in (
        {"version": 0},
        {"version": 2},
        {"version": 255},
        {"ring_bits": 7},
        {"ring_bits": 16},
        {"ring_bits": 255},
        {"session": NEAR},
        {"session": 0},
    ):
        engine = new(Engine)
        engine.start(247, 0)
        ours = pulled(engine, 0)
        said = {"session": FAR, "tag": 9, "answers": NEAR, "answered_tag": ours[2], "flags": READY}
        said.update(changes)
        bad = hello(**said)
        same(engine.feed(bad, 5) & (REFUSED | OPENED), REFUSED, f"flags after {changes}")
        same((engine.state, engine.peer_version), (REFUSING, changes.get("version", 1)))
        answer = pulled(engine, 5)  # once, so that the peer can see why
        same((answer[0], answer[1]), (HELLO, 1))
        same((engine.wait(5), pulled(engine, 300)), (-1, b""))
        engine.feed(bad, 10)
        same(engine.wait(10), -1)
        peer = Peer(engine)
        peer.settle(20)  # a new connection, a sane peer
        peer.says_hello(20)
        engine.take_flags()
        same(engine.feed(bad, 30) & REFUSED, 0)  # while open it is only counted
        same(engine.state, OPEN)


def test_hello_of_a_wrong_length_is_refused(Engine):
    for size in (12, 13, 14, 15, 16, 17, 18, 19, 21, 40, 244):
        engine = new(Engine)
        engine.start(247, 0)
        tag = pulled(engine, 0)[2]
        body = hello(FAR, 9, NEAR, tag, READY)[:16]
        data = seal((body + bytes(240))[: size - 4])
        engine.feed(data, 5)
        same(engine.state, REFUSING, f"state after {size} bytes")
        same(pulled(engine, 5)[0], HELLO)


def test_hello_refused_without_connection(Engine):
    engine = new(Engine)
    engine.feed(hello(FAR, 1, version=9), 0)
    same((engine.state, engine.wait(0)), (IDLE, -1))
    counted(engine, malformed=1)


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


def unchanged_by_damage(engine, data, now):
    before = fingerprint(engine, now)
    corrupt = engine.stats()["corrupt"]
    flags = engine.take_flags()
    same(flags, 0)
    for bad in damaged(data):
        same(engine.feed(bad, now), 0, "flags")
        corrupt += 1
    same(engine.stats()["corrupt"], corrupt, "corrupt")
    same(fingerprint(engine, now), before)
    engine.feed(data, now)  # the same packet undamaged does something
    true(fingerprint(engine, now) != before, "the undamaged packet changed nothing")


def test_damaged_hello(Engine):
    engine = new(Engine)
    engine.start(247, 0)
    tag = pulled(engine, 0)[2]
    unchanged_by_damage(engine, hello(FAR, 9, NEAR, tag, READY), 1)
    same(engine.state, OPEN)


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
    unchanged_by_damage(peer.engine, peer.packet(flags=ASK | GAP), 1)
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


def test_reserved_flags_and_credit_beyond_the_ring(Engine):
    peer = Peer(new(Engine))
    engine = peer.engine
    peer.settle()
    before = engine.stats()["malformed"]
    for flags in (READY, 0x10, 0x20, 0x40, 0x80, 0xF0 | ASK):
        engine.feed(peer.packet(record(b"x"), flags=flags), 0)
        before += 1
        counted(engine, malformed=before)
    engine.feed(packet(peer.engine_tag, credit=1025, data=record(b"x")), 0)
    counted(engine, malformed=before + 1)
    same(engine.recv(), None)
    same(engine.state, OPEN)


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
        raises(ValueError, str(session), Engine, session)
    for ring in (0, 128, 255, 257, 300, 65536, -256, 1 << 40):
        raises(ValueError, str(ring), Engine, 1, ring)
        raises(ValueError, str(ring), Engine, 1, 256, ring)
    for window in (0, 255, 65536, -1, 1 << 40):
        raises(ValueError, str(window), Engine, 1, 256, 256, window)
    for bad in ("12", 2.5, None, True):
        raises(TypeError, repr(bad), Engine, bad)
        raises(TypeError, repr(bad), Engine, 1, bad)
        raises(TypeError, repr(bad), Engine, 1, 256, bad)
        raises(TypeError, repr(bad), Engine, 1, 256, 256, bad)
    raises(ValueError, "tx_size", Engine, 1, 300)
    raises(ValueError, "rx_size", Engine, 1, 256, 300)
    Engine(session=0xFFFFFFFF, tx_size=256, rx_size=512, window=65535)


def test_call_arguments(Engine):
    engine = new(Engine)
    for mtu in (22, 518, -1, 0, 1 << 40):
        raises(ValueError, str(mtu), engine.start, mtu, 0)
    raises(TypeError, "'247'", engine.start, "247", 0)
    same(engine.state, IDLE)
    for channel in (-1, 16, 1 << 40):
        raises(ValueError, str(channel), engine.send, b"x", channel)
    raises(TypeError, "'0'", engine.send, b"x", "0")
    for data in (5, None, [1], array("H", [1])):
        raises(TypeError, repr(data), engine.send, data)
    raises(ValueError, "1022", engine.send, bytes(1022))
    same(engine.send(b"x", channel=1), True)
    same(engine.pending(), 3)
    engine.start(23, 0)
    raises(ValueError, "235", engine.pull_into, bytearray(235), 0)
    raises(TypeError, "", engine.pull_into, bytes(236), 0)
    same(len(pulled(engine, 0)), 20)


def test_pull_writes_only_its_packet(Engine):
    peer = Peer(new(Engine))
    engine = peer.engine
    peer.settle()
    for size in (1, 50, 300):
        engine.send(message(size, size))
        buf = bytearray(b"\xee" * 300)
        length = engine.pull_into(memoryview(buf)[20:], 0)
        true(length > 12, "a packet")
        same(bytes(buf[:20]), b"\xee" * 20)
        same(bytes(buf[20 + length :]), b"\xee" * (280 - length))
        parse(bytes(buf[20 : 20 + length]))


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
    import micropython

    a, b = new(Engine, NEAR, 512, 512), new(Engine, FAR, 512, 512)
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


def play(Engine, path):
    """Run one exchange of tests/vectors/: every call must give what is written there."""
    with open(path) as file:  # noqa: PTH123 - MicroPython has no pathlib
        exchange = json.load(file)
    engines = {}
    for name in exchange["engines"]:
        args = exchange["engines"][name]
        engines[name] = Engine(int(args["session"], 16), args["tx_size"], args["rx_size"], args["window"])
    buf = bytearray(236)
    for step in exchange["steps"]:
        name, call, args, wanted = step[:4]
        engine = engines[name]
        if call == "pull_into":
            size = engine.pull_into(buf, *args)
            got = hexlify(buf[:size]).decode()
        elif call in ("feed", "send"):
            got = getattr(engine, call)(unhexlify(args[0]), *args[1:])
        elif call == "recv":
            got = engine.recv()
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
