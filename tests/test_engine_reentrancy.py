"""The Python engine when feed() comes between any two bytecodes of another call.

On a board feed() runs in an interrupt handler that MicroPython calls between two bytecodes of the program.
Here a trace function calls it before the k-th bytecode, for every k.
"""

import dis

import bytecodes
import pytest
from engine_copies import Continued, copied
from engine_suite import (
    CLOSING,
    FAR,
    FAR_ID,
    NEAR,
    Peer,
    Wire,
    bye,
    hello,
    identity,
    message,
    new,
    packet,
    pulled,
    record,
)
from picolink import flags, pyengine

NOW = 5000


def state(engine):
    """All that an engine knows, without flags and packets held."""
    known = {}
    for name, value in vars(engine).items():
        if not name.startswith("_held") and name != "_flags" and not callable(value):
            known[name] = bytes(value) if isinstance(value, memoryview) else value
    return known


class Interrupt:
    """Runs a call and does something before the k-th bytecode of the engine's code in it."""

    def __init__(self, at, action):
        self.at = at
        self.action = action
        self.seen = 0

    def run(self, function, *args):
        return bytecodes.before_each(self._come, function, *args)

    def _come(self, _frame):
        self.seen += 1
        if self.seen == self.at:
            self.action()


def test_an_interrupt_may_come_before_every_bytecode():
    seen = []
    pending = pyengine.Engine(NEAR, b"identity").pending  # without a branch
    bytecodes.before_each(lambda frame: seen.append(frame.f_lasti), pending)
    assert seen == [each.offset for each in dis.get_instructions(pending) if each.opname != "RESUME"]


# -- calls that are interrupted -----------------------------------------------------------------------------


def busy_engine():
    """An open engine with messages of both directions at the ends of its small rings, and its peer."""
    engine = new(pyengine.Engine, NEAR, 256, 256, commit=True)
    peer = Peer(engine, ring_bits=8)
    peer.greet(NOW - 400, 77)
    peer.hears(NOW - 400)  # COMMIT
    peer.hears(NOW - 400)
    peer.says(b"", NOW - 100)
    for size in (90, 100):  # both rings wrap in what follows
        engine.send(message(size, size))
        while peer.hears(NOW - 90):
            pass
        peer.ack += size + 2
        peer.credit = 256
        peer.says(record(message(size, size)), NOW - 80)
        engine.recv()
    pulled(engine, NOW - 60)
    peer.says(record(b"first", 1) + record(message(7, 60), 2), NOW - 50)
    engine.send(message(1, 80), 3)
    peer.hears(NOW - 10)
    engine.take_flags()
    return engine, peer


def incoming(peer):
    """Packets of every kind that the engine may get now, by name."""
    acked = peer.engine._high - peer.engine._tx_base & 0xFFFF
    tag = peer.engine_tag

    def says(**fields):
        fields = {"offset": peer.offset, "ack": peer.ack, "credit": 256, **fields}
        return packet(peer.start_out, tag, **fields)

    return {
        "data": says(data=record(b"second", 4)),
        "data and ack": says(data=record(message(9, 40), 4), ack=acked, flags=4),
        "ack": says(ack=acked),
        "gap": says(ack=acked - 10, flags=8),
        "hole": says(offset=peer.offset + 9, data=b"lost before"),
        "no record": says(data=b"\x80\x00"),
        "overrun": says(ack=acked - 10, credit=4, flags=0x10),
        "more than there is room for": says(data=bytes(200)),
        "impossible": says(ack=acked + 1, data=record(b"possible")),
        "old tag": packet(peer.start_out, tag - 1),
        "hello": hello(peer.session, peer.tag + 1, NEAR, tag, ring_bits=8, expected=acked),
        "restart": hello(FAR + 1, 7, 0, 0, ring_bits=8),
        "identity": identity(FAR + 1, 7),
        "stranger": identity(FAR + 1, 7, b"stranger"),
        "bye": bye(peer.session, peer.tag, NEAR, tag, CLOSING),
        "noise": bytes(40),
    }


def pull(engine, now=NOW):
    buf = bytearray(236)
    return bytes(buf[: engine.pull_into(buf, now)])


def recv_into(engine):
    buf = bytearray(100)
    return engine.recv_into(buf), bytes(buf)


