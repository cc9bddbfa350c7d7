"""The link: messages in and out for a program, and the tasks that keep a connection.

How a connection comes is the role's business (picolink.radio), what becomes of it the policy's.
"""

import asyncio
import os

from . import engine as engines
from . import lifecycle as lc
from .errors import LinkClosedError
from .policy import BURST, FULL_MS, HANG_UP, HANG_UP_MS, LOOK_MS, TICK_MS, EventError, Policy
from .runtime import DONE, Flag, const, print_exception, sleep_ms, ticks_add, ticks_diff, ticks_ms

_EIO = const(5)
_COUNTER = const(0xFFFFFFFF)
_LEAVE_MS = const(3000)  # who does not take what is queued for so long does not get it
_SHUT_MS = const(5000)  # hanging up takes less

_SOON_MS = const(20)  # how exactly waits for a limited time end
_LONG_MS = const(1 << 28)  # three days

_LOST = "the connection was lost"

# Places in Policy.path.
_READS = const(1)
_IDLE = const(2)
_BURST = const(3)  # messages that may be read before others get a turn
_CHANNEL = const(4)

# Tasks of a link that have begun and are not over.
_RUN = const(1)
_TICK = const(2)

# What runs for each message.
_METHODS = ("send", "recv", "_next")


def print_event(event, detail):
    """The on_event that prints each event."""
    print("picolink: %s: %s" % (event, detail))


