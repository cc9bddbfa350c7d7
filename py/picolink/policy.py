"""What a link decides: which packet goes next, whether the peer still lives, whether a host stack is stuck,
whose turn it is to send, when everything is said, what the program is told.

There is no task, no radio and no clock in it. Bytes, events and the time come in; packets, and what whoever
runs it has to do, go out. picolink.link runs it with asyncio, and picolink_pc.simulation in virtual time.
"""

from . import engine as engines
from . import flags as fl
from . import lifecycle as lc
from .errors import LinkClosedError
from .lifecycle import CONNECTED, GREETING, READY
from .runtime import const, print_exception, ticks_add, ticks_diff
from .wire import HEADER, MTU_LEAST, MTU_MOST, PACKET

TICK_MS = const(10)  # how finely times are kept
LOOK_MS = const(250)  # the longest from one turn to the next
FULL_MS = const(2)  # how long the host stack gets when it is full: it says nothing when it has room again
FULL_MAX_MS = const(4)  # or longer, while nothing leaves in that time: a turn costs more than a packet
PASSING_MS = const(32)  # or still longer, while each packet that comes takes the next one along
BURST = const(32)  # messages read in a row before others get a turn
HANG_UP_MS = const(3000)  # longer than any supervision timeout: a host stack without an answer is stuck

# Places in `path`: picolink.engine.new_path().
_SENDS = const(0)
_IDLE = const(2)
_FEEDS = const(5)
HEARD_AT = const(6)
_WORKS = const(7)
_FLAGS = const(8)
_PROGRESS_AT = const(9)
_MOST = const(10)
_SIZE = const(11)
_PASSED = const(12)
_SENT_AT = const(13)
_DUE_AT = const(14)

# What a turn says instead of a time.
HANG_UP = const(-1)

_HANDSHAKE_MS = const(4500)  # a peer that does not greet in this time is none
_UNPROVEN_MS = const(2000)  # likewise, with a key, while strangers come: most handshakes take less
_ALIVE_MS = const(1000)  # who has nothing to send says so this often
_WAITING_MS = const(2000)  # who waits for an acknowledgement: on a slow radio a sign of life takes its room
_SILENCE_MS = const(4500)  # a peer that says nothing for this time is gone
_STALL_MS = const(4000)  # a connection that acknowledges nothing for this time has stalled
_STALLS = const(3)  # so many in a row: it is this board's host stack
_COMMIT_MS = const(30)  # longer than that the engine does not wait to tell what was committed
_TOLD_MS = const(150)  # and so long the host stack may take to take that
_LINGER_MS = const(400)  # longer than a peer that lacks an acknowledgement takes to ask again
_GOODBYE_MS = const(1000)  # so long the other board has to hear why this one hangs up
_AGAIN_MS = const(10_000)  # what happens again and again is told this often
_SHUN_MS = const(5000)  # a board that serves another one is left alone for so long
_UNPROVEN_SHUN_MS = const(500)  # with a key nothing of that is proven: then so long, and up to 1 s more
_SHUNNED = const(4)  # boards
_AWAY_MS = const(3000)  # the other board may give up one that does not run for so long
_VALUE_MS = const(20)  # the longest to the next turn while a newest value waits
_PAUSE_FIRST_MS = const(20)  # the radio's own tasks need a turn after a drop
_PAUSE_MAX_MS = const(500)

# What a host stack raises when it cannot take a packet now: EALREADY from BTstack, ENOMEM from NimBLE. EBUSY
# and EAGAIN mean the same.
FULL_ERRNOS = (11, 12, 16, 114)

# Why the other board hangs up: docs/protocol.md, "BYE".
_REASONS = {
    fl.CLOSING: "the other board closes its link",
    fl.PROGRAM_FAILED: "the other board's program has failed, or was interrupted",
    fl.PARTNER_KNOWN: "the other board has another partner, and has turned this one away",
    fl.OTHER_VERSION: "the other board speaks another version of the protocol",
    fl.KEY_WANTED: "the other board talks with a key only, and this link has none: give both the same key",
    fl.KEY_WRONG: "the other board, or a stranger in its place, says that it has another key: give both the "
    "same one",
    fl.NONSENSE: "this board's stream makes no sense to the other one",
}

