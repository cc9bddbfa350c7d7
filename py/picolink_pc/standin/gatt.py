"""ATT and GATT of one board's host.

Notifications, writes, and the responses that they must not overtake do not pass through Bumble's GATT client
and server: those run in tasks, and could hand over a response after the notification that followed it.
"""

import asyncio
import struct
from collections import deque
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING

from bumble import att, core, gatt, gatt_client, gatt_server
from bumble.device import Connection

from .board import standin_ops as ops

if TYPE_CHECKING:
    from .stack import Stack

_WITH_HANDLE = (
    att.Opcode.ATT_HANDLE_VALUE_NOTIFICATION,
    att.Opcode.ATT_WRITE_COMMAND,
    att.Opcode.ATT_WRITE_REQUEST,
)

_BEFORE_STALL = 20
"""Packets that a connection which stalls sends first: enough for the handshake of a link."""

_DISCONNECTED = 0x1F
"""ATT_ERROR_HCI_DISCONNECT_RECEIVED of BTstack: the status of a request that a disconnection ended."""


class Gatt:
    """stack: whose ATT this is.  handlers: for messages of the board, by their first byte."""

    def __init__(self, stack: "Stack") -> None:
        self._stack = stack
        self._value_handles: set[int] = set()
        # ATT PDUs that wait for room in the controller, with their connection; is it a write command?
        self._outgoing: deque[tuple[int, bytes, bool]] = deque()
        self._before_stall: int | None = None  # packets until this connection stalls; None: it does not
        # The request under way, and how its end is told to the board; who takes the next response.
        self._one_request = asyncio.Lock()
        self._request: tuple[asyncio.Task, bytes] | None = None
        self._awaited: tuple[Callable[[bytes], None], asyncio.Future] | None = None
        self.handlers = {
            ops.REGISTER_SERVICES: self._on_register_services,
            ops.NOTIFY: self._on_notify,
            ops.WRITE_COMMAND: self._on_write_command,
            ops.WRITE_REQUEST: self._on_write_request,
            ops.EXCHANGE_MTU: self._on_exchange_mtu,
            ops.DISCOVER_SERVICES: self._on_discover_services,
            ops.DISCOVER_CHARACTERISTICS: self._on_discover_characteristics,
            ops.DISCOVER_DESCRIPTORS: self._on_discover_descriptors,
        }

    def on_connection(self) -> None:
        """A connection begins."""
        owner = self._stack.owner
        self._before_stall = _BEFORE_STALL if owner.stalls else None
        owner.stalls -= bool(owner.stalls)

    def on_disconnection(self) -> None:
        """The connection is over: what waits is gone, and a request ends before the board hears of it."""
        self._outgoing.clear()
        self._awaited = None
        if self._request:
            task, done = self._request
            task.cancel()
            if done:
                self._stack.tell(done + struct.pack("<H", _DISCONNECTED))

    # ---- Server

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
        self.register(services)
        self._value_handles = {value.handle for value in values}
        self._stack.tell(bytes((ops.REPLY,)) + b"".join(struct.pack("<H", value.handle) for value in values))

    def register(self, services: list[gatt.Service]) -> None:
        """Replace all services of the board by these."""
        device = self._stack.device
        device.gatt_server = gatt_server.Server(device)
        device.gatt_server.max_mtu = self._stack.preferred_mtu
        device.add_default_services()
        device.gatt_server.add_services(services)
        for connection in device.connections.values():
            connection.gatt_server = device.gatt_server

    # ---- Packets

    def on_pdu(self, handle: int, pdu: bytes) -> None:
        """An ATT PDU has arrived."""
        op = pdu[0] if pdu else None
        if op in _WITH_HANDLE and len(pdu) < 3:
            return
        if op == att.Opcode.ATT_HANDLE_VALUE_NOTIFICATION:
            self._stack.tell(struct.pack("<BH", ops.GATTC_NOTIFY, handle) + pdu[1:])
        elif (
            op in (att.Opcode.ATT_WRITE_COMMAND, att.Opcode.ATT_WRITE_REQUEST)
            and int.from_bytes(pdu[1:3], "little") in self._value_handles
        ):
            self._stack.tell(struct.pack("<BH", ops.GATTS_WRITE, handle) + pdu[1:])
            if op == att.Opcode.ATT_WRITE_REQUEST:
                self._stack.device.send_l2cap_pdu(
                    handle, att.ATT_CID, bytes((att.Opcode.ATT_WRITE_RESPONSE,))
                )
        elif self._awaited and op in (
            att.Opcode.ATT_EXCHANGE_MTU_RESPONSE,
            att.Opcode.ATT_WRITE_RESPONSE,
            att.Opcode.ATT_ERROR_RESPONSE,
        ):
            on_response, done = self._awaited
            self._awaited = None
            on_response(pdu)
            done.set_result(None)
        elif pdu and self._stack.device:
            self._stack.device.on_gatt_pdu(handle, pdu)

    def _on_notify(self, message: bytes) -> None:
        handle, value_handle = struct.unpack_from("<xHH", message)
        pdu = struct.pack("<BH", att.Opcode.ATT_HANDLE_VALUE_NOTIFICATION, value_handle) + message[5:]
        self._send(handle, pdu, False)

    def _on_write_command(self, message: bytes) -> None:
        handle, value_handle = struct.unpack_from("<xHH", message)
        pdu = struct.pack("<BH", att.Opcode.ATT_WRITE_COMMAND, value_handle) + message[5:]
        self._send(handle, pdu, True)

    def _send(self, handle: int, pdu: bytes, is_write: bool) -> None:
        if self._stack.device and handle in self._stack.device.connections:
            self._outgoing.append((handle, pdu, is_write))
            self.pump()
            self._stack.owner.notify_queue_peak = max(
                self._stack.owner.notify_queue_peak, len(self._outgoing)
            )

    def pump(self) -> None:
        """Hand to the controller what it has room for."""
        if not self._stack.device:
            return
        queue = self._stack.device.host.le_acl_packet_queue
        while self._outgoing and queue.pending < queue.max_in_flight and self._before_stall != 0:
            if self._before_stall:
                self._before_stall -= 1
            handle, pdu, is_write = self._outgoing.popleft()
            self._stack.device.send_l2cap_pdu(handle, att.ATT_CID, pdu)
            if is_write:
                self._stack.tell(struct.pack("<BH", ops.WRITE_SENT, handle))

    # ---- Client

    def _start_request(self, handle: int, work: Callable[[Connection], Coroutine], done: bytes) -> None:
        """One request at a time.  `done` is told to the board, with a status, if the request fails."""

        async def in_turn() -> None:
            async with self._one_request:
                connection = self._stack.device and self._stack.device.connections.get(handle)
                if not connection:
                    return
                self._request = (asyncio.current_task(), done)
                try:
                    await work(connection)
                except att.ATT_Error as error:
                    self._stack.tell(done + struct.pack("<H", error.error_code))
                finally:
                    self._request = None

        self._stack.start(in_turn())

    async def _transact(self, handle: int, pdu: bytes, on_response: Callable[[bytes], None]) -> None:
        done = asyncio.get_running_loop().create_future()
        self._awaited = (on_response, done)
        self._stack.device.send_l2cap_pdu(handle, att.ATT_CID, pdu)
        await done

    def _on_exchange_mtu(self, message: bytes) -> None:
        (handle,) = struct.unpack("<xH", message)

        async def exchange(connection: Connection) -> None:
            offer = self._stack.preferred_mtu

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
                self._stack.tell(done + struct.pack("<H", status))

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
                self._stack.tell(
                    struct.pack("<B3H", ops.GATTC_SERVICE_RESULT, *fields) + service.uuid.to_bytes()
                )
            self._stack.tell(done + bytes(2))

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
                self._stack.tell(head + found.uuid.to_bytes())
            self._stack.tell(done + bytes(2))

        self._start_request(handle, discover, done)

    def _on_discover_descriptors(self, message: bytes) -> None:
        handle, value_handle, last = struct.unpack_from("<x3H", message)
        done = struct.pack("<BH", ops.GATTC_DESCRIPTOR_DONE, handle)

        async def discover(connection: Connection) -> None:
            client = connection.gatt_client
            for found in await client.discover_descriptors(start_handle=value_handle + 1, end_handle=last):
                head = struct.pack("<B2H", ops.GATTC_DESCRIPTOR_RESULT, handle, found.handle)
                self._stack.tell(head + found.type.to_bytes())
            self._stack.tell(done + bytes(2))

        self._start_request(handle, discover, done)
