"""Two engines and somebody who forges whatever he can know, and two over an air that only is very bad.

When the forger has gone, both directions carry messages again by themselves within 10 s. Honest sides never
contradict each other, however late, doubled and out of order their packets are.
"""

import random

import engines
import pytest
from engine_suite import (
    CLOSED,
    CONTRADICTED,
    FAR_ID,
    NEAR_ID,
    bound,
    bye,
    hello,
    identity,
    packet,
    pulled,
)

PYTHON, C = engines.IN_PROCESS["python"], engines.IN_PROCESS["c"]
KINDS = pytest.mark.parametrize("kinds", [(PYTHON, PYTHON), (C, C), (C, PYTHON)], ids=["python", "c", "both"])

IDENTITIES = NEAR_ID, FAR_ID
HEALED_MS = 10_000
STEP_MS = 5
TICKS = 0x3FFFFFFF


class Board:
    """One side, and what a link would do: it hangs up a connection that is over, and connects again."""

    def __init__(self, engine, side, rng):
        self.side = side
        self.commits = rng.random() < 0.3
        rings = [rng.choice((256, 512, 2048, 32768)) for _ in range(2)]
        session = rng.choice((1, 0xFFFFFFFF, rng.randrange(1, 1 << 32)))
        self.engine = engine(session, IDENTITIES[side], *rings, 4096, self.commits)
        self.engine.set_partner(IDENTITIES[1 - side])
        self.sent = 0
        self.got = []
        self.closed_ms = 0
        # What the air says of it.
        self.session, self.tag, self.terms = session, 0, bytes(2)
        self.offset = self.ack = self.credit = 0

    def heard(self, data):
        if data[0] & 0x61 == 1:
            self.session, self.tag = int.from_bytes(data[4:8], "little"), data[2]
            self.terms = data[12:14]
        elif not data[0] & 1:
            self.offset, self.ack, self.credit = (
                int.from_bytes(data[i : i + 2], "little") for i in (2, 4, 6)
            )

    def send(self, rng):
        if self.engine.send(b"%d:%d" % (self.side, self.sent) + bytes(rng.choice((0, 3, 20, 100)))):
            self.sent += 1

    def read(self):
        while message := self.engine.recv():
            self.got.append(int(message[1].split(b"\0")[0].split(b":")[1]))
        if self.commits:
            self.engine.commit()