class Link:
    """A link to one other board; use it through picolink.advertise() or picolink.connect().

    role: how a connection comes (picolink.radio).
    engine: "native", "python", or None for the native one where there is one.
    tx_size, rx_size: bytes of the rings, powers of two from 256 to 32768. A message (plus 2 to 4 bytes) must
        fit this side's transmit ring and the peer's receive ring.
    timeout_ms: that of open(), for `async with`.
    remember: stay with the first board that this one meets under this name, also after restarts: its identity
        is kept in a small file, until link.forget().
    commit: what the program has read is acknowledged for good only by link.commit(): if it restarts before,
        it gets those messages again.
    key: what both boards must have, so that nobody else can read, change or inject a message: bytes (16 or
        more, random), the text that `picolink key new` prints, or True: what `picolink key install` has put
        on this board. False: whoever comes first is served, and who listens can read.
    on_event: called as on_event(event, detail). event: "connected", "disconnected", "peer restarted",
        "restarted", "renewed", "too large", "refused", "not remembered", "not found", "not connected" or
        "undelivered"; detail: a str for people. Events are printed by default. An exception that it raises
        ends the link.

    Each wait takes a timeout_ms (int, ms; None: for ever). When the time is up it raises
    asyncio.TimeoutError, at most 20 ms later, and nothing is lost: a message that has not come is for the
    next recv(), one that found no room is not queued. So not `wait_for_ms(link.recv(), 100)`, but
    `link.recv(timeout_ms=100)`: MicroPython's wait_for drops what comes just as its time is up.

    Attributes: name, engine ("native" or "python"), connected (bool), channel (of the message last
    received), stats (a dict of counters: docs/protocol.md, "Errors and counters", and docs/reliability.md,
    "Events and counters"; "rssi": dBm, int, or None).
    """

    def __init__(
        self,
        role,
        engine=None,
        tx_size=8192,
        rx_size=8192,
        on_event=print_event,
        timeout_ms=None,
        remember=False,
        commit=False,
        key=False,
    ):
        engine_class, self.engine = engines.load(engine)
        session = int.from_bytes(os.urandom(4), "little") or 1
        self.name = role.name
        more = {"tx_size": tx_size, "rx_size": rx_size, "commit": commit}
        if key is not False:
            from . import key as keys

            more["key"] = keys.of_link(keys.secret(key, role.folder), role.name)
            more["seed"] = keys.seed(role.identity, role.folder if keys.COUNTS else None)
        self._engine = engine_class(session, role.identity, **more)
        self._readable = Flag()  # for one of those who wait for a message
        self._wake = Flag(self._readable)  # for the pump
        self._read = asyncio.Event()  # for the others: that one has gone on
        self._opened = asyncio.Event()
        self._room = asyncio.Event()
        self._policy = policy = Policy(
            self._engine,
            self.engine,
            tx_size,
            on_event,
            self._wake,
            self._opened,
            self._readable,
            self._room,
        )
        policy.commits = commit
        policy.keyed = int(key is not False)
        policy.noise = os.urandom
        self._partner = None  # picolink.partner, with remember=True
        if remember:
            from . import partner

            self._partner = partner
            self._engine.set_partner(partner.load(role.folder, self.name))
            policy.met = self._remember
        self._role = role
        self._line = policy.line
        self._timeout_ms = timeout_ms
        self._alarmed = Flag()  # for _tick()
        self._alarms = []  # of who waits for a limited time: [when it is over, what to set then]
        self._tasks = []
        self._working = 0  # _RUN, _TICK
        self._is_awaited = False  # does somebody wait for self._readable?
        self._others = False  # and others for self._read?
        # In this object, so that a call finds them at once and takes no way round.
        self.send_nowait = policy.send_nowait
        for name in _METHODS:
            setattr(self, name, getattr(self, name))
        self.__anext__ = self._next
        self._path = path = policy.path
        path[_BURST] = BURST
        native = self.engine == "native" and engines.native_path()
        self._fast = None  # a native Path
        if native:
            path[_READS] = True
            self._fast = fast = native(
                self._engine,
                path,
                self._receive,
                self._have_read,
                self._wake.set,
                DONE,
                self.send,
                True,
                self.send_nowait,
                *policy.receives(),
            )
            self.send = fast.send
            self.send_nowait = fast.append
            policy.feed = fast.feed
        role.serve(policy)

    # -- opening and closing ------------------------------------------------------------------------------

    async def open(self, timeout_ms=None):
        """Wait for the other board: once for each link. `async with` does this.

        After asyncio.TimeoutError the link is closed: make another one.
        """
        policy = self._policy
        if policy.life != lc.NEW:
            raise RuntimeError("this link was opened already: make another one")
        await self._role.claim()
        self._wake.register()
        policy.open()
        try:
            self._tasks = [asyncio.create_task(self._run()), asyncio.create_task(self._tick())]
            alarm = self._alarm(self._opened, timeout_ms)
            while policy.life == lc.OPENING:
                await self._wait(self._opened, alarm)
            policy.check_open()
        except BaseException:
            await self._shut("the link was not opened")
            raise
        return self

    async def close(self, timeout_ms=3000):
        """Send what is queued, tell the peer, disconnect.

        Waits as long as the peer takes something; when it has taken nothing for timeout_ms (int, ms), the
        rest is given up, with the event "undelivered". If cancelled, it stops waiting and disconnects.
        """
        self._policy.close(ticks_ms())
        await self._close(timeout_ms, "this side has closed the link")

    async def _close(self, timeout_ms, reason):
        policy = self._policy
        try:
            while policy.closing(ticks_ms(), timeout_ms):
                await sleep_ms(TICK_MS)  # not with wait_for(), which needs memory
        finally:
            await self._shut(reason)

    async def __aenter__(self):
        return await self.open(self._timeout_ms)

    async def __aexit__(self, exc_type, exc, traceback):
        policy = self._policy
        if exc_type is None or policy.life != lc.OPEN:
            await self.close()
            return
        # The program has failed, or was interrupted: the other board is not to take that for the end.
        policy.leave(ticks_ms())
        await self._close(_LEAVE_MS, "this program has failed")

    async def _shut(self, reason):
        policy = self._policy
        policy.shut(reason)
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            # In the pump the task ends by itself and hangs up; anywhere else it waits for the other board.
            if task is not tasks[0] or policy.connection in (lc.APART, lc.SEEKING, lc.SETTING_UP):
                task.cancel()
        # Not by awaiting them: that hands a cancellation of this task on to them, and never ends when Ctrl-C
        # has ended one of them.
        cancelled = None
        began_at = ticks_ms()
        while self._working and ticks_diff(ticks_ms(), began_at) < _SHUT_MS:
            try:
                await sleep_ms(TICK_MS)
            except asyncio.CancelledError as e:
                cancelled = e
        await self._hang_up(reason)
        self._wake.release()
        if self._role.release():
            policy.tell_undelivered()
        if cancelled:
            raise cancelled

    # -- messages -----------------------------------------------------------------------------------------

    # Not a coroutine, which would cost more than all the rest of it.
    def send(self, message, channel=0, timeout_ms=None):
        """Queue a message: `await link.send(...)`, which waits while the transmit ring is full.

        Tasks that send are served in the order in which they came. If cancelled while it waits, it has queued
        nothing; where there is room, the call itself queues the message, and there is nothing to wait for.

        message: bytes, bytearray, memoryview, str, or an object: see picolink.pack().   channel: 0 to 15.
        Raises TypeError or ValueError for what is not a message or can never fit, LinkClosedError when the
        link is closed, RuntimeError when it was not opened.
        """
        try:
            if not self._line and self._policy.send_nowait(message, channel):
                return DONE
        except Exception:  # noqa: S110
            pass  # it is for who awaits: raised again there
        return self._send_in_turn(message, channel, timeout_ms)

    def recv(self, timeout_ms=None):
        """The next message, as it was sent: `await link.recv()` gives bytes, str or an object; its channel is
        link.channel.

        Raises LinkClosedError after the last, and ValueError for one that is not what it says it is, and is
        gone then: no other picolink sends one. If cancelled, it has taken nothing. But see Link on
        asyncio.wait_for().
        """
        return self._next(LinkClosedError, timeout_ms)

    async def drain(self, timeout_ms=None):
        """Wait for a message, then iterate over all that are here: `for message in await link.drain()`.

        Raises LinkClosedError after the last.
        """
        await self._receive(LinkClosedError, timeout_ms, False)
        return self._fast if self._path[_READS] else self._messages()

    def __aiter__(self):
        return self._fast or self

    def __anext__(self):
        return self._next()

    def newest(self, channel):
        """A channel (int, 0 to 15) of which only the newest value counts, a picolink.newest.Newest: send(),
        recv() and latest(). Its values do not come by recv() of the link any more.
        """
        from .newest import open_channel

        return open_channel(self, channel)

    async def flush(self, timeout_ms=None):
        """Wait until the peer's board has all that was sent before this call.

        Raises LinkClosedError when the link is closed and the peer has not said that it has everything.
        """
        if self._policy.life == lc.NEW:
            self._policy.check_open()
        alarm = self._alarm(self._room, timeout_ms)
        while self._policy.values and self._policy.values.waiting():
            self._policy.check_open()
            if alarm and ticks_diff(ticks_ms(), alarm[0]) >= 0:
                raise asyncio.TimeoutError
            await sleep_ms(TICK_MS)
        stats = self._engine.stats()
        last = stats["messages_sent"] - stats["too_large"]  # counters of 32 bits: differences wrap
        self._policy.count_flush(1)
        try:
            while (
                self._engine.pending()
                and 0 < (last - self._engine.stats()["messages_acknowledged"]) & _COUNTER < 0x80000000
            ):
                self._policy.check_open()
                self._room.clear()
                await self._wait(self._room, alarm)
        finally:
            self._policy.count_flush(-1)

    def commit(self):
        """All that was read is safe, for instance on disk: it does not come again when this board restarts.

        Raises ValueError without commit=True.
        """
        self._engine.commit()
        self._wake.set()

    def forget(self):
        """The next board that this one meets is the partner, even if another one was remembered."""
        self._policy.forget()
        if self._partner:
            self._partner.remove(self._role.folder, self.name)

    def _remember(self):
        try:
            self._partner.save(self._role.folder, self.name, self._engine.partner)
        except OSError as e:
            self._policy.tell("not remembered", "the partner could not be written to a file: %r" % (e,))

    def __getattr__(self, name):
        # Properties would make every assignment to an attribute ten times as slow: MicroPython then searches
        # the classes first.
        if name == "stats":
            stats = self._policy.stats()
            stats["irq_errors"] = self._role.irq_errors
            stats["rssi"] = self._role.rssi
            return stats
        if name == "channel":
            return self._path[_CHANNEL]
        if name == "connected":
            return self._policy.connection == lc.CONNECTED
        raise AttributeError(name)

    async def _send_in_turn(self, message, channel, timeout_ms):
        policy = self._policy
        alarm = self._alarm(self._room, timeout_ms)
        place = policy.queue_up(message)
        payload, kind = place
        try:
            while self._line[0] is not place or not policy.send_first(payload, channel, kind):
                self._room.clear()
                await self._wait(self._room, alarm)
        finally:
            policy.leave_line(place)

    # A coroutine takes memory for its variables. This one has few; who has to wait takes another.
    async def _next(self, ended=StopAsyncIteration, timeout_ms=None):
        """The next message. Raises `ended` after the last."""
        path = self._path
        burst = path[_BURST]
        message = burst and self._engine.recv()
        if message:
            path[_BURST] = burst - 1
            path[_CHANNEL] = message[0] & 15
            return message[1]
        return await self._receive(ended, timeout_ms)

    async def _receive(self, ended=StopAsyncIteration, timeout_ms=None, take=True, readable=None):
        """Wait for the next message, and take it. Raises `ended` after the last.

        take: else only wait for it, or until `readable` says that it is there.
        """
        path = self._path
        until = None if timeout_ms is None else ticks_add(ticks_ms(), timeout_ms)
        if not path[_BURST]:
            await self._pause()  # before a message is taken: cancelled in here, none is lost
        policy = self._policy
        # The engine may change while this waits: picolink.sorting.
        while not (readable or self._engine.readable)():
            if policy.life:
                self._check_readable(ended)
            elif self._engine.ended:
                raise ended("the peer has closed the link")
            path[_BURST] = BURST
            if path[_IDLE]:
                policy.has_read(ticks_ms())
            left_ms = _LONG_MS if until is None else ticks_diff(until, ticks_ms())
            if left_ms <= 0:
                raise asyncio.TimeoutError
            if self._is_awaited:
                self._others = True
                self._read.clear()
                await self._wait(self._read, until is not None and [until, self._read])
                continue
            self._is_awaited = True
            try:
                await self._readable.wait(left_ms)
            finally:
                self._is_awaited = False
                if self._others:
                    self._others = False
                    self._read.set()
        if not take:
            return None
        message = self._engine.recv()
        path[_CHANNEL] = message[0] & 15
        return message[1]

    def _wait_message(self, ended, timeout_ms, readable=None):
        """Wait until there is a message, or until `readable` says so. Raises `ended` after the last."""
        return self._receive(ended, timeout_ms, False, readable)

    def _read_through(self, sorter):
        """From now on messages come by way of this one, not straight from the engine."""
        self._path[_READS] = False
        self._engine = sorter

    def _tell_readers(self):
        """All who wait for a message look again."""
        self._readable.set()
        self._read.set()

    def _check_readable(self, ended):
        """Raises when no message will come any more."""
        policy = self._policy
        if policy.life == lc.NEW:
            policy.check_open()
        if self._engine.ended or policy.closed is not None:
            reason = policy.closed or "the peer has closed the link"
            raise (LinkClosedError if policy.life == lc.FAILED else ended)(reason)

    def _alarm(self, event, timeout_ms):
        """For _wait(): what ends a wait for this event, or None if nothing does."""
        if timeout_ms is None:
            return None
        return [ticks_add(ticks_ms(), timeout_ms), event]

    async def _wait(self, event, alarm):
        """Wait for the event, which may be set for others. Raises asyncio.TimeoutError in the end."""
        if not alarm:
            await event.wait()
            return
        if ticks_diff(ticks_ms(), alarm[0]) >= 0:
            raise asyncio.TimeoutError
        self._alarms.append(alarm)
        self._alarmed.end()
        try:
            await event.wait()
        finally:
            self._alarms.remove(alarm)

    async def _pause(self):
        self._path[_BURST] = BURST
        self._policy.has_read(ticks_ms())
        await sleep_ms(0)

    def _messages(self):
        recv = self._engine.recv
        while message := recv():
            first, data = message
            self._path[_CHANNEL] = first & 15
            yield data
        self._have_read()

    def _have_read(self):
        self._policy.has_read(ticks_ms())

    # -- the connection -----------------------------------------------------------------------------------

    async def _run(self):
        """Connect, pump, and again after a drop, until the link is closed."""
        self._working |= _RUN
        policy = self._policy
        troubles = self._role.TROUBLES
        why = None
        try:
            while True:
                try:
                    if why is not None:
                        await sleep_ms(FULL_MS)  # memory, if that was the trouble, may be free again
                    await self._hang_up(why)
                    if policy.over():
                        break
                    await sleep_ms(policy.pause(ticks_ms()))
                    policy.seek(ticks_ms())
                    await self._establish()
                    why = await self._pump()
                except asyncio.CancelledError:
                    # By _tick(), by _shut(), or by aioble, which can forget that it no longer waits for a
                    # connection.
                    why = _LOST
                except troubles as e:
                    why = e if self._role.handle >= 0 else _LOST
            policy.shut("the peer has closed the link")
        except Exception as e:
            policy.fail()
            print_exception(e)
            policy.closed = "the link has failed: %r" % (e,)
            await self._hang_up(None)
        finally:
            self._working &= ~_RUN

    async def _establish(self):
        """Whatever goes wrong is told, where it is not usual, and tried again."""
        try:
            await self._role.establish()
        except self._role.TROUBLES:
            raise
        except EventError:
            raise
        except Exception as e:  # a library's, after a drop or when it had no memory, are of all kinds
            self._policy.tell("not connected", repr(e))
            raise OSError(_EIO, repr(e))

    async def _pump(self):
        """Let the policy have its turns while the connection lasts. Returns why it is over, for a person."""
        policy = self._policy
        role = self._role
        turns = policy.turns(ticks_ms())
        next(turns)
        while role.handle >= 0 and policy.life < lc.CLOSED:
            wait = turns.send(ticks_ms())
            if wait == HANG_UP:
                return policy.why if role.handle >= 0 else _LOST
            try:
                await self._wake.wait(wait)
            except MemoryError:
                await sleep_ms(FULL_MS)
        return _LOST

    async def _hang_up(self, why):
        """Also from a connection that has just come. Restarts a host stack that is stuck."""
        policy = self._policy
        policy.hang_up(ticks_ms(), why)
        if policy.gone(await self._role.hang_up()):
            self._role.restart()

    def _ring(self, now):
        for due_at, event in self._alarms:
            if ticks_diff(now, due_at) >= 0:
                event.set()

    async def _tick(self):
        """What has its time, except for the pump's turns. Allocates nothing."""
        self._working |= _TICK
        policy = self._policy
        role = self._role
        run = self._tasks[0]
        now = ticks_ms()
        tend, ready = role.tend, lc.READY  # kept: each look would cost
        ms = role.TEND_MS
        soon_ms = min(ms, _SOON_MS)
        try:
            while True:
                tend()
                before = now
                await self._alarmed.wait(soon_ms if self._alarms or policy.connection < ready else ms)
                now = ticks_ms()
                away_ms = ticks_diff(now, before)
                if away_ms > LOOK_MS:
                    policy.was_away(now, away_ms)
                if self._alarms:
                    self._ring(now)
                if policy.connection < ready:
                    dropped = policy.connection == lc.SETTING_UP and role.handle < 0
                    if dropped or policy.overdue(now):
                        policy.limit(now, HANG_UP_MS)  # to get out of what it does to end
                        run.cancel()
        finally:
            self._working &= ~_TICK
