"""Record random exchanges in the format of this folder: python tests/vectors/record.py FOLDER COUNT SEED

In every second file any call may follow any other in a hostile air, as in engine_differential.py: loss,
damage, forgeries, restarts, clocks that wrap. In the others two sides send all they can on a slow, lossy way.
The results are those of the Python engine. COUNT files, 000.json and so on; other exchanges for another SEED.
"""

import json
import random
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[1] / "py")]

from engine_differential import IDENTITIES, RINGS, VALUES, Link, Twins  # noqa: E402
from engine_suite import Numbers  # noqa: E402
from make import constructed  # noqa: E402
from picolink.pyengine import Engine  # noqa: E402


def plain(value):
    """What JSON can hold of a value."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).hex()
    return [plain(item) for item in value] if isinstance(value, tuple) else value


class Recorder(Twins):
    """One engine, whose calls are written down; those that raise are not, for they change nothing."""

    def __init__(self, record, kinds, session, identity, tx_size, rx_size, window, commit, *keys):
        super().__init__(kinds, session, identity, tx_size, rx_size, window, commit, *keys)
        self.name = f"e{len(record['engines'])}"
        self.steps = record["steps"]
        record["engines"][self.name] = constructed(session, identity, tx_size, rx_size, window, commit, *keys)

    def same(self, _, results):
        return results[0]

    def write(self, name, args, result):
        if not (isinstance(result, str) and "Error: " in result):
            self.steps.append([self.name, name, plain(args), plain(result)])

    def call(self, name, *args):
        if name == "recv":  # always raw
            result = super().call(name, True)
            self.write(name, (), result)
            return result
        result = super().call(name, *args)
        self.write(name, args, result)
        return result

    def into(self, name, size, *args):
        value, buf = super().into(name, size, *args)
        if name == "pull_into":
            self.write(name, args, buf[:value])
        elif not isinstance(value, str):  # recv_into: written down as recv
            self.write("recv", (), None if value < 0 else (value >> 16, buf[: value & 0xFFFF]))
        return value, buf

    def compare(self, now):
        super().compare(now)
        for name in VALUES:
            self.write(name, (), getattr(self.engines[0], name))

    def compare_stats(self):
        self.write("stats", (), self.engines[0].stats())


class RecordedLink(Link):
    def __init__(self, record, seed):
        self.record = record
        super().__init__([Engine], seed, bool(seed & 0x40))

    def twins(self, *args):
        return Recorder(self.record, *args)

    def wrong_arguments(self, side, x, y):
        """None: what they raise is not part of the protocol."""


def hostile(record, seed):
    """200 steps of a link, some 3,000 calls."""
    numbers = Numbers(2 * seed)
    link = RecordedLink(record, numbers.below(8192) << 3 | seed >> 1 & 7)
    link.start_both(0, numbers.below(65536), 0)
    for _ in range(200):
        link.step(*(numbers.below(65536) for _ in range(3)))
    link.compare_stats()


def busy(record, seed):
    """100 rounds of two sides that send all they can, some 3,000 calls."""
    draw = random.Random(seed)
    mtu, delay = draw.choice((23, 104, 247)), draw.choice((0, 2, 30))  # bytes, rounds
    loss, late, lazy = draw.choice((0, 0.03, 0.1, 0.3)), draw.choice((0, 0.1)), draw.choice((0, 0.9))
    now = draw.randrange(1 << 30)
    sides = []
    for i in (0, 1):
        sizes = draw.choice(RINGS), draw.choice(RINGS), draw.choice((300, 4096)), draw.random() < 0.2
        sides.append(Recorder(record, [Engine], 1 + i + seed, IDENTITIES[i], *sizes))
    air = [[], []]
    for number in range(100):
        for i, side in enumerate(sides):
            if number == 0 or draw.random() < 0.005:
                side.call("start", mtu, now)
            for _ in range(2):
                side.call("send", bytes(draw.choice((3, 30, 200))))
            for _ in range(draw.randrange(6)):
                size, buf = side.into("pull_into", 236, now)
                if size and draw.random() >= loss:
                    arrival = number + delay + (draw.randrange(3) if draw.random() < late else 0)
                    air[1 - i].append((arrival, buf[:size]))
            for arrival, packet in air[i]:
                if arrival <= number:
                    side.call("feed", packet, now)
            air[i] = [waiting for waiting in air[i] if waiting[0] > number]
            if draw.random() >= lazy:
                while side.call("recv"):
                    pass
                side.call("commit")
            side.call("take_flags")
            side.compare(now)
            side.compare_stats()
        now = now + draw.randrange(60) & 0x3FFFFFFF


def record(seed):
    exchange = {"about": f"random calls, seed {seed}", "engines": {}, "steps": []}
    (busy if seed & 1 else hostile)(exchange, seed)
    return exchange


if __name__ == "__main__":
    folder, count, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    folder.mkdir(exist_ok=True)
    for i in range(count):
        (folder / f"{i:03}.json").write_text(json.dumps(record(seed + i)))
