"""Objects whose conversion runs code of the program's, as arguments of every call of an engine in C.

    python tests/hostile_arguments.py host_engine.BareEngine    (MicroPython: _picolink.Engine)

While such an object is converted, or printed for an error, its code moves the buffers of the call, calls the
same engine, collects garbage, or raises. Right is what comes of doing the same before the call. Each line of
output is a call that did otherwise.
"""

import gc
import sys

NOW = 5000
BUFFERS = ("packet", "other", "room", "message", "identity")


class World:
    """An open engine with messages both ways, its peer, and the program's buffers."""

    def __init__(self, engine_class):
        self.engine_class = engine_class
        self.packet = bytearray(236)
        self.other = bytearray(236)
        self.room = bytearray(300)
        self.message = bytearray(b"a message")
        self.identity = bytearray(b"identity")
        # Behind the buffers, so that they have to move when they grow.
        self.neighbours = [bytearray(100) for _ in range(20)]
        self.kept = []
        self.engine = engine_class(1, b"the near", 512, 512, 4096, True)
        self.peer = engine_class(2, b"far away", 512, 512)
        self.engine.start(247, NOW)
        self.peer.start(247, NOW)
        self.exchange(NOW)
        self.engine.take_flags()
        for data in (b"first", b"second, which is longer"):
            self.peer.send(data, 3)
            self.exchange(NOW)
        self.peer.send(b"on its way", 4)
        self.packet[:] = pulled(self.peer, NOW)
        self.peer.send(b"behind it", 5)
        self.other[:] = pulled(self.peer, NOW)
        assert self.packet and self.other
        self.engine.send(b"to the peer", 6)

    def exchange(self, now):
        for _ in range(6):
            for one, two in ((self.engine, self.peer), (self.peer, self.engine)):
                while packet := pulled(one, now):
                    two.feed(packet, now)

    def seen(self):
        """All that can be known of it."""
        engine = self.engine
        seen = [bytes(getattr(self, name)) for name in BUFFERS]
        seen.append(all(each == b"\x55" * len(each) for each in self.kept))
        seen += [engine.state, engine.ended, engine.reason, engine.partner, engine.pending()]
        seen += [engine.acknowledged(), engine.readable(), engine.wait(NOW), engine.take_flags()]
        while message := engine.recv():
            seen.append(message)
        while packet := pulled(engine, NOW + 40):
            seen.append(packet)
        return seen, engine.stats()


def pulled(engine, now):
    buf = bytearray(236)
    return bytes(buf[: engine.pull_into(buf, now)])


# -- what the code does --------------------------------------------------------------------------------------


def moved(name, content):
    """The buffer stands somewhere else, and somebody else where it stood."""

    def act(world):
        buffer = getattr(world, name)
        size = len(buffer)
        try:
            buffer.extend(bytes(40000))
            buffer[:] = content(world)
        except BufferError:  # CPython: somebody holds it
            return False
        world.kept = [bytearray(b"\x55" * size) for _ in range(50)]
        return True

    return act


def calls(method, *args):
    def act(world):
        getattr(world.engine, method)(*args)
        return True

    return act


def raises(_world):
    raise KeyError("hostile")


def collects(_world):
    gc.collect()
    return True


def feeds(world):
    world.engine.feed(bytes(world.other), NOW)
    return True


ACTIONS = {
    "packet becomes another": moved("packet", lambda world: world.other),
    "packet becomes none": moved("packet", lambda _: b""),
    "room grows": moved("room", lambda _: bytes(600)),
    "room becomes small": moved("room", lambda _: bytes(3)),
    "message becomes another": moved("message", lambda _: b"another message, which is longer"),
    "message becomes too large": moved("message", lambda _: bytes(600)),
    "identity becomes another": moved("identity", lambda _: b"somebody"),
    "identity becomes none": moved("identity", lambda _: bytes(3)),
    "start": calls("start", 100, NOW + 1),
    "bye": calls("bye", 1),
    "recv": calls("recv"),
    "recv_into": calls("recv_into", bytearray(300)),
    "send": calls("send", bytes(200), 1),
    "end": calls("end"),
    "commit": calls("commit"),
    "set_partner": calls("set_partner", b"somebody"),
    "pull_into": calls("pull_into", bytearray(236), NOW + 1),
    "feed": feeds,
    "take_flags": calls("take_flags"),
    "wait": calls("wait", NOW),
    "stats": calls("stats"),
    "raise": raises,
    "collect": collects,
}


# -- the objects ---------------------------------------------------------------------------------------------


def act(self):
    action, self.action = self.action, None
    if action:
        action()


class Object:
    """Converted to an int, a bool, a str, from Python 3.12 on also to a buffer."""

    def __init__(self, value):
        self.value = value
        self.action = None

    def __int__(self):
        act(self)
        return self.value if isinstance(self.value, int) else NOW

    def __index__(self):
        return self.__int__()

    def __bool__(self):
        act(self)
        return True

    def __repr__(self):
        act(self)
        return "hostile"

    def __str__(self):
        return self.__repr__()

    def __len__(self):
        act(self)
        return 8

    def __buffer__(self, _flags):
        act(self)
        return memoryview(self.value)