# Why this side has turned the other one away.
_REFUSALS = {
    fl.PARTNER_KNOWN: "this is not the board that the link has met, and it was turned away",
    fl.KEY_WANTED: "the other board, or a stranger in its place, has no key, and was turned away: give both "
    "the same key",
    fl.KEY_WRONG: "the other board, or a stranger in its place, has another key, and was turned away: give "
    "both the same one",
}
_SHUN_FOR = (fl.PARTNER_KNOWN, fl.KEY_WANTED, fl.KEY_WRONG)
_KEYS = (fl.KEY_WANTED, fl.KEY_WRONG, fl.PACKETS_SMALL)

_NO_GREETING = "no greeting"

_ROUTINE = const(0x07)  # READABLE, WRITABLE and PULL: what packets bring all the time

# What runs for each message, packet or turn.
_METHODS = ("send_nowait", "feed", "_take_over", "_pass_on", "_hand_over", "_report", "_is_useless")


class EventError(Exception):
    """on_event has raised something. A class of its own: not to be taken for the radio's."""


def payload_of(message):
    """(bytes of a message, its kind), of one that has to wait: the program may change it meanwhile."""
    if isinstance(message, str):
        return message.encode(), fl.TEXT
    try:
        copy = bytes(memoryview(message))
        if len(copy) == len(message):  # else its items are larger than bytes
            return copy, fl.BYTES
    except TypeError:
        pass
    return engines.codec()[0](message), fl.OBJECT


