"""A native Path takes packets as Policy.feed() does, and nothing but what it needs. For MicroPython.

    micropython tests/native_path.py SEED ...

Two links' policies live through the same, by chance; one has a Path. Each line of output is a difference.
"""

import random
import sys
from array import array

from _picolink import Engine, Path
from picolink.policy import Policy
from picolink.runtime import ticks_add

STEPS = 400
FULL = 12


class Told:
    def __init__(self, name, calls):
        self.name = name
        self.calls = calls

    def set(self):
        if self.calls[-1:] != [self.name]:  # twice is as good as once
            self.calls.append(self.name)


class Side:
    def __init__(self, native, now):
        self.calls = calls = []
        self.packets = []
        self.full = False
        self.comes = None  # a packet that comes while one goes
        self.now = now
        self.engine = engine = Engine(1, b"the near", 512, 512)
        told = [Told(name, calls) for name in ("wake", "opened", "readable", "room")]
        self.policy = policy = Policy(engine, "native", 512, lambda *_: None, *told)
        if native:
            others = [None] * 4
            path = Path(engine, policy.path, None, None, told[0].set, *others, *policy.receives())
            policy.feed = path.feed
        policy.transmit = self.transmit
        policy.open()
        policy.seek(now)
        policy.adopt(now, b"address", "the peer")
        policy.call(64)
        self.turns = policy.turns(now)
        next(self.turns)

    def transmit(self, packet):
        if self.comes is not None:
            packet_in, self.comes = self.comes, None
            self.policy.feed(packet_in, self.now)
        if self.full:
            raise OSError(FULL)
        self.calls.append("packet")
        self.packets.append(bytes(packet))

    def seen(self):
        engine = self.engine
        state = list(self.policy.path), engine.readable(), engine.wait(self.now), engine.stats()
        return state, self.calls, self.packets


def lived(seed):
    """What differs first, or None."""
    random.seed(seed)
    chance = random.randrange
    now = ticks_add(0, -3000 if seed & 1 else 5000)  # with odd seeds the time wraps
    sides = [Side(True, now), Side(False, now)]
    peer = Engine(2, b"far away", 512, 512)
    peer.start(64, now)
    packet = bytearray(236)
    for step in range(STEPS):
        now = ticks_add(now, chance(40))
        what = chance(16)
        size = chance(60)
        line = chance(4)
        came = b""
        if what < 5 or (what > 12 and line == 0):
            length = peer.pull_into(packet, now)
            came = bytes(packet[:length])
            if length and what == 0:
                came = came[:-1] + bytes([came[-1] ^ 1])
        elif what < 7:
            peer.send(bytes(size), 0)
        elif what == 7:
            while peer.recv():
                pass
        for side in sides:
            side.now = now
            policy = side.policy
            if what < 5:
                policy.feed(came, now)
            elif 8 <= what < 10:
                side.engine.send(bytes(size), 0)
            elif what == 10:
                while side.engine.recv():
                    pass
                policy.has_read(now)
            elif what == 11:
                side.full = not side.full
            elif what == 12 and line < 2:
                if policy.line:
                    policy.leave_line(policy.line[0])
                else:
                    policy.queue_up(bytes(size * 5))
            elif what == 12:
                policy.count_flush(-policy.flushes or 1)
            elif what > 12:
                side.comes = came or None
                side.turns.send(now)
        seen = [side.seen() for side in sides]
        if seen[0] != seen[1]:
            return f"seed {seed}, step {step}, {what}: {seen[0]!r}, not {seen[1]!r}"
        for sent in sides[0].packets:
            peer.feed(sent, now)
        for side in sides:
            side.calls.clear()
            side.packets.clear()
    return None if sides[0].engine.stats()["packets_received"] > 9 else f"seed {seed}: hardly a packet"


def accepted():
    """Arguments that a Path takes, and must not."""
    side = Side(False, 0)
    engine, path, packet = side.engine, side.policy.path, bytearray(236)
    right = [engine, path] + [None] * 10 + [packet]
    Path(*right)
    for place, wrong in (
        (0, None),
        (0, object()),
        (0, Engine),
        (1, None),
        (1, bytes(200)),
        (1, bytearray(8 * len(path))),
        (1, array("l", [0] * (len(path) - 1))),
        (1, array("f", [0] * len(path))),
        (12, None),
        (12, bytes(236)),
        (12, bytearray(235)),
    ):
        given = right.copy()
        given[place] = wrong
        try:
            Path(*given)
            print("accepted:", place, wrong)
        except TypeError:
            pass
    for arguments in ((), right[:-1], right * 2):
        try:
            Path(*arguments)
            print("accepted:", len(arguments))
        except TypeError:
            pass


accepted()
for argument in sys.argv[1:]:
    found = lived(int(argument))
    if found:
        print(found)
