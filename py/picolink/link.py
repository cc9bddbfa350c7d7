"""The link: what both roles share. A role module brings the connection, the engine says what goes over it."""

import asyncio
import os
import sys
import time

from aioble import DeviceDisconnectedError, GattError, core
from micropython import const

from . import engine as engines
from . import flags as fl
from .errors import LinkClosedError

# Events of MicroPython's bluetooth module.
_IRQ_CENTRAL_CONNECT = const(1)
_IRQ_CENTRAL_DISCONNECT = const(2)
_IRQ_PERIPHERAL_CONNECT = const(7)
_IRQ_PERIPHERAL_DISCONNECT = const(8)
_EIO = const(5)
_ENOTCONN = const(107)

_PACKET = const(244)  # bytes: the largest packet (docs/protocol.md, "Packets")
_NAME_MAX = const(28)  # bytes: what a scan response of 31 leaves after length and type, as aioble packs it
_TICK_MS = const(10)
_LOOK_MS = const(250)  # the longest that the pump sleeps
_FULL_MS = const(2)  # how long the host stack gets when it is full: it says nothing when it has room again
_HANDSHAKE_MS = const(4500)  # a peer that does not greet in this time is none
_ALIVE_MS = const(1000)  # who has nothing to send says so this often
_SILENCE_MS = const(4500)  # a peer that says nothing for this time is gone
_STALL_MS = const(4000)  # a connection that acknowledges nothing for this time has stalled
_STALLS = const(3)  # so many in a row: it is this board's host stack
_HANG_UP_MS = const(3000)  # longer than any supervision timeout: a host stack without an answer is stuck
_LINGER_MS = const(400)  # longer than a peer that lacks an acknowledgement takes to ask again
_SHUT_MS = const(5000)  # hanging up takes less
_BACKOFF_FIRST_MS = const(20)  # aioble's own tasks need a turn after a drop
_BACKOFF_MAX_MS = const(500)
_HEADER_MAX = const(4)  # bytes: a record's, docs/protocol.md, "Records"
_BURST = const(32)  # messages read in a row before other tasks get a turn

_LOST = "the connection was lost"

# The radio's usual troubles: try again. A name, because a tuple in `except` takes memory.
_TROUBLES = (OSError, asyncio.TimeoutError, GattError, DeviceDisconnectedError, MemoryError)

# What a host stack raises when it cannot take a packet now: EALREADY from BTstack, ENOMEM from NimBLE. EBUSY
# and EAGAIN mean the same.
_FULL = (11, 12, 16, 114)

# Tasks of a link that have begun and are not over.
_RUN = const(1)
_TICK = const(2)

# What runs for each message, packet or turn of the pump.
_METHODS = ("send", "send_nowait", "recv", "__anext__", "_irq", "_feed", "_transmit", "_report", "_useless")

_link = None  # the link that is open: a board has one connection, so there is one
_gone = -1  # the handle of the connection that dropped last


# MicroPython keeps what a call needs on the stack up to 11 words, else on the heap, where looking for room
# takes longer than most functions here. So what runs for each event is cut into small ones.


def _on_bluetooth(event, data):
    """All Bluetooth events of the board. MicroPython switches them off for good after one exception."""
    try:
        if _link is not None and _link._irq(event, data):
            return None
    except KeyboardInterrupt:
        _keep(True)
    except BaseException:
        _keep(False)  # a packet that did not get through: the engine sends it again
    return _pass_on(event, data)


def _pass_on(event, data):
    """To aioble."""
    try:
        return core.ble_irq(event, data)
    except KeyboardInterrupt:
        _keep(True)
    except BaseException:
        _keep(False)


def _keep(interrupted):
    """An exception that must not leave the handler. interrupted: whether it was Ctrl-C."""
    if _link is not None:
        _link._irq_errors += 1
        if interrupted:
            _link._interrupted = True


class _EventError(Exception):
    """on_event has raised something. A class of its own: not to be taken for the radio's or aioble's."""


