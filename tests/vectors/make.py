"""Write the scripted exchanges in this folder from the Python engine: python tests/vectors/make.py

Each file: what it shows, the engines, and the steps. A step: [engine, call, arguments, result, remark]; bytes
are in hex, times in ms. Every engine must give these results. The tests fail when a file is not what this
script writes, so a change of the protocol is a visible change here.
"""

import json
import struct
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "py"))

from picolink import pyengine  # noqa: E402

A_ID = b"identA01"
B_ID = b"identB02"
OTHER_ID = b"strangeX"


def described(packet, keyed):
    """A packet in words.   keyed: whether it is sealed."""
    if packet[0] & 1:
        return greeting_described(packet)
    flags, tag, offset, ack, credit = struct.unpack_from("<BBHHH", packet)
    bits = (4, " ASK"), (8, " GAP"), (16, " OVERRUN"), (32, " COMMIT")
    names = "".join(name for bit, name in bits if flags & bit)
    size = len(packet) - (18 if keyed else 12)
    kind = f"{size} stream bytes" if size else "no stream bytes"
    what = "gap" if flags & 8 else "uncommitted" if flags & 32 else "credit"
    return f"to tag {tag:02x}:{names} {kind} at {offset}, ack {ack}, {what} {credit}" + (
        f", counter {packet[8] | packet[9] << 8}" if keyed else ""
    )


def greeting_described(packet):
    """HELLO, IDENTITY or BYE in words."""
    version, tag, answered_tag = packet[1:4]
    session, answers = (struct.unpack_from("<I", packet, at)[0] for at in (4, 8))
    who = f"version {version}, tag {tag:02x}, session {session:08x}"
    if packet[0] & 0x60 == 0x20:
        return f"IDENTITY: {who}, identity {packet[8:16].hex()}, largest packet {packet[3]}"
    answered = f"answers tag {answered_tag:02x} of session {answers:08x}"
    if packet[0] & 0x60 == 0x40:
        proof = f", proof {packet[16:24].hex()}" if len(packet) > 20 else ""
        return f"BYE: {who}, {answered}, reason {packet[12]}{proof}"
    bits, features, expected = struct.unpack_from("<BBH", packet, 12)
    names = "".join(name for bit, name in ((2, " READY"), (16, " RENEWED")) if packet[0] & bit)
    text = f"{names}: {who}, {answered}, ring 2^{bits}, features {features:02x}, expects {expected}"
    if packet[0] & 0x60:
        return f"KEYED{text}, random {packet[16:32].hex()}, proof {packet[32:40].hex()}"
    return "HELLO" + text


def sealed(body, start=0):
    """A packet with its CRC."""
    return bytes(body) + struct.pack("<I", pyengine.crc32(body, start))


def constructed(session, identity, tx_size, rx_size, window, commit, key=None, seed=None):
    """How an engine was made, as a file says it."""
    keys = {"key": key.hex(), "seed": seed.hex()} if key else {}
    return {
        "session": f"{session:08x}",
        "identity": identity.hex(),
        "tx_size": tx_size,
        "rx_size": rx_size,
        "window": window,
        "commit": commit,
        **keys,
    }


