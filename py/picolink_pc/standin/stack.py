"""A host stack from power-on to power-off of a board: what BTstack and the HCI do on a Pico W.

Behind it is a Bumble device on a controller of the virtual radio.  Here are power, advertising, scanning and
connections; `gatt` has the rest.
"""

import asyncio
import contextlib
import logging
import struct
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING

from bumble import att, core, hci
from bumble.device import AdvertisingType, Connection, Device, DeviceConfiguration
from bumble.host import Host
from bumble.transport.common import AsyncPipeSink

from .board import standin_ops as ops
from .board_socket import BoardSocket, BoardStream
from .gatt import Gatt

if TYPE_CHECKING:
    from .host import StandinHost

_log = logging.getLogger(__name__)

_PERIPHERAL_LATENCY = 4
_CONNECT_SCAN_INTERVAL = 96
_CONNECT_SCAN_WINDOW = 48
"""In events and in units of 0.625 ms: fixed in extmod/btstack/modbluetooth_btstack.c of MicroPython."""

_ADDRESS_TYPE_NONE = 0xFF
"""Where the firmware knows no address."""


class _Host(Host):
    """Bumble's, which a controller can ask how much the board has not taken yet (see RadioController)."""

    def __init__(self, controller, board: BoardSocket | BoardStream) -> None:
        super().__init__(controller, AsyncPipeSink(controller))
        self._board = board

    @property
    def backlog(self) -> int:
        return self._board.backlog


