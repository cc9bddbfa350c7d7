"""What both roles share: Bluetooth events, hanging up, and that a board has one connection."""

import asyncio

import bluetooth
from aioble import DeviceDisconnectedError, GattError, core

from ... import wire
from ...policy import HANG_UP_MS, TICK_MS
from ...runtime import const, sleep_ms, ticks_diff, ticks_ms
from ..board import Board

# Events of MicroPython's bluetooth module.
_IRQ_CENTRAL_CONNECT = const(1)
_IRQ_CENTRAL_DISCONNECT = const(2)
_IRQ_PERIPHERAL_CONNECT = const(7)
_IRQ_PERIPHERAL_DISCONNECT = const(8)
_ENOTCONN = const(107)

SERVICE = bluetooth.UUID(wire.SERVICE)
NOTIFY = bluetooth.UUID(wire.NOTIFY)
WRITE = bluetooth.UUID(wire.WRITE)

_board = Board()
_gone = -1  # the handle of the connection that dropped last


# MicroPython keeps what a call needs on the stack up to 11 words, else on the heap, where looking for room
# takes longer than most functions here. So what runs for each event is cut into small ones.


def on_bluetooth(event, data):
    """All Bluetooth events of the board. MicroPython switches them off for good after one exception."""
    try:
        role = _board.served
        if role is not None and role.irq(event, data):
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
    role = _board.served
    if role is not None:
        role.irq_errors += 1
        if interrupted:
            role.interrupted = True


def _identity():
    try:
        from machine import unique_id

        unique = unique_id()
    except ImportError:  # no Pico
        core.ensure_active()
        unique = core.ble.config("mac")[1]
    return (unique + bytes(8))[:8]


class Role:
    """See picolink.radio."""

    # A name, because a tuple in `except` takes memory.
    folder = ""
    TEND_MS = 100
    TROUBLES = (OSError, asyncio.TimeoutError, GattError, DeviceDisconnectedError, MemoryError)

    def __init__(self, name):
        self.name = wire.checked_name(name)
        self.identity = _identity()
        self.handle = -1
        self.irq_errors = 0
        self.rssi = None
        self.ticks = 0
        self.interrupted = False  # by Ctrl-C, in the handler of Bluetooth events
        self._policy = None
        self._feed = None
        self._connection = None  # aioble's
        self._arrived = -1  # the handle of a connection that was made and is not adopted

    def serve(self, policy):
        self._policy = policy
        self._feed = policy.feed
        policy.transmit = self.transmit

    async def claim(self):
        await _board.claim(self)

    def release(self):
        return _board.release(self)

    def tend(self):
        core.ble.irq(on_bluetooth)  # again and again: whoever has switched it off
        self.ticks = (self.ticks + 1) & 0xFF
        if self.interrupted:
            raise KeyboardInterrupt

    async def hang_up(self):
        # By hand: a wait of aioble's that times out leaves its connection object connected for ever.
        if self.handle < 0:
            self.handle = self._arrived  # it came just as its attempt was given up
        self._arrived = -1
        if self.handle >= 0:
            try:
                core.ble.gap_disconnect(self.handle)
            except OSError:
                pass  # it is gone already
            began_at = ticks_ms()
            while self.handle >= 0 and ticks_diff(ticks_ms(), began_at) < HANG_UP_MS:
                await sleep_ms(TICK_MS)
        answered = self.handle < 0
        self.handle = -1
        self._connection = None
        return answered

    def restart(self):
        core.stop()  # connecting starts it again

    def check_stray(self):
        """Raises OSError if a connection has come just as nobody waited for one any more."""
        if self._arrived >= 0:
            raise OSError(_ENOTCONN)

    def adopt(self, connection):
        """Take over aioble's new connection. Raises OSError when it has dropped meanwhile."""
        handle = connection._conn_handle
        self._arrived = -1
        if handle is not None:
            device = connection.device
            self._connection = connection
            self._policy.adopt(ticks_ms(), (device.addr_type, bytes(device.addr)), device.addr_hex())
            self.handle = handle  # before the look at _gone: a drop in between is seen here or there
            if handle != _gone:
                return
            self.handle = -1
            connection._event.set()  # aioble may not know, and its task would wait for ever
        raise OSError(_ENOTCONN)

    def on_connection(self, event, data):
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
            if data[0] == self.handle:
                self.handle = -1
                self._policy.wake.set()
        return False
