"""Keys in the engines, against a peer that is written from docs/protocol.md with `cryptography` and hmac."""

import hmac
import struct

import engines
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESCCM
from engine_suite import (
    BYE,
    BYE_PACKET,
    CLOSED,
    FAR,
    FAR_ID,
    GREETING,
    IDENTITY_PACKET,
    KEY_WANTED,
    KEY_WRONG,
    NEAR,
    NEAR_ID,
    OPEN,
    OPENED,
    PACKETS_SMALL,
    READY,
    REFUSED,
    counted,
    hello,
    identity,
    pulled,
    record,
    seal,
)

KEYED = 0x61
KEY = bytes(range(32))
SEED = bytes(range(100, 132))
TERMS = b"\x0a\x01"  # a ring of 1,024 bytes, KEYED

pytestmark = pytest.mark.parametrize("engine", engines.IN_PROCESS)


def new(engine, key=KEY, **options):
    return engines.IN_PROCESS[engine](NEAR, NEAR_ID, 1024, 1024, key=key, seed=SEED, **options)


class Peer:
    """The other side, by hand: it has the key."""

    def __init__(self, engine, key=KEY, tag=0x40):
        self.engine = engine
        self.key = key
        self.tag = tag
        self.random = b"a random of mine"
        self.counter = 0

    def hmac(self, *parts):
        return hmac.digest(self.key, b"".join(parts), "sha256")

    def hears(self, now=0):
        """A greeting of the engine. Returns KEYED."""
        data = pulled(self.engine, now)
        assert (len(data), data[0]) == (20, IDENTITY_PACKET)
        data = pulled(self.engine, now)
        assert (len(data), data[0] & ~(READY | 0x10)) == (44, KEYED)
        self.engine_tag, self.engine_session = data[2], data[4:8]
        self.engine_random, self.engine_proof, self.head = data[16:32], data[32:40], data[:16]
        return data

    def proof(self, head):
        return self.hmac(head, self.random, self.engine_random, FAR_ID, b"\xf4")[:8]

    def keyed(self, flags=READY, answers=True, proof=None, expected=0, terms=TERMS):
        answered = (self.engine_tag, self.engine_session) if answers else (0, bytes(4))
        head = struct.pack("<BBBB", KEYED | flags, 2, self.tag & 0xFF, answered[0])
        head += struct.pack("<I", FAR) + answered[1] + terms + struct.pack("<H", expected)
        if proof is None:
            proof = self.proof(head) if answers else bytes(8)
        return seal(head + self.random + proof)

    def says(self, packet, now=0):
        self.engine.feed(identity(FAR, self.tag), now)
        return self.engine.feed(packet, now)

    def open(self, now=0):
        self.engine.start(247, now)
        self.hears(now)
        flags = self.says(self.keyed(), now)
        self.derive()
        return flags

    def derive(self):
        mine = bytes((self.tag,)) + struct.pack("<I", FAR) + TERMS + self.random + FAR_ID
        others = bytes((self.engine_tag,)) + self.engine_session + TERMS + self.engine_random + NEAR_ID
        self.to_engine = AESCCM(self.hmac(b"\0\2", mine, others)[:16], 8)
        self.to_peer = AESCCM(self.hmac(b"\0\2", others, mine)[:16], 8)
        self.counter = 0

    def nonce(self, counter, session):
        return struct.pack("<H", counter) + session + bytes(7)

    def sealed(self, data=b"", ack=0, credit=1024, flags=0, offset=0, counter=None):
        counter = self.counter if counter is None else counter
        self.counter = counter + 1
        ad = struct.pack("<BBHHHH", flags, self.engine_tag, offset, ack, credit, counter)
        return ad + self.to_engine.encrypt(self.nonce(counter, struct.pack("<I", FAR)), data, ad)

    def opened(self, packet):
        """(flags, tag, offset, ack, credit, counter, stream bytes) of the engine's packet."""
        ad = packet[:10]
        counter = struct.unpack("<H", ad[8:])[0]
        nonce = self.nonce(counter, self.engine_session)
        return (*struct.unpack("<BBHHHH", ad), self.to_peer.decrypt(nonce, packet[10:], ad))