class Int(int):
    """An int that is printed by its own code."""

    action = None

    def __repr__(self):
        act(self)
        return "hostile"

    def __str__(self):
        return self.__repr__()


class Bytes(bytearray):
    """A buffer that is printed by its own code."""

    action = None

    def __repr__(self):
        act(self)
        return "hostile"

    def __str__(self):
        return self.__repr__()


# -- the calls -----------------------------------------------------------------------------------------------

# Name of the call: what is called with the object, and what the object stands for: an int, or the name of a
# buffer.
CALLS = {
    "Engine session": (lambda w, x: made(w, x, w.identity), 7),
    "Engine identity": (lambda w, x: made(w, 7, x), "identity"),
    "Engine tx_size": (lambda w, x: made(w, 7, w.identity, tx_size=x), 256),
    "Engine rx_size": (lambda w, x: made(w, 7, w.identity, rx_size=x), 256),
    "Engine window": (lambda w, x: made(w, 7, w.identity, window=x), 256),
    "Engine commit": (lambda w, x: made(w, 7, w.identity, commit=x), 1),
    "start mtu": (lambda w, x: w.engine.start(x, NOW), 100),
    "start now": (lambda w, x: w.engine.start(100, x), NOW),
    "bye": (lambda w, x: w.engine.bye(x), 3),
    "set_partner": (lambda w, x: w.engine.set_partner(x), "identity"),
    "send data": (lambda w, x: w.engine.send(x), "message"),
    "send channel": (lambda w, x: w.engine.send(w.message, x), 5),
    "send kind": (lambda w, x: w.engine.send(w.message, 5, x), 1),
    "recv_into": (lambda w, x: w.engine.recv_into(x), "room"),
    "pull_into buf": (lambda w, x: w.engine.pull_into(x, NOW), "room"),
    "pull_into now": (lambda w, x: w.engine.pull_into(w.room, x), NOW),
    "feed packet": (lambda w, x: w.engine.feed(x, NOW), "packet"),
    "feed now": (lambda w, x: w.engine.feed(w.packet, x), NOW),
    "wait": (lambda w, x: w.engine.wait(x), NOW),
}
WITHOUT_ARGUMENTS = {"end", "commit", "recv", "readable", "take_flags", "pending", "acknowledged", "stats"}
ATTRIBUTES = {"state", "ended", "peer_version", "reason", "partner"}


def made(world, *args, **kwargs):
    """What a new engine says of itself."""
    engine = world.engine_class(*args, **kwargs)
    engine.start(247, NOW)
    return pulled(engine, NOW), pulled(engine, NOW), engine.send(b"", 0)


def objects(world, value):
    """One of each kind, fine and not."""
    if isinstance(value, int):
        for number in (value, -1, 1 << 40):
            yield Object(number)
            yield Int(number)
        yield Bytes(b"no int")
        return
    yield Object(getattr(world, value))
    yield Int(1)
    for size in (0, 8, 300, 600):
        yield Bytes(b"\1" * size)


def outcome(function, *args):
    try:
        return function(*args)
    except Exception as e:
        return type(e)


def compare(engine_class, name, action, number):
    """One call with the object of this number.

    Returns whether its code ran (None: there is no such object), and what is wrong (None: nothing).
    """
    call, value = CALLS[name]
    hostile, plain = World(engine_class), World(engine_class)
    them = [list(objects(world, value)) for world in (hostile, plain)]
    if number == len(them[0]):
        return None, None
    done = []
    them[0][number].action = lambda: done.append(ACTIONS[action](hostile))
    came = outcome(call, hostile, them[0][number])
    ran = them[0][number].action is None
    before = None
    if ran and done != [False]:
        before = outcome(ACTIONS[action], plain)
        assert before in (True, KeyError), (action, before)
    right = before if before not in (None, True) else outcome(call, plain, them[1][number])
    if came != right:
        return ran, f"{came} instead of {right}"
    seen, wanted = hostile.seen(), plain.seen()
    if seen != wanted:
        return ran, f"then {seen} instead of {wanted}"
    return ran, None


def main(name):
    path, _, kind = name.rpartition(".")
    engine_class = getattr(__import__(path, None, None, [kind]), kind)
    known = {call.split()[0] for call in CALLS} - {"Engine"} | WITHOUT_ARGUMENTS | ATTRIBUTES
    found = {each for each in dir(engine_class(1, b"identity")) if each[0] != "_"}
    # MicroPython does not list the attributes of a native type.
    assert known - ATTRIBUTES == found - ATTRIBUTES, (known, found)
    count = running = wrong = 0
    for call in CALLS:
        for action in ACTIONS:
            number = 0
            while True:
                ran, error = compare(engine_class, call, action, number)
                if ran is None:
                    break
                if error:
                    print(f"{call}, {action}, object {number}: {error}")
                    wrong += 1
                count += 1
                running += ran
                number += 1
    print(f"{count} calls, {running} with code in them, {wrong} wrong")
    return wrong


if __name__ == "__main__":
    sys.exit(1 if main(sys.argv[1]) else 0)
