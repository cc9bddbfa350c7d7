"""A Bluetooth adapter on a virtual radio for programs on this PC: backends for bleak on a Bumble host.

radio = virtual_adapter.radio()                 # that of the `picolink run` or `emulate` which runs now
async with picolink.connect("PicoA", radio=radio) as link: ...
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path

from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.client import BaseBleakClient
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData, BaseBleakScanner
from bleak.backends.service import BleakGATTService, BleakGATTServiceCollection
from bleak.exc import BleakBluetoothNotAvailableError, BleakBluetoothNotAvailableReason, BleakError
from bleak.uuids import normalize_uuid_str
from bumble import core, hci
from bumble.device import Advertisement, Connection, Device, DeviceConfiguration, Peer
from bumble.gatt import Characteristic
from bumble.host import Host
from bumble.transport.common import AsyncPipeSink
from picolink.radio.bleak import Radio

from . import radio_door
from .radio.virtual_radio import VirtualRadio

_MTU = 517
"""As BlueZ asks for."""

_P = Characteristic.Properties
_PROPERTIES = {
    _P.READ: "read",
    _P.WRITE: "write",
    _P.WRITE_WITHOUT_RESPONSE: "write-without-response",
    _P.NOTIFY: "notify",
    _P.INDICATE: "indicate",
}


class Adapter:
    """A Bumble host, powered on when it is first needed.

    power_on: coroutine function: a controller for a host is there, see the functions below.
    """

    def __init__(self, power_on: Callable[["Adapter"], Awaitable[Device]]) -> None:
        self._power_on = power_on
        self._device: Device | None = None
        self._powering = asyncio.Lock()
        self.scanners: set[BaseBleakScanner] = set()
        self.clients: set[BaseBleakClient] = set()

    async def device(self) -> Device:
        """Raises BleakBluetoothNotAvailableError when there is no radio, or no longer one."""
        async with self._powering:
            if self._device is None:
                try:
                    self._device = await self._power_on(self)
                except OSError as error:
                    raise not_available(str(error)) from None
                self._device.on(Device.EVENT_ADVERTISEMENT, self._on_advertisement)
            return self._device

    def lost(self) -> None:
        """The radio is gone: so are all connections."""
        self._device = None
        for client in list(self.clients):
            client.on_disconnection()

    def _on_advertisement(self, advertisement: Advertisement) -> None:
        for scanner in list(self.scanners):
            scanner.on_advertisement(advertisement)


def not_available(why: str) -> BleakBluetoothNotAvailableError:
    return BleakBluetoothNotAvailableError(why, BleakBluetoothNotAvailableReason.UNKNOWN)


class Scanner(BaseBleakScanner):
    """Made by bleak.BleakScanner(backend=...).  adapter: of each subclass, see radio_of."""

    adapter: Adapter

    def __init__(self, detection_callback, service_uuids, scanning_mode, **_others) -> None:  # noqa: ARG002
        super().__init__(detection_callback, service_uuids)

    async def start(self) -> None:
        self.seen_devices = {}
        device = await self.adapter.device()
        first = not self.adapter.scanners
        self.adapter.scanners.add(self)
        if first:
            await device.start_scanning(legacy=True, own_address_type=hci.OwnAddressType.PUBLIC)

    async def stop(self) -> None:
        self.adapter.scanners.discard(self)
        if not self.adapter.scanners and self.adapter._device:
            await self.adapter._device.stop_scanning(legacy=True)

    def on_advertisement(self, found: Advertisement) -> None:
        data = found.data
        services = data.get(core.AdvertisingData.Type.COMPLETE_LIST_OF_128_BIT_SERVICE_CLASS_UUIDS)
        uuids = [_uuid(uuid) for uuid in services or ()]
        if not self.is_allowed_uuid(uuids):
            return
        name = data.get(core.AdvertisingData.Type.COMPLETE_LOCAL_NAME, raw=True)
        name = name and name.decode(errors="replace")
        advertised = AdvertisementData(name, _manufacturers(data), {}, uuids, None, found.rssi, ())
        address = found.address.to_string(with_type_qualifier=False)
        details = {"address": found.address}
        device = self.create_or_update_device(address, address, name, details, advertised)
        self.call_detection_callbacks(device, advertised)


def _manufacturers(data: core.AdvertisingData) -> dict[int, bytes]:
    """Manufacturer's data, by company."""
    fields = data.get_all(core.AdvertisingData.Type.MANUFACTURER_SPECIFIC_DATA, raw=True)
    return {int.from_bytes(each[:2], "little"): each[2:] for each in fields if len(each) >= 2}


