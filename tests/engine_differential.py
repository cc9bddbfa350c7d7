"""Two implementations of the engine get the same random calls, and must give the same values and bytes.

    micropython engine_differential.py ENGINE ENGINE SEED LINKS [keyed]

Two sides of a link, each one engine of either kind; between them an air that loses, repeats, reorders,
damages and forges. Prints the sums of the counters, which show what was reached. A difference ends it with
the step, the call and both results.

    micropython engine_differential.py ENGINE SEED LINKS

One engine alone gets the same calls, and each step prints a checksum of all values and bytes so far.
"""

# MicroPython has no zip(strict), no (*a, b), and ignores "from" after raise.
# ruff: noqa: B904, B905, RUF005

import binascii
import struct
import sys

from engine_suite import Numbers, bound, bye, engine_named, hello, identity, packet, record, seal

HISTORY = 12  # packets kept, to come again
RINGS = (256, 512, 1024, 4096)
IDENTITIES = (b"the near", b"far away", b"stranger")
KEYS = (bytes(32), bytes(range(32)))
VALUES = ("state", "ended", "peer_version", "reason", "partner")


def outcome(function, args):
    """What a call gave: its value, or the exception's type and text."""
    try:
        return function(*args)
    except (TypeError, ValueError) as error:
        return f"{type(error).__name__}: {error}"


class Twins:
    """One engine of either kind that get the same calls."""

    def __init__(self, kinds, *args):
        self.engines = [kind(*args) for kind in kinds]
        self.bufs = [bytearray(244), bytearray(244)]

    def same(self, what, results):
        if results[0] != results[1]:
            raise AssertionError(f"{what}: {results[0]!r} and {results[1]!r}")
        return results[0]

    def call(self, name, *args):
        results = [outcome(getattr(engine, name), args) for engine in self.engines]
        return self.same((name, args), results)

    def into(self, name, size, *args):
        """A call that writes into a buffer of this size. Returns its value and the whole buffer."""
        for buf in self.bufs:
            buf[:] = b"\xee" * len(buf)
        views = [memoryview(buf)[:size] for buf in self.bufs]
        results = [
            outcome(getattr(engine, name), (view,) + args) for engine, view in zip(self.engines, views)
        ]
        value = self.same((name, size, args), results)
        return value, self.same(("buffer after", name, args), [bytes(buf) for buf in self.bufs])

    def compare(self, now):
        for name in VALUES:
            self.same(name, [getattr(engine, name) for engine in self.engines])
        self.call("pending")
        self.call("wait", now)

    def compare_stats(self):
        self.same("stats", [sorted(engine.stats().items()) for engine in self.engines])


class Noted(Twins):
    """One engine, with a checksum of what its calls gave in place of a second engine."""

    crc = 0

    def same(self, what, results):
        Noted.crc = binascii.crc32(repr((what, results[0])).encode(), Noted.crc)
        return results[0]


