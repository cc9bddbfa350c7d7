"""The Python engine when no memory is left at any allocation: nothing lost, doubled or damaged.

On MicroPython slices, memoryviews, bytes, tuples of struct and values of crc32 are allocated, and at times
there is no memory.
"""

import dis
from types import SimpleNamespace

import bytecodes
import pytest
from engine_copies import Continued, copied
from engine_suite import (
    FAR,
    FAR_ID,
    NEAR,
    NEAR_ID,
    OPEN,
    PEER_RESTARTED,
    Wire,
    counted,
    message,
    new,
    pulled,
)
from picolink import keyed, pyengine

NOW = 5000
ALLOCATING = ("BUILD_SLICE", "BINARY_SLICE", "STORE_SLICE", "BUILD_TUPLE")


class Shortage:
    """Runs a call of the engine, with no memory at its n-th allocation."""

    def __init__(self, monkeypatch, n):
        self.monkeypatch = monkeypatch
        self.left = n

    def run(self, function, *args):
        """The call's result, or the MemoryError."""
        real = pyengine.struct
        struct = SimpleNamespace(
            pack_into=self._short(real.pack_into), unpack_from=self._short(real.unpack_from)
        )
        names = {"crc32": self._short(pyengine.crc32), "struct": struct}
        if function.__name__ != "send":  # which names types
            names |= {"memoryview": self._short(memoryview), "bytes": self._short(bytes)}
        with self.monkeypatch.context() as patch:
            for name, value in names.items():
                patch.setattr(pyengine, name, value, raising=False)
            try:
                return bytecodes.before_each(self._bytecode, function, *args)
            except MemoryError as error:
                return error

    def _allocate(self):
        self.left -= 1
        if self.left == 0:
            raise MemoryError

    def _short(self, function):
        def short(*args):
            self._allocate()
            return function(*args)

        return short

    def _bytecode(self, frame):
        if dis.opname[frame.f_code.co_code[frame.f_lasti]] in ALLOCATING:
            self._allocate()


A_SENDS = [(2, message(i, 30 + 5 * i)) for i in range(16)]
B_SENDS = [(1, message(i, 60 - 3 * i)) for i in range(16)]


def moments():
    """An exchange with reconnects, small rings and losses: each moment at which a packet reaches a side.

    Gives the engines' copies, the side, its packet, what is in the air and what each has read.
    """
    wire = Wire(new(pyengine.Engine, NEAR, 256, 256), new(pyengine.Engine, FAR, 256, 256), 77, NOW, 2)
    left = [list(A_SENDS), list(B_SENDS)]
    for step in range(90):
        if step in (23, 40):
            wire.start()
        wire.lost = lambda _, step=step: step in (30, 31)
        wire.reading = step % 4 == 0
        for side, engine in enumerate(wire.sides):
            if left[side] and engine.send(left[side][0][1], left[side][0][0]):
                left[side].pop(0)
            for i, data in enumerate(wire.air[side]):
                air = [list(wire.air[0]), list(wire.air[1])]
                del air[side][i]
                yield [copied(engine) for engine in wire.sides], side, data, air, wire, left
        wire.step()
        if not any(left) and not any(engine.pending() for engine in wire.sides):
            return


def finish(sides, air, wire, left):
    """Go on from a moment until everything has arrived, once and in order."""
    on = Continued(*sides, wire.mtu, wire.now, 2)
    on.air = [list(packets) for packets in air]
    on.got = [list(messages) for messages in wire.got]
    left = [list(messages) for messages in left]

    def all_there():
        for side, engine in enumerate(on.sides):
            if left[side] and engine.send(left[side][0][1], left[side][0][0]):
                left[side].pop(0)
        return len(on.got[0]) >= len(B_SENDS) and len(on.got[1]) >= len(A_SENDS)

    on.until(all_there, "arrival")
    on.run(500)
    assert on.got == [B_SENDS, A_SENDS]


