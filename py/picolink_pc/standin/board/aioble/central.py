# Simulator code for virtual boards, never installed on a board: aioble's scanning and connecting.

import asyncio

import bluetooth
from micropython import const

from .core import ble, ensure_active, register_irq_handler
from .device import Device, DeviceConnection, DeviceTimeout

_IRQ_SCAN_RESULT = const(5)
_IRQ_SCAN_DONE = const(6)
_IRQ_PERIPHERAL_CONNECT = const(7)
_IRQ_PERIPHERAL_DISCONNECT = const(8)

_ADV_IND = const(0)
_ADV_NONCONN_IND = const(3)
_SCAN_RSP = const(4)

# Types of advertising fields (Bluetooth Assigned Numbers, 2.3).
_NAMES = (0x08, 0x09)
_UUID_FIELDS = ((2, (0x02, 0x03)), (4, (0x04, 0x05)), (16, (0x06, 0x07)))

_active_scanner = None
_connecting = set()  # devices


def _central_irq(event, data):
    if event == _IRQ_SCAN_RESULT:
        if _active_scanner:
            addr_type, addr, adv_type, rssi, adv_data = data
            _active_scanner._queue.append((addr_type, bytes(addr), adv_type, rssi, bytes(adv_data)))
            _active_scanner._event.set()
    elif event == _IRQ_SCAN_DONE:
        if _active_scanner:
            _active_scanner._done = True
            _active_scanner._event.set()
    elif event == _IRQ_PERIPHERAL_CONNECT:
        conn_handle, addr_type, addr = data
        for device in _connecting:
            if device.addr_type == addr_type and device.addr == addr:
                device._connection._conn_handle = conn_handle
                device._connection._event.set()
                break
    elif event == _IRQ_PERIPHERAL_DISCONNECT:
        connection = DeviceConnection._connected.get(data[0])
        if connection:
            connection._event.set()


def _central_shutdown():
    global _active_scanner
    _active_scanner = None
    _connecting.clear()


register_irq_handler(_central_irq, _central_shutdown)


async def _cancel_scan():
    if _active_scanner:
        await _active_scanner.cancel()


async def _connect(connection, timeout_ms, scan_duration_ms, min_us, max_us):
    device = connection.device
    if device in _connecting:
        return
    ensure_active()
    await _cancel_scan()
    _connecting.add(device)
    try:
        with DeviceTimeout(None, timeout_ms):
            # As in aioble, nobody takes this back when the time is up.
            ble.gap_connect(device.addr_type, device.addr, scan_duration_ms, min_us, max_us)
            await connection._event.wait()
            DeviceConnection._connected[connection._conn_handle] = connection
    finally:
        _connecting.remove(device)


# One device that a scan has found; the same object again whenever something about it is new.
class ScanResult:
    def __init__(self, device):
        self.device = device
        self.adv_data = None
        self.resp_data = None
        self.rssi = None
        self.connectable = False

    def _update(self, adv_type, rssi, adv_data):
        new = rssi != self.rssi
        self.rssi = rssi
        if adv_type == _SCAN_RSP:
            if adv_data and adv_data != self.resp_data:
                self.resp_data = adv_data
                new = True
        elif adv_type in (_ADV_IND, _ADV_NONCONN_IND) and adv_data != self.adv_data:
            self.adv_data = adv_data
            self.connectable = adv_type == _ADV_IND
            new = True
        return new

    def __str__(self):
        return "Scan result: {} {}".format(self.device, self.rssi)

    # Contents of the fields of these types, in order.
    def _fields(self, types):
        for data in (self.adv_data, self.resp_data):
            at = 0
            while data and at + 1 < len(data):
                end = at + 1 + data[at]
                if data[at + 1] in types:
                    yield data[at + 2 : end]
                at = end

    def name(self):
        for field in self._fields(_NAMES):
            return str(field, "utf-8")
        return None

    def services(self):
        for size, types in _UUID_FIELDS:
            for field in self._fields(types):
                for at in range(0, len(field), size):
                    yield bluetooth.UUID(field[at : at + size])


class scan:  # noqa: N801 - aioble's name
    def __init__(self, duration_ms, interval_us=None, window_us=None, active=False):
        self._parameters = (duration_ms, interval_us or 1280000, window_us or 11250, active)
        self._queue = []
        self._event = asyncio.ThreadSafeFlag()
        self._done = False
        self._results = []

    async def __aenter__(self):
        global _active_scanner
        ensure_active()
        await _cancel_scan()
        _active_scanner = self
        ble.gap_scan(*self._parameters)
        return self

    async def __aexit__(self, exc_type, exc, traceback):
        if _active_scanner == self:
            await self.cancel()

    def __aiter__(self):
        return self

    async def __anext__(self):
        global _active_scanner
        while _active_scanner == self:
            while self._queue:
                addr_type, addr, adv_type, rssi, adv_data = self._queue.pop()
                result = self._result_of(Device(addr_type, addr))
                if result._update(adv_type, rssi, adv_data):
                    return result
            if self._done:
                _active_scanner = None
            else:
                await self._event.wait()
        raise StopAsyncIteration

    def _result_of(self, device):
        for result in self._results:
            if result.device == device:
                return result
        result = ScanResult(device)
        self._results.append(result)
        return result

    async def cancel(self):
        global _active_scanner
        if self._done:
            return
        ble.gap_scan(None)
        while not self._done:
            await self._event.wait()
        _active_scanner = None