class Link:
    """Two sides, what is in the air to each, and every kind of step."""

    twins = Twins

    def __init__(self, kinds, seed, keyed=False):
        """seed: bits 0 to 2: times that wrap; reconnects; hostile packets. The rest: sizes.
        keyed: both sides have a key; now and then it is another one, or one side has none.
        """
        self.kinds = kinds
        self.keyed = keyed
        self.sessions_made = 0
        self.terms = [bytes(2), bytes(2)]  # bytes 12 and 13 of each side's last HELLO
        self.now = 0x3FFFFFFF - 3000 if seed & 1 else 0
        self.sessions = [0x11223344, 0x99887766]
        self.sides = [self.fresh(side, seed >> 3) for side in (0, 1)]
        self.air = [[], []]
        self.history = []
        self.tags = [0, 0]  # each side's tag, from its last HELLO
        self.expected = [0, 0]  # what each side expects next, from its last stream packet
        self.sent = 0
        self.steps = [
            self.recv_into,
            self.take_flags,
            self.lose,
            self.repeat,
            self.reorder,
        ]
        if seed & 0x400:
            self.steps += [self.commit] * 2
        self.steps += [self.exchange, self.send] * 6 + [self.recv, self.wait, self.pull, self.deliver] * 2
        if seed & 2:
            self.steps += [self.start, self.start_both, self.restart, self.replay, self.jump]
        if seed & 4:
            self.steps += [self.damage, self.forge, self.noise, self.wrong_arguments, self.end]
            self.steps += [self.forge_stream, self.forge_ack, self.forge_hello, self.forge_greeting]
            self.steps += [self.bye, self.set_partner]

    def fresh(self, side, x):
        rings = RINGS[x & 3], RINGS[x >> 2 & 3]
        window = 256 + (x >> 4 & 0xFFF)
        commit = bool(x >> 7 & 1 + side)
        keys = ()
        if self.keyed and (side or x & 0x38):
            self.sessions_made += 1
            keys = KEYS[x & 0x1F8 == 0x40], bytes((self.sessions_made, side)) * 16
        args = self.kinds, self.sessions[side], IDENTITIES[side], rings[0], rings[1], window, commit
        return self.twins(*(args + keys))

    def step(self, number, x, y):
        """One step: which one, and two numbers below 65536 for its details."""
        side = number & 1
        self.steps[(number >> 1) % len(self.steps)](side, x, y)
        self.sides[0].compare(self.now)
        self.sides[1].compare(self.now)
        if y & 15 == 0:
            self.compare_stats()

    def compare_stats(self):
        for side in self.sides:
            side.compare_stats()

    def feed(self, side, data):
        self.sides[side].call("feed", data, self.now)

    def exchange(self, _, x, y):
        for _ in range(x & 3):
            self.now = (self.now + (y & 31)) & 0x3FFFFFFF
            for side in (0, 1):
                self.pull(side, 3, 0)
                while self.air[1 - side]:
                    self.feed(1 - side, self.air[1 - side].pop(0))

    def pull(self, side, x, _):
        for _ in range(1 + (x & 3)):
            size, buf = self.sides[side].into("pull_into", 236, self.now)
            if not size:
                break
            data = buf[:size]
            if data[0] & 0x61 in (0x01, 0x61):
                self.tags[side] = data[2]
                self.terms[side] = data[12:14]
                self.sessions[side] = struct.unpack("<I", data[4:8])[0]
            elif not data[0] & 1:
                self.expected[side] = struct.unpack("<H", data[4:6])[0]
            self.air[1 - side].append(data)
            del self.air[1 - side][:-20]
            self.history.append(data)
            del self.history[:-HISTORY]

    def deliver(self, side, x, _):
        for _ in range(x & 7):
            if self.air[side]:
                self.feed(side, self.air[side].pop(0))

    def send(self, side, x, y):
        size = (x & 7, x & 63, x & 255, x & 1023)[y >> 4 & 3]
        self.sent += 1
        data = bytes((self.sent + i) & 0xFF for i in range(size))
        self.sides[side].call("send", data, y & 15, (0, 0, 1, 2, 4, 5, 6, 0)[y >> 6 & 7])

    def commit(self, side, *_):
        self.sides[side].call("commit")

    def bye(self, side, x, y):
        if x & 7 == 0:
            self.sides[side].call("bye", y & 0xFF)

    def set_partner(self, side, x, y):
        if x & 7 == 0:
            self.sides[side].call(
                "set_partner", (None, IDENTITIES[1 - side], IDENTITIES[y % 3])[y >> 2 & 3 and 1]
            )

    def recv(self, side, x, _):
        for _ in range(x & 7):
            self.sides[side].call("recv", bool(x & 2))  # raw, or what the kind says, which may be wrong

    def recv_into(self, side, x, _):
        self.sides[side].into("recv_into", x % 245)

    def wait(self, side, _, y):
        wait = self.sides[side].call("wait", self.now)
        if wait > 0:
            self.now = (self.now + wait - (y & 1)) & 0x3FFFFFFF

    def jump(self, _, x, y):
        """The clock goes back a little, or on by up to a minute."""
        self.now = (self.now + (x if y & 3 else -(x & 7))) & 0x3FFFFFFF

    def lose(self, side, x, _):
        del self.air[side][: 1 + (x & 3)]

    def repeat(self, side, *_):
        self.air[side] += self.air[side][:1]

    def reorder(self, side, x, _):
        if self.air[side]:
            self.feed(side, self.air[side].pop(x % len(self.air[side])))

    def damage(self, side, x, y):
        if self.air[side]:
            data = bytearray(self.air[side].pop(0))
            data[x % len(data)] ^= 1 << (y & 7)
            self.feed(side, data)

    def forge(self, side, x, y):
        """A real packet with one byte changed and a right CRC."""
        if self.history:
            data = bytearray(self.history[x % len(self.history)][:-4])
            data[(x >> 4) % len(data)] = y & 0xFF
            self.feed(side, seal(bytes(data), 0 if data[0] & 1 else self.start_of_crc(side)))

    def start_of_crc(self, side):
        """What the CRC of data packets to this side starts with, if both know each other."""
        other = 1 - side
        return bound(self.sessions[other], self.sessions[side], self.terms[other], self.terms[side])

    def forge_stream(self, side, x, y):
        """Stream bytes near the right place: good records and bad ones."""
        data = bytes((x >> i & 0xFF) for i in range(x & 15))
        if y & 0x100:
            data = record(bytes(x % 220), y & 0x0F)
        flags = (0, 0, 4, 8, 12, y >> 8)[y % 6]
        offset = self.expected[side] + (0 if y & 0x3000 else (x & 0x3FF) - 200)
        start = self.start_of_crc(side)
        self.feed(side, packet(start, self.tags[side], offset, y & 0x1FF, x >> 5, data, flags))

    def forge_ack(self, side, x, y):
        """Acknowledgements with every flag, near what the other side expects and has room for."""
        ack = self.expected[1 - side] + (0, 0, x & 7, (x & 0xFF) - 128)[y & 3]
        value = (0, 1, y >> 8, x & 0x3FF, 0x100, 0x400, 0x1000, x)[x >> 10 & 7]
        flags = (0, 4, 8, 12, 16, 20, 32, 36)[y >> 4 & 7]
        for _ in range(1 + (x >> 14)):
            start = self.start_of_crc(side)
            tag = self.tags[side] + (y >> 13 == 7)
            self.feed(side, packet(start, tag, self.expected[side], ack, value, b"", flags))
            self.now = (self.now + (0, 0, 250, 600)[y >> 11 & 3]) & 0x3FFFFFFF

    def forge_greeting(self, side, x, y):
        """IDENTITY or BYE: of the peer, of somebody else, or of this side itself."""
        session = (self.sessions[1 - side], self.sessions[1 - side], self.sessions[side], x & 7)[x >> 3 & 3]
        version = 2 if y & 0xF00 else y & 0xFF
        tag = self.tags[side] + (x >> 7 & 1)
        if x & 0x20:
            answers = self.sessions[side] + (x >> 6 & 1)
            self.feed(side, bye(session, self.tags[1 - side], answers & 0xFFFFFFFF, tag, y & 0xFF, version))
        else:
            name = IDENTITIES[(1 - side, 1 - side, 1 - side, side, 2)[x % 5]]
            largest = (244, 20, 100, y >> 8)[x >> 8 & 3]
            self.feed(side, identity(session, y & 0xFF, name, largest, version))

    def forge_hello(self, side, x, y):
        """A HELLO that answers the side's last one: of its peer or of somebody else."""
        session = self.sessions[1 - side] if x & 1 else 1 + (x & 7)
        answers = (self.sessions[side], self.sessions[side], 0, 77)[x >> 4 & 3]
        tag = self.tags[side] if x & 8 else y & 0xFF
        flags = x >> 8 & 0xF2
        expected = (0, y & 0x3FF)[y >> 10 & 1]
        bits = (8, 10, 15, y >> 12)[x >> 6 & 3]
        version = 2 if y & 0x700 else y & 0xFF
        features = (0, 0, 2, y >> 8)[x >> 11 & 3]
        own = (y >> 3 & 0xFF, self.tags[1 - side])[x >> 2 & 1]
        if y & 1:
            self.feed(side, identity(session, own, IDENTITIES[1 - side]))
        self.feed(side, hello(session, own, answers, tag, flags & 0x12, bits, expected, version, features))

    def noise(self, side, x, y):
        self.feed(side, bytes((x >> (i & 7)) + i * y & 0xFF for i in range(x % 250)))

    def replay(self, side, x, _):
        if self.history:
            self.feed(side, self.history[x % len(self.history)])

    def start(self, side, x, y):
        """A new connection at this side only: the other has not noticed, or this one starts twice."""
        self.sides[side].call("start", 23 + x % 495, self.now)
        if y & 1:
            self.air = [[], []]

    def start_both(self, side, x, _):
        self.start(side, x, 1)
        self.start(1 - side, x, 1)

    def restart(self, side, x, y):
        """Power was lost: a new session at this side. Not too often."""
        if x & 7:
            return
        self.sides[side].compare_stats()
        self.sessions[side] = (self.sessions[side] + 0x01010101) & 0xFFFFFFFF or 1
        if y & 0x300 == 0:
            self.sessions[side] = self.sessions[1 - side]  # drawn by chance
        self.sides[side] = self.fresh(side, y)
        self.start_both(side, y, 0)

    def take_flags(self, side, *_):
        self.sides[side].call("take_flags")

    def end(self, side, x, _):
        if x & 15 == 0:
            self.sides[side].call("end")

    def wrong_arguments(self, side, x, y):
        call = (
            ("start", x, self.now),
            ("send", bytes(x % 1100), y - 8),
            ("send", "text"),
            ("send", b"x", None),
            ("send", b"x", 0, y & 0xFF),
            ("set_partner", bytes(x & 7)),
            ("bye", x - 300),
            ("commit",),
            ("start", "23", self.now),
        )[y % 9]
        if call[0] != "start" or not 23 <= x < 518:
            self.sides[side].call(*call)


