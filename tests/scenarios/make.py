"""Writes the scenarios of this folder anew, from the policy in Python:  python tests/scenarios/make.py

Then look at the difference: what a policy decides is to change on purpose only.
"""

import json
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
sys.path[:0] = [str(FOLDER.parent)]

from scenario_suite import Side  # noqa: E402

KEYS = {"key": bytes(range(32)).hex(), "seed": (b"A" * 32).hex()}
SIDES = {
    "a": {"session": "11223344", "identity": b"identA01".hex()},
    "b": {"session": "55667788", "identity": b"identB02".hex()},
    "c": {"session": "0badcafe", "identity": b"stranger".hex()},
}
WAY_MS = 10  # that a packet takes
SLOW_MS = 100  # when not much happens
HELLO = b"hello".hex()
HANG_UP = -1
OPEN, CLOSED = 0, 8


class Scenario:
    """Calls to sides, each recorded with what it gave.   sides: their options, by name.   now: ms."""

    def __init__(self, **sides):
        self.data = {"sides": {name: SIDES[name[0]] | more for name, more in sides.items()}}
        self.data["steps"] = self.steps = []
        self._sides = {name: Side(options) for name, options in self.data["sides"].items()}
        self._on_way = []  # (when it comes, to whom, packet)
        self._connected = {}  # name: the other one
        self.now = 1000

    def do(self, name, call, *arguments):
        outcome = self._sides[name].do(call, arguments)
        self.steps.append([name, call, list(arguments), outcome])
        return outcome

    def open(self, *names):
        for name in names:
            self.do(name, "open")

    def open_and_meet(self, *sides):
        self.open(*sides)
        self.meet(*sides)
        self.run(100)

    def meet(self, one, other):
        """A connection between two of them."""
        for name, address in ((one, other), (other, one)):
            self.do(name, "pause", self.now)
            self.do(name, "seek", self.now)
            self.do(name, "adopt", self.now, f"address of {address}", address)
            self.do(name, "begin", self.now)
            self.do(name, "call", 247)
            self._connected[name] = address

    def run(self, ms, room=100):
        """Let time pass: sides that are connected have their turns, packets pass; later in larger steps."""
        end = self.now + ms
        while self.now < end:
            self.now += WAY_MS if ms <= 200 or end - self.now > ms - 100 else SLOW_MS
            coming, self._on_way = self._on_way, []
            for to, packet in coming:
                if to in self._connected:
                    outcome = self.do(to, "feed", packet, self.now)
                    self._on_way += [(self._connected[to], packet) for packet in outcome.get("packets", ())]
            for name, other in list(self._connected.items()):
                outcome = self.do(name, "turn", self.now, room)
                if other in self._connected:
                    self._on_way += [(other, packet) for packet in outcome.get("packets", ())]
                if outcome["result"] == HANG_UP:
                    self.drop(name, self._sides[name].policy.why)

    def pass_time(self, ms):
        """Nobody has a turn."""
        self.now += ms

    def drop(self, name, why="the connection was lost", answered=True):
        self._connected.pop(name, None)
        self._on_way.clear()
        self.do(name, "hang_up", self.now, why)
        self.do(name, "gone", answered)

    def close(self, name, how="close", ms=3000):
        """As Link.close() does."""
        self.do(name, how, self.now)
        while self.do(name, "closing", self.now, ms)["result"]:
            self.run(WAY_MS)
        self.do(name, "shut", "this side has closed the link")
        if name in self._connected:
            self.drop(name)
        self.do(name, "tell_undelivered")

    def receive(self, name):
        while self.do(name, "recv").get("result"):
            pass
        self.do(name, "has_read", self.now)


def meet_and_close():
    """Two sides meet, exchange messages, and close one after the other."""
    s = Scenario(a={}, b={})
    s.do("a", "open")
    s.do("b", "open")
    s.meet("a", "b")
    s.run(100)
    for name in "ab":
        for channel in range(3):
            s.do(name, "send", HELLO, channel)
    s.run(100)
    for name in "ab":
        s.receive(name)
    s.run(1500)  # signs of life
    s.close("a")
    s.run(50)
    s.do("b", "send", HELLO, 0)
    s.receive("b")
    s.close("b")
    s.do("a", "send", HELLO, 0)
    return s