class Client(BaseBleakClient):
    """Made by bleak.BleakClient(backend=...).  adapter: as Scanner's."""

    adapter: Adapter

    def __init__(
        self, device: BLEDevice, services=None, *, disconnected_callback, timeout, **_others
    ) -> None:
        super().__init__(device, disconnected_callback=disconnected_callback, timeout=timeout)
        self._target = device.details["address"]
        self._wanted = services
        self._connection: Connection | None = None
        self._ended: asyncio.Future | None = None  # set when the connection ends, for who waits for an answer

    @property
    def name(self) -> str:
        return self.address

    @property
    def mtu_size(self) -> int:
        return 23  # as with BlueZ: nobody is to rely on it

    @property
    def is_connected(self) -> bool:
        return self._connection is not None

    async def connect(self, pair: bool = False, **_others: object) -> None:  # noqa: ARG002
        device = await self.adapter.device()
        try:
            async with asyncio.timeout(self._timeout):
                self._connection = await self._connection_of(device)
                self._ended = asyncio.get_running_loop().create_future()
                self.adapter.clients.add(self)
                self._connection.on(Connection.EVENT_DISCONNECTION, self.on_disconnection)
                peer = Peer(self._connection)
                await self._or_end(peer.request_mtu(_MTU))
                await self._or_end(self._discover(peer))
        except BaseException as error:
            await self.disconnect()
            if isinstance(error, (core.BaseBumbleError, hci.HCI_Error)):
                raise BleakError(str(error) or type(error).__name__) from error
            raise

    async def _connection_of(self, device: Device) -> Connection:
        try:
            return await device.connect(
                self._target, own_address_type=hci.OwnAddressType.PUBLIC, timeout=None
            )
        except BaseException:
            # Bumble leaves the attempt pending in the controller.
            with contextlib.suppress(hci.HCI_Error):
                await device.send_sync_command(hci.HCI_LE_Create_Connection_Cancel_Command())
            raise

    async def _or_end(self, work: Awaitable[object]) -> object:
        """Bumble waits for an answer 30 s, though the connection is over, or cancels what waits for it."""
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait([task, self._ended], return_when=asyncio.FIRST_COMPLETED)
            if not task.done() or task.cancelled():
                raise BleakError("disconnected")
            return task.result()
        finally:
            task.cancel()

    async def _discover(self, peer: Peer) -> None:
        self.services = BleakGATTServiceCollection()
        for found in await peer.discover_services():
            if self._wanted and _uuid(found.uuid) not in self._wanted:
                continue
            service = BleakGATTService(found, found.handle, _uuid(found.uuid))
            self.services.add_service(service)
            for each in await found.discover_characteristics():
                self.services.add_characteristic(
                    BleakGATTCharacteristic(
                        each,
                        each.handle,
                        _uuid(each.uuid),
                        [name for flag, name in _PROPERTIES.items() if each.properties & flag],
                        lambda: self._connection.att_mtu - 3,
                        service,
                    )
                )

    def on_disconnection(self, _reason: int = 0) -> None:
        if self._connection is None:
            return
        self._connection = None
        self.adapter.clients.discard(self)
        self._ended.set_result(None)
        if self._disconnected_callback:
            self._disconnected_callback()

    async def disconnect(self) -> None:
        if self._connection:
            with contextlib.suppress(core.BaseBumbleError, hci.HCI_Error):
                await self._connection.disconnect()

    async def pair(self, *_arguments: object, **_others: object) -> None:
        raise NotImplementedError

    async def unpair(self) -> None:
        raise NotImplementedError

    async def read_gatt_char(self, characteristic, **_others) -> bytearray:
        return bytearray(await self._or_end(characteristic.obj.read_value()))

    async def read_gatt_descriptor(self, descriptor, **_others) -> bytearray:
        raise NotImplementedError

    async def write_gatt_descriptor(self, descriptor, data) -> None:
        raise NotImplementedError

    async def write_gatt_char(self, characteristic, data, response) -> None:
        if self._connection is None:
            raise BleakError("Not connected")
        await characteristic.obj.write_value(bytes(data), with_response=response)

    async def start_notify(self, characteristic, callback, **_others) -> None:
        await self._or_end(characteristic.obj.subscribe(lambda value: callback(bytearray(value))))

    async def stop_notify(self, characteristic) -> None:
        await self._or_end(characteristic.obj.unsubscribe())


def _uuid(uuid: core.UUID) -> str:
    return normalize_uuid_str(uuid.to_hex_str("-"))


def radio_of(adapter: Adapter) -> Radio:
    """A radio for picolink.connect()."""
    members = {"adapter": adapter}
    return Radio(
        client=type("VirtualClient", (Client,), members), scanner=type("VirtualScanner", (Scanner,), members)
    )


def on(radio: VirtualRadio, address: str) -> Radio:
    """An adapter on a virtual radio in this process.  address: such as "28:CD:C1:00:01:01"."""

    async def power_on(_adapter: Adapter) -> Device:
        controller = radio.add_controller("PC", hci.Address(address, hci.AddressType.PUBLIC_DEVICE))
        return await _powered(Host(controller, AsyncPipeSink(controller)))

    return radio_of(Adapter(power_on))


def radio(door: Path | None = None) -> Radio:
    """An adapter on the radio of the `picolink run` or `emulate` that began last; door: on another one's."""

    async def power_on(adapter: Adapter) -> Device:
        return await _powered(await radio_door.enter(adapter.lost, door))

    return radio_of(Adapter(power_on))


async def _powered(host: Host) -> Device:
    device = Device(config=DeviceConfiguration(name="PC"), host=host)
    await device.power_on()
    return device