CALLS = {
    "send": lambda engine: engine.send(message(3, 70), 5),
    "send without room": lambda engine: engine.send(message(3, 240), 5),
    "end": lambda engine: engine.end(),
    "recv": lambda engine: engine.recv(),
    "recv both": lambda engine: tuple(step(engine) for step in STEPS["recv both"]),
    "recv_into": recv_into,
    "pull_into": pull,
    "pull_into after a timeout": lambda engine: pull(engine, NOW + 4000),
    "take_flags": lambda engine: engine.take_flags(),
    "start": lambda engine: engine.start(104, NOW),
    "wait": lambda engine: engine.wait(NOW),
    "bye": lambda engine: engine.bye(CLOSING),
    "set_partner": lambda engine: engine.set_partner(FAR_ID),
    "commit": lambda engine: tuple(step(engine) for step in STEPS["commit"]),
}

# Several calls in a row: a packet may come between two of them.
STEPS = {
    "recv both": [lambda engine: engine.recv()] * 3,
    "commit": [lambda engine: engine.recv(), lambda engine: engine.commit()],
}


ENGINE, PEER = busy_engine()
PACKETS = incoming(PEER)


@pytest.mark.parametrize("kind", PACKETS)
@pytest.mark.parametrize("call", CALLS)
def test_feed_between_any_two_bytecodes(call, kind):
    def one_after_the_other(place):
        """The packet comes before this step of the call."""
        engine = copied(ENGINE)
        results = []
        for i, step in enumerate([*steps, None]):
            if i == place:
                engine.feed(PACKETS[kind], NOW)
            if step:
                results.append(step(engine))
        told = engine.take_flags() | (results[0] if call == "take_flags" else 0)
        return tuple(results) if call in STEPS else results[0], state(engine), told | flags.PULL

    steps = STEPS.get(call, [CALLS[call]])
    orders = [one_after_the_other(place) for place in range(len(steps) + 1)]
    at = 1
    while True:
        engine = copied(ENGINE)
        fed = []
        interrupt = Interrupt(at, lambda engine=engine, fed=fed: fed.append(engine.feed(PACKETS[kind], NOW)))
        result = interrupt.run(CALLS[call], engine)
        if not fed:
            break
        left = engine.take_flags()
        told = left | (result if call == "take_flags" else 0) | flags.PULL
        assert fed[0] or not left, "flags were raised and nobody was told to look"
        assert not engine._busy
        if call == "wait":  # a mixture: then feed() has said that wait() must be asked again
            assert result in (orders[0][0], orders[1][0]) or fed[0] & flags.PULL
            assert state(engine) == orders[0][1]
        elif call == "take_flags":
            assert (state(engine), told) in [order[1:] for order in orders], f"before bytecode {at}"
        else:
            assert (result, state(engine), told) in orders, f"before bytecode {at}"
        at += 1
    assert at > 20


@pytest.mark.parametrize("call", CALLS)
def test_packets_that_come_one_by_one(call):
    offset = PEER.offset
    packets = []
    for i in range(4):
        data = record(message(i, 8), i)
        packets.append(PEER.packet(data, offset))
        offset += len(data)
    orders = []
    for split in range(5):
        engine = copied(ENGINE)
        for data in packets[:split]:
            engine.feed(data, NOW)
        result = CALLS[call](engine)
        for data in packets[split:]:
            engine.feed(data, NOW)
        orders.append(state(engine) if call in ("wait", "take_flags") else (result, state(engine)))
    for at in range(1, 400, 3):
        engine = copied(ENGINE)
        left = list(packets)
        interrupt = Interrupt(at, None)

        def come(engine=engine, left=left, interrupt=interrupt):
            engine.feed(left.pop(0), NOW)
            interrupt.at += 7 if left else 1000000

        interrupt.action = come
        result = interrupt.run(CALLS[call], engine)
        while left:
            engine.feed(left.pop(0), NOW)
        assert (state(engine) if call in ("wait", "take_flags") else (result, state(engine))) in orders