def close_together():
    """Both sides close at once, with messages on their way."""
    s = Scenario(a={}, b={})
    s.open_and_meet("a", "b")
    for name in "ab":
        s.do(name, "send", HELLO, 0)
        s.do(name, "close", s.now)
    for _ in range(100):
        going = [s.do(name, "closing", s.now, 3000)["result"] for name in "ab"]
        if not any(going):
            break
        s.run(WAY_MS)
    for name in "ab":
        s.do(name, "shut", "this side has closed the link")
        s.drop(name)
        s.do(name, "tell_undelivered")
    return s


def drop_and_resume():
    """Connections drop with messages on their way; the next one carries what is left."""
    s = Scenario(a={}, b={})
    s.open("a", "b")
    for _ in range(3):
        s.meet("a", "b")
        s.run(100)
        for name in "ab":
            for number in range(5):
                s.do(name, "send", (b"message %d" % number).hex(), number)
        s.run(10)
        for name in "ab":
            s.drop(name)
            s.receive(name)
    s.meet("a", "b")
    s.run(1000)
    for name in "ab":
        s.receive(name)
        s.do(name, "stats", "connections", "messages_sent", "messages_acknowledged", "messages_received")
    return s


def silence():
    """The other side stops: it is hung up on after 4.5 s, waiting for an acknowledgement or not."""
    s = Scenario(
        a={},
        b={},
    )
    s.open("a", "b")
    for waiting in (False, True):
        s.meet("a", "b")
        s.run(100)
        s.drop("b")
        if waiting:
            s.do("a", "send", HELLO, 0)
        s.run(5000)
    s.do("a", "stats", "silences", "connections", "timeouts")
    return s


def nobody_greets():
    """Devices connect that do not speak picolink: told at once, then every 10 s with the count."""
    s = Scenario(a={})
    s.do("a", "open")
    for _ in range(4):
        s.do("a", "pause", s.now)
        s.do("a", "seek", s.now)
        s.do("a", "adopt", s.now, "address", "label")
        s.do("a", "begin", s.now)
        s.do("a", "call", 23)
        s._connected["a"] = "nobody"
        s.run(5000)
    s.do("a", "stats", "silences", "connections")
    return s


def stranger():
    """A third side comes after two have met: both say that it was turned away, and it is left alone."""
    s = Scenario(
        a={},
        b={},
        c={},
    )
    s.open("a", "b", "c")
    s.meet("a", "b")
    s.run(100)
    for name in "ab":
        s.drop(name)
    for _ in range(3):
        s.meet("a", "c")
        s.run(2000)
        for name in "ac":
            if name in s._connected:
                s.drop(name)
        s.do("c", "shuns", s.now, "address of a")
        s.do("c", "not_found", s.now, "PicoA", ["PicoB"])
        s.pass_time(5000)
        s.do("c", "shuns", s.now, "address of a")
    s.do("a", "forget")
    s.do("c", "forget")
    s.meet("a", "c")
    s.run(100)
    return s


def program_fails():
    """A program fails: what it has sent goes out, the other side hears why and goes on."""
    s = Scenario(a={}, b={})
    s.open_and_meet("a", "b")
    s.do("a", "send", HELLO, 3)
    s.close("a", "leave")
    s.run(50)
    s.receive("b")
    s.do("b", "send", HELLO, 0)
    return s


def restart():
    """A side restarts: both are told, and what it had not acknowledged comes again."""
    s = Scenario(
        a={},
        b={},
        b2={"session": "99999999"},
    )
    s.open("a", "b", "b2")
    s.meet("a", "b")
    s.run(100)
    s.drop("b")
    for number in range(4):
        s.do("a", "send", (b"message %d" % number).hex(), 0)
    s.run(50)
    s.drop("a")
    s.meet("a", "b2")
    s.run(500)
    s.receive("b2")
    return s


def keys():
    """Sides with the same key meet; one without it is turned away and both say so, once."""
    s = Scenario(
        a=KEYS,
        b=KEYS | {"seed": (b"B" * 32).hex()},
        c={},
    )
    s.open("a", "b", "c")
    s.meet("a", "b")
    s.run(200)
    s.do("a", "send", HELLO, 0)
    s.run(100)
    s.receive("b")
    for name in "ab":
        s.drop(name)
    for _ in range(3):
        s.meet("a", "c")
        s.run(6000)
        for name in "ac":
            if name in s._connected:
                s.drop(name)
    return s


