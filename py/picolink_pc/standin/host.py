"""The Bluetooth host of one virtual board: what BTstack and the HCI do on a Pico W.

The board's stand-in for `bluetooth` connects to a unix socket.  Behind it is a Bumble device on a controller
of the virtual radio.  Notifications and writes without response do not pass through Bumble's GATT client and
server: those run in tasks, and could hand over a response after the notification that followed it.
"""

import asyncio
import contextlib
import logging
import socket
import struct
from collections import deque
from collections.abc import Callable, Coroutine
from pathlib import Path

from bumble import att, core, gatt, gatt_client, gatt_server, hci
from bumble.device import (
    AdvertisingType,
    Connection,
    Device,
    DeviceConfiguration,
)
from bumble.host import Host
from bumble.transport.common import AsyncPipeSink

from .board import standin_ops as ops

_log = logging.getLogger(__name__)

_MAX_MESSAGE = 1024
_SOCKET_OCTETS = 4096
"""Little, so that the radio soon holds back the peer of a board that takes nothing (see `_tell`)."""

_PERIPHERAL_LATENCY = 4
_CONNECT_SCAN_INTERVAL = 96
_CONNECT_SCAN_WINDOW = 48
"""In events and in units of 0.625 ms: fixed in extmod/btstack/modbluetooth_btstack.c of MicroPython."""

_DISCONNECTED = 0x1F
"""ATT_ERROR_HCI_DISCONNECT_RECEIVED of BTstack: the status of a request that a disconnection ended."""


class StandinHost:
    """Serves one board's stand-in.  A board that restarts finds the host as new as after power-on.

    radio: a `VirtualRadio`.  name, address: of the board, address as "F0:00:00:00:00:01".
    mtu: the ATT MTU that this host agrees to at most, octets.
    """

    def __init__(self, radio, name: str, address: str, mtu: int) -> None:
        self.name = name
        self.notify_queue_peak = 0
        """Most notifications that ever waited on the board's heap for room in the controller."""
        self._radio = radio
        self._address = hci.Address(address, hci.AddressType.PUBLIC_DEVICE)
        self._mtu_limit = mtu
        self._listener: socket.socket | None = None
        self._stack: _Stack | None = None

    def listen(self, path: Path) -> None:
        """Accept a board at this socket from now on.  Needs a running event loop."""
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.setblocking(False)
        self._listener.bind(str(path))
        self._listener.listen(1)
        asyncio.get_running_loop().add_reader(self._listener, self._accept)

    def close(self) -> None:
        """End for good; a connected board loses its radio."""
        if self._listener:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
        if self._stack:
            self._stack.power_off()

    def _accept(self) -> None:
        board, _ = self._listener.accept()
        if self._stack:
            self._stack.power_off()
        self._stack = _Stack(self, board)