def opened(engine):
    peer = Peer(new(engine))
    assert peer.open() & OPENED
    assert peer.opened(pulled(peer.engine, 0)) == (0, 0x40, 0, 0, 1024, 0, b"")
    peer.engine.feed(peer.sealed(), 0)
    return peer


def test_the_random_is_of_the_seed(engine):
    peer = Peer(new(engine))
    for number in range(3):
        peer.engine.start(247, 0)
        peer.hears()
        assert peer.engine_random == peer.hmac(b"\2", struct.pack("<I", number), SEED)[:16]
        assert peer.engine_proof == bytes(8)  # nobody was heard


def test_a_handshake(engine):
    peer = opened(engine)
    assert peer.engine.state == OPEN
    assert peer.engine.partner == FAR_ID
    assert peer.engine.feed(identity(FAR, 0x40), 0) is not None
    peer.engine.feed(peer.keyed(flags=0), 0)  # it has missed the answer
    peer.hears()
    assert peer.head[0] == KEYED | READY
    assert peer.head[3] == 0x40
    wanted = peer.hmac(peer.head, peer.engine_random, peer.random, NEAR_ID, b"\xf4")[:8]
    assert peer.engine_proof == wanted


def test_messages_both_ways(engine):
    peer = opened(engine)
    peer.engine.send(b"hello", 3)
    assert peer.opened(pulled(peer.engine, 0)) == (4, 0x40, 0, 0, 1024, 1, record(b"hello", 3))
    peer.engine.feed(peer.sealed(record(b"answer"), ack=7), 0)
    assert peer.engine.recv() == (0, b"answer")
    assert peer.engine.pending() == 0


def test_a_full_packet_has_236_bytes(engine):
    peer = opened(engine)
    peer.engine.send(bytes(900))
    packet = pulled(peer.engine, 0)
    assert len(packet) == 236
    assert len(peer.opened(packet)[-1]) == 218


@pytest.mark.parametrize(("mtu", "size"), [(50, 47), (76, 47), (77, 74), (185, 182), (517, 236)])
def test_sizes(engine, mtu, size):
    peer = Peer(new(engine))
    peer.engine.start(mtu, 0)
    peer.hears()
    peer.says(peer.keyed())
    peer.derive()
    pulled(peer.engine, 0)
    peer.engine.feed(peer.sealed(), 0)
    peer.engine.send(bytes(900))
    assert len(pulled(peer.engine, 0)) == size


def test_too_small_packets(engine):
    one = new(engine)
    one.start(49, 0)
    assert (one.state, one.reason, one.take_flags() & REFUSED) == (CLOSED, PACKETS_SMALL, REFUSED)
    one.start(50, 0)
    assert one.state == GREETING


@pytest.mark.parametrize("byte", range(44))
def test_a_keyed_with_any_byte_changed_opens_nothing(engine, byte):
    peer = Peer(new(engine))
    peer.engine.start(247, 0)
    peer.hears()
    packet = bytearray(peer.keyed()[:-4])
    if byte < 40:
        packet[byte] ^= 0x80 if byte == 12 else 1
        packet = seal(bytes(packet))
    else:
        packet = peer.keyed()
        packet = packet[:byte] + bytes((packet[byte] ^ 1,)) + packet[byte + 1 :]
    peer.says(packet)
    assert peer.engine.state != OPEN
    assert peer.engine.partner is None
    counted(peer.engine, opened=0)


@pytest.mark.parametrize("field", ["identity", "largest"])
def test_what_identity_says_is_proved(engine, field):
    peer = Peer(new(engine))
    peer.engine.start(247, 0)
    peer.hears()
    name, largest = (b"somebody", 244) if field == "identity" else (FAR_ID, 243)
    peer.engine.feed(identity(FAR, 0x40, name, largest), 0)
    peer.engine.feed(peer.keyed(), 0)
    assert peer.engine.state == CLOSED