class NotedLink(Link):
    twins = Noted

    def step(self, number, x, y):
        super().step(number, x, y)
        print(Noted.crc)


def run(kinds, seed, links, keyed=False, link_class=Link):
    """Links of 200 random steps each. Returns the sums of their counters."""
    numbers = Numbers(2 * seed)
    total = {}
    for i in range(links):
        link = link_class(kinds, numbers.below(8192) << 3 | i & 7, keyed)
        link.start_both(0, numbers.below(65536), 0)
        for j in range(200):
            step = numbers.below(65536), numbers.below(65536), numbers.below(65536)
            try:
                link.step(*step)
            except AssertionError as error:
                raise AssertionError(f"seed {seed}, link {i}, step {j} {step}: {error}")
        link.compare_stats()
        for side in link.sides:
            stats = side.engines[0].stats()
            for name in stats:
                total[name] = total.get(name, 0) + stats[name]
    return total


def note(kind, seed, links):
    """run() with one engine. The last line says how many packets were received."""
    Noted.crc = 0
    print(run([kind], seed, links, False, NotedLink)["packets_received"])


if __name__ == "__main__":
    kinds = [engine_named(name) for name in sys.argv[1:3] if not name.isdigit()]
    numbers = [int(name) for name in sys.argv[1:] if name.isdigit()]
    if len(kinds) == 1:
        note(kinds[0], numbers[0], numbers[1])
    else:
        total = run(kinds, numbers[0], numbers[1], len(sys.argv) > 5)
        print(" ".join(f"{name}={total[name]}" for name in sorted(total)))