class World:
    def __init__(self, kinds, seed):
        self.rng = random.Random(seed)
        self.boards = [Board(kinds[side], side, self.rng) for side in (0, 1)]
        self.now = self.rng.choice((0, TICKS - 3000))
        self.seen = 0
        self.delay_ms = 0
        self.loss = self.doubled = 0.0
        self.connect()

    def connect(self):
        self.air = []
        for board in self.boards:
            board.closed_ms = 0
            board.engine.start(self.rng.choice((23, 100, 247)), self.now)

    def step(self):
        """5 ms; a board that is CLOSED hangs up after a second."""
        self.now = (self.now + STEP_MS) & TICKS
        for entry in [entry for entry in self.air if entry[0] <= 0]:
            self.air.remove(entry)
            self.boards[entry[1]].engine.feed(entry[2], self.now)
        self.air = [(left - STEP_MS, side, data) for left, side, data in self.air]
        for side, board in enumerate(self.boards):
            self.seen |= board.engine.take_flags()
            for _ in range(3):
                if not (data := pulled(board.engine, self.now)):
                    break
                board.heard(data)
                for _ in range(1 + (self.rng.random() < self.doubled)):
                    if self.rng.random() >= self.loss:
                        self.air.append((self.rng.randint(0, self.delay_ms), 1 - side, data))
            board.closed_ms = board.closed_ms + STEP_MS if board.engine.state == CLOSED else 0
            if board.closed_ms >= 1000:
                self.connect()

    def run(self, ms):
        for _ in range(ms // STEP_MS):
            self.step()
            for board in self.boards:
                if self.rng.random() < 0.05:
                    board.send(self.rng)
                if self.rng.random() < 0.2:
                    board.read()

    # -- the forger ---------------------------------------------------------------------------------------

    def forge(self):
        rng = self.rng
        side = rng.randrange(2)
        self.boards[side].engine.feed(
            rng.choice((self.forged_data, self.forged_data, self.forged_greeting))(side), self.now
        )

    def forged_data(self, side):
        """All but stream bytes: those that are accepted are delivered."""
        rng = self.rng
        me, other = self.boards[side], self.boards[1 - side]
        flags = rng.choice((0, 0, 4, 8, 8, 16, 16, 32, 36, 12))
        near = rng.choice((0, 0, 0, 1, -1, 3, rng.randrange(-300, 300), rng.randrange(0x10000)))
        # What it has sent begins at other.ack at least, and ends near me.offset.
        ack = rng.choice((other.ack, me.offset, other.ack)) + near
        value = rng.choice((0, 1, other.credit, 256, 1024, rng.randrange(600), rng.randrange(0x10000)))
        tag = me.tag + rng.choice((0, 0, 0, 0, 1, -1, rng.randrange(256)))
        start = bound(other.session, me.session, other.terms, me.terms)
        return packet(start, tag, other.offset, ack, value, b"", flags)

    def forged_greeting(self, side):
        rng = self.rng
        me, other = self.boards[side], self.boards[1 - side]
        session = rng.choice(
            (other.session, other.session, other.session, me.session, rng.randrange(1 << 32))
        )
        tag = other.tag + rng.choice((0, 0, 1, -1, 127, 128, rng.randrange(256)))
        version = 2 if rng.random() < 0.95 else rng.randrange(256)
        answers = rng.choice((me.session, me.session, me.session, 0, rng.randrange(1 << 32)))
        answered = me.tag + rng.choice((0, 0, 0, 1, -1, rng.randrange(256)))
        kind = rng.random()
        if kind < 0.35:
            who = rng.choice((*[IDENTITIES[1 - side]] * 12, IDENTITIES[side], b"stranger"))
            return identity(session, tag & 0xFF, who, rng.choice((20, 244, rng.randrange(256))), version)
        if kind < 0.4:
            return bye(session, tag & 0xFF, answers, answered & 0xFF, rng.randrange(256), version)
        bits, features = other.terms if any(other.terms) else (10, 0)
        if rng.random() < 0.3:
            bits, features = (
                rng.choice((8, 15, bits, rng.randrange(256))),
                rng.choice((0, 2, 2, rng.randrange(256))),
            )
        expected = rng.choice((0, other.ack, other.ack, me.offset, rng.randrange(0x10000)))
        flags = rng.choice((0, 2, 0x10, 0x12))
        return hello(session, tag, answers, answered, flags, bits, expected, version, features)

    def heals(self, why):
        """He has gone: new messages come both ways within 10 s."""
        first = [board.sent for board in self.boards]
        for board in self.boards:
            board.got.clear()
        for ms in range(0, HEALED_MS, STEP_MS):
            self.step()
            for board in self.boards:
                board.read()
                if ms % 500 == 0:
                    board.send(self.rng)
            if all(board.got and board.got[-1] >= first[1 - board.side] for board in self.boards):
                break
        else:
            states = [(board.engine.state, board.engine.stats()) for board in self.boards]
            raise AssertionError(
                f"{why}: not healed: {[board.got for board in self.boards]} {first} {states}"
            )


@KINDS
def test_nothing_that_a_forger_says_lasts(kinds):
    contradictions = strangers = 0
    for seed in range(150):
        world = World(kinds, seed)
        rng = world.rng
        if rng.random() < 0.8:
            world.run(rng.choice((50, 300, 2000)))
        for _ in range(rng.randrange(1, 4)):
            for _ in range(rng.randrange(1, 40)):
                world.forge()
                if rng.random() < 0.3:
                    world.loss = rng.choice((0, 0, 1))
                    world.run(rng.choice((5, 20, 300)))
            world.loss = 0
            world.heals(f"seed {seed}")
        contradictions += sum(board.engine.stats()["contradictions"] for board in world.boards)
        strangers += sum(board.engine.stats()["strangers"] for board in world.boards)
    assert contradictions > 50
    assert strangers > 50


@pytest.mark.slow
@KINDS
def test_honest_sides_never_contradict_each_other(kinds):
    """Packets up to 3 s late, in any order, doubled, lost; drops that one side notices first."""
    doubts = opened = 0
    for seed in range(40):
        world = World(kinds, seed)
        rng = world.rng
        world.delay_ms = rng.choice((20, 200, 1000, 3000))
        world.loss, world.doubled = rng.choice((0, 0.1, 0.4)), rng.choice((0, 0.2, 0.5))
        for _ in range(rng.randrange(2, 12)):
            world.run(rng.choice((100, 1000, 6000)))
            what = rng.random()
            if what < 0.3:
                world.connect()
            elif what < 0.6:  # it alone has seen the connection go and come; nothing of it is lost
                rng.choice(world.boards).engine.start(100, world.now)
        assert not world.seen & CONTRADICTED, seed
        world.delay_ms = world.loss = world.doubled = 0
        world.heals(f"seed {seed}")
        for board in world.boards:
            stats = board.engine.stats()
            assert stats["contradictions"] == stats["peer_restarts"] == 0, seed
            assert stats["overruns"] == 0, seed
            doubts += stats["stale"]
            opened += stats["opened"]
    assert doubts > 100
    assert opened > 300