def test_another_key_is_refused_and_told(engine):
    peer = Peer(new(engine), bytes(32))
    flags = peer.open()
    assert flags & REFUSED
    assert (peer.engine.state, peer.engine.reason) == (CLOSED, KEY_WRONG)
    counted(peer.engine, unproven=1, opened=0)
    goodbye = pulled(peer.engine, 0)
    assert (len(goodbye), goodbye[0], goodbye[12]) == (
        20,
        BYE_PACKET,
        KEY_WRONG,
    )  # and no proof: nothing to guess
    assert goodbye[3] == 0x40
    assert pulled(peer.engine, 0) == b""


def test_no_downgrade(engine):
    one = new(engine)
    one.start(247, 0)
    peer = Peer(one)
    peer.hears()
    one.feed(identity(FAR, 0x40), 0)
    one.feed(hello(FAR, 0x40, NEAR, peer.engine_tag, READY), 0)
    assert (one.state, one.reason) == (CLOSED, KEY_WANTED)
    counted(one, unproven=1, opened=0)
    assert pulled(one, 0)[12] == KEY_WANTED


def test_no_downgrade_of_an_open_link(engine):
    peer = opened(engine)
    before = peer.engine.stats()["opened"]
    for flags in (0, READY):
        peer.engine.feed(hello(FAR, 0x40, NEAR, peer.engine_tag, flags), 0)
        peer.engine.feed(hello(FAR, 0x41, NEAR, peer.engine_tag, flags), 0)
    assert peer.engine.state == OPEN
    assert pulled(peer.engine, 0) == b""
    counted(peer.engine, opened=before, unproven=4)


def test_a_side_without_a_key_hears_that_one_is_wanted(engine):
    plain = engines.IN_PROCESS[engine](NEAR, NEAR_ID)
    plain.start(247, 0)
    pulled(plain, 0)
    tag = pulled(plain, 0)[2]
    plain.feed(identity(FAR, 0x40), 0)
    keyed = struct.pack("<BBBBII", KEYED, 2, 0x40, tag, FAR, NEAR) + TERMS + bytes(26)
    plain.feed(seal(keyed), 0)
    assert plain.state == GREETING
    counted(plain, malformed=1)
    bye = struct.pack("<BBBBIIBBH", BYE_PACKET, 2, 0x40, tag, FAR, NEAR, KEY_WANTED, 0, 0)
    assert plain.feed(seal(bye), 0) & BYE
    assert (plain.state, plain.reason) == (CLOSED, KEY_WANTED)


def test_replays_are_dropped(engine):
    peer = opened(engine)
    first = peer.sealed(record(b"one"))
    second = peer.sealed(record(b"two"), offset=5)
    for packet in (first, first, second, first, second):
        peer.engine.feed(packet, 0)
    counted(peer.engine, replayed=3, duplicates=0)
    assert [peer.engine.recv(), peer.engine.recv(), peer.engine.recv()] == [(0, b"one"), (0, b"two"), None]


def test_a_counter_may_be_missing_but_not_go_back(engine):
    peer = opened(engine)
    peer.engine.feed(peer.sealed(record(b"one"), counter=500), 0)
    peer.engine.feed(peer.sealed(record(b"two"), offset=5, counter=499), 0)
    peer.engine.feed(peer.sealed(record(b"two"), offset=5, counter=500), 0)
    counted(peer.engine, replayed=2)
    peer.engine.feed(peer.sealed(record(b"two"), offset=5, counter=65535), 0)
    assert [peer.engine.recv(), peer.engine.recv()] == [(0, b"one"), (0, b"two")]


