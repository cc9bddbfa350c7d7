"""Scenarios of tests/scenarios/ on the policy in Python: what goes in, and what it decides.

web/src/policy.js plays the same files: tests/web/scenarios.mjs.

    micropython scenario_suite.py FILE...

Prints "ok FILE" or "FAILED FILE: why" for each, and ends with status 1 when one has failed.
"""

import json
import sys
from binascii import hexlify, unhexlify

from picolink import engine as engines
from picolink.errors import LinkClosedError
from picolink.newest import Newest, Values
from picolink.policy import Policy

Engine, _ = engines.load()
BELLS = ("wake", "opened", "readable", "room")


class Bell:
    def __init__(self, name, rung):
        self._name = name
        self._rung = rung

    def set(self):
        self._rung.add(self._name)


class Side:
    """One policy and its engine, and the host stack that it writes to.   options: as a file has them."""

    def __init__(self, options):
        more = {name: unhexlify(options[name]) for name in ("key", "seed") if name in options}
        size = options.get("ring", 1024)
        commit = options.get("commit", False)
        identity = unhexlify(options["identity"])
        self.engine = Engine(
            int(options["session"], 16), identity, tx_size=size, rx_size=size, commit=commit, **more
        )
        self.rung = set()
        self.told = []
        self.packets = []
        self.room = 0
        self.turns = self.place = None
        self.values = {}
        bells = [Bell(name, self.rung) for name in BELLS]
        self.policy = policy = Policy(self.engine, "test", size, self._tell, *bells)
        policy.transmit = self._transmit
        policy.commits = commit
        policy.keyed = int("key" in more)

    def _tell(self, event, detail):
        self.told.append([event, detail])

    def _transmit(self, packet):
        if self.room < 0:
            raise OSError(5, "the radio has failed")
        if len(self.packets) >= self.room:
            raise OSError(12, "full")
        self.packets.append(hexlify(packet).decode())

    def do(self, call, arguments):
        """What a call gives, and what it has changed: a dict without what is empty."""
        policy = self.policy
        before = [policy.life, policy.connection]
        self.told.clear()
        self.rung.clear()
        self.packets.clear()
        outcome = {}
        try:
            result = (
                getattr(self, call)(*arguments) if hasattr(self, call) else getattr(policy, call)(*arguments)
            )
        except LinkClosedError as e:
            outcome["closed"] = e.args[0]
            result = None
        after = [policy.life, policy.connection]
        for name, value in (
            ("result", result),
            ("packets", list(self.packets)),
            ("told", [list(told) for told in self.told]),
            ("bells", sorted(self.rung)),
            ("states", after if after != before else []),
        ):
            if value is not None and value != []:
                outcome[name] = value
        return outcome

    # -- calls that are not simply the policy's

    def hang_up(self, now, why):
        # What the policy has said itself, it knows again.
        self.policy.hang_up(now, self.policy.why if why == self.policy.why else why)

    def begin(self, now):
        self.turns = self.policy.turns(now)
        next(self.turns)

    def turn(self, now, room):
        """room: packets that the host stack takes; -1: it fails."""
        self.room = room
        return self.turns.send(now)

    def feed(self, packet, now):
        self.policy.feed(unhexlify(packet), now)

    def send(self, message, channel):
        return self.policy.send_nowait(unhexlify(message), channel)

    def set_value(self, value, channel):
        if not self.values:
            Values(self.policy)
        if channel not in self.values:
            self.values[channel] = Newest(channel, self.policy, None)
            self.policy.values.channels.append(self.values[channel])
        self.values[channel].send(unhexlify(value))

    def queue_up(self, size):
        self.place = self.policy.queue_up(bytes(size))

    def send_first(self, message, channel):
        sent = self.policy.send_first(unhexlify(message), channel)
        if sent:
            self.policy.line.remove(self.place)
            self.policy.set_path()
        return sent

    def recv(self):
        message = self.engine.recv()
        return message and [message[0], hexlify(message[1]).decode()]

    def commit(self):
        self.engine.commit()

    def stats(self, *names):
        stats = self.policy.stats()
        return [stats[name] for name in names]


def play(file):
    """Raises AssertionError at the first step that gives something else."""
    with open(file) as opened:  # noqa: PTH123 - MicroPython has no pathlib
        scenario = json.load(opened)
    sides = {name: Side(options) for name, options in scenario["sides"].items()}
    for number, (name, call, arguments, wanted) in enumerate(scenario["steps"]):
        got = sides[name].do(call, arguments)
        if got != wanted:
            raise AssertionError(f"step {number}, {name}.{call}{arguments}: {got}, not {wanted}")


def main(files):
    failed = False
    for file in files:
        try:
            play(file)
            print("ok", file)
        except Exception as e:
            failed = True
            print(f"FAILED {file}: {e!r}")
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
