# Simulator code for virtual boards, never installed on a board: aioble's devices and connections.

import asyncio
import binascii

from micropython import const

from .core import ble, register_irq_handler

_IRQ_MTU_EXCHANGED = const(21)


class DeviceDisconnectedError(Exception):
    pass


def _device_irq(event, data):
    if event == _IRQ_MTU_EXCHANGED:
        connection = DeviceConnection._connected.get(data[0])
        if connection:
            connection.mtu = data[1]
            if connection._mtu_event:
                connection._mtu_event.set()


register_irq_handler(_device_irq, None)


# Within `with DeviceTimeout(...)` the task is cancelled when the time is up (asyncio.TimeoutError is raised)
# or when the connection is lost (DeviceDisconnectedError).  Either may be None.
class DeviceTimeout:
    def __init__(self, connection, timeout_ms):
        self._connection = connection
        self._timeout_ms = timeout_ms
        self._timer = None
        self._expired = False
        self._task = asyncio.current_task()

    def __enter__(self):
        if self._connection:
            self._connection._timeouts.append(self)
        if self._timeout_ms:
            self._timer = asyncio.create_task(self._expire())

    async def _expire(self):
        await asyncio.sleep_ms(self._timeout_ms)
        self._expired = True
        self._task.cancel()

    def __exit__(self, exc_type, exc, traceback):
        if self._connection:
            self._connection._timeouts.remove(self)
        if self._timer and not self._expired:
            self._timer.cancel()
        if exc_type is asyncio.CancelledError:
            if self._expired:
                raise asyncio.TimeoutError
            if self._connection and not self._connection.is_connected():
                raise DeviceDisconnectedError


class Device:
    def __init__(self, addr_type, addr):
        self.addr_type = addr_type
        self.addr = addr if len(addr) == 6 else binascii.unhexlify(addr.replace(":", ""))
        self._connection = None

    def __eq__(self, other):
        return self.addr_type == other.addr_type and self.addr == other.addr

    def __hash__(self):
        return hash((self.addr_type, self.addr))

    def __str__(self):
        kind = "PUBLIC" if self.addr_type == 0 else "RANDOM"
        return "Device(ADDR_{}, {}{})".format(
            kind, self.addr_hex(), ", CONNECTED" if self._connection else ""
        )

    def addr_hex(self):
        return binascii.hexlify(self.addr, ":").decode()

    async def connect(
        self,
        timeout_ms=10000,
        scan_duration_ms=None,
        min_conn_interval_us=None,
        max_conn_interval_us=None,
    ):
        # As in aioble, this stays set when an attempt fails: the next one must be made with a new Device.
        if not self._connection:
            from .central import _connect

            connection = DeviceConnection(self)
            await _connect(
                connection, timeout_ms, scan_duration_ms, min_conn_interval_us, max_conn_interval_us
            )
            connection._watch()
        return self._connection


class DeviceConnection:
    _connected = {}  # noqa: RUF012 - connections by handle

    def __init__(self, device):
        self.device = device
        device._connection = self
        self.mtu = None
        self._conn_handle = None
        self._event = asyncio.ThreadSafeFlag()  # connected, then: disconnected
        self._mtu_event = None
        self._task = None
        self._timeouts = []
        self._discover = None
        self._characteristics = {}  # of the peer, by value handle

    def _watch(self):
        self._task = asyncio.create_task(self._wait_for_disconnection())

    async def _wait_for_disconnection(self):
        await self._event.wait()
        del DeviceConnection._connected[self._conn_handle]
        self._conn_handle = None
        self.device._connection = None
        for timeout in self._timeouts:
            timeout._task.cancel()

    def is_connected(self):
        return self._conn_handle is not None

    async def disconnect(self, timeout_ms=2000):
        await self.disconnected(timeout_ms, disconnect=True)

    async def disconnected(self, timeout_ms=None, disconnect=False):
        if not self.is_connected():
            return
        if disconnect:
            ble.gap_disconnect(self._conn_handle)
        with DeviceTimeout(None, timeout_ms):
            await self._task

    def timeout(self, timeout_ms):
        return DeviceTimeout(self, timeout_ms)

    async def exchange_mtu(self, mtu=None, timeout_ms=1000):
        if not self.is_connected():
            raise ValueError("Not connected")
        if mtu:
            ble.config(mtu=mtu)
        self._mtu_event = self._mtu_event or asyncio.ThreadSafeFlag()
        ble.gattc_exchange_mtu(self._conn_handle)
        with self.timeout(timeout_ms):
            await self._mtu_event.wait()
        return self.mtu

    # aioble takes a timeout here and ignores it.
    async def service(self, uuid, timeout_ms=2000):
        from .client import first

        return await first(self.services(uuid, timeout_ms), uuid)

    def services(self, uuid=None, timeout_ms=2000):
        from .client import ClientDiscover, ClientService

        return ClientDiscover(self, ClientService, self, uuid)

    async def __aenter__(self):
        return self

    async def __aexit__(self, exc_type, exc, traceback):
        await self.disconnect()