def _size(message):
    """Bytes of a message."""
    try:
        return len(message.encode() if isinstance(message, str) else message)
    except TypeError:
        return 0  # it is none: the engine says so


def print_event(event, detail):
    """The on_event that prints each event."""
    print("picolink: %s: %s" % (event, detail))


class Link:
    """A link to one other board; use it through picolink.advertise() or picolink.connect().

    name: str, 1 to 28 bytes of UTF-8: the name that is advertised or looked for.
    engine: "native", "python", or None for the native one where there is one.
    tx_size, rx_size: bytes of the rings, powers of two from 256 to 32768. A message (plus 2 to 4 bytes) must
        fit this side's transmit ring and the peer's receive ring.
    on_event: called as on_event(event, detail). event: "connected", "disconnected", "peer restarted",
        "restarted", "too large", "refused", "not found", "not connected" or "undelivered"; detail: str for a
        person. Printed by default. An exception that it raises ends the link.

    Attributes: engine ("native" or "python"), connected (bool), channel (of the message last received), stats
    (a dict of counters: docs/protocol.md, "Errors and counters", and docs/reliability.md, "What it tells").
    """

    def __init__(self, name, engine=None, tx_size=8192, rx_size=8192, on_event=print_event):
        if not isinstance(name, str):
            raise TypeError("the name must be a str, not %r" % (name,))
        size = len(name.encode())
        if not 1 <= size <= _NAME_MAX:
            raise ValueError(
                "the name must have 1 to %d bytes of UTF-8, not %d: %r" % (_NAME_MAX, size, name)
            )
        self.name = name
        self.channel = 0
        self.connected = False
        engine_class, self.engine = engines.load(engine)
        session = int.from_bytes(os.urandom(4), "little") or 1
        self._engine = engine_class(session, tx_size=tx_size, rx_size=rx_size)
        self._tx_size = tx_size
        self._on_event = on_event
        self._packet = memoryview(bytearray(_PACKET))
        self._wake = asyncio.ThreadSafeFlag()  # for the pump
        self._opened = asyncio.Event()
        self._readable = asyncio.Event()
        self._room = asyncio.Event()
        self._line = []  # (task, bytes of its message) that wait for room, in the order in which they came
        self._tasks = []
        self._working = 0  # _RUN, _TICK
        self._ticks = 0
        self._connection = None  # aioble's
        self._handle = -1  # of the connection
        self._arrived = -1  # the handle of a connection that was made and is not adopted
        self._called = False  # the peer is ready for packets
        self._peer = None  # (addr_type, addr): this link serves one board, and stays with it
        self._heard_at = 0
        self._progress_at = 0  # the peer had everything, or acknowledged a message
        self._timeouts = 0  # the engine's, until the last connection ended
        self._due_at = time.ticks_ms()
        self._limit_at = 0
        self._limited = False  # is there a limit?
        self._reason = None  # why the last connection ended: a str or an exception
        self._burst = 0
        self._peer_ended = False
        self._ending = False  # this side has begun to close
        self._end_queued = False
        self._closed = None  # why, for a person
        self._sendable = True  # until either side closes
        self._idle = False  # does the pump wait to be woken?
        self._error = False
        self._interrupted = False  # by Ctrl-C, in the handler of Bluetooth events
        self._irq_errors = 0
        self._strangers = 0
        self._silences = 0
        self._full = False  # the host stack could not take the last packet
        self._stalled = 0  # connections in a row
        self._stack_restarts = 0
        self._connections = 0
        # MicroPython looks for a method among all of these first, which takes longer than most methods do.
        for name in _METHODS:
            setattr(self, name, getattr(self, name))

    # -- opening and closing ------------------------------------------------------------------------------

    async def open(self):
        """Wait for the other board: once for each link. `async with` does this."""
        global _link
        if self._tasks:
            raise RuntimeError("this link was opened already: make another one")
        while _link is not None:
            other = _link
            if await other._lives():
                raise RuntimeError(
                    "a link is open already (%r): a board has one connection. Close it; after Ctrl-C "
                    "asyncio.new_event_loop() stops what still runs" % other.name
                )
            await other._disconnect()
            if _link is other:
                _link = None
        _link = self
        try:
            self._tasks = [asyncio.create_task(self._run()), asyncio.create_task(self._tick())]
            await self._opened.wait()
            self._check_open()
        except BaseException:
            await self._shut("the link was not opened")
            raise
        return self

    async def close(self, timeout_ms=3000):
        """Send what is queued, tell the peer, disconnect.

        Waits as long as the peer takes something; when it has taken nothing for timeout_ms (int, ms), the
        rest is given up, with the event "undelivered". Cancelled, it waits no more and disconnects.
        """
        self._ending = True
        self._sendable = False
        engine = self._engine
        try:
            acknowledged = engine.acknowledged()
            quiet_at = time.ticks_ms()
            while self._closed is None and not self._all_said():
                await asyncio.sleep_ms(_TICK_MS)  # not with wait_for(), which needs memory
                if acknowledged != engine.acknowledged():
                    acknowledged = engine.acknowledged()
                    quiet_at = time.ticks_ms()
                elif time.ticks_diff(time.ticks_ms(), quiet_at) >= timeout_ms:
                    break
        finally:
            await self._shut("this side has closed the link")

    async def __aenter__(self):
        return await self.open()

    async def __aexit__(self, exc_type, exc, traceback):
        await self.close()

    # -- messages -----------------------------------------------------------------------------------------

    async def send(self, message, channel=0):
        """Queue a message; wait while the transmit ring is full. Cancelled, it has queued nothing.

        Tasks that send are served in the order in which they came.

        message: bytes, bytearray, memoryview, or str (sent as UTF-8).   channel: 0 to 15.
        Raises TypeError or ValueError for what is no message or can never fit, LinkClosedError when the link
        is closed.
        """
        if self._line or not self.send_nowait(message, channel):
            await self._send_in_turn(message, channel)

    def send_nowait(self, message, channel=0):
        """Queue a message if there is room. Returns whether it was taken; arguments and errors as send().

        While a task waits in send() it takes only what leaves enough room for that one, so that a large
        message gets its turn among small ones.
        Handlers of pins and timers may call it, if they are not hard ones; it is False, too, where they
        interrupt the Python engine. Other threads may not.
        """
        engine = self._engine
        if not self._sendable or engine.ended:
            self._check_open()
        if self._line and not self._may_overtake(message):
            return False
        if self._idle:
            self._wake.set()
        return engine.send(message, channel)

    async def recv(self):
        """The next message, as bytes; its channel is link.channel. Raises LinkClosedError after the last."""
        burst = self._burst
        message = burst < _BURST and self._engine.recv()
        if message:
            self._burst = burst + 1
        else:
            await self._wait_message(LinkClosedError)
            message = self._engine.recv()
        self.channel, data = message
        return data

    async def drain(self):
        """Wait for a message, then iterate over all that are here: `for message in await link.drain()`.

        Raises LinkClosedError after the last. Cheaper than `async for` at high rates.
        """
        await self._wait_message(LinkClosedError)
        return self._messages()

    def __aiter__(self):
        return self

    async def __anext__(self):
        # As recv(), in lines of its own: awaiting that would double the CPU time of a message.
        burst = self._burst
        message = burst < _BURST and self._engine.recv()
        if message:
            self._burst = burst + 1
        else:
            await self._wait_message(StopAsyncIteration)
            message = self._engine.recv()
        self.channel, data = message
        return data

    async def flush(self):
        """Wait until the peer's board has all that was sent before this call.

        Raises LinkClosedError when the link is closed and the peer has not said that it has everything.
        """
        stats = self._engine.stats()
        last = stats["messages_sent"] - stats["too_large"]
        while self._engine.pending() and self._engine.stats()["messages_acknowledged"] < last:
            self._check_open()
            await self._wait_room()

    def _stats(self):
        """What the attribute `stats` gives."""
        stats = self._engine.stats()
        stats["connections"] = self._connections
        stats["strangers"] = self._strangers
        stats["silences"] = self._silences
        stats["stack_restarts"] = self._stack_restarts
        stats["irq_errors"] = self._irq_errors
        return stats

    def __getattr__(self, name):
        # A property would make every assignment to an attribute ten times as slow: MicroPython then searches
        # the classes first.
        if name == "stats":
            return self._stats()
        raise AttributeError(name)

    # -- what the roles fill in ---------------------------------------------------------------------------

    async def _establish(self):
        """Connect and _adopt() the connection; set _called once the peer is ready for packets."""
        raise NotImplementedError

    def _adopt(self, connection):
        """Take over aioble's new connection. Raises OSError when it has dropped meanwhile."""
        handle = connection._conn_handle
        self._arrived = -1
        if handle is not None:
            self._handle = handle  # before the look at _gone: a drop in between is seen here or there
            if handle != _gone:
                self._connection = connection
                self._progress_at = time.ticks_ms()
                return
            self._handle = -1
        raise OSError(_ENOTCONN)

    def _irq(self, event, data):
        """One Bluetooth event. Returns True when nobody else needs to see it."""
        # Connections are followed here: aioble learns of a drop only when its tasks run.
        global _gone
        if event in (_IRQ_CENTRAL_CONNECT, _IRQ_PERIPHERAL_CONNECT):
            _gone = -1
            self._arrived = data[0]
        elif event in (_IRQ_CENTRAL_DISCONNECT, _IRQ_PERIPHERAL_DISCONNECT):
            _gone = data[0]
            if data[0] == self._arrived:
                self._arrived = -1
            if data[0] == self._handle:
                self._handle = -1
                self._wake.set()
        return False

    def _feed(self, packet):
        self._heard_at = now = time.ticks_ms()
        if len(packet) and self._engine.feed(packet, now):  # an empty one is a sign of life
            self._wake.set()

    def _transmit(self, packet):
        """Hand a packet (memoryview) to the host stack. Raises OSError when it cannot take it."""
        raise NotImplementedError

    def _is_peer(self, device):
        """Whether this link may serve the board behind an aioble device: its own, once it has one."""
        if self._peer is None or self._peer == (device.addr_type, bytes(device.addr)):
            return True
        self._strangers += 1
        return False

    # -- the connection -----------------------------------------------------------------------------------

    async def _run(self):
        """Connect, pump, and again after a drop, until the link is closed."""
        self._working |= _RUN
        backoff = _BACKOFF_FIRST_MS
        try:
            while True:
                try:
                    if self.connected:
                        backoff = _BACKOFF_FIRST_MS
                    if self._connection:
                        await self._hang_up()
                    else:
                        await self._disconnect()
                    if self._closed is not None or self._peer_ended:
                        break
                    await asyncio.sleep_ms(backoff)
                    backoff = min(backoff * 2, _BACKOFF_MAX_MS)
                    # A new one: asyncio can no longer wait for one that it once had no memory for.
                    self._wake = asyncio.ThreadSafeFlag()
                    await self._connect()
                    self._reason = await self._pump()
                except asyncio.CancelledError:
                    # By the limit, by _shut(), or by aioble, which can forget that it no longer waits for a
                    # connection.
                    backoff = _BACKOFF_FIRST_MS
                except _TROUBLES as e:
                    self._reason = e if self._handle >= 0 else _LOST
                    await asyncio.sleep_ms(_FULL_MS)
            self._end("the peer has closed the link")
        except Exception as e:
            self._error = True
            self._end("the link has failed")
            sys.print_exception(e)
            self._closed = "the link has failed: %r" % (e,)
            await self._disconnect()
        finally:
            self._working &= ~_RUN

    async def _connect(self):
        """_establish() a connection. Whatever goes wrong is told, where it is not usual, and tried again."""
        try:
            await self._establish()
        except _TROUBLES:
            raise
        except _EventError:
            raise
        except Exception as e:  # aioble's, after a drop or when it had no memory, are of all kinds
            self._event("not connected", repr(e))
            raise OSError(_EIO)
        finally:
            self._limited = False

    def _limit(self, ms):
        """_establish() is interrupted if it is still at it in `ms` (int). aioble's own limits need memory."""
        self._limit_at = time.ticks_add(time.ticks_ms(), ms)
        self._limited = True

    async def _pump(self):
        """Carry packets between the engine and the host stack while the connection lasts.

        Returns why it has ended, for a person.
        """
        engine = self._engine
        packet = self._packet
        size = 0  # of the packet that waits for the host stack
        started = False
        sent_at = began_at = time.ticks_ms()
        while self._handle >= 0 and self._closed is None:
            self._idle = False
            now = time.ticks_ms()
            wait = -1
            full = False
            if self._called and not started:
                started = True
                engine.start(max(23, min(self._connection.mtu or 23, 517)), now)
            if started:
                try:
                    while size or (size := engine.pull_into(packet, now)):
                        self._transmit(packet[:size])
                        size = 0
                        sent_at = now
                    if self.connected and time.ticks_diff(now, sent_at) >= _ALIVE_MS:
                        self._transmit(packet[:0])
                        sent_at = now
                except MemoryError:
                    full = True
                except OSError as e:
                    if e.errno not in _FULL:
                        raise
                    full = True
                self._full = full
                flags = engine.take_flags()
                if flags & fl.WRITABLE or not engine.pending():
                    self._progress_at = now
                if flags:
                    self._report(flags)
                self._idle = True  # before it looks: what is queued from here on wakes it
                wait = engine.wait(now)
            useless = self._useless(started, began_at, now)
            if useless:
                return useless
            if full:
                await asyncio.sleep_ms(_FULL_MS)
            elif wait == 0:
                await asyncio.sleep_ms(0)
            else:
                self._due_at = time.ticks_add(now, _LOOK_MS if wait < 0 else min(wait, _LOOK_MS))
                try:
                    await self._wake.wait()
                except MemoryError:
                    await asyncio.sleep_ms(_FULL_MS)
                except AssertionError:  # asyncio had no memory when it was to wait for this flag before
                    await asyncio.sleep_ms(_FULL_MS)
        return _LOST

    def _useless(self, started, began_at, now):
        """Why nothing will come of this connection, for a person; or None."""
        state = self._engine.state
        if started and state == fl.REFUSING:
            return "refused"
        if not self.connected:
            if time.ticks_diff(now, began_at) > _HANDSHAKE_MS:
                self._silences += 1
                return "no greeting"
        elif state == fl.POISONED:
            return "the other board's stream makes no sense"
        elif time.ticks_diff(now, self._heard_at) > _SILENCE_MS:
            self._silences += 1
            return "the other board says nothing"
        return None

    async def _tick(self):
        """What has its time: asyncio has no cheap way to wait for a flag and a time. Allocates nothing."""
        self._working |= _TICK
        run = self._tasks[0]
        try:
            while True:
                core.ble.irq(_on_bluetooth)  # again and again: whoever has switched it off
                await asyncio.sleep_ms(_TICK_MS)
                if self._interrupted:
                    raise KeyboardInterrupt
                self._ticks = (self._ticks + 1) & 0xFF
                now = time.ticks_ms()
                if time.ticks_diff(now, self._due_at) >= 0:
                    self._wake.set()
                dropped = self._connection and self._handle < 0
                if self._limited and (dropped or time.ticks_diff(now, self._limit_at) >= 0):
                    self._limit(_HANG_UP_MS)  # to get out of what it does to end
                    run.cancel()
        finally:
            self._working &= ~_TICK

    async def _lives(self):
        """Whether its clock ticks: not when Ctrl-C has ended it, nor after asyncio.new_event_loop()."""
        ticks = self._ticks
        await asyncio.sleep_ms(5 * _TICK_MS)
        return self._ticks != ticks

    def _report(self, flags):
        """Wake who waits for what the engine said."""
        if flags & fl.READABLE:
            self._readable.set()
        if flags & fl.WRITABLE:
            self._room.set()
        if flags > fl.READABLE | fl.WRITABLE | fl.PULL:
            self._report_rare(flags)

    def _report_rare(self, flags):
        """Changes of the session, and what the application is told."""
        if flags & fl.PEER_ENDED:
            self._peer_ended = True
            self._sendable = False
            self._room.set()
            self._readable.set()
        if flags & fl.OPENED:
            device = self._connection.device
            self._peer = (device.addr_type, bytes(device.addr))
            self._connections += 1
            self.connected = True
            self._opened.set()
        try:
            self._tell(flags)
        except MemoryError:
            pass  # the counters tell it too

    def _tell(self, flags):
        if flags & fl.OPENED:
            address = self._connection.device.addr_hex()
            mtu = self._connection.mtu or 23
            self._event("connected", "%s, %s engine, MTU %d" % (address, self.engine, mtu))
        if flags & fl.PEER_RESTARTED:
            resent = self._engine.stats()["resent"]
            self._event("peer restarted", "%d messages sent again since the start" % resent)
        if flags & fl.FORGOTTEN:
            self._event("restarted", "the other board knew this one before: what lay unread here is lost")
        if flags & fl.TOO_LARGE:
            removed = self._engine.stats()["too_large"]
            self._event("too large", "%d messages removed that the other board cannot hold" % removed)
        if flags & fl.REFUSED:
            version = self._engine.peer_version
            if version == 1:
                self._event("refused", "the other board's HELLO makes no sense")
            else:
                self._event("refused", "the other board speaks protocol version %d, not 1" % version)

    def _event(self, event, detail):
        """Tell the application. Its errors end the link."""
        try:
            self._on_event(event, detail)
        except MemoryError:
            pass
        except Exception as e:
            raise _EventError("on_event raised %r" % (e,))

    async def _hang_up(self):
        self._report(self._engine.take_flags())  # what came just before a drop: nobody has heard of it
        connected, self.connected = self.connected, False
        try:
            if connected:
                ending = self._ending or self._peer_ended
                reason = "closing" if ending else "%s, looking for it again" % (self._reason,)
                self._event("disconnected", reason)
            self._count_stall(connected)
        except MemoryError:
            pass
        await self._disconnect()

    def _count_stall(self, connected):
        """Counts connections in a row that carried nothing to the peer."""
        timeouts, before = self._engine.stats()["timeouts"], self._timeouts
        self._timeouts = timeouts
        quiet = time.ticks_diff(time.ticks_ms(), self._progress_at) > _STALL_MS
        # Not when the peer has answered all the time, and only does not read.
        unheard = self._full or timeouts - before > 1 or not connected
        self._stalled = self._stalled + 1 if quiet and unheard and self._engine.pending() else 0

    async def _disconnect(self):
        """Hang up, also on a connection that has just come. Stops a host stack that is stuck."""
        # By hand: a wait of aioble's that times out leaves its connection object connected for ever.
        if self._handle < 0:
            self._handle = self._arrived  # it came just as its attempt was given up
        self._arrived = -1
        if self._handle >= 0:
            try:
                core.ble.gap_disconnect(self._handle)
            except OSError:
                pass  # it is gone already
            began_at = time.ticks_ms()
            while self._handle >= 0 and time.ticks_diff(time.ticks_ms(), began_at) < _HANG_UP_MS:
                await asyncio.sleep_ms(_TICK_MS)
        if self._handle >= 0 or self._stalled == _STALLS:
            self._stalled = 0
            self._stack_restarts += 1
            core.stop()  # connecting starts it again
        self.connected = False
        self._handle = -1
        self._called = False  # last: a peer that is not yet gone still calls
        self._connection = None

    def _end(self, reason):
        """Nothing goes or comes any more: wake everybody who waits."""
        if self._closed is None:
            self._closed = reason
        self._sendable = False
        self._wake.set()
        self._opened.set()
        self._readable.set()
        self._room.set()

    def _all_said(self):
        """Queue the END when there is room. Returns whether there is nothing left to wait for."""
        if self._peer_ended:
            # The peer hangs up when it knows that this side has heard its END; but not if it waits likewise.
            quiet = time.ticks_diff(time.ticks_ms(), self._heard_at) > _LINGER_MS
            return self._end_queued and quiet and not self._engine.pending()
        if not self._end_queued:
            self._end_queued = self._engine.end()
            self._wake.set()
        return self._end_queued and not self._engine.pending()

    async def _shut(self, reason):
        global _link
        self._end(reason)
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            # In the pump the task ends by itself and hangs up; anywhere else it waits for the other board.
            if self._limited or self._connection is None or task is not tasks[0]:
                task.cancel()
        # Not by awaiting them: that hands a cancellation of this task on to them, and never ends when Ctrl-C
        # has ended one of them.
        cancelled = None
        began_at = time.ticks_ms()
        while self._working and time.ticks_diff(time.ticks_ms(), began_at) < _SHUT_MS:
            try:
                await asyncio.sleep_ms(_TICK_MS)
            except asyncio.CancelledError as e:
                cancelled = e
        await self._disconnect()
        if _link is self:
            _link = None
            self._tell_undelivered()
        if cancelled:
            raise cancelled

    def _tell_undelivered(self):
        try:
            stats = self._engine.stats()
        except MemoryError:
            return
        lost = stats["messages_sent"] - stats["messages_acknowledged"] - stats["too_large"]
        if lost:
            detail = "%d messages were not acknowledged before the link was closed" % lost
            try:
                self._event("undelivered", detail)
            except _EventError as e:
                sys.print_exception(e)  # there is no link any more that it could end

    def _check_open(self):
        # The engine knows that the peer has ended before the pump has heard of it.
        if self._peer_ended or self._engine.ended:
            raise LinkClosedError(self._closed or "the peer has closed the link")
        if self._closed is not None or self._ending:
            raise LinkClosedError(self._closed or "this side has closed the link")

    async def _send_in_turn(self, message, channel):
        turn = (asyncio.current_task(), _size(message))
        self._line.append(turn)
        try:
            while self._line[0] is not turn or not self.send_nowait(message, channel):
                await self._wait_room()
        finally:
            self._line.remove(turn)
            self._room.set()  # for the next in line

    def _may_overtake(self, message):
        """Whether it may be queued now: else a large message would wait for ever while small ones come."""
        task, size = self._line[0]
        room = self._tx_size - self._engine.pending()
        return task is asyncio.current_task() or size + _size(message) + 2 * _HEADER_MAX <= room

    async def _wait_room(self):
        self._room.clear()
        await self._room.wait()

    async def _wait_message(self, ended):
        """Wait until the engine has a message. Raises `ended` after the last."""
        if self._burst >= _BURST:
            await self._pause()  # before a message is taken: cancelled in here, none is lost
        while not self._engine.readable():
            if self._engine.ended or self._closed is not None:
                reason = self._closed or "the peer has closed the link"
                if self._error:
                    raise LinkClosedError(reason)
                raise ended(reason)
            await self._wait_readable()

    async def _wait_readable(self):
        self._burst = 0
        self._wake.set()  # reading has made room: the peer may have to hear of it
        self._readable.clear()
        await self._readable.wait()

    async def _pause(self):
        self._burst = 0
        self._wake.set()
        await asyncio.sleep_ms(0)

    def _messages(self):
        recv = self._engine.recv
        while message := recv():
            self.channel, data = message
            yield data
        self._wake.set()