class Policy:
    """engine: an Engine.   kind: its kind, for people.   tx_size: bytes of its transmit ring.
    on_event: see picolink.link.Link.
    wake, opened, readable, room: each has set(), which is called when there may be something to do in a turn,
        when the boards have met or never will, when there may be a message to read, and when there may be
        room for one. Handlers call those of wake and readable, too.

    transmit: hands a packet (memoryview) to the host stack; raises OSError when that does not take it.
        Handlers call it, too.
    full_ms: how long the host stack gets when it is full.
    values: picolink.newest.Values, or None.   values_wait: has the engine not got all of them?
    reserve: bytes of the ring that ordinary messages leave to them.
    flushes: int, tasks to be told, by `room`, of each message that is acknowledged: count_flush().
    life, connection: states of picolink.lifecycle.
    path: see picolink.engine.new_path().
    peer: the address at which the other board was met last; None when it was not found there.
    met: called when the boards have greeted each other, or None.
    commits: whether the program commits what it has read.
    closed: why the link is closed, for a person.
    why: why the connection is given up, a str or an exception.
    keyed: int, 0: the engine has no key; else 1 more than connections in a row without a handshake.
    noise: as os.urandom; only with a key.

    Times (`now`) are in ms, modulo 2^30.
    """

    def __init__(self, engine, kind, tx_size, on_event, wake, opened, readable, room):
        self.engine = engine
        self.life = lc.NEW
        self.connection = lc.APART
        self.transmit = None
        self.wake = wake
        self.line = []  # who waits in send(), in the order in which they came: see queue_up()
        self.path = engines.new_path()
        self.peer = None
        self.met = None
        self.commits = False
        self.closed = None
        self.why = None
        self.stack_restarts = 0
        self.keyed = 0
        self.noise = bytes
        self.flushes = 0
        self.values = None
        self.reserve = 0
        self.values_wait = False
        self._kind = kind
        self.tx_size = tx_size
        self._on_event = on_event
        self._opened = opened
        self._readable = readable
        self._room = room
        self._packet = memoryview(bytearray(PACKET))
        self._most = -1  # bytes that may be pending when the first in line is woken; below 0: nobody waits
        self.path[_MOST] = -1
        self._full = False  # the host stack could not take the last packet
        self.full_ms = FULL_MS
        self._mtu = MTU_LEAST
        self._address = self._label = None
        self._limit_at = self._sought_at = 0
        self._goodbye_at = None  # since when the engine has nothing more to do with this connection
        self._pause_ms = _PAUSE_FIRST_MS
        self._timeouts = 0  # the engine's, until the last connection ended
        self._stalled = 0  # connections in a row
        self._quiet_at = self._acknowledged = self._gone_at = 0
        self._connections = self._silences = 0
        self._shunned = []  # [address, until when]
        self._said_why = False  # has this side said why it leaves?
        self._told = {}  # detail: [when it was told, how often it has happened], or None: once is enough
        self._away_ms = self._away_at = 0  # how long this board did not run, and when it did again
        # MicroPython looks for a method among all of these first, which takes longer than most methods do.
        for name in _METHODS:
            setattr(self, name, getattr(self, name))
        if kind == "python":
            # Its calls take ms: in the handler, tasks would wait for them, and the reader most of all.
            self._take_over = lambda _now: False

    def _link(self, event):
        self.life = lc.after(self.life, event)
        self.set_path()

    def _connect(self, event):
        self.connection = lc.after(self.connection, event)
        self.set_path()

    # -- messages -----------------------------------------------------------------------------------------

    def send_nowait(self, message, channel=0):
        """Queue a message if there is room. Returns whether it was taken.

        Arguments and errors as Link.send().

        While a task waits in send() it takes only what leaves enough room for that one, so that a large
        message gets its turn among small ones.
        Handlers of pins and timers may call it, if they are not hard ones; it also returns False where they
        interrupt the Python engine. Other threads may not call it.
        """
        engine = self.engine
        if self.life or engine.ended:
            self.check_open()
        if self.line and not self._may_overtake(message):
            return False
        taken = engine.send(message, channel)
        if self.path[_IDLE]:
            self.path[_IDLE] = False
            self.wake.set()
        return taken

    def send_first(self, payload, channel, kind=None):
        """As send_nowait(), for the first in line."""
        if self.life or self.engine.ended:
            self.check_open()
        taken = self.engine.send(payload, channel, kind)
        if self.path[_IDLE]:
            self.path[_IDLE] = False
            self.wake.set()
        return taken

    def wake_idle(self):
        """There is something to say. Handlers may call this."""
        if self.path[_IDLE]:
            self.path[_IDLE] = False
            self.wake.set()

    def set_path(self):
        """Something has changed that decides whether a message may go straight to the engine, or who is first
        in line."""
        path = self.path
        path[_SENDS] = not (self.life or self.line or self.values)
        path[_FEEDS] = self.connection >= GREETING and not self.values
        if self.line:
            # It waits for a quarter of the ring: a task's turn costs as much as ten messages. At most for the
            # whole ring: a message that fills it needs less than HEADER bytes besides.
            wanted = max(len(self.line[0][0]) + HEADER, self.tx_size // 4) + self.reserve
            self._most = max(0, self.tx_size - wanted)
        else:
            self._most = -1
        path[_MOST] = self.tx_size if self.flushes else self._most

    def count_flush(self, tasks):
        """So many more tasks (or less, below 0) are to be told of each message that is acknowledged."""
        self.flushes += tasks
        self.set_path()

    def note(self, flags):
        """As if the engine had said so: for the next turn."""
        self.path[_FLAGS] |= flags

    def queue_up(self, message):
        """Wait for room behind all others, with the message as it is now.

        Returns its place in line, for leave_line() in the end: (payload, kind), for send_first().
        """
        place = payload_of(message)
        self.line.append(place)
        self.set_path()
        return place

    def leave_line(self, place):
        """Wait no more. Others may wait with an equal message."""
        for i in range(len(self.line)):
            if self.line[i] is place:
                del self.line[i]
                break
        self.set_path()
        self._room.set()  # for the next in line

    def _may_overtake(self, message):
        """Whether it may be queued now: else a large message would wait for ever while small ones come."""
        return self.engine.pending() + len(payload_of(message)[0]) + HEADER <= self._most

    def check_open(self):
        """Raises LinkClosedError if nothing more can be sent, RuntimeError if open() was not called."""
        if self.life == lc.NEW:
            raise RuntimeError(
                "this link was not opened: write `async with picolink.advertise(...) as link:` (or connect), "
                "or `await link.open()`"
            )
        # The engine knows that the peer has ended before a turn has heard of it.
        if self.life in (lc.PEER_ENDED, lc.BOTH_ENDED) or self.engine.ended:
            raise LinkClosedError(self.closed or "the peer has closed the link")
        if self.life not in (lc.OPEN, lc.OPENING):
            raise LinkClosedError(self.closed or "this side has closed the link")

    # -- opening and closing ------------------------------------------------------------------------------

    def open(self):
        """From now on the other board is looked for."""
        self._link(lc.OPENED)

    def close(self, now):
        """This side sends nothing more: closing() tells when it may shut()."""
        self._go(lc.CLOSE, now)

    def leave(self, now):
        """The program has failed: as close(), but the peer is not to take it for the end of the link."""
        self._go(lc.LEAVE, now)

    def _go(self, event, now):
        self._link(event)
        self._acknowledged = self.engine.acknowledged()
        self._quiet_at = self._gone_at = now

    def closing(self, now, timeout_ms):
        """Whether there is something to wait for: the peer lacks something, and has taken some of it in the
        last timeout_ms."""
        engine = self.engine
        if self.life == lc.ENDING and not self.values_wait and engine.end():
            self._link(lc.END_QUEUED)
            self.wake.set()
        life = self.life
        if life in (lc.CLOSED, lc.FAILED):
            return False
        if life == lc.LEAVING:
            if (engine.pending() or self.values_wait) and self._takes(now, timeout_ms):
                return True
            if not self._said_why:
                if self._is_commit_due(now):
                    return True
                self._said_why = True
                engine.bye(fl.PROGRAM_FAILED)
                self.wake.set()
            # Until the peer has heard it and hangs up, or a second is over.
            return self.connection >= GREETING
        if not engine.pending():
            if life == lc.ENDED:
                return self._is_commit_due(now)
            # The peer hangs up when it knows that this side has heard its END; but not if it waits likewise.
            if life == lc.BOTH_ENDED and ticks_diff(now, self.path[HEARD_AT]) > _LINGER_MS:
                return False
        return self._takes(now, timeout_ms)

    def _is_commit_due(self, now):
        """Whether the peer has not been told all that was committed; nobody acknowledges that."""
        if not self.commits or self.connection != CONNECTED or ticks_diff(now, self._gone_at) > _TOLD_MS:
            return False
        return 0 <= self.engine.wait(now) <= _COMMIT_MS

    def _takes(self, now, timeout_ms):
        """Whether the peer has taken something in the last timeout_ms."""
        acknowledged = self.engine.acknowledged()
        if acknowledged != self._acknowledged:
            self._acknowledged = acknowledged
            self._quiet_at = now
        return ticks_diff(now, self._quiet_at) < timeout_ms

    def shut(self, reason, event=lc.SHUT):
        """Nothing goes or comes any more: wake everybody who waits.   reason: for a person."""
        if self.closed is None:
            self.closed = reason
        self._link(event)
        self.wake.set()
        self._opened.set()
        self._readable.set()
        self._room.set()

    def fail(self):
        """As shut(), after an error that nobody expected."""
        self.shut("the link has failed", lc.FAIL)

    def over(self):
        """Whether there is no reason to connect any more."""
        return self.life >= lc.PEER_ENDED

    def tell_undelivered(self):
        """Tell what was not acknowledged, at the very end."""
        try:
            stats = self.engine.stats()
        except MemoryError:
            return
        # Counters of 32 bits, which wrap.
        lost = (stats["messages_sent"] - stats["messages_acknowledged"] - stats["too_large"]) & 0xFFFFFFFF
        if self.values:
            lost += self.values.waiting()
        if lost:
            detail = "%d messages were not acknowledged before the link was closed" % lost
            try:
                self.tell("undelivered", detail)
            except EventError as e:
                print_exception(e)  # there is no link any more that it could end

    # -- how a connection comes and goes ------------------------------------------------------------------

    def pause(self, now):
        """ms to wait before the next attempt: longer each time, unless the last one took its time."""
        if ticks_diff(now, self._sought_at) > _PAUSE_MAX_MS:
            self._pause_ms = _PAUSE_FIRST_MS
        ms = self._pause_ms
        self._pause_ms = min(2 * ms, _PAUSE_MAX_MS)
        return ms

    def seek(self, now):
        """An attempt to connect begins; limit() says how long each of its steps may take."""
        self._connect(lc.SEEK)
        self._sought_at = now
        self.limit(now, HANG_UP_MS)

    def limit(self, now, ms):
        """What the attempt does now is given up if it takes longer than this."""
        self._limit_at = ticks_add(now, ms)

    def overdue(self, now):
        """Whether the attempt is to be given up."""
        # No tuple: it would take memory.
        return lc.SEEKING <= self.connection <= lc.SETTING_UP and ticks_diff(now, self._limit_at) >= 0

    def shuns(self, now, address):
        """Whether the board at this address has said a moment ago that it serves another one, or, with a key,
        has not proven that it is the partner."""
        for other, until in self._shunned:
            if other == address and 0 < ticks_diff(until, now) <= _SHUN_MS:
                return True
        return False

    def _shun(self, now, ms):
        if len(self._shunned) >= _SHUNNED:
            self._shunned.pop(0)
        self._shunned.append((self._address, ticks_add(now, ms)))

    def forget(self):
        """Whoever comes next is the partner."""
        self.engine.set_partner(None)
        self.peer = None

    def adopt(self, now, address, label):
        """The boards are connected.   address: the other one's, to compare.   label: for a person."""
        self._connect(lc.ADOPT)
        self._address = address
        self._label = label
        self.path[_PROGRESS_AT] = now

    def call(self, mtu):
        """The other board takes packets from now on.   mtu: ATT MTU, bytes. Handlers may call this."""
        self._mtu = max(MTU_LEAST, min(mtu, MTU_MOST))
        self._connect(lc.CALLED)

    def hang_up(self, now, why):
        """The connection is over, or is to be ended.   why: a str or an exception."""
        before = self.connection
        self._connect(lc.HANG_UP)  # from here on nothing is fed
        if self._away_ms:
            if ticks_diff(now, self._away_at) < LOOK_MS:
                why = "this board's program did not let the link run for %d s" % (self._away_ms // 1000)
            self._away_ms = 0
        if lc.SEEKING <= before <= GREETING:
            self.peer = None  # it is not where it was: look for it by its name
        if before < lc.SETTING_UP or self.life == lc.FAILED:
            return
        flags = self._take_flags()  # what came just before a drop: nobody has heard of it
        self._report(flags)
        connected = before == CONNECTED or flags & fl.OPENED
        if self.keyed:
            self.keyed = 1 if connected else self.keyed + 1
            if not connected and (why is _NO_GREETING or self.engine.state == fl.CLOSED):
                # A stranger, perhaps: the partner may be found before him. Or the partner, in whose name a
                # stranger has spoken: so not for long, and he cannot know when it is looked for again.
                self._shun(now, _UNPROVEN_SHUN_MS + 4 * self.noise(1)[0])
        try:
            if connected:
                self._pause_ms = _PAUSE_FIRST_MS
                closing = self.life not in (lc.OPEN, lc.OPENING)
                self.tell("disconnected", "closing" if closing else "%s, looking for it again" % (why,))
            elif why is _NO_GREETING:
                detail = "a device connected and did not speak picolink: hung up"
                self.tell_again(now, "not connected", detail, self._label)
            self._count_stall(now, connected)
        except MemoryError:
            pass

    def gone(self, answered):
        """There is no connection any more. Returns whether the host stack is to be restarted.

        answered: whether it has said that the connection is over.
        """
        self._connect(lc.GONE)
        if answered and self._stalled < _STALLS:
            return False
        self._stalled = 0
        self.stack_restarts += 1
        return True

    def _count_stall(self, now, connected):
        """Counts connections in a row that carried nothing to the peer."""
        timeouts, before = self.engine.stats()["timeouts"], self._timeouts
        self._timeouts = timeouts
        quiet = ticks_diff(now, self.path[_PROGRESS_AT]) > _STALL_MS
        # Not when the peer has answered all the time, and only does not read.
        unheard = self._full or timeouts - before > 1 or not connected
        self._stalled = self._stalled + 1 if quiet and unheard and self.engine.pending() else 0

    # -- packets ------------------------------------------------------------------------------------------

    def feed(self, packet, now):
        """A packet has come, or an empty sign of life. Handlers may call this.

        packet: bytes, bytearray or memoryview, only used during the call.
        """
        path = self.path
        path[HEARD_AT] = now
        if not len(packet) or self.connection < GREETING or not self.engine.feed(packet, now):
            return
        if path[_WORKS] or not self._take_over(now):
            self.wake.set()

    def receives(self):
        """What a native Path takes, of what is here, to do the usual part of feed()."""
        return self.feed, self._readable.set, self._hand_over, self._packet

    def _take_over(self, now):
        """Do what most packets ask for without a turn, which costs more. Returns whether that is all."""
        path = self.path
        flags = path[_FLAGS] | self.engine.take_flags()  # none inside another call of the Python engine
        if not flags or flags > _ROUTINE:
            path[_FLAGS] = flags
            return False
        if flags & fl.READABLE:
            self._readable.set()
        held_back = 0
        if flags & fl.WRITABLE:
            path[_PROGRESS_AT] = now
            if not path[_SIZE] and not self.values_wait:
                # The window may have held it back. It goes now: a program that reads may keep turns away.
                path[_SIZE] = held_back = self.engine.pull_into(self._packet, now)
        if path[_SIZE]:
            self._pass_on(now)
        else:
            self._look(now)
        if flags & fl.WRITABLE and self.engine.pending() <= path[_MOST]:
            path[_FLAGS] = fl.WRITABLE
            return False
        return not held_back

    def _pass_on(self, now):
        """Hand over the packet that waits, and get the next: when one has come, most likely one has left."""
        path = self.path
        try:
            self.transmit(self._packet[: path[_SIZE]])
            path[_PASSED] += 1
            path[_SENT_AT] = now
            path[_SIZE] = 0
            path[_IDLE] = True  # before it looks: what is queued from here on wakes the next turn
            if self.values_wait:
                self.values.hand_over()
            path[_SIZE] = size = self.engine.pull_into(self._packet, now)
            path[_IDLE] = not size
        except OSError:
            pass  # full; what else it is, the next turn finds out
        except MemoryError:
            pass

    def _hand_over(self, packet):
        """Of a native Path. Returns whether the host stack has taken the packet."""
        try:
            self.transmit(packet)
            return True
        except OSError:
            return False  # full; what else it is, the next turn finds out
        except MemoryError:
            return False

    def has_read(self, now):
        """The program has read what was there: the peer may have to hear that there is room."""
        if self.path[_IDLE]:
            self._look(now)

    def _look(self, now):
        """Wake the next turn if the engine has something to say before it would come."""
        wait = self.engine.wait(now)
        if self.values_wait or 0 <= wait < ticks_diff(self.path[_DUE_AT], now):
            self.wake.set()

    def _take_flags(self):
        flags = self.path[_FLAGS] | self.engine.take_flags()
        self.path[_FLAGS] = 0
        return flags

    # A generator, because it keeps its variables: a call for each turn would need the heap for them.
    def turns(self, now):
        """What is due in a connection: packets to the host stack, and what the engine has to say.

        A generator. After next(), send(now) has a turn, and gives the ms until the next one, unless it is
        woken before. Or HANG_UP: `why` says why.
        """
        self._connect(lc.BEGIN)
        engine = self.engine
        path = self.path
        packet = self._packet
        transmit = self.transmit
        wait = LOOK_MS
        greeting = False
        path[_SIZE] = 0
        path[_SENT_AT] = began_at = now
        while True:
            path[_DUE_AT] = ticks_add(now, wait)
            path[_WORKS] = False
            now = yield wait
            path[_WORKS] = True  # from here on feed() leaves everything to this turn
            path[_IDLE] = False
            wait = LOOK_MS
            if self.connection == READY:
                self._connect(lc.START)
                self._goodbye_at = None
                engine.start(self._mtu, now)
                greeting = True
            if greeting:
                full = False
                taken = 0
                size = path[_SIZE]
                if self.values_wait and not size:
                    self.values.hand_over()
                try:
                    while size or (size := engine.pull_into(packet, now)):
                        transmit(packet[:size])
                        size = 0
                        if self.values_wait:
                            self.values.hand_over()
                        path[_SENT_AT] = now
                        taken += 1
                    quiet_ms = ticks_diff(now, path[_SENT_AT])
                    due = quiet_ms >= _ALIVE_MS and (quiet_ms >= _WAITING_MS or not engine.pending())
                    if due and self.connection == CONNECTED:
                        transmit(packet[:0])
                        path[_SENT_AT] = now
                except MemoryError:
                    full = True
                except OSError as e:
                    if e.errno not in FULL_ERRNOS:
                        self.why = e
                        yield HANG_UP
                    full = True
                path[_SIZE] = size
                self._full = full
                flags = self._take_flags()
                if flags & fl.WRITABLE or not engine.pending():
                    path[_PROGRESS_AT] = now
                if flags:
                    self._report(flags)
                if full:
                    wait = self._pause_full(taken)
                else:
                    path[_IDLE] = True  # before it looks: what is queued from here on wakes it
                    wait = engine.wait(now)
                    if not 0 <= wait < LOOK_MS:
                        wait = LOOK_MS
                    if self.values_wait:
                        wait = min(wait, _VALUE_MS)
            if self._is_useless(now, began_at):
                wait = HANG_UP

    def _pause_full(self, taken):
        """ms until the host stack is asked again, which has just taken so many packets, and is full."""
        if taken > 1:
            self.full_ms = FULL_MS
        elif self.path[_PASSED]:
            self.full_ms = min(2 * self.full_ms, PASSING_MS)
        elif not taken:
            self.full_ms = min(self.full_ms + FULL_MS, FULL_MAX_MS)
        self.path[_PASSED] = 0
        return self.full_ms

    def _is_useless(self, now, began_at):
        """Whether nothing will come of this connection; then `why` says why, for a person."""
        state = self.engine.state
        if self.connection == CONNECTED:
            if ticks_diff(now, self.path[HEARD_AT]) > _SILENCE_MS:
                self._silences += 1
                self.why = "the other board says nothing"
                return True
        # Not always the short time: the partner may be the one who is slow.
        elif ticks_diff(now, began_at) > (
            _UNPROVEN_MS if self.keyed > 1 and self.keyed & 3 != 1 else _HANDSHAKE_MS
        ):
            self._silences += 1
            self.why = _NO_GREETING
            return True
        if state == fl.CLOSED and self.connection >= GREETING:
            if self._goodbye_at is None:
                self._goodbye_at = now
                self.why = "refused"
                if self.engine.reason == fl.NONSENSE:
                    self.why = "the other board's stream makes no sense"
            return ticks_diff(now, self._goodbye_at) >= _GOODBYE_MS
        return False

    def _report(self, flags):
        """Wake who waits for what the engine has said."""
        if flags & fl.READABLE:
            self._readable.set()
        if flags & fl.WRITABLE and self.engine.pending() <= self.path[_MOST]:
            self._room.set()
        if flags > _ROUTINE:
            self._report_rare(flags)

    def _report_rare(self, flags):
        """Changes of the session, and what the program is told."""
        again = False
        if flags & fl.OPENED:
            self.peer = self._address
            again = self.connection == CONNECTED  # the sides have only agreed anew: nothing to tell
            self._connections += not again
            self._connect(lc.GREETED)
            self._link(lc.MET)
            self._opened.set()
            if self.met:
                self.met()
        if flags & fl.PEER_RESTARTED and self.values:
            self.values.set_again()  # what had come is gone with its memory
        if flags & (fl.BYE | fl.REFUSED) and self.engine.reason in _SHUN_FOR and not self.keyed:
            self._shun(self.path[HEARD_AT], _SHUN_MS)
        if flags & fl.BYE:
            reason = self.engine.reason
            self._goodbye_at = ticks_add(self.path[HEARD_AT], -_GOODBYE_MS)  # it has said all
            self.why = _REASONS.get(reason) or "the other board hangs up, with reason %d" % reason
        if flags & fl.PEER_ENDED:
            self._link(lc.END_CAME)
            self._room.set()
            self._readable.set()
        try:
            self._tell_rare(flags, again)
        except MemoryError:
            pass  # the counters tell it too

    def _tell_rare(self, flags, again):
        if flags & fl.OPENED:
            self._told = {detail: told for detail, told in self._told.items() if told}
        if flags & fl.OPENED and not again:
            self.tell("connected", "%s, %s engine, MTU %d" % (self._label, self._kind, self._mtu))
        if flags & fl.PEER_RESTARTED:
            resent = self.engine.stats()["resent"]
            self.tell("peer restarted", "%d messages sent again since the start" % resent)
        if flags & fl.FORGOTTEN:
            self.tell("restarted", "the other board knew this one before: what was unread here is lost")
        if flags & fl.TOO_LARGE:
            removed = self.stats()["too_large"]
            self.tell("too large", "%d messages removed that the other board cannot hold" % removed)
        if flags & fl.CONTRADICTED:
            self.tell(
                "renewed", "the other board contradicted what was known: messages may be lost or come twice"
            )
        if flags & fl.BYE and self.connection != CONNECTED:
            self._tell_refused(self.why)
        if flags & fl.REFUSED:
            reason = self.engine.reason
            if reason == fl.OTHER_VERSION:
                detail = "the other board speaks protocol version %d, not 2" % self.engine.peer_version
            elif reason == fl.PACKETS_SMALL:
                detail = "a link with a key needs an ATT MTU of 50, and this connection has %d" % self._mtu
            else:
                detail = _REFUSALS[reason]
            self._tell_refused(detail)

    def _tell_refused(self, detail):
        if self.engine.reason not in _KEYS:
            self.tell_again(self.path[HEARD_AT], "refused", detail, self._label)
        elif detail not in self._told:  # it stays so until somebody does something
            self._told[detail] = None
            self.tell("refused", "%s (%s)" % (detail, self._label))

    def tell(self, event, detail):
        """Tell the program. What it raises ends the link, as an EventError."""
        try:
            self._on_event(event, detail)
        except MemoryError:
            pass
        except Exception as e:
            raise EventError("on_event raised %r" % (e,))

    def tell_again(self, now, event, detail, who=None):
        """As tell(), for what may happen again and again: at once, then every 10 s at most, with the count.

        detail: always the same.   who: the last one with whom it happened, if there was one.
        """
        if len(self._told) > 4:
            self._told.clear()
        told = self._told.setdefault(detail, [None, 0])
        told[1] += 1
        if told[0] is None or not 0 <= ticks_diff(now, told[0]) < _AGAIN_MS:
            told[0] = now
            more = [who] if who else []
            if told[1] > 1:
                more.append("%d times so far" % told[1])
            self.tell(event, "%s (%s)" % (detail, ", ".join(more)) if more else detail)

    def not_found(self, now, name, others):
        """The board with this name is not in sight.   others: names of picolink boards that are."""
        detail = "no board named %r in sight, still looking" % name
        if others:
            detail += "; in sight: %s" % ", ".join(repr(other) for other in others)
        for _, until in self._shunned:
            if ticks_diff(until, now) > 0:
                detail = "no other board named %r in sight, still looking" % name
        self.tell_again(now, "not found", detail)

    def nobody(self, now, name):
        """No board has connected."""
        self.tell_again(now, "not found", "no board has connected to %r, still advertising" % name)

    def was_away(self, now, ms):
        """This board did not run for some time."""
        if ms > _AWAY_MS:
            self._away_ms = ms
            self._away_at = now

    def stats(self):
        """The engine's counters, and those of the connections."""
        stats = self.engine.stats()
        stats["connections"] = self._connections
        stats["silences"] = self._silences
        stats["stack_restarts"] = self.stack_restarts
        if self.values:
            stats["too_large"] += self.values.too_large
        return stats