@pytest.mark.parametrize("data", [b"", record(b"a message")])
def test_a_sealed_packet_with_any_bit_changed_does_nothing(engine, data):
    peer = opened(engine)
    packet = peer.sealed(data, flags=4)
    while pulled(peer.engine, 0):
        pass
    counters = peer.engine.stats()
    for bit in range(8 * len(packet)):
        changed = bytearray(packet)
        changed[bit >> 3] ^= 1 << (bit & 7)
        if changed[0] & 1 == 0:
            peer.engine.feed(bytes(changed), 0)
            assert pulled(peer.engine, 0) == b""
    for size in range(12, len(packet)):
        peer.engine.feed(packet[:size], 0)
        peer.engine.feed(packet + bytes(size), 0)
    now = peer.engine.stats()
    for name in ("messages_received", "gaps", "duplicates", "overruns", "acks_alone", "malformed"):
        assert now[name] == counters[name], name
    peer.engine.feed(packet, 0)
    assert peer.engine.recv() == ((0, b"a message") if data else None)
    assert pulled(peer.engine, 0)


def test_a_bye_must_be_proved_when_open(engine):
    peer = opened(engine)
    head = (
        struct.pack("<BBBBI", BYE_PACKET, 2, 0x40, peer.engine_tag, FAR) + peer.engine_session + b"\1\0\0\0"
    )
    for forged in (head, head + bytes(8), head + peer.proof(head[:12] + b"\2\0\0\0")):
        peer.engine.feed(seal(forged), 0)
    assert peer.engine.state == OPEN
    counted(peer.engine, stale=3)
    peer.engine.feed(seal(head + peer.proof(head)), 0)
    assert peer.engine.state == CLOSED


def test_what_anybody_says_later_does_not_spoil_the_partners_bye(engine):
    peer = opened(engine)
    head = (
        struct.pack("<BBBBI", BYE_PACKET, 2, 0x40, peer.engine_tag, FAR) + peer.engine_session + b"\1\0\0\0"
    )
    goodbye = seal(head + peer.proof(head))
    peer.engine.feed(identity(FAR + 1, 9, FAR_ID, largest=20), 0)
    assert peer.engine.feed(goodbye, 0) & BYE
    assert (peer.engine.state, peer.engine.reason) == (CLOSED, 1)


def test_a_bye_of_an_open_side_is_proved(engine):
    peer = opened(engine)
    peer.engine.bye(2)
    goodbye = pulled(peer.engine, 0)
    wanted = peer.hmac(goodbye[:16], peer.engine_random, peer.random, NEAR_ID, b"\xf4")[:8]
    assert goodbye == seal(goodbye[:16] + wanted)


def test_only_the_partner_can_begin_anew(engine):
    peer = opened(engine)
    peer.tag += 1
    peer.engine.feed(identity(FAR, peer.tag), 300)
    peer.engine.feed(peer.keyed(flags=0, answers=False), 300)
    assert peer.engine.state == OPEN  # but it answers, and so the partner learns what it has to prove
    peer.hears(300)
    assert peer.head[0] & READY
    peer.engine.feed(peer.keyed(flags=0, proof=bytes(8)), 600)
    assert peer.engine.state == OPEN
    peer.says(peer.keyed(flags=0), 900)
    assert peer.engine.state == GREETING


def test_the_own_session_id_is_no_contradiction(engine):
    peer = opened(engine)
    peer.engine.send(b"stays")
    peer.engine.feed(identity(NEAR, 1, FAR_ID), 0)
    assert peer.engine.state == OPEN
    counted(peer.engine, contradictions=0)


def test_two_sides_with_one_session_id_meet(engine):
    """Also after a forger has made both of them prove something."""
    sides = [
        engines.IN_PROCESS[engine](NEAR, name, key=KEY, seed=SEED[:31] + name[:1])
        for name in (NEAR_ID, FAR_ID)
    ]
    for side in sides:
        side.start(247, 0)
        Peer(side).hears()
        side.feed(identity(FAR, 1, b"a forger"), 0)
        side.feed(seal(struct.pack("<BBBBII", KEYED, 2, 1, 0, FAR, 0) + TERMS + bytes(26)), 0)
        Peer(side).hears()
    for now in range(0, 1000, 10):
        for side, other in (sides, sides[::-1]):
            while packet := pulled(side, now):
                other.feed(packet, now)
    assert [side.state for side in sides] == [OPEN, OPEN]
    for side, other in (sides, sides[::-1]):
        side.send(b"a message")
        other.feed(pulled(side, 1000), 1000)
        assert other.recv() == (0, b"a message")