@pytest.mark.parametrize("busy", [False, True], ids=["", "during another call"])
def test_feed_without_memory(monkeypatch, busy):
    shortages = 0
    for sides, side, data, air, wire, left in moments():
        for n in range(1, 30):
            tried = [copied(engine) for engine in sides]
            short = Shortage(monkeypatch, n)
            tried[side]._busy = busy
            flags_raised = short.run(tried[side].feed, data, wire.now)
            assert isinstance(flags_raised, int), "feed() raised"
            tried[side].take_flags()  # the end of the other call
            if short.left > 0:
                break
            shortages += 1
            assert tried[side].stats()["dropped"] == sides[side].stats()["dropped"] + 1
            finish(tried, air, wire, left)
        else:
            pytest.fail("feed() allocates 30 times")
    assert shortages > 60


@pytest.mark.parametrize("name", ["send", "recv", "pull_into"])
def test_call_without_memory(monkeypatch, name):
    shortages = 0
    last = None
    for sides, side, _, _, wire, left in moments():
        if wire.now == last:
            continue
        last = wire.now
        air = [list(wire.air[0]), list(wire.air[1])]
        for n in range(1, 30):
            tried = [copied(engine) for engine in sides]
            args = {"send": (b"one more", 3), "recv": (), "pull_into": (bytearray(236), wire.now)}[name]
            short = Shortage(monkeypatch, n)
            result = short.run(getattr(tried[side], name), *args)
            if short.left > 0:
                break
            shortages += 1
            assert isinstance(result, MemoryError)
            assert not tried[side]._busy
            finish(tried, air, wire, left)
    assert shortages > 20


def test_a_link_with_a_key_that_opens_without_memory_tells_all_in_the_end(monkeypatch):
    fails = []

    def short(real):
        def call(*arguments):
            if fails and fails.pop(0):
                raise MemoryError
            return real(*arguments)

        return call

    monkeypatch.setattr(keyed, "Ccm", short(keyed.Ccm))
    for first in ([True], [False, True]):  # the cipher of what goes out, of what comes
        one = pyengine.Engine(NEAR, NEAR_ID, key=bytes(32), seed=b"\1" * 32)
        for session in (FAR, FAR + 1):
            other = pyengine.Engine(session, FAR_ID, key=bytes(32), seed=bytes(32))
            fails[:] = first if session != FAR else []
            for side in (one, other):
                side.start(247, 0)
            flags = 0
            for now in range(0, 2000, 10):
                for side, peer in ((one, other), (other, one)):
                    while packet := pulled(side, now):
                        raised = peer.feed(packet, now)
                        flags |= raised * (peer is one)
        assert not fails
        assert one.state == other.state == OPEN
        assert flags & PEER_RESTARTED
        counted(one, dropped=1, peer_restarts=1)


@pytest.mark.parametrize("fails", ["the counter", "the cipher"])
def test_no_counter_comes_twice_where_the_last_one_finds_no_memory(fails, monkeypatch):
    one, other = (
        pyengine.Engine(session, name, key=bytes(32), seed=bytes((session & 0xFF,)) * 32)
        for session, name in ((NEAR, NEAR_ID), (FAR, FAR_ID))
    )
    counters = []

    def talk(began):
        for now in range(began, began + 2000, 10):
            for side, peer in ((one, other), (other, one)):
                while packet := pulled(side, now):
                    if side is one and not packet[0] & 1:
                        counters.append((one._tag, packet[8] | packet[9] << 8))
                    peer.feed(packet, now)

    for side in (one, other):
        side.start(247, 0)
    talk(0)
    tag = one._tag
    one._keys.sent = 0xFFFF
    one.send(b"the last")

    def short(*_):
        raise MemoryError

    with monkeypatch.context() as patch:
        if fails == "the cipher":
            patch.setattr(one._keys, "_out", SimpleNamespace(seal=short))
        else:
            patch.setattr(keyed, "struct", SimpleNamespace(pack=short))
        with pytest.raises(MemoryError):
            pulled(one, 2000)
    if fails == "the cipher":  # it was counted as used: nothing goes out under this key any more
        assert one._keys.sent == 0x10000
        one._due = 0  # even then
        one._ack_now = True
        assert one.pull_into(bytearray(236), 2000) == 0
        one._due = pyengine._DUE_GREETING
    assert one.wait(2000) == 0
    talk(2000)
    assert one._tag == tag + 1
    assert one.state == other.state == OPEN
    assert other.recv() == (0, b"the last")
    assert len(counters) == len(set(counters))