class Exchange:
    """Engines whose calls are written down."""

    def __init__(self, about):
        self.about = about
        self.engines = {}
        self.arguments = {}
        self.steps = []
        self.now = 1000

    def engine(
        self, name, session, tx_size=1024, rx_size=1024, window=4096, commit=False, identity=None, keys=()
    ):
        args = session, identity or (A_ID if name == "a" else B_ID), tx_size, rx_size, window, commit, *keys
        self.engines[name] = pyengine.Engine(*args)
        self.arguments[name] = constructed(*args)

    def _write(self, *step):
        self.steps.append(step)

    def start(self, name, mtu=247):
        self.engines[name].start(mtu, self.now)
        self._write(name, "start", [mtu, self.now], None)

    def send(self, name, data, channel=0, kind=0):
        result = self.engines[name].send(data, channel, kind)
        self._write(name, "send", [data.hex(), channel, kind], result)

    def bye(self, name, reason):
        self._write(name, "bye", [reason], self.engines[name].bye(reason))

    def commit(self, name):
        self._write(name, "commit", [], self.engines[name].commit())

    def end(self, name):
        self._write(name, "end", [], self.engines[name].end())

    def pull(self, name):
        """The next packet, b"" for none."""
        buf = bytearray(236)
        packet = bytes(buf[: self.engines[name].pull_into(buf, self.now)])
        remark = [described(packet, "key" in self.arguments[name])] if packet else []
        self._write(name, "pull_into", [self.now], packet.hex(), *remark)
        return packet

    def feed(self, name, packet):
        self._write(name, "feed", [packet.hex(), self.now], self.engines[name].feed(packet, self.now))

    def take_flags(self, name):
        self._write(name, "take_flags", [], self.engines[name].take_flags())

    def wait(self, name):
        self._write(name, "wait", [self.now], self.engines[name].wait(self.now))

    def recv(self, name):
        got = self.engines[name].recv(True)
        self._write(name, "recv", [], got and [got[0], got[1].hex()])

    def pending(self, name):
        self._write(name, "pending", [], self.engines[name].pending())

    def look(self, name, *attributes):
        for attribute in attributes:
            value = getattr(self.engines[name], attribute)
            self._write(name, attribute, [], value.hex() if isinstance(value, bytes) else value)

    def start_of_crc(self, sender, receiver):
        """What the CRC of data packets between two engines starts with."""
        sides = [self.arguments[name] for name in (sender, receiver)]
        sessions = b"".join(int(side["session"], 16).to_bytes(4, "little") for side in sides)
        terms = b"".join(bytes((side["rx_size"].bit_length() - 1, 2 * side["commit"])) for side in sides)
        return pyengine.crc32(sessions + terms)

    def stats(self, name, *counters):
        stats = self.engines[name].stats()
        self._write(name, "stats", [], {counter: stats[counter] for counter in counters})

    def carry(self, a, b, rounds=20):
        """Packets go both ways, 10 ms in the air each, until neither has something to say now."""
        for _ in range(rounds):
            packets = [(b, self.pull(a)), (a, self.pull(b))]
            if not packets[0][1] and not packets[1][1]:
                return
            self.now += 10
            for name, packet in packets:
                if packet:
                    self.feed(name, packet)

    def open(self, a, b, mtu=247):
        """Both start, and carry() what they say."""
        for name in (a, b):
            self.start(name, mtu)
        self.carry(a, b)
        for name in (a, b):
            self.take_flags(name)

    def text(self):
        steps = ",\n".join("    " + json.dumps(step) for step in self.steps)
        engines = ",\n".join(f"    {json.dumps(k)}: {json.dumps(v)}" for k, v in self.arguments.items())
        about = json.dumps(self.about)
        return f'{{\n  "about": {about},\n  "engines": {{\n{engines}\n  }},\n  "steps": [\n{steps}\n  ]\n}}\n'


def counting(size):
    return bytes(i & 0xFF for i in range(size))


def hello():
    x = Exchange("The worked example of docs/protocol.md: a handshake, 'hello' from a to b, the ack.")
    x.engine("a", 0x11223344)
    x.engine("b", 0x55667788)
    x.start("a")
    x.start("b")
    for one, other in (("a", "b"), ("b", "a"), ("a", "b")):
        greeting = x.pull(one), x.pull(one)
        x.now += 10
        for packet in greeting:
            x.feed(other, packet)
    credit = x.pull("a"), x.pull("b")
    x.now += 10
    x.feed("b", credit[0])
    x.feed("a", credit[1])
    x.take_flags("a")
    x.take_flags("b")
    x.send("a", b"hello")
    x.look("a", "state", "partner")
    x.wait("a")
    data = x.pull("a")
    x.now += 10
    x.feed("b", data)
    x.take_flags("b")
    x.recv("b")
    x.recv("b")
    x.wait("b")
    x.now += 30
    ack = x.pull("b")
    x.pending("a")
    x.now += 10
    x.feed("a", ack)
    x.pending("a")
    x.take_flags("a")
    x.wait("a")
    x.wait("b")
    return x