def unproven():
    """With a key: one without it, with another one, and one that is silent, before anybody has met. None of
    them is looked for again at once, and soon again, for the partner may have been behind it.
    """
    s = Scenario(a=KEYS, b=KEYS | {"key": (b"C" * 32).hex()}, c={})
    s.open("a", "b", "c")
    for other in "cb":
        s.meet("a", other)
        while "a" in s._connected:
            s.run(100)
        s.do("a", "shuns", s.now, f"address of {other}")
        s.do("a", "shuns", s.now + 500, f"address of {other}")
        s.run(1000)  # the other one hangs up, too
        if other in s._connected:
            s.drop(other)
    s.meet("a", "c")
    s.drop("c")
    while "a" in s._connected:
        s.run(100, 0)
    s.do("a", "shuns", s.now, "address of c")
    s.do("a", "shuns", s.now + 500, "address of c")
    return s


def full_radio():
    """The radio is full, for longer and longer, and takes packets again; then it fails."""
    s = Scenario(a={}, b={})
    s.open_and_meet("a", "b")
    for number in range(20):
        s.do("a", "send", (b"%30d" % number).hex(), 0)
    for room in (0, 0, 1, 0, 3, 1, 100):
        s.run(10, room)
    s.do("a", "send", HELLO, 0)
    s.do("a", "turn", s.now, -1)
    s.drop("a", "the radio has failed")
    s.drop("b")
    return s


def stalls():
    """Three connections in a row carry nothing: the radio's software is restarted; also when it does
    not hang up."""
    s = Scenario(
        a={},
        b={},
    )
    s.open_and_meet("a", "b")
    s.do("a", "send", HELLO, 0)
    for _ in range(4):
        s._connected.pop("b", None)
        s.run(6000, 0)
        s.drop("a")
        s.do("a", "pause", s.now)
        s.do("a", "seek", s.now)
        s.do("a", "adopt", s.now, "address of b", "b")
        s.do("a", "begin", s.now)
        s.do("a", "call", 247)
        s._connected["a"] = "b"
    s.drop("a", answered=False)
    s.do("a", "stats", "stack_restarts")
    return s


def away():
    """This side did not run for a while: the next drop says so, if it comes at once."""
    s = Scenario(a={}, b={})
    s.open("a", "b")
    for later_ms in (0, 300):
        s.meet("a", "b")
        s.run(100)
        s.pass_time(10_000)
        s.do("a", "was_away", s.now, 9750)
        s.pass_time(later_ms)
        s.drop("a")
        s.drop("b")
    s.do("a", "was_away", s.now, 2000)
    s.meet("a", "b")
    s.run(100)
    s.drop("a")
    return s


def undelivered():
    """The other side takes nothing more: closing gives up after 3 s and tells how much is lost."""
    s = Scenario(
        a={},
        b={},
    )
    s.open_and_meet("a", "b")
    s.drop("b")
    for _ in range(7):
        s.do("a", "send", HELLO, 0)
    s.close("a")
    return s


def seeking():
    """Attempts to connect: how long they may take, the pauses between them, what is told and how
    often."""
    s = Scenario(
        a={},
    )
    s.do("a", "open")
    for _ in range(8):
        s.do("a", "pause", s.now)
        s.do("a", "seek", s.now)
        s.do("a", "overdue", s.now)
        s.pass_time(400)
        s.do("a", "not_found", s.now, "PicoA", [])
        s.do("a", "nobody", s.now, "PicoA")
        s.drop("a")
    for ms in (2999, 1):
        s.do("a", "seek", s.now)
        s.pass_time(ms)
        s.do("a", "overdue", s.now)
    s.do("a", "limit", s.now, 6000)
    s.pass_time(6000)
    s.do("a", "overdue", s.now)
    s.do("a", "not_found", s.now, "PicoA", ["PicoB", "PicoC"])
    s.do("a", "pause", s.now)
    return s


def in_line():
    """Who waits for room with a large message gets its turn among small ones."""
    s = Scenario(
        a={"ring": 256},
        b={"ring": 256},
    )
    s.open_and_meet("a", "b")
    for _ in range(12):
        s.do("a", "send", bytes(30).hex(), 0)
    s.do("a", "queue_up", 150)
    waiting = True
    for _ in range(8):
        if waiting:
            waiting = not s.do("a", "send_first", bytes(150).hex(), 0)["result"]
        s.do("a", "send", bytes(30).hex(), 0)
        s.receive("b")
        s.run(60)
    return s


