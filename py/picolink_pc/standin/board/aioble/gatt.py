# Simulator code for virtual boards, never installed on a board: takes the place of aioble.
#
# Services: those that a board offers, and those that it finds at its peer.

import struct

import bluetooth

from .core import GattError, Wait, ble, ensure_active

# The results of a discovery; its end has the next number.
_SERVICE = 9
_CHARACTERISTIC = 11
_DESCRIPTOR = 13
_WRITE_DONE = 17

_CCCD = bluetooth.UUID(0x2902)


class Service:
    def __init__(self, uuid):
        self.uuid = uuid
        self.characteristics = []


class Characteristic:
    def __init__(self, service, uuid, notify=False, write_no_response=False):
        self.uuid = uuid
        self.flags = bluetooth.FLAG_NOTIFY if notify else 0
        if write_no_response:
            self.flags |= bluetooth.FLAG_WRITE_NO_RESPONSE
        self._value_handle = None
        service.characteristics.append(self)


def register_services(*services):
    ensure_active()
    tables = [(service.uuid, [(c.uuid, c.flags) for c in service.characteristics]) for service in services]
    registered = ble.gatts_register_services(tables)
    for i, service in enumerate(services):
        for j, characteristic in enumerate(service.characteristics):
            characteristic._value_handle = registered[i][j]


# The first result of a discovery that ends in `uuid`, without the handle of the connection; or None.
async def _discover(connection, kind, uuid, start, *arguments):
    first = None
    with Wait((kind, kind + 1), connection) as wait:
        start(wait.handle, *arguments)
        while True:
            event, result = await wait.next()
            if event != kind:
                return first
            if result[-1] == uuid:
                first = first or result[1:]


async def find_service(connection, uuid):
    found = await _discover(connection, _SERVICE, uuid, ble.gattc_discover_services, uuid)
    return found and _PeerService(connection, *found[:2])


class _PeerService:
    def __init__(self, connection, first, last):
        self._connection = connection
        self._first = first
        self._last = last

    async def characteristic(self, uuid):
        where = (ble.gattc_discover_characteristics, self._first, self._last)
        found = await _discover(self._connection, _CHARACTERISTIC, uuid, *where, uuid)
        return found and _PeerCharacteristic(self._connection, *found[:2])


class _PeerCharacteristic:
    def __init__(self, connection, last, value_handle):
        self._connection = connection
        self._last = last
        self._value_handle = value_handle

    async def subscribe(self, notify=True):
        where = (ble.gattc_discover_descriptors, self._value_handle, self._last)
        found = await _discover(self._connection, _DESCRIPTOR, _CCCD, *where)
        if not found:
            raise ValueError("the peer's characteristic has no CCCD")
        await self._request_write(found[0], struct.pack("<H", int(notify)))

    async def write(self, data, response=False):
        if response:
            await self._request_write(self._value_handle, data)
        else:
            ble.gattc_write(self._connection._conn_handle, self._value_handle, data, 0)

    async def _request_write(self, handle, data):
        with Wait((_WRITE_DONE,), self._connection) as wait:
            ble.gattc_write(wait.handle, handle, data, 1)
            _, (_, _, status) = await wait.next()
        if status:
            raise GattError(status)