def records():
    x = Exchange("Records at the smallest MTU: empty, with lengths of one and two bytes; then END.")
    x.engine("a", 0x0A0B0C0D)
    x.engine("b", 0x01020304)
    x.open("a", "b", 23)
    for size, channel in ((0, 15), (1, 0), (5, 1), (127, 2), (128, 3)):
        x.send("a", counting(size), channel)
    x.end("a")
    x.send("b", b"other direction", 7)
    for _ in range(3):
        x.carry("a", "b", 40)
        x.now += 30
    for _ in range(6):
        x.recv("b")
    x.look("b", "ended")
    x.recv("a")
    x.pending("a")
    return x


def resume():
    x = Exchange("A drop in the middle of a message: the same sessions go on at another MTU, nothing twice.")
    x.engine("a", 0x11223344)
    x.engine("b", 0x55667788)
    x.open("a", "b", 50)
    x.send("a", counting(100), 4)
    first = x.pull("a")
    x.pull("a")  # lost with the connection
    x.now += 10
    x.feed("b", first)
    x.pending("a")
    x.now += 500
    x.open("a", "b", 104)
    x.carry("a", "b")
    x.now += 30
    x.carry("a", "b")
    x.recv("b")
    x.recv("b")
    x.stats("a", "opened", "peer_restarts", "retransmitted")
    x.pending("a")
    return x


def peer_restart():
    x = Exchange("b restarts (c is b's next life): a sends the unacknowledged message from its first byte.")
    x.engine("a", 0x11223344)
    x.engine("b", 0x55667788)
    x.engine("c", 0x99AABBCC)
    x.open("a", "b", 77)
    x.send("a", b"done")
    x.send("b", b"whole")
    x.carry("a", "b")
    x.now += 30
    x.carry("a", "b")
    x.send("a", counting(80))
    x.send("b", counting(90))
    torn = x.pull("a"), x.pull("b")
    x.now += 10
    x.feed("b", torn[0])
    x.feed("a", torn[1])
    x.now += 30
    ack = x.pull("b")
    x.now += 10
    x.feed("a", ack)
    x.now += 1000
    x.open("a", "c", 77)
    x.carry("a", "c")
    x.now += 30
    x.carry("a", "c")
    x.recv("c")
    x.recv("a")
    x.recv("a")
    x.stats("a", "opened", "peer_restarts", "resent")
    return x


def earlier_peer():
    x = Exchange("a meets b, then c, then b again: the streams with b were given up.")
    x.engine("a", 0x11223344)
    x.engine("b", 0x55667788)
    x.engine("c", 0x99AABBCC)
    for peer in ("b", "c", "b"):
        x.open("a", peer)
        x.send("a", b"to " + peer.encode())
        x.carry("a", peer)
        x.now += 30
        x.carry("a", peer)
        x.recv(peer)
        x.recv(peer)
        x.look("a", "state")
        x.pending("a")
        x.now += 1000
    return x


def too_large():
    x = Exchange("Messages queued before the peer is known: those too large for its ring are removed.")
    x.engine("a", 0x11223344)
    x.engine("b", 0x55667788, 256, 256)
    for size in (3, 254, 253, 700, 1):
        x.send("a", counting(size))
    x.pending("a")
    x.open("a", "b")
    x.carry("a", "b")
    x.recv("b")
    x.carry("a", "b")
    for _ in range(3):
        x.recv("b")
        x.now += 30
        x.carry("a", "b")
    x.stats("a", "too_large", "messages_sent")
    return x


def credit():
    x = Exchange("A reader that stops: credit 0, probes, credit again when a quarter of the ring is free.")
    x.engine("a", 0x11223344)
    x.engine("b", 0x55667788, 256, 256)
    x.open("a", "b")
    for _ in range(4):
        x.send("a", counting(126), 1)
    x.carry("a", "b")
    x.now += 30
    x.carry("a", "b")
    for _ in range(3):
        x.wait("a")
        x.now += x.engines["a"].wait(x.now)
        x.carry("a", "b")
    x.recv("b")
    x.wait("b")
    x.carry("a", "b")
    for _ in range(4):
        x.recv("b")
        x.now += 30
        x.carry("a", "b")
    x.pending("a")
    x.stats("a", "probes", "timeouts")
    return x


