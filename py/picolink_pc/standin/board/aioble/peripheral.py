# Simulator code for virtual boards, never installed on a board: aioble's advertising and services.

import asyncio
import struct

from micropython import const

from .core import ble, ensure_active, register_irq_handler
from .device import Device, DeviceConnection, DeviceTimeout

_IRQ_CENTRAL_CONNECT = const(1)
_IRQ_CENTRAL_DISCONNECT = const(2)
_IRQ_GATTS_WRITE = const(3)

_FLAG_READ = const(0x02)
_FLAG_WRITE_NO_RESPONSE = const(0x04)
_FLAG_WRITE = const(0x08)
_FLAG_NOTIFY = const(0x10)

# Types of advertising fields (Bluetooth Assigned Numbers, 2.3).
_ADV_FLAGS = const(0x01)
_ADV_NAME = const(0x09)
_ADV_APPEARANCE = const(0x19)
_ADV_MANUFACTURER = const(0xFF)
_ADV_UUIDS = ((2, 0x03), (4, 0x05), (16, 0x07))
_ADV_DATA_OCTETS = const(31)

_incoming = None  # the connection that advertise() has not returned yet
_connect_event = None
_characteristics = {}  # by value handle


def _peripheral_irq(event, data):
    global _incoming
    if event == _IRQ_CENTRAL_CONNECT:
        conn_handle, addr_type, addr = data
        _incoming = DeviceConnection(Device(addr_type, bytes(addr)))
        _incoming._conn_handle = conn_handle
        DeviceConnection._connected[conn_handle] = _incoming
        _connect_event.set()
    elif event == _IRQ_CENTRAL_DISCONNECT:
        connection = DeviceConnection._connected.get(data[0])
        if connection:
            connection._event.set()
    elif event == _IRQ_GATTS_WRITE:
        characteristic = _characteristics.get(data[1])
        if characteristic:
            characteristic._write_connection = DeviceConnection._connected.get(data[0])
            characteristic._write_event.set()


def _peripheral_shutdown():
    global _incoming, _connect_event
    _incoming = None
    _connect_event = None
    _characteristics.clear()


register_irq_handler(_peripheral_irq, _peripheral_shutdown)


class _Payload:
    def __init__(self):
        self.advertising = bytearray()
        self.response = bytearray()

    # The advertising data first, then the scan response; aioble leaves the last octet of each unused, and
    # counts the characters of a str.
    def add(self, kind, value):
        field = struct.pack("BB", len(value) + 1, kind) + value
        for data in (self.advertising, self.response):
            if len(data) + len(field) < _ADV_DATA_OCTETS:
                data.extend(field)
                return
        raise ValueError("Advertising payload too long")


async def advertise(
    interval_us,
    adv_data=None,
    resp_data=None,
    connectable=True,
    limited_disc=False,
    br_edr=False,
    name=None,
    services=None,
    appearance=0,
    manufacturer=None,
    timeout_ms=None,
):
    global _incoming, _connect_event
    ensure_active()
    if not adv_data and not resp_data:
        payload = _Payload()
        flags = (0x01 if limited_disc else 0x02) + (0x18 if br_edr else 0x04)
        payload.add(_ADV_FLAGS, struct.pack("B", flags))
        for size, kind in _ADV_UUIDS:
            octets = b"".join(bytes(uuid) for uuid in services or () if len(bytes(uuid)) == size)
            if octets:
                payload.add(kind, octets)
        if name:
            payload.add(_ADV_NAME, name)
        if appearance:
            payload.add(_ADV_APPEARANCE, struct.pack("<H", appearance))
        if manufacturer:
            payload.add(_ADV_MANUFACTURER, struct.pack("<H", manufacturer[0]) + manufacturer[1])
        adv_data = payload.advertising
        resp_data = payload.response or None
    _connect_event = _connect_event or asyncio.ThreadSafeFlag()
    ble.gap_advertise(interval_us, adv_data=adv_data, resp_data=resp_data, connectable=connectable)
    try:
        with DeviceTimeout(None, timeout_ms):
            await _connect_event.wait()
        connection = _incoming
        _incoming = None
        connection._watch()
        return connection
    except asyncio.CancelledError:
        ble.gap_advertise(None)  # as in aioble, the cancellation ends here
    except asyncio.TimeoutError:
        ble.gap_advertise(None)
        raise


class Service:
    def __init__(self, uuid):
        self.uuid = uuid
        self.characteristics = []


class Characteristic:
    def __init__(
        self,
        service,
        uuid,
        read=False,
        write=False,
        write_no_response=False,
        notify=False,
        initial=None,
    ):
        service.characteristics.append(self)
        self.uuid = uuid
        self.flags = (
            (_FLAG_READ if read else 0)
            | (_FLAG_WRITE if write else 0)
            | (_FLAG_WRITE_NO_RESPONSE if write_no_response else 0)
            | (_FLAG_NOTIFY if notify else 0)
        )
        self._value_handle = None
        self._initial = initial
        self._write_event = asyncio.ThreadSafeFlag()
        self._write_connection = None

    def read(self):
        if self._value_handle is None:
            return self._initial or b""
        return ble.gatts_read(self._value_handle)

    def write(self, data, send_update=False):
        if self._value_handle is None:
            self._initial = data
        else:
            ble.gatts_write(self._value_handle, data, send_update)

    async def written(self, timeout_ms=None):
        with DeviceTimeout(None, timeout_ms):
            await self._write_event.wait()
        connection = self._write_connection
        self._write_connection = None
        return connection

    def notify(self, connection, data=None):
        if not self.flags & _FLAG_NOTIFY:
            raise ValueError("Not supported")
        ble.gatts_notify(connection._conn_handle, self._value_handle, data)


def register_services(*services):
    ensure_active()
    _characteristics.clear()
    layout = tuple(
        (service.uuid, tuple((c.uuid, c.flags) for c in service.characteristics)) for service in services
    )
    handles = ble.gatts_register_services(layout)
    for i, service in enumerate(services):
        for j, characteristic in enumerate(service.characteristics):
            handle = handles[i][j]
            characteristic._value_handle = handle
            _characteristics[handle] = characteristic
            if characteristic._initial is not None:
                characteristic.write(characteristic._initial)