def test_a_side_does_not_take_its_echo_for_the_partner(engine):
    one = new(engine)
    one.start(247, 0)
    for now in range(0, 2000, 10):
        while packet := pulled(one, now):
            one.feed(packet, now)
    assert one.state == GREETING
    assert one.partner is None
    counted(one, opened=0)


def test_two_links_of_one_device_do_not_meet(engine):
    """A stranger passes on what they say. They have the same identity, and sessions of their own."""
    sides = [
        engines.IN_PROCESS[engine](session, NEAR_ID, key=KEY, seed=SEED[:31] + bytes((session & 0xFF,)))
        for session in (NEAR, FAR)
    ]
    for side in sides:
        side.start(247, 0)
    for now in range(0, 2000, 10):
        for side, other in (sides, sides[::-1]):
            while packet := pulled(side, now):
                other.feed(packet, now)
    assert [side.state for side in sides] == [GREETING, GREETING]
    assert [side.partner for side in sides] == [None, None]


def test_a_handshake_cannot_be_replayed(engine):
    peer = Peer(new(engine))
    peer.engine.start(247, 0)
    peer.hears()
    said = identity(FAR, 0x40), peer.keyed()
    for _ in range(300):  # until the tag is the same again
        peer.engine.start(247, 0)
        for packet in said:
            peer.engine.feed(packet, 0)
        assert peer.engine.state != OPEN
    counted(peer.engine, opened=0)


def test_new_keys_come_before_a_counter_comes_twice(engine):
    peer = opened(engine)
    nonces = set()
    sent = 1
    now = 0
    while peer.engine.state == OPEN:
        peer.engine.feed(peer.sealed(flags=4, counter=min(sent, 65535)), now)
        packet = pulled(peer.engine, now)
        if not packet:
            break
        counter = struct.unpack("<H", packet[8:10])[0]
        assert counter == sent
        assert counter not in nonces
        nonces.add(counter)
        sent += 1
        if sent == 65535:
            break
    peer.counter = 65534
    peer.engine.feed(peer.sealed(flags=4, counter=65535), now)
    packet = pulled(peer.engine, now)
    assert struct.unpack("<H", packet[8:10])[0] == 65535
    peer.opened(packet)
    assert peer.engine.wait(now) == 0
    old = peer.engine_random
    peer.hears(now)
    assert peer.engine.state == GREETING
    assert peer.engine_random != old
    wanted = peer.hmac(peer.head, peer.engine_random, peer.random, NEAR_ID, b"\xf4")[:8]
    assert peer.engine_proof == wanted  # it still knows this side's random: no need to ask
    peer.random = b"another one 16.."
    peer.tag += 1
    peer.says(peer.keyed(), now)
    peer.derive()
    assert peer.engine.state == OPEN
    assert peer.opened(pulled(peer.engine, now))[5] == 0


def test_arguments(engine):
    kind = engines.IN_PROCESS[engine]
    for wrong in (b"", bytes(31), bytes(33), "x" * 32, 32, [0] * 32):
        for arguments in ({"key": wrong, "seed": SEED}, {"key": KEY, "seed": wrong}):
            with pytest.raises(ValueError, match=r"^(key|seed) must be 32 bytes$"):
                kind(NEAR, NEAR_ID, **arguments)
    with pytest.raises(ValueError, match=r"^seed must be 32 bytes$"):
        kind(NEAR, NEAR_ID, key=KEY)
    kind(NEAR, NEAR_ID, key=bytearray(KEY), seed=memoryview(SEED))
    kind(NEAR, NEAR_ID, key=None, seed=None)