def loss():
    x = Exchange("A lost packet: GAP, back to the loss. A lost last packet: timeout with ASK, and backoff.")
    x.engine("a", 0x11223344)
    x.engine("b", 0x55667788)
    x.open("a", "b", 50)
    x.send("a", counting(90))
    x.pull("a")  # lost
    rest = x.pull("a"), x.pull("a")
    x.now += 10
    for packet in rest:
        x.feed("b", packet)
    gap = x.pull("b")
    x.now += 10
    x.feed("a", gap)
    x.carry("a", "b")
    x.now += 30
    x.carry("a", "b")
    x.recv("b")
    x.send("a", b"last")
    x.pull("a")  # lost
    for _ in range(2):
        x.wait("a")
        x.now += x.engines["a"].wait(x.now)
        again = x.pull("a")  # the first time lost
    x.now += 10
    x.feed("b", again)
    x.feed("b", again)
    x.carry("a", "b")
    x.recv("b")
    x.recv("b")
    x.stats("a", "gaps_resent", "timeouts", "retransmitted")
    x.stats("b", "gaps", "duplicates")
    return x


def bad_packets():
    x = Exchange("Damaged, stale, malformed packets are counted; what is no record ends the session.")
    x.engine("a", 0x11223344)
    x.engine("b", 0x55667788)
    x.open("a", "b")
    x.send("a", b"good")
    start = x.start_of_crc("a", "b")
    packet = x.pull("a")
    x.feed("b", packet[:-1])
    x.pull("b")
    x.now += 250
    x.feed("b", packet[:-1] + bytes((packet[-1] ^ 1,)))
    x.feed("b", sealed(packet[:-4]))
    for _ in range(4):
        x.pull("b")  # a should hear who b is, if it is wrong about that
    for index, value in ((0, packet[0] | 0x80), (0, packet[0] | 0x28), (1, packet[1] ^ 1)):
        changed = bytearray(packet[:-4])
        changed[index] = value
        x.feed("b", sealed(changed, start))
    x.stats("b", "corrupt", "malformed", "stale", "messages_received")
    x.feed("b", sealed(packet[:8] + b"\x00\x04good\x80\x00", start))
    x.look("b", "state", "reason")
    x.take_flags("b")
    x.recv("b")
    x.recv("b")
    x.send("b", b"later")
    x.now += 100
    goodbye = x.pull("b")
    x.feed("a", goodbye)
    x.look("a", "state", "reason")
    x.take_flags("a")
    x.wait("a")
    x.now += 100
    x.open("a", "b")
    x.carry("a", "b")
    x.recv("a")
    x.recv("b")
    x.stats("a", "peer_restarts", "resent")
    return x


def refused():
    x = Exchange(
        "Greeting packets of protocol version 1: refused with OTHER_VERSION, over with the next start()."
    )
    x.engine("a", 0x11223344)
    x.engine("b", 0x55667788)
    x.start("a")
    x.start("b")
    for _ in range(2):
        x.pull("a")
        newer = bytearray(x.pull("b")[:-4])
    newer[1] = 1
    x.now += 10
    x.feed("a", sealed(newer))
    x.look("a", "state", "peer_version", "reason")
    x.pull("a")
    x.wait("a")
    x.take_flags("a")
    x.now += 1000
    x.open("a", "b")
    x.look("a", "state", "peer_version", "reason")
    x.feed("a", sealed(newer))
    x.look("a", "state")
    x.stats("a", "malformed", "opened")
    return x


def stranger():
    x = Exchange("a serves b; c, which is another board, is turned away, and hears why; b comes back.")
    x.engine("a", 0x11223344)
    x.engine("b", 0x55667788)
    x.engine("c", 0x99AABBCC, identity=OTHER_ID)
    x.open("a", "b")
    x.look("a", "partner")
    x.send("a", b"for b")
    x.now += 1000
    x.start("a")
    x.start("c")
    x.carry("a", "c")
    for name in ("a", "c"):
        x.look(name, "state", "reason", "partner")
        x.take_flags(name)
        x.wait(name)
    x.stats("a", "strangers")
    x.now += 1000
    x.open("a", "b")
    x.carry("a", "b")
    x.recv("b")
    return x