class Stack:
    """owner: whose board this is.  board: the socket to it.

    device: Bumble's, None while the board's stack is inactive.  preferred_mtu: what the board would agree to.
    """

    def __init__(self, owner: "StandinHost", board: BoardSocket | BoardStream) -> None:
        self.owner = owner
        self.device: Device | None = None
        self.preferred_mtu = owner.mtu
        self._board = board
        board.on_message, board.on_end = self._on_message, self.power_off
        self.tell = self._board.tell
        self._gatt = Gatt(self)
        self._tasks: set[asyncio.Task] = set()
        self._gap_lock = asyncio.Lock()
        self._controller = None
        self._scan_timer: asyncio.TimerHandle | None = None
        self._advertising: Callable[[Device], Coroutine] | None = None
        self._handlers = {
            ops.ACTIVATE: self._on_activate,
            ops.DEACTIVATE: self._on_deactivate,
            ops.PREFERRED_MTU: self._on_preferred_mtu,
            ops.ADVERTISE: self._on_advertise,
            ops.STOP_ADVERTISING: self._on_stop_advertising,
            ops.SCAN: self._on_scan,
            ops.STOP_SCAN: self._on_stop_scan,
            ops.CONNECT: self._on_connect,
            ops.CANCEL_CONNECT: self._on_cancel_connect,
            ops.DISCONNECT: self._on_disconnect,
            **self._gatt.handlers,
        }

    def _on_message(self, message: bytes) -> None:
        self._handlers[message[0]](message)

    def start(self, work: Coroutine) -> None:
        """Do this in a task that ends with the board's power."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._on_task_done)

    def _on_task_done(self, task: asyncio.Task) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception():
            _log.error("%s: %s", self.owner.name, task.exception(), exc_info=task.exception())

    def _start_gap(self, work: Callable[[Device], Coroutine]) -> None:
        """One after the other, in the order of the board's calls."""

        async def in_turn() -> None:
            async with self._gap_lock:
                if self.device:
                    await work(self.device)

        self.start(in_turn())

    # ---- Power

    def power_off(self) -> None:
        """As if the power was cut: nothing is said on the air, the peer has to notice."""
        self._board.close()
        for task in self._tasks:
            task.cancel()
        if self._scan_timer:
            self._scan_timer.cancel()
        self._remove_controller()

    def _remove_controller(self) -> None:
        self.device = None
        if self._controller in self.owner.radio.controllers:
            self.owner.radio.remove_controller(self._controller)

    def _on_activate(self, _message: bytes) -> None:
        self.start(self._activate())

    async def _activate(self) -> None:
        address = hci.Address(self.owner.address, hci.AddressType.PUBLIC_DEVICE)
        self._controller = self.owner.radio.add_controller(self.owner.name, address)
        host = _Host(self._controller, self._board)
        device = Device(config=DeviceConfiguration(name=self.owner.name), host=host)
        device.l2cap_channel_manager.register_fixed_channel(att.ATT_CID, self._gatt.on_pdu)
        device.on(Device.EVENT_CONNECTION, self._on_connection)
        device.on(Device.EVENT_CONNECTION_FAILURE, self._on_connection_failure)
        host.on("advertising_report", self._on_advertising_report)
        self.owner.stalls = 0
        await device.power_on()
        host.le_acl_packet_queue.on("flow", self._gatt.pump)
        self.device = device
        self._gatt.register([])
        self.tell(bytes((ops.REPLY, address.address_type)) + bytes(address)[::-1])

    def _on_deactivate(self, _message: bytes) -> None:
        self.start(self._deactivate())

    async def _deactivate(self) -> None:
        self._advertising = None
        async with self._gap_lock:
            for connection in list(self.device.connections.values()):
                await _disconnect(connection)
            self._remove_controller()
        self.tell(bytes((ops.REPLY,)))

    def _on_preferred_mtu(self, message: bytes) -> None:
        (mtu,) = struct.unpack("<xH", message)
        self.preferred_mtu = min(mtu, self.owner.mtu)
        self.device.gatt_server.max_mtu = self.preferred_mtu

    # ---- Advertising, scanning, connecting

    def _on_advertise(self, message: bytes) -> None:
        interval_us, connectable, length = struct.unpack_from("<xIBB", message)
        data, response = message[7 : 7 + length], message[7 + length :]
        kinds = (AdvertisingType.UNDIRECTED_SCANNABLE, AdvertisingType.UNDIRECTED_CONNECTABLE_SCANNABLE)
        self._advertising = lambda device: device.start_advertising(
            advertising_type=kinds[connectable],
            own_address_type=hci.OwnAddressType.PUBLIC,
            advertising_data=data,
            scan_response_data=response,
            advertising_interval_min=interval_us / 1000,
            advertising_interval_max=interval_us / 1000,
        )
        self._start_gap(self._advertising)

    def _on_stop_advertising(self, _message: bytes) -> None:
        self._advertising = None
        self._start_gap(Device.stop_advertising)

    def _on_scan(self, message: bytes) -> None:
        duration_ms, interval_us, window_us, active = struct.unpack("<xIIIB", message)

        async def scan(device: Device) -> None:
            await self._stop_scan(device)
            await device.start_scanning(
                legacy=True,
                active=bool(active),
                own_address_type=hci.OwnAddressType.PUBLIC,
                scan_interval=interval_us / 1000,
                scan_window=window_us / 1000,
            )
            if duration_ms:
                self._scan_timer = asyncio.get_running_loop().call_later(
                    duration_ms / 1000, self._on_scan_over
                )

        self._start_gap(scan)

    def _on_scan_over(self) -> None:
        self._start_gap(self._stop_scan)
        self.tell(bytes((ops.SCAN_DONE,)))

    def _on_stop_scan(self, _message: bytes) -> None:
        self._start_gap(self._stop_scan)

    async def _stop_scan(self, device: Device) -> None:
        if self._scan_timer:
            self._scan_timer.cancel()
            self._scan_timer = None
        if device.is_scanning:
            await device.stop_scanning(legacy=True)

    def _on_advertising_report(self, report) -> None:
        address = report.address
        head = struct.pack("<BBBb", ops.SCAN_RESULT, address.address_type, report.event_type, report.rssi)
        self.tell(head + bytes(address)[::-1] + report.data)

    def _on_connect(self, message: bytes) -> None:
        address_type, address, shortest, longest, timeout = struct.unpack("<xB6sHHH", message)
        command = hci.HCI_LE_Create_Connection_Command(
            le_scan_interval=_CONNECT_SCAN_INTERVAL,
            le_scan_window=_CONNECT_SCAN_WINDOW,
            initiator_filter_policy=0,
            peer_address_type=address_type,
            peer_address=hci.Address(address[::-1], hci.AddressType(address_type)),
            own_address_type=hci.OwnAddressType.PUBLIC,
            connection_interval_min=shortest,
            connection_interval_max=longest,
            max_latency=_PERIPHERAL_LATENCY,
            supervision_timeout=timeout,
            min_ce_length=0,
            max_ce_length=0,
        )

        async def connect(device: Device) -> None:
            # Not by Device.connect, which cannot be cancelled before the controller has answered.
            device.connect_own_address_type = hci.OwnAddressType.PUBLIC
            try:
                await device.send_async_command(command)
            except hci.HCI_Error as error:
                self._on_connection_failure(error)

        self._start_gap(connect)

    def _on_connection_failure(self, error: Exception) -> None:
        _log.info("%s: not connected: %s", self.owner.name, error)
        self.tell(struct.pack("<BHB6x", ops.PERIPHERAL_CONNECT, 0, ops.CANCELLED))

    def _on_cancel_connect(self, _message: bytes) -> None:
        async def cancel(device: Device) -> None:
            with contextlib.suppress(hci.HCI_Error):  # connected meanwhile
                await device.send_sync_command(hci.HCI_LE_Create_Connection_Cancel_Command())

        self._start_gap(cancel)

    def _on_connection(self, connection: Connection) -> None:
        central = connection.role == hci.Role.CENTRAL
        handle = connection.handle
        self._gatt.on_connection()
        peer = connection.peer_address
        op = ops.PERIPHERAL_CONNECT if central else ops.CENTRAL_CONNECT
        self.tell(struct.pack("<BHB6s", op, handle, peer.address_type, bytes(peer)[::-1]))

        def on_disconnection(_reason: int) -> None:
            self._gatt.on_disconnection()
            op = ops.PERIPHERAL_DISCONNECT if central else ops.CENTRAL_DISCONNECT
            self.tell(struct.pack("<BHB6x", op, handle, _ADDRESS_TYPE_NONE))
            if self._advertising:  # BTstack goes on until it is told to stop
                self._start_gap(self._advertising)

        def on_mtu() -> None:
            self.tell(struct.pack("<BHH", ops.MTU_EXCHANGED, handle, connection.att_mtu))

        def on_parameters() -> None:
            now = connection.parameters
            interval, timeout = round(now.connection_interval / 1.25), round(now.supervision_timeout / 10)
            fields = (handle, interval, now.peripheral_latency, timeout, 0)
            self.tell(struct.pack("<B5H", ops.CONNECTION_UPDATE, *fields))

        connection.on(connection.EVENT_DISCONNECTION, on_disconnection)
        connection.on(connection.EVENT_CONNECTION_ATT_MTU_UPDATE, on_mtu)
        connection.on(connection.EVENT_CONNECTION_PARAMETERS_UPDATE, on_parameters)

    def _on_disconnect(self, message: bytes) -> None:
        (handle,) = struct.unpack("<xH", message)
        connection = self.device.connections.get(handle)
        if connection:
            self.start(_disconnect(connection))


async def _disconnect(connection: Connection) -> None:
    with contextlib.suppress(hci.HCI_Error, core.ConnectionError):  # it has ended meanwhile
        await connection.disconnect()
