"""Two engines over an air that loses, repeats, reorders and damages, with drops and restarts at any moment.

Whatever happens: no exception, no wrong message; between two living sessions every message exactly once
and in order; and everything arrives once the air is good again.
"""

import struct

import engines
import pytest
from engine_suite import IDLE, OPEN, packet_size, pulled
from hypothesis import given, settings
from hypothesis import strategies as st

IN_THE_AIR = 24  # packets each way; the oldest are lost
LIVES = 5  # of one side
IDENTITIES = b"the near", b"far away"
HEALED_MS = 60_000


class Life:
    """One board from power-on to power-off."""

    def __init__(self, engine, side, number):
        session = 0x10000000 * (side + 1) + 0x10101 * number + 37 * number  # tags of two lives stay apart
        self.engine = engine(session, IDENTITIES[side], 512, 512, 2000)
        self.side = side
        self.number = number
        self.sent = 0  # messages
        self.heard = {}  # next message expected of each life of the other side
        self.mtu = 23

    def message(self, number):
        """Its n-th message, different from all others."""
        padding = bytes((number + i) & 0xFF for i in range(number * 37 % 190))
        return struct.pack("<BBH", self.side, self.number, number) + padding

    def send(self):
        if self.engine.send(self.message(self.sent), self.sent & 15):
            self.sent += 1


class World:
    def __init__(self, kinds):
        self.kinds = kinds
        self.lives = [[Life(kinds[side], side, 0)] for side in (0, 1)]
        self.air = [[], []]  # what goes to each side
        self.now = 0x3FFFFFFF - 2000  # wraps soon
        self.steps = (
            *[self.talk] * 8,
            *[self.send] * 4,
            *[self.pull, self.deliver, self.wait] * 2,
            self.receive,
            self.advance,
            self.lose,
            self.repeat,
            self.swap,
            self.damage,
            self.start,
            self.drop,
            self.drop,
            self.restart,
        )

    def step(self, number, side, x):
        self.steps[number % len(self.steps)](side, x)
        del self.air[0][:-IN_THE_AIR], self.air[1][:-IN_THE_AIR]

    def living(self, side):
        return self.lives[side][-1]

    def engine(self, side):
        return self.lives[side][-1].engine

    # what may happen

    def send(self, side, x):
        for _ in range(1 + x % 4):
            self.living(side).send()

    def pull(self, side, x):
        for _ in range(1 + x % 4):
            data = pulled(self.engine(side), self.now)
            if not data:
                break
            assert len(data) <= packet_size(self.living(side).mtu)
            self.air[1 - side].append(data)

    def deliver(self, side, x):
        for _ in range(min(1 + x % 8, len(self.air[side]))):
            self.engine(side).feed(self.air[side].pop(0), self.now)

    def talk(self, _, x):
        """A good connection for a while."""
        for _ in range(x % 3):
            self.now = (self.now + 1 + x % 17) & 0x3FFFFFFF
            for side in (0, 1):
                self.pull(side, 3)
            for side in (0, 1):
                self.deliver(side, IN_THE_AIR)
                self.receive(side, x)

    def receive(self, side, x):
        for _ in range(x % 7):
            self.check_next(side)

    def wait(self, side, _):
        wait = self.engine(side).wait(self.now)
        if wait > 0:
            self.now = (self.now + wait) & 0x3FFFFFFF

    def advance(self, _, x):
        self.now = (self.now + x * 7) & 0x3FFFFFFF

    def lose(self, side, x):
        if self.air[side]:
            del self.air[side][x % len(self.air[side])]

    def repeat(self, side, x):
        if self.air[side]:
            self.air[side].append(self.air[side][x % len(self.air[side])])

    def swap(self, side, x):
        air = self.air[side]
        if len(air) > 1:
            at = x % (len(air) - 1)
            air[at], air[at + 1] = air[at + 1], air[at]

    def damage(self, side, x):
        if self.air[side]:
            data = bytearray(self.air[side][0])
            for i in range(1 + x % 3):  # CRC-32 finds up to three wrong bits for sure at these lengths
                data[(x + 11 * i) % len(data)] ^= 1 << (x + i & 7)
            self.air[side][0] = bytes(data)

    def start(self, side, x):
        """This side alone has seen the connection go and come."""
        self.living(side).mtu = 23 + x * 9 % 300
        self.engine(side).start(self.living(side).mtu, self.now)

    def drop(self, side, x):
        self.air = [[], []]
        self.start(side, x)
        self.start(1 - side, x + 3)

    def restart(self, side, x):
        """Power lost; what was not read is lost with it."""
        lives = self.lives[side]
        if len(lives) == LIVES:
            return
        while self.check_next(side):
            pass
        lives.append(Life(self.kinds[side], side, len(lives)))
        self.drop(side, x)

    # what must be true

    def check_next(self, side):
        got = self.engine(side).recv()
        if got is None:
            return False
        channel, data = got
        sender_side, sender_number, number = struct.unpack("<BBH", data[:4])
        assert sender_side == 1 - side
        sender = self.lives[sender_side][sender_number]
        assert number < sender.sent
        assert (channel, data) == (number & 15, sender.message(number))
        receiver = self.living(side)
        assert sender_number >= max(receiver.heard, default=0), "of a session that is over"
        if sender_number in receiver.heard:
            assert number == receiver.heard[sender_number], "once and in order"
        else:
            before = [life.heard.get(sender_number, 0) for life in self.lives[side][:-1]]
            assert number <= max(before, default=0), "what nobody had"
        receiver.heard[sender_number] = number + 1
        return True

    def heal(self):
        """The air is good from now on: everything must arrive."""
        for side in (0, 1):
            if self.engine(side).state == IDLE:
                self.start(side, 5)
        for _ in range(HEALED_MS // 10):
            self.now = (self.now + 10) & 0x3FFFFFFF
            for side in (0, 1):
                self.pull(side, 3)
            for side in (0, 1):
                self.deliver(side, IN_THE_AIR)
                while self.check_next(side):
                    pass
            if self.all_acknowledged():
                break
        else:
            raise AssertionError("not everything was acknowledged")
        for side in (0, 1):
            me = self.living(side)
            assert max(life.heard.get(me.number, 0) for life in self.lives[1 - side]) == me.sent

    def all_acknowledged(self):
        engines = self.engine(0), self.engine(1)
        return all(engine.state == OPEN and not engine.pending() for engine in engines) and not any(self.air)


PYTHON, C = engines.IN_PROCESS["python"], engines.IN_PROCESS["c"]
byte = st.integers(0, 255)
# Without min_size most lists are short. What does not matter shrinks to steps that do nothing.
world_steps = st.lists(st.tuples(byte, st.integers(0, 1), byte), min_size=80, max_size=160)


@pytest.mark.parametrize("kinds", [(PYTHON, PYTHON), (C, C), (C, PYTHON)], ids=["python", "c", "both"])
def test_exactly_once_in_order_whatever_happens(kinds):
    @settings(max_examples=60, deadline=None, derandomize=True)
    @given(world_steps)
    def holds(steps):
        world = World(kinds)
        world.drop(0, 100)
        for step in steps:
            world.step(*step)
        world.heal()

    holds()