def goodbye():
    x = Exchange("One side ends the connection and says why; a late BYE of an earlier handshake is stale.")
    x.engine("a", 0x11223344)
    x.engine("b", 0x55667788)
    x.open("a", "b")
    x.bye("a", 2)
    x.look("a", "state", "reason")
    said = x.pull("a")
    x.wait("a")
    x.now += 10
    x.feed("b", said)
    x.look("b", "state", "reason")
    x.take_flags("b")
    x.pull("b")
    x.open("a", "b")
    x.feed("b", said)
    x.look("b", "state")
    x.stats("b", "stale")
    return x


def commit():
    x = Exchange("b commits: what it has not committed comes again when it restarts (c is its next life).")
    x.engine("a", 0x11223344)
    x.engine("b", 0x55667788, commit=True)
    x.engine("c", 0x99AABBCC, commit=True)
    x.open("a", "b")
    for number in range(3):
        x.send("a", b"message %d" % number, number, 4 * (number % 2) + number // 2)
    x.end("a")
    x.carry("a", "b")
    x.now += 30
    x.carry("a", "b")
    x.pending("a")
    x.recv("b")
    x.commit("b")
    x.carry("a", "b")
    x.take_flags("a")
    x.pending("a")
    x.recv("b")
    x.commit("b")
    x.commit("b")
    x.wait("b")
    x.pull("b")  # lost
    x.wait("a")
    x.now += x.engines["a"].wait(x.now)
    x.carry("a", "b")  # a probe, and the answers
    x.pending("a")
    x.now += 1000
    x.open("a", "c")
    x.carry("a", "c")
    for _ in range(2):
        x.recv("c")
    x.commit("c")
    x.carry("a", "c")
    x.now += 30
    x.carry("a", "c")
    x.pending("a")
    x.look("c", "ended")
    x.stats("a", "messages_acknowledged", "resent")
    return x


def overrun():
    x = Exchange(
        "Somebody has told a of more credit than b has: b takes what fits and says where the edge is."
    )
    x.engine("a", 0x11223344)
    x.engine("b", 0x55667788, 256, 256)
    x.open("a", "b")
    x.send("a", counting(250))
    x.send("a", counting(60))
    x.feed("b", x.pull("a"))
    x.feed("a", sealed(struct.pack("<BBHHH", 0, 0x45, 0, 224, 256), x.start_of_crc("b", "a")))
    x.carry("a", "b")
    x.now += 30
    x.carry("a", "b")
    x.stats("b", "overruns")
    x.recv("b")
    for _ in range(3):
        x.wait("a")
        x.now += max(0, x.engines["a"].wait(x.now))
        x.carry("a", "b")
        x.now += 30
        x.carry("a", "b")
    x.recv("b")
    x.pending("a")
    return x


def contradiction():
    x = Exchange(
        "A forged acknowledgement hides a message: a doubts, asks, greets, and begins a new session."
    )
    x.engine("a", 0x11223344)
    x.engine("b", 0x55667788)
    x.open("a", "b")
    for number in range(3):
        x.send("a", b"message %d" % number)
    x.pull("a")  # lost
    x.feed("a", sealed(struct.pack("<BBHHH", 0, 0x45, 0, 11, 1024), x.start_of_crc("b", "a")))
    x.pending("a")
    for _ in range(6):
        x.now += 100
        x.send("b", b"x")
        x.carry("a", "b", 2)
        x.look("a", "state")
    x.carry("a", "b")
    for name in ("a", "b"):
        x.take_flags(name)
        x.stats(name, "contradictions", "peer_restarts")
    x.now += 30
    x.carry("a", "b")
    for _ in range(4):
        x.recv("b")
    x.recv("a")
    return x


def forged_ring():
    x = Exchange("One forged HELLO says that b's ring is small: noticed by the first probe, and mended.")
    x.engine("a", 0x11223344)
    x.engine("b", 0x55667788)
    x.start("a")
    x.start("b")
    for _ in range(2):
        x.feed("b", x.pull("a"))
    for forged in (False, True):
        packet = bytearray(x.pull("b")[:-4])
        if forged:
            packet[12] = 8
        x.feed("a", sealed(packet))
    x.look("a", "state")
    x.carry("a", "b")
    x.send("a", b"through")
    for _ in range(2):
        x.wait("a")
        x.now += max(0, x.engines["a"].wait(x.now))
        x.carry("a", "b")
    for name in ("a", "b"):
        x.look(name, "state")
        x.take_flags(name)
        x.stats(name, "corrupt", "contradictions")
    x.recv("b")
    return x


def same_session():
    x = Exchange("Two boards have drawn the same session id: both draw another one.")
    x.engine("a", 0x11223344)
    x.engine("b", 0x11223344)
    x.open("a", "b")
    for name in ("a", "b"):
        x.look(name, "state")
        x.stats(name, "malformed", "opened", "peer_restarts")
    return x


KEY = bytes(range(32))
SEEDS = {"a": b"A" * 32, "b": b"B" * 32}


def keyed():
    x = Exchange(
        "Two sides with the same key greet, exchange messages and meet again; packets that were changed, "
        "come twice or are not sealed are dropped; a BYE has to be proved."
    )
    x.engine("a", 0x11223344, keys=(KEY, SEEDS["a"]))
    x.engine("b", 0x55667788, keys=(KEY, SEEDS["b"]))
    x.open("a", "b")
    x.send("a", b"hello")
    x.send("b", counting(230))
    first = x.pull("a")
    for at in range(len(first)):  # each byte counts
        x.feed("b", first[:at] + bytes((first[at] ^ 1,)) + first[at + 1 :])
    x.feed("b", sealed(first[:8] + b"hello"))
    x.feed("b", first[:17])
    x.feed("b", first)
    x.feed("b", first)
    x.now += 40
    x.carry("a", "b")
    x.recv("b")
    x.recv("a")
    x.stats("b", "corrupt", "stale", "early", "replayed", "malformed", "unproven")
    x.open("a", "b")  # the connection was lost
    x.feed("b", first)
    x.send("b", b"again")
    x.carry("b", "a")
    x.recv("a")
    tag, session = x.engines["b"]._tag, 0x55667788  # a BYE that proves nothing, then the real one
    x.feed(
        "b",
        sealed(struct.pack("<BBBBIIBBH", 0x41, 2, x.engines["a"]._tag, tag, 0x11223344, session, 1, 0, 0)),
    )
    x.bye("a", 1)
    x.feed("b", x.pull("a"))
    x.take_flags("b")
    x.look("b", "state", "reason")
    x.stats("b", "corrupt", "stale", "early", "replayed", "malformed", "unproven")
    return x


def keys_differ():
    x = Exchange(
        "Another key, no key, a connection with small packets: nothing opens, and both sides are told."
    )
    x.engine("a", 0x11223344, keys=(KEY, SEEDS["a"]))
    x.engine("b", 0x55667788, keys=(bytes(32), SEEDS["b"]))
    x.open("a", "b")
    x.engine("c", 0x99AABBCC, identity=OTHER_ID)
    x.open("a", "c")
    x.start("a", 49)
    x.pull("a")
    for name in ("a", "b", "c"):
        x.take_flags(name)
        x.look(name, "state", "reason", "partner")
    x.stats("a", "unproven", "opened")
    return x


EXCHANGES = (
    keyed,
    keys_differ,
    hello,
    records,
    resume,
    peer_restart,
    earlier_peer,
    too_large,
    credit,
    loss,
    bad_packets,
    refused,
    stranger,
    goodbye,
    commit,
    overrun,
    contradiction,
    forged_ring,
    same_session,
)


def texts():
    """File name and text of every exchange."""
    return {f"{make.__name__}.json": make().text() for make in EXCHANGES}


if __name__ == "__main__":
    for name, text in texts().items():
        (HERE / name).write_text(text)
        print(name)