class _Stack:
    """The host stack from power-on to power-off of a board."""

    def __init__(self, owner: StandinHost, board: socket.socket) -> None:
        self._owner = owner
        self._board = board
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task] = set()
        self._gap_lock = asyncio.Lock()
        self._att_lock = asyncio.Lock()
        self._controller = None
        self._device: Device | None = None
        self._preferred_mtu = owner._mtu_limit
        self._value_handles: set[int] = set()
        self._scan_timer: asyncio.TimerHandle | None = None
        self._advertising: Callable[[Device], Coroutine] | None = None
        # ATT PDUs that wait for room in the controller, with their connection; is it a write command?
        self._outgoing: deque[tuple[int, bytes, bool]] = deque()
        # The request under way, and how its end is told to the board; who takes the next response.
        self._request: tuple[asyncio.Task, bytes] | None = None
        self._awaited: tuple[Callable[[bytes], None], asyncio.Future] | None = None
        self._unsent: deque[bytes] = deque()
        board.setblocking(False)
        board.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_OCTETS)
        self._loop.add_reader(board, self._receive)

    # ---- The board

    def power_off(self) -> None:
        """As if the power was cut: nothing is said on the air, the peer has to notice."""
        self._loop.remove_reader(self._board)
        self._loop.remove_writer(self._board)
        self._board.close()
        for task in self._tasks:
            task.cancel()
        if self._scan_timer:
            self._scan_timer.cancel()
        if self._controller:
            self._owner._radio.remove_controller(self._controller)
            self._controller = None
        if self._owner._stack is self:
            self._owner._stack = None

    def _receive(self) -> None:
        while True:
            try:
                message = self._board.recv(_MAX_MESSAGE)
            except BlockingIOError:
                return
            except ConnectionError:
                message = b""
            if not message:
                self.power_off()
                return
            op = message[0]
            if op == ops.NOTIFY:
                self._on_notify(message)
            elif op == ops.WRITE_COMMAND:
                self._on_write_command(message)
            else:
                getattr(self, _HANDLERS[op])(message)

    def _tell(self, message: bytes) -> None:
        if not self._unsent:
            try:
                self._board.send(message)
                return
            except BlockingIOError:
                self._loop.add_writer(self._board, self._send_unsent)
            except OSError:  # the board is gone: _receive will see it too
                return
        self._unsent.append(message)
        self._set_backlog()

    def _set_backlog(self) -> None:
        """The controller asks for it, and takes no more from the air while it is high."""
        if self._device:
            self._device.host.backlog = sum(map(len, self._unsent))

    def _send_unsent(self) -> None:
        try:
            while self._unsent:
                self._board.send(self._unsent[0])
                self._unsent.popleft()
        except BlockingIOError:
            self._set_backlog()
            return
        except OSError:
            self._unsent.clear()
        self._set_backlog()
        self._loop.remove_writer(self._board)

    def _start(self, work: Coroutine) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._on_task_done)

    def _on_task_done(self, task: asyncio.Task) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception():
            _log.error("%s: %s", self._owner.name, task.exception(), exc_info=task.exception())

    def _start_gap(self, work: Callable[[Device], Coroutine]) -> None:
        """One after the other, in the order of the board's calls."""

        async def in_turn() -> None:
            async with self._gap_lock:
                if self._device:
                    await work(self._device)

        self._start(in_turn())

    # ---- Power

    def _on_activate(self, _message: bytes) -> None:
        self._start(self._activate())

    async def _activate(self) -> None:
        owner = self._owner
        self._controller = owner._radio.add_controller(owner.name, owner._address)
        host = Host(self._controller, AsyncPipeSink(self._controller))
        device = Device(config=DeviceConfiguration(name=owner.name), host=host)
        device.l2cap_channel_manager.register_fixed_channel(att.ATT_CID, self._on_att_pdu)
        device.on(Device.EVENT_CONNECTION, self._on_connection)
        device.on(Device.EVENT_CONNECTION_FAILURE, self._on_connection_failure)
        host.on("advertising_report", self._on_advertising_report)
        await device.power_on()
        host.le_acl_packet_queue.on("flow", self._pump)
        self._device = device
        self._register([])
        self._tell(bytes((ops.REPLY, owner._address.address_type)) + bytes(owner._address)[::-1])

    def _on_deactivate(self, _message: bytes) -> None:
        self._start(self._deactivate())

    async def _deactivate(self) -> None:
        self._advertising = None
        async with self._gap_lock:
            for connection in list(self._device.connections.values()):
                await connection.disconnect()
            self._device = None
            self._owner._radio.remove_controller(self._controller)
            self._controller = None
        self._tell(bytes((ops.REPLY,)))

    def _on_preferred_mtu(self, message: bytes) -> None:
        (mtu,) = struct.unpack("<xH", message)
        self._preferred_mtu = min(mtu, self._owner._mtu_limit)
        if self._device:
            self._device.gatt_server.max_mtu = self._preferred_mtu

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
                self._scan_timer = self._loop.call_later(duration_ms / 1000, self._on_scan_over)

        self._start_gap(scan)

    def _on_scan_over(self) -> None:
        self._start_gap(self._stop_scan)
        self._tell(bytes((ops.SCAN_DONE,)))

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
        self._tell(head + bytes(address)[::-1] + report.data)

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
        _log.info("%s: not connected: %s", self._owner.name, error)
        self._tell(struct.pack("<BHB6x", ops.PERIPHERAL_CONNECT, 0, ops.CANCELLED))

    def _on_cancel_connect(self, _message: bytes) -> None:
        async def cancel(device: Device) -> None:
            with contextlib.suppress(hci.HCI_Error):  # connected meanwhile
                await device.send_sync_command(hci.HCI_LE_Create_Connection_Cancel_Command())

        self._start_gap(cancel)

    def _on_connection(self, connection: Connection) -> None:
        central = connection.role == hci.Role.CENTRAL
        peer = connection.peer_address
        handle = connection.handle
        self._outgoing.clear()
        self._tell(
            struct.pack(
                "<BHB6s",
                ops.PERIPHERAL_CONNECT if central else ops.CENTRAL_CONNECT,
                handle,
                peer.address_type,
                bytes(peer)[::-1],
            )
        )

        def on_disconnection(_reason: int) -> None:
            self._outgoing.clear()
            self._awaited = None
            if self._request:
                task, done = self._request
                task.cancel()
                if done:
                    self._tell(done + struct.pack("<H", _DISCONNECTED))
            op = ops.PERIPHERAL_DISCONNECT if central else ops.CENTRAL_DISCONNECT
            self._tell(struct.pack("<BHB6x", op, handle, 0xFF))
            if self._advertising:  # BTstack goes on until it is told to stop
                self._start_gap(self._advertising)

        def on_mtu() -> None:
            self._tell(struct.pack("<BHH", ops.MTU_EXCHANGED, handle, connection.att_mtu))

        def on_parameters() -> None:
            now = connection.parameters
            interval, timeout = round(now.connection_interval / 1.25), round(now.supervision_timeout / 10)
            fields = (handle, interval, now.peripheral_latency, timeout, 0)
            self._tell(struct.pack("<B5H", ops.CONNECTION_UPDATE, *fields))

        connection.on(connection.EVENT_DISCONNECTION, on_disconnection)
        connection.on(connection.EVENT_CONNECTION_ATT_MTU_UPDATE, on_mtu)
        connection.on(connection.EVENT_CONNECTION_PARAMETERS_UPDATE, on_parameters)

    def _on_disconnect(self, message: bytes) -> None:
        (handle,) = struct.unpack("<xH", message)
        connection = self._device.connections.get(handle)
        if connection:
            self._start(connection.disconnect())

    # ---- GATT server

    def _on_register_services(self, message: bytes) -> None:
        services: list[gatt.Service] = []
        values: list[gatt.Characteristic | gatt.Descriptor] = []
        access = gatt.Characteristic.Permissions.READABLE | gatt.Characteristic.Permissions.WRITEABLE
        at = 1
        while at < len(message):
            kind, flags, length = struct.unpack_from("<BHB", message, at)
            uuid = core.UUID.from_bytes(message[at + 4 : at + 4 + length])
            at += 4 + length
            if kind == ops.SERVICE:
                services.append(gatt.Service(uuid, []))
            elif kind == ops.CHARACTERISTIC:
                properties = gatt.Characteristic.Properties(flags & 0x7F)
                values.append(gatt.Characteristic(uuid, properties, access, b""))
                services[-1].characteristics.append(values[-1])
            else:
                values.append(gatt.Descriptor(uuid, access, b""))
                services[-1].characteristics[-1].descriptors.append(values[-1])
        self._register(services)
        self._value_handles = {value.handle for value in values}
        self._tell(bytes((ops.REPLY,)) + b"".join(struct.pack("<H", value.handle) for value in values))

    def _register(self, services: list[gatt.Service]) -> None:
        device = self._device
        device.gatt_server = gatt_server.Server(device)
        device.gatt_server.max_mtu = self._preferred_mtu
        device.add_default_services()
        device.gatt_server.add_services(services)
        for connection in device.connections.values():
            connection.gatt_server = device.gatt_server

    # ---- ATT

    def _on_att_pdu(self, handle: int, pdu: bytes) -> None:
        op = pdu[0]
        if op == att.Opcode.ATT_HANDLE_VALUE_NOTIFICATION:
            self._tell(struct.pack("<BH", ops.GATTC_NOTIFY, handle) + pdu[1:])
        elif (
            op in (att.Opcode.ATT_WRITE_COMMAND, att.Opcode.ATT_WRITE_REQUEST)
            and int.from_bytes(pdu[1:3], "little") in self._value_handles
        ):
            self._tell(struct.pack("<BH", ops.GATTS_WRITE, handle) + pdu[1:])
            if op == att.Opcode.ATT_WRITE_REQUEST:
                self._device.send_l2cap_pdu(handle, att.ATT_CID, bytes((att.Opcode.ATT_WRITE_RESPONSE,)))
        elif self._awaited and op in (
            att.Opcode.ATT_EXCHANGE_MTU_RESPONSE,
            att.Opcode.ATT_WRITE_RESPONSE,
            att.Opcode.ATT_ERROR_RESPONSE,
        ):
            on_response, done = self._awaited
            self._awaited = None
            on_response(pdu)
            done.set_result(None)
        elif self._device:
            self._device.on_gatt_pdu(handle, pdu)

    def _on_notify(self, message: bytes) -> None:
        handle, value_handle = struct.unpack_from("<xHH", message)
        pdu = struct.pack("<BH", att.Opcode.ATT_HANDLE_VALUE_NOTIFICATION, value_handle) + message[5:]
        self._send(handle, pdu, False)

    def _on_write_command(self, message: bytes) -> None:
        handle, value_handle = struct.unpack_from("<xHH", message)
        pdu = struct.pack("<BH", att.Opcode.ATT_WRITE_COMMAND, value_handle) + message[5:]
        self._send(handle, pdu, True)

    def _send(self, handle: int, pdu: bytes, is_write: bool) -> None:
        if self._device and handle in self._device.connections:
            self._outgoing.append((handle, pdu, is_write))
            self._pump()
            self._owner.notify_queue_peak = max(self._owner.notify_queue_peak, len(self._outgoing))

    def _pump(self) -> None:
        """Hand to the controller what it has room for."""
        if not self._device:
            return
        queue = self._device.host.le_acl_packet_queue
        while self._outgoing and queue.pending < queue.max_in_flight:
            handle, pdu, is_write = self._outgoing.popleft()
            self._device.send_l2cap_pdu(handle, att.ATT_CID, pdu)
            if is_write:
                self._tell(struct.pack("<BH", ops.WRITE_SENT, handle))

    # ---- GATT client

    def _start_request(self, handle: int, work: Callable[[Connection], Coroutine], done: bytes) -> None:
        """One request at a time.  `done` is told to the board, with a status, if the request fails."""

        async def in_turn() -> None:
            async with self._att_lock:
                connection = self._device and self._device.connections.get(handle)
                if not connection:
                    return
                self._request = (asyncio.current_task(), done)
                try:
                    await work(connection)
                except att.ATT_Error as error:
                    self._tell(done + struct.pack("<H", error.error_code))
                finally:
                    self._request = None

        self._start(in_turn())

    async def _transact(self, handle: int, pdu: bytes, on_response: Callable[[bytes], None]) -> None:
        done = self._loop.create_future()
        self._awaited = (on_response, done)
        self._device.send_l2cap_pdu(handle, att.ATT_CID, pdu)
        await done

    def _on_exchange_mtu(self, message: bytes) -> None:
        (handle,) = struct.unpack("<xH", message)

        async def exchange(connection: Connection) -> None:
            offer = self._preferred_mtu

            def on_response(pdu: bytes) -> None:
                if pdu[0] == att.Opcode.ATT_EXCHANGE_MTU_RESPONSE:
                    answer = int.from_bytes(pdu[1:3], "little")
                    connection.on_att_mtu_update(max(att.ATT_DEFAULT_MTU, min(offer, answer)))

            request = struct.pack("<BH", att.Opcode.ATT_EXCHANGE_MTU_REQUEST, offer)
            await self._transact(handle, request, on_response)

        self._start_request(handle, exchange, b"")

    def _on_write_request(self, message: bytes) -> None:
        handle, value_handle = struct.unpack_from("<xHH", message)
        done = struct.pack("<BHH", ops.GATTC_WRITE_DONE, handle, value_handle)

        async def write(_connection: Connection) -> None:
            def on_response(pdu: bytes) -> None:
                status = pdu[4] if pdu[0] == att.Opcode.ATT_ERROR_RESPONSE else 0
                self._tell(done + struct.pack("<H", status))

            request = struct.pack("<BH", att.Opcode.ATT_WRITE_REQUEST, value_handle) + message[5:]
            await self._transact(handle, request, on_response)

        self._start_request(handle, write, done)

    def _on_discover_services(self, message: bytes) -> None:
        (handle,) = struct.unpack_from("<xH", message)
        done = struct.pack("<BH", ops.GATTC_SERVICE_DONE, handle)

        async def discover(connection: Connection) -> None:
            client = connection.gatt_client
            if message[3:]:
                services = await client.discover_service(core.UUID.from_bytes(message[3:]))
            else:
                services = await client.discover_services()
            for service in services:
                fields = (handle, service.handle, service.end_group_handle)
                self._tell(struct.pack("<B3H", ops.GATTC_SERVICE_RESULT, *fields) + service.uuid.to_bytes())
            self._tell(done + bytes(2))

        self._start_request(handle, discover, done)

    def _on_discover_characteristics(self, message: bytes) -> None:
        handle, first, last = struct.unpack_from("<x3H", message)
        uuids = [core.UUID.from_bytes(message[7:])] if message[7:] else []
        done = struct.pack("<BH", ops.GATTC_CHARACTERISTIC_DONE, handle)

        async def discover(connection: Connection) -> None:
            client = connection.gatt_client
            service = gatt_client.ServiceProxy(client, first, last, core.UUID.from_16_bits(0))
            for found in await client.discover_characteristics(uuids, service):
                fields = (handle, found.end_group_handle, found.handle, found.properties)
                head = struct.pack("<B3HB", ops.GATTC_CHARACTERISTIC_RESULT, *fields)
                self._tell(head + found.uuid.to_bytes())
            self._tell(done + bytes(2))

        self._start_request(handle, discover, done)

    def _on_discover_descriptors(self, message: bytes) -> None:
        handle, value_handle, last = struct.unpack_from("<x3H", message)
        done = struct.pack("<BH", ops.GATTC_DESCRIPTOR_DONE, handle)

        async def discover(connection: Connection) -> None:
            client = connection.gatt_client
            for found in await client.discover_descriptors(start_handle=value_handle + 1, end_handle=last):
                head = struct.pack("<B2H", ops.GATTC_DESCRIPTOR_RESULT, handle, found.handle)
                self._tell(head + found.type.to_bytes())
            self._tell(done + bytes(2))

        self._start_request(handle, discover, done)


_HANDLERS = {
    ops.ACTIVATE: "_on_activate",
    ops.DEACTIVATE: "_on_deactivate",
    ops.REGISTER_SERVICES: "_on_register_services",
    ops.ADVERTISE: "_on_advertise",
    ops.STOP_ADVERTISING: "_on_stop_advertising",
    ops.SCAN: "_on_scan",
    ops.STOP_SCAN: "_on_stop_scan",
    ops.CONNECT: "_on_connect",
    ops.CANCEL_CONNECT: "_on_cancel_connect",
    ops.DISCONNECT: "_on_disconnect",
    ops.EXCHANGE_MTU: "_on_exchange_mtu",
    ops.DISCOVER_SERVICES: "_on_discover_services",
    ops.DISCOVER_CHARACTERISTICS: "_on_discover_characteristics",
    ops.DISCOVER_DESCRIPTORS: "_on_discover_descriptors",
    ops.WRITE_REQUEST: "_on_write_request",
    ops.PREFERRED_MTU: "_on_preferred_mtu",
}
