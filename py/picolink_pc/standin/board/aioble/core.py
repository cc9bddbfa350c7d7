# Simulator code for virtual boards, never installed on a board: takes the place of aioble.
#
# Here is the table of what is waited for, and the handler of events that looks it up.

import asyncio

import bluetooth
from micropython import const

CENTRAL_CONNECT = const(1)
CENTRAL_DISCONNECT = const(2)
SCAN_RESULT = const(5)
SCAN_DONE = const(6)
PERIPHERAL_CONNECT = const(7)
PERIPHERAL_DISCONNECT = const(8)
MTU_EXCHANGED = const(21)

_DROPS = (CENTRAL_DISCONNECT, PERIPHERAL_DISCONNECT)
_OF_NO_CONNECTION = (CENTRAL_CONNECT, SCAN_RESULT, SCAN_DONE, PERIPHERAL_CONNECT)

ble = bluetooth.BLE()
connections = {}  # those that last, by handle
_waits = []


class GattError(Exception):
    pass


class DeviceDisconnectedError(Exception):
    pass


# A row of the table, in it while a `with` lasts: a task waits for `events`, of `connection` or of none.
#
# keep(data): called in the handler, where data is valid; what it returns goes to the task, unless it is None.
# handle: of the connection as the `with` began; a drop since then has not made it None.
class Wait:
    def __init__(self, events, connection=None, keep=tuple):
        self.events = events
        self.connection = connection
        self._keep = keep
        self._kept = []
        self._flag = asyncio.ThreadSafeFlag()

    def __enter__(self):
        if self.connection:
            self.handle = self.connection._conn_handle
            if self.handle is None:
                raise DeviceDisconnectedError
        _waits.append(self)
        return self

    def __exit__(self, exc_type, exc, traceback):
        _waits.remove(self)

    def take(self, event, data):
        kept = self._keep(data)
        if kept is not None:
            self._kept.append((event, kept))
            self._flag.set()

    def wake(self):
        self._flag.set()

    # The next event, and what was kept of it.  After a drop nothing comes: raises DeviceDisconnectedError.
    async def next(self):
        while True:
            if self.connection and not self.connection.is_connected():
                raise DeviceDisconnectedError
            if self._kept:
                return self._kept.pop(0)
            await self._flag.wait()


# A drop finds its way without allocating: it has to with a full heap.
def ble_irq(event, data):
    connection = None if event in _OF_NO_CONNECTION else connections.get(data[0])
    dropped = connection is not None and event in _DROPS
    if dropped:
        connection._conn_handle = None
        connection._event.set()
        del connections[data[0]]
    elif connection is not None and event == MTU_EXCHANGED:
        connection.mtu = data[1]
    for wait in _waits:
        if wait.connection is connection:
            if dropped:
                wait.wake()
            elif event in wait.events:
                wait.take(event, data)


def ensure_active():
    if not ble.active():
        ble.active(True)


def config(**settings):
    ensure_active()
    ble.config(**settings)


def stop():
    ble.active(False)


ble.irq(ble_irq)