def whole_ring():
    """Who waits with a message that fills the ring is told when there is room: when the ring is empty."""
    s = Scenario(
        a={"ring": 256},
        b={"ring": 256},
    )
    s.open_and_meet("a", "b")
    s.do("a", "send", bytes(253).hex(), 0)
    s.do("a", "queue_up", 253)
    s.run(60)
    s.receive("b")
    s.run(60)
    s.do("a", "send_first", bytes(253).hex(), 0)
    s.run(60)
    s.receive("b")
    return s


def newest():
    """Values of which only the newest counts overtake what waits, are replaced while they wait, and leave
    large messages their turn; the last one comes to a side that has restarted, and before the end."""
    s = Scenario(a={}, b={}, b2={"session": "99aabbcc"})
    s.do("a", "open")
    s.do("a", "set_value", HELLO, 2)  # before anybody is there
    s.do("a", "set_value", b"first".hex(), 2)
    s.do("b", "open")
    s.meet("a", "b")
    s.run(100)
    s.receive("b")
    while s.do("a", "send", bytes(100).hex(), 0)["result"]:  # the ring is full, but for values
        pass
    for value in range(40):
        s.do("a", "set_value", bytes([value] * 8).hex(), 2 + value % 2)
        s.run(WAY_MS, room=value % 3)
        s.receive("b")
    s.do("a", "queue_up", 900)
    for value in range(20):  # what fills the ring nearly has its turn among them
        s.do("a", "set_value", bytes([value] * 30).hex(), 2)
        s.run(WAY_MS)
        s.receive("b")
        if s.do("a", "send_first", bytes(900).hex(), 0)["result"]:
            break
    s.run(100)
    s.receive("b")
    s.do("a", "set_value", b"on its way".hex(), 2)
    s.run(WAY_MS)
    s.do("a", "set_value", b"too late".hex(), 2)
    s.drop("a")
    s.drop("b")
    s.do("a", "set_value", b"the newest".hex(), 2)
    s.meet("a", "b")
    s.run(100)
    s.receive("b")
    s.drop("a")
    s.drop("b")
    s.open_and_meet("b2", "a")
    s.run(100)
    s.receive("b2")
    s.do("a", "set_value", b"the last".hex(), 2)
    s.close("a")
    s.receive("b2")
    s.do("b2", "stats", "messages_received")
    return s


def newest_too_large():
    """The other side's ring cannot hold a value; and a value that never went counts as undelivered."""
    s = Scenario(a={"ring": 2048}, b={"ring": 256})
    s.open_and_meet("a", "b")
    s.do("a", "set_value", bytes(300).hex(), 1)
    s.run(50)
    s.do("a", "set_value", bytes(200).hex(), 1)
    s.run(50)
    s.receive("b")
    s.do("a", "stats", "too_large")
    s.drop("a")
    s.drop("b")
    s.do("a", "set_value", HELLO, 1)
    s.close("a", ms=300)
    return s


def commits():
    """A side commits what it has read; closing waits until the other one has been told."""
    s = Scenario(
        a={},
        b={"commit": True},
    )
    s.open_and_meet("a", "b")
    s.do("a", "send", HELLO, 0)
    s.run(100)
    s.receive("b")
    s.do("a", "stats", "messages_acknowledged")
    s.do("b", "commit")
    s.close("b")
    s.run(50)
    s.do("a", "stats", "messages_acknowledged")
    return s


ALL = (
    meet_and_close,
    close_together,
    drop_and_resume,
    silence,
    nobody_greets,
    stranger,
    program_fails,
    restart,
    keys,
    unproven,
    full_radio,
    stalls,
    away,
    undelivered,
    seeking,
    in_line,
    whole_ring,
    newest,
    newest_too_large,
    commits,
)


def texts():
    """File name -> what belongs there."""
    made = {}
    for scenario in ALL:
        data = scenario().data
        steps = ",\n".join("    " + json.dumps(step) for step in data["steps"])
        sides = ",\n".join(f'    "{name}": {json.dumps(side)}' for name, side in data["sides"].items())
        about = json.dumps(" ".join(scenario.__doc__.split()))
        made[f"{scenario.__name__}.json"] = (
            f'{{\n  "about": {about},\n  "sides": {{\n{sides}\n  }},\n  "steps": [\n{steps}\n  ]\n}}\n'
        )
    return made


if __name__ == "__main__":
    for name, text in texts().items():
        (FOLDER / name).write_text(text)