@pytest.mark.parametrize("call", CALLS)
def test_send_between_any_two_bytecodes(call):
    """As from a handler of a pin or a timer: it is queued whole, before or after the call, or not taken."""

    def expected(*calls):
        engine = copied(ENGINE)
        results = [CALLS[name](engine) if name else engine.send(b"pressed", 1) for name in calls]
        return results[calls.index(call)], state(engine)

    orders = {False: [expected(call)], True: [expected(None, call), expected(call, None)]}
    at = 1
    while True:
        engine = copied(ENGINE)
        sent = []
        interrupt = Interrupt(at, lambda engine=engine, sent=sent: sent.append(engine.send(b"pressed", 1)))
        result = interrupt.run(CALLS[call], engine)
        if not sent:
            break
        if call == "wait":
            assert state(engine) in [known for _, known in orders[sent[0]]]
        else:
            assert (result, state(engine)) in orders[sent[0]], f"before bytecode {at}"
        at += 1
    assert at > 20


def queueing_engine(*queued):
    """An engine with messages queued, and the HELLO that brings it a new peer with a ring of 256 bytes."""
    engine = new(pyengine.Engine, NEAR, 1024, 256)
    Peer(engine, ring_bits=10).settle(NOW)
    for data in queued:
        engine.send(data)
    engine.start(247, NOW)
    small = Peer(engine, session=FAR + 1, ring_bits=8)
    small.hears_hello(NOW)
    small.says_identity(NOW)
    return engine, small


def test_message_size_is_checked_against_the_peer_that_it_goes_to():
    engine, peer = queueing_engine()
    at = fed = 1
    while fed:
        copy = copied(engine)
        fed = 0

        def come(copy=copy):
            nonlocal fed
            fed = copy.feed(peer.hello(), NOW)

        try:
            Interrupt(at, come).run(copy.send, message(1, 300))
        except ValueError:
            assert copy.state == flags.OPEN
        assert copy.pending() == (0 if fed else 303)
        at += 1
    assert at > 50


@pytest.mark.parametrize("call", ["send", "end"])
def test_queueing_while_a_new_peer_makes_room(call):
    # The message of 300 bytes is too large for the new peer and goes away while another one is queued.
    engine, peer = queueing_engine(b"stays", message(1, 300))
    wanted = record(b"stays") + (record(message(3, 70), 5) if call == "send" else b"\x30\x00")
    at = 1
    while True:
        copy = copied(engine)
        fed = []
        come = Interrupt(at, lambda copy=copy, fed=fed: fed.append(copy.feed(peer.hello(), NOW)))
        come.run(CALLS[call], copy)
        if not fed:
            break
        assert copy.pending() == len(wanted)
        copy.feed(packet(peer.start_out, copy._tag, 0, 0, 256), NOW)
        assert pull(copy)[8:-4] == wanted
        at += 1
    assert at > 50


# -- more packets than can be held --------------------------------------------------------------------------


def interrupted_link():
    """Two engines in the middle of a transfer, with many small packets on their way to the first."""
    a, b = new(pyengine.Engine, NEAR, 512, 512), new(pyengine.Engine, FAR, 512, 512)
    wire = Wire(a, b, 23, NOW)
    wire.open()
    wire.run(50)
    wire.transfer(1, [message(i, 100) for i in range(8)])  # its flight limit grows
    for i in range(12):
        assert b.send(message(i, 8), 1)
        assert a.send(message(i, 30), 2)
    packets = []
    data = pulled(b, wire.now)
    while data:
        packets.append(data)
        data = pulled(b, wire.now)
    assert len(packets) > 12
    return wire, packets


@pytest.mark.parametrize("call", ["send without room", "pull_into", "take_flags", "start"])
def test_packets_that_cannot_be_held_come_again(call):
    wire, packets = interrupted_link()
    for at in range(1, 300, 5):
        a, b = copied(wire.sides[0]), copied(wire.sides[1])
        fed = []

        def come(a=a, fed=fed):
            busy = a._busy
            for data in packets:
                a.feed(data, wire.now)
            fed.append(busy)

        Interrupt(at, come).run(CALLS[call], a)
        if not fed:
            break
        if fed[0]:
            assert a.stats()["dropped"] == len(packets) - 8
        if call == "start":
            b.start(23, wire.now)
        # What was pulled here is lost on its way too.
        on = Continued(a, b, 104, wire.now)
        on.until(lambda on=on: len(on.got[0]) >= 12 and len(on.got[1]) >= 12, "arrival")
        assert on.got[0] == [(1, message(i, 8)) for i in range(12)]
        assert on.got[1] == [(2, message(i, 30)) for i in range(12)]
    assert at > 20
