# Simulator code for virtual boards, never installed on a board: takes the place of aioble.
#
# Advertising, scanning and connections.

import asyncio
import binascii

import bluetooth

from . import core, gatt
from .core import DeviceDisconnectedError, Wait, ble

_SCAN_RESPONSE = 4  # a type of advertising report

# Types of advertising data: Supplement to the Core Specification, part A.
_FLAGS = 0x01
_UUIDS_128 = (0x06, 0x07)
_NAMES = (0x08, 0x09)
_MANUFACTURER = 0xFF
_GENERAL_DISCOVERABLE_LE_ONLY = b"\x06"
_PAYLOAD = 30  # bytes: aioble leaves one of the 31 unused

_active_scanner = None  # picolink resets it in aioble; here a scan that did not begin leaves nothing behind


def _field(kind, value):
    return bytes((len(value) + 1, kind)) + value


def _fields(payload):
    at = 0
    while at + 1 < len(payload) and payload[at]:
        end = at + 1 + payload[at]
        yield payload[at + 1], payload[at + 2 : end]
        at = end


# Cancelled, it stops advertising and returns None: so does aioble's.
async def advertise(interval_us, name, services, manufacturer=None, timeout_ms=None):
    core.ensure_active()
    if isinstance(name, str):
        name = name.encode()
    fields = [
        (_FLAGS, _GENERAL_DISCOVERABLE_LE_ONLY),
        (_UUIDS_128[1], b"".join(bytes(uuid) for uuid in services)),
        (_NAMES[1], name),
    ]
    if manufacturer:
        fields.append((_MANUFACTURER, manufacturer[0].to_bytes(2, "little") + manufacturer[1]))
    data = response = b""
    for kind, value in fields:  # each where there is room, as aioble does
        field = _field(kind, value)
        if len(data) + len(field) <= _PAYLOAD:
            data += field
        elif len(response) + len(field) <= _PAYLOAD:
            response += field
        else:
            raise ValueError("Advertising payload too long")
    with Wait((core.CENTRAL_CONNECT,), keep=_begin) as wait:
        ble.gap_advertise(interval_us, adv_data=data, resp_data=response)
        try:
            return (await asyncio.wait_for_ms(wait.next(), timeout_ms))[1].watched()
        except (asyncio.CancelledError, asyncio.TimeoutError) as e:
            ble.gap_advertise(None)
            if isinstance(e, asyncio.TimeoutError):
                raise


def _copy_report(data):
    return data and (data[0], bytes(data[1]), data[2], data[3], bytes(data[4]))


class scan:  # noqa: N801 - to its users it is a function
    def __init__(self, duration_ms, interval_us, window_us, active):
        self._arguments = (duration_ms, interval_us, window_us, active)
        self._wait = Wait((core.SCAN_RESULT, core.SCAN_DONE), keep=_copy_report)
        self._results = {}
        self._done = False

    async def __aenter__(self):
        core.ensure_active()
        ble.gap_scan(*self._arguments)
        self._wait.__enter__()
        return self

    async def __aexit__(self, exc_type, exc, traceback):
        self._wait.__exit__(exc_type, exc, traceback)
        if not self._done:
            ble.gap_scan(None)

    def __aiter__(self):
        return self

    async def __anext__(self):
        while True:
            event, report = await self._wait.next()
            if event == core.SCAN_DONE:
                self._done = True
                raise StopAsyncIteration
            device = report[:2]
            if device not in self._results:
                self._results[device] = _Result(Device(*device))
            if self._results[device].learn(*report[2:]):
                return self._results[device]


class _Result:
    def __init__(self, device):
        self.device = device
        self.rssi = None  # dBm
        self._advertised = None
        self._responded = None

    # Returns whether the report says what was not known.
    def learn(self, kind, rssi, payload):
        self.rssi = rssi
        before = (self._advertised, self._responded)
        if kind == _SCAN_RESPONSE:
            self._responded = payload
        else:
            self._advertised = payload
        return before != (self._advertised, self._responded)

    def _values(self, kinds):
        for kind, value in _fields((self._advertised or b"") + (self._responded or b"")):
            if kind in kinds:
                yield value

    def name(self):
        for value in self._values(_NAMES):
            return value.decode()
        return None

    def services(self):
        for value in self._values(_UUIDS_128):
            for at in range(0, len(value), 16):
                yield bluetooth.UUID(value[at : at + 16])


class Device:
    def __init__(self, addr_type, addr):
        self.addr_type = addr_type
        self.addr = addr

    def addr_hex(self):
        return binascii.hexlify(self.addr, ":").decode()

    def _connected(self, data):
        if (data[1], bytes(data[2])) == (self.addr_type, self.addr):
            return Connection(data)
        return None

    # An attempt that takes too long stays pending in the host stack: so does aioble's.
    async def connect(
        self,
        timeout_ms=10_000,
        scan_duration_ms=None,
        min_conn_interval_us=None,
        max_conn_interval_us=None,
    ):
        core.ensure_active()
        with Wait((core.PERIPHERAL_CONNECT,), keep=self._connected) as wait:
            intervals = (min_conn_interval_us, max_conn_interval_us)
            ble.gap_connect(self.addr_type, self.addr, scan_duration_ms, *intervals)
            connection = (await asyncio.wait_for_ms(wait.next(), timeout_ms))[1]
        connection.begin()  # not in the handler: aioble, too, does not see a drop before this
        return connection.watched()


def _begin(data):
    connection = Connection(data)
    connection.begin()
    return connection


class Connection:
    def __init__(self, data):  # of the event that tells of it
        self._conn_handle, addr_type, addr = data
        self.device = Device(addr_type, bytes(addr))
        self.mtu = None
        self._event = asyncio.ThreadSafeFlag()  # it has dropped

    def begin(self):
        core.connections[self._conn_handle] = self

    # Itself. A task lasts as long as it does, as aioble's.
    def watched(self):
        self._watch = asyncio.create_task(self._event.wait())
        return self

    def is_connected(self):
        return self._conn_handle is not None

    async def disconnected(self):
        try:
            with Wait((), self) as wait:
                await wait.next()
        except DeviceDisconnectedError:
            pass

    async def disconnect(self):
        handle = self._conn_handle
        if handle is not None:
            ble.gap_disconnect(handle)
        await self.disconnected()

    def timeout(self, timeout_ms):
        return _Limit(self, timeout_ms)

    async def exchange_mtu(self, mtu, timeout_ms=1000):
        with Wait((core.MTU_EXCHANGED,), self) as wait:
            ble.config(mtu=mtu)
            ble.gattc_exchange_mtu(wait.handle)
            await asyncio.wait_for_ms(wait.next(), timeout_ms)
        return self.mtu

    async def service(self, uuid):
        return await gatt.find_service(self, uuid)


# What is done in it ends with the connection, or after timeout_ms (ms).
class _Limit:
    def __init__(self, connection, timeout_ms):
        self._connection = connection
        self._timeout_ms = timeout_ms
        self._broken = None

    def __enter__(self):
        self._task = asyncio.current_task()
        self._watch = asyncio.create_task(self._break())

    def __exit__(self, exc_type, exc, traceback):
        self._watch.cancel()
        if self._broken and exc_type is asyncio.CancelledError:
            raise self._broken

    async def _break(self):
        try:
            await asyncio.wait_for_ms(self._connection.disconnected(), self._timeout_ms)
            self._broken = DeviceDisconnectedError()
        except asyncio.TimeoutError as e:
            self._broken = e
        self._task.cancel()
