# Simulator code for virtual boards, never installed on a board: aioble's view of the peer's services.

import asyncio
import struct
from collections import deque

import bluetooth
from micropython import const

from .core import GattError, ble, register_irq_handler
from .device import DeviceConnection

_IRQ_GATTC_SERVICE_RESULT = const(9)
_IRQ_GATTC_SERVICE_DONE = const(10)
_IRQ_GATTC_CHARACTERISTIC_RESULT = const(11)
_IRQ_GATTC_CHARACTERISTIC_DONE = const(12)
_IRQ_GATTC_DESCRIPTOR_RESULT = const(13)
_IRQ_GATTC_DESCRIPTOR_DONE = const(14)
_IRQ_GATTC_WRITE_DONE = const(17)
_IRQ_GATTC_NOTIFY = const(18)

_CCCD = const(0x2902)

_FLAG_WRITE_NO_RESPONSE = const(0x04)
_FLAG_WRITE = const(0x08)
_FLAG_NOTIFY = const(0x10)


def _client_irq(event, data):
    connection = None
    if _IRQ_GATTC_SERVICE_RESULT <= event <= _IRQ_GATTC_NOTIFY:
        connection = DeviceConnection._connected.get(data[0])
    if not connection:
        return
    discover = connection._discover
    if event == _IRQ_GATTC_NOTIFY:
        characteristic = connection._characteristics.get(data[1])
        if characteristic:
            characteristic._on_notify(bytes(data[2]))
    elif event == _IRQ_GATTC_WRITE_DONE:
        attribute = connection._characteristics.get(data[1])
        if attribute:
            attribute._write_status = data[2]
            attribute._write_event.set()
    elif not discover:
        pass
    elif event in (_IRQ_GATTC_SERVICE_DONE, _IRQ_GATTC_CHARACTERISTIC_DONE, _IRQ_GATTC_DESCRIPTOR_DONE):
        discover._done = True
        discover._event.set()
    elif event in (_IRQ_GATTC_SERVICE_RESULT, _IRQ_GATTC_CHARACTERISTIC_RESULT, _IRQ_GATTC_DESCRIPTOR_RESULT):
        discover._queue.append(data[1:])
        discover._event.set()


register_irq_handler(_client_irq, None)


# The first found item with this UUID; the discovery has to run to its end.
async def first(discover, uuid):
    result = None
    async for item in discover:
        if not result and item.uuid == uuid:
            result = item
    return result


# Use with `async for`; one discovery at a time.
class ClientDiscover:
    def __init__(self, connection, item_type, parent, uuid):
        self._connection = connection
        self._item_type = item_type
        self._parent = parent
        self._uuid = uuid
        self._queue = []
        self._event = asyncio.ThreadSafeFlag()
        self._done = False

    def __aiter__(self):
        return self

    async def __anext__(self):
        connection = self._connection
        if connection._discover != self:
            if connection._discover:
                raise ValueError("Discovery in progress")
            connection._discover = self
            self._item_type._start_discovery(self._parent, self._uuid)
        while True:
            if self._queue:
                return self._item_type(self._parent, *self._queue.pop())
            if self._done:
                connection._discover = None
                raise StopAsyncIteration
            await self._event.wait()


class ClientService:
    def __init__(self, connection, start_handle, end_handle, uuid):
        self.connection = connection
        self.uuid = uuid
        self._start_handle = start_handle
        self._end_handle = end_handle

    def __str__(self):
        return "Service: {} {} {}".format(self._start_handle, self._end_handle, self.uuid)

    @staticmethod
    def _start_discovery(connection, uuid):
        ble.gattc_discover_services(connection._conn_handle, uuid)

    async def characteristic(self, uuid, timeout_ms=2000):
        return await first(self.characteristics(uuid, timeout_ms), uuid)

    def characteristics(self, uuid=None, timeout_ms=2000):
        return ClientDiscover(self.connection, ClientCharacteristic, self, uuid)


class _ClientAttribute:
    def __init__(self, connection, value_handle, properties, uuid):
        self.connection = connection
        self.properties = properties
        self.uuid = uuid
        self._value_handle = value_handle
        self._write_event = None
        self._write_status = None

    def _register(self):
        self.connection._characteristics[self._value_handle] = self

    def _check(self, flags):
        if not self.properties & flags:
            raise ValueError("Unsupported")

    async def write(self, data, response=None, timeout_ms=1000):
        self._check(_FLAG_WRITE | _FLAG_WRITE_NO_RESPONSE)
        if response is None:
            response = not self.properties & _FLAG_WRITE_NO_RESPONSE
        if response:
            self._register()
            self._write_event = self._write_event or asyncio.ThreadSafeFlag()
        ble.gattc_write(self.connection._conn_handle, self._value_handle, data, 1 if response else 0)
        if response:
            with self.connection.timeout(timeout_ms):
                await self._write_event.wait()
            if self._write_status:
                raise GattError(self._write_status)


class ClientCharacteristic(_ClientAttribute):
    def __init__(self, service, end_handle, value_handle, properties, uuid):
        super().__init__(service.connection, value_handle, properties, uuid)
        self.service = service
        # Where the stack does not know: two descriptors at most.
        self._end_handle = end_handle if end_handle > value_handle else value_handle + 2
        self._notify_event = asyncio.ThreadSafeFlag()
        self._notify_queue = deque((), 1)  # noqa: RUF037 - a new one overwrites one not taken

    def __str__(self):
        handles = (self._end_handle, self._value_handle)
        return "Characteristic: {} {} {} {}".format(*handles, self.properties, self.uuid)

    @staticmethod
    def _start_discovery(service, uuid):
        handles = (service._start_handle, service._end_handle)
        ble.gattc_discover_characteristics(service.connection._conn_handle, *handles, uuid)

    def _on_notify(self, data):
        was_empty = not self._notify_queue
        self._notify_queue.append(data)
        if was_empty:
            self._notify_event.set()

    async def notified(self, timeout_ms=None):
        self._check(_FLAG_NOTIFY)
        self._register()
        with self.connection.timeout(timeout_ms):
            await self._notify_event.wait()
        return self._notify_queue.popleft()

    async def descriptor(self, uuid, timeout_ms=2000):
        return await first(self.descriptors(timeout_ms), uuid)

    def descriptors(self, timeout_ms=2000):
        return ClientDiscover(self.connection, ClientDescriptor, self, None)

    async def subscribe(self, notify=True, indicate=False):
        self._register()
        cccd = await self.descriptor(bluetooth.UUID(_CCCD))
        if not cccd:
            raise ValueError("CCCD not found")
        await cccd.write(struct.pack("<H", (1 if notify else 0) | (2 if indicate else 0)))


class ClientDescriptor(_ClientAttribute):
    def __init__(self, characteristic, handle, uuid):
        super().__init__(characteristic.connection, handle, _FLAG_WRITE, uuid)
        self.characteristic = characteristic

    @staticmethod
    def _start_discovery(characteristic, uuid):
        handles = (characteristic._value_handle, characteristic._end_handle)
        ble.gattc_discover_descriptors(characteristic.connection._conn_handle, *handles)
