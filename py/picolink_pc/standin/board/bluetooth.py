# Simulator code for virtual boards, never installed on a board: takes the place of MicroPython's `bluetooth`.
#
# It behaves as the module of Pico W firmware (BTstack) does, as far as picolink and aioble use it: the same
# arguments, errors, limits and events.  The radio and the rest of the stack are on the PC.

import binascii
import gc
import os
import struct
import sys

import standin_ops as ops
from micropython import const
from standin_socket import PacketEvent, Socket, at_exit, copy, fill, stack_error

FLAG_READ = const(0x02)
FLAG_WRITE_NO_RESPONSE = const(0x04)
FLAG_WRITE = const(0x08)
FLAG_NOTIFY = const(0x10)
FLAG_INDICATE = const(0x20)

_ENODEV = const(19)
_ENOMEM = const(12)
_EINVAL = const(22)
_EALREADY = const(114)

_DEFAULT_MTU = const(23)
_MAX_MTU = const(1017)  # HCI_ACL_PAYLOAD_SIZE of extmod/btstack/btstack_config_common.h, less L2CAP's 4
_DEFAULT_VALUE_LENGTH = const(20)  # MP_BLUETOOTH_DEFAULT_ATTR_LEN in extmod/modbluetooth.h
_RESERVE = const(2048)  # octets of heap
_SUPERVISION_MS = const(2000)  # what gap_connect takes if no scan_duration_ms is given


class UUID:
    def __init__(self, value):
        if isinstance(value, int):
            if value > 0xFFFF:
                raise ValueError("invalid UUID")
            self._octets = struct.pack("<H", value)
        elif isinstance(value, UUID):
            self._octets = value._octets
        elif len(value) in (2, 4, 16):
            self._octets = bytes(value)
        else:
            octets = binascii.unhexlify(value.replace("-", ""))
            if len(octets) != 16:
                raise ValueError("UUID too long" if len(octets) > 16 else "UUID too short")
            self._octets = bytes(reversed(octets))

    def __iter__(self):  # for bytes(uuid)
        return iter(self._octets)

    def __eq__(self, other):
        return isinstance(other, UUID) and self._octets == other._octets

    def __hash__(self):
        return hash(self._octets)

    def __repr__(self):
        digits = binascii.hexlify(bytes(reversed(self._octets))).decode()
        if len(digits) < 32:
            return "UUID(0x{})".format(digits)
        parts = (digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])
        return "UUID('{}')".format("-".join(parts))


class _Value:  # of an attribute of this board
    def __init__(self, size):
        self.resize(size, False)

    def resize(self, size, append):
        self.data = bytearray(size)
        self.length = 0
        self.append = append

    # A peer's write overwrites the value, or is appended; what does not fit is cut off.
    def put(self, message, start, length):
        end = self.length if self.append else 0
        self.length = end + copy(self.data, end, message, start, length)

    def get(self):
        value = bytes(memoryview(self.data)[: self.length])
        if self.append:
            self.length = 0
        return value

    def set(self, value):
        if len(value) > len(self.data):
            self.data = bytearray(len(value))
        self.data[: len(value)] = value
        self.length = len(value)


class _Connection:
    def __init__(self):
        self.mtu = _DEFAULT_MTU
        self.mtu_exchanged = False
        # Write commands that the controller has not taken yet: one on its way, one waiting in the stack.
        self.writes = 0
        # The stack has one request at a time: a discovery or a write with response.
        self.busy = False


def _read16(buffer, at):
    return buffer[at] | buffer[at + 1] << 8


class _BLE:
    def __init__(self):
        self._socket = None
        self._handler = None
        self._reserve = bytearray(_RESERVE)
        self._gap_name = b"MPY BTSTACK"
        self._reset()

    def _reset(self):
        self._active = False
        self._mac = None
        self._preferred_mtu = _MAX_MTU
        self._connections = {}
        self._connecting = False
        self._scanning = False
        self._advertising_data = b""
        self._response_data = b""
        self._values = {}

    def active(self, active=None):
        if active is not None and bool(active) != self._active:
            if active:
                self._activate()
            else:
                self._socket.request(bytes((ops.DEACTIVATE,)))
                self._reset()
        return self._active

    def _activate(self):
        if self._socket is None:
            path = os.getenv("PICOLINK_STANDIN")
            if not path:
                raise OSError(
                    _ENODEV, "this is picolink's stand-in for Bluetooth: start it with picolink run"
                )
            self._socket = Socket(path, self._on_message, ops.REPLY)
            self._received = self._socket.received
            self._notified = PacketEvent(self._received, True)
            self._written = PacketEvent(self._received, False)
            # As the real stack does when the program ends; a killed board says nothing.
            at_exit(lambda: self.active(False))
        answer = self._socket.request(bytes((ops.ACTIVATE,)))
        self._active = True
        self._mac = (answer[0], answer[1:7])
        self._send_preferred_mtu()

    def _check_active(self):
        if not self._active:
            raise stack_error(_ENODEV)

    def _check_connected(self, conn_handle):
        self._check_active()
        connection = self._connections.get(_integer(conn_handle))
        if connection is None:
            raise stack_error(_EINVAL)
        return connection

    def config(self, *args, **kwargs):
        if not kwargs:
            if len(args) != 1:
                raise TypeError("must query one param")
            if args[0] == "mac":
                self._check_active()
                return self._mac
            if args[0] == "mtu":
                self._check_active()
                return self._preferred_mtu
            if args[0] == "gap_name":
                return self._gap_name
            raise ValueError("unknown config param")
        if args:
            raise TypeError("can't specify pos and kw args")
        for name, value in kwargs.items():
            if name == "mtu":
                self._check_active()
                if value > _MAX_MTU:
                    raise stack_error(_EINVAL)
                self._preferred_mtu = value
                self._send_preferred_mtu()
            elif name == "gap_name":
                self._gap_name = bytes(value)
            elif name == "addr_mode":
                self._check_active()
            else:
                raise ValueError("unknown config param")
        return None

    def _send_preferred_mtu(self):
        self._socket.send_bytes(struct.pack("<BH", ops.PREFERRED_MTU, self._preferred_mtu))

    def irq(self, handler):
        if handler is not None and not callable(handler):
            raise ValueError("invalid handler")
        self._handler = handler

    def _event(self, event, data):
        if self._handler is None:
            return
        try:
            self._handler(event, data)
        except BaseException as error:
            # As the firmware: one exception, and there are no more events.
            print("Unhandled exception in IRQ callback handler")
            sys.print_exception(error)
            self._handler = None

    # ---- GAP

    def gap_advertise(self, interval_us=500000, adv_data=None, *, resp_data=None, connectable=True):
        if interval_us is None:
            if self._active:
                self._socket.send_bytes(bytes((ops.STOP_ADVERTISING,)))
            return
        self._check_active()
        # BTstack goes on with the data of the last time where none is given.
        if adv_data is not None:
            self._advertising_data = bytes(adv_data)
        if resp_data is not None:
            self._response_data = bytes(resp_data)
        data = self._advertising_data
        start = struct.pack("<BIBB", ops.ADVERTISE, interval_us, bool(connectable), len(data))
        self._socket.send_bytes(start + data + self._response_data)

    def gap_scan(self, duration_ms=0, interval_us=1280000, window_us=11250, active=False):
        self._check_active()
        if duration_ms is None:
            self._socket.send_bytes(bytes((ops.STOP_SCAN,)))
            self._scanning = False
            self._event(ops.SCAN_DONE, ())
            return
        message = struct.pack("<BIIIB", ops.SCAN, duration_ms, interval_us, window_us, bool(active))
        self._scanning = True
        self._socket.send_bytes(message)

    def gap_connect(self, addr_type, addr=None, scan_duration_ms=None, min_us=None, max_us=None):
        if addr_type is None:
            if self._connecting:
                self._socket.send_bytes(bytes((ops.CANCEL_CONNECT,)))
            return
        if addr is None:
            raise TypeError("invalid addr")
        if len(addr) != 6:
            raise ValueError("invalid addr")
        self._check_active()
        if self._connecting:
            # BTstack refuses, and reports the refusal in an event whose status the firmware ignores.
            self._event(ops.PERIPHERAL_CONNECT, (0, addr_type, addr))
            raise stack_error(_EALREADY)
        if self._connections:  # stock firmware has room for one
            raise stack_error(_ENOMEM)
        # The defaults of extmod/btstack/modbluetooth_btstack.c.
        timeout = (_SUPERVISION_MS if scan_duration_ms is None else scan_duration_ms) // 10
        interval = ((min_us or 10000) // 1250, (max_us or 30000) // 1250)
        self._connecting = True
        message = struct.pack("<BB6sHHH", ops.CONNECT, addr_type, bytes(addr), *interval, timeout)
        self._socket.send_bytes(message)

    def gap_disconnect(self, conn_handle):
        self._check_active()
        if _integer(conn_handle) in self._connections:
            self._socket.send_bytes(struct.pack("<BH", ops.DISCONNECT, conn_handle))
        else:  # BTstack reports a disconnection, and not an error
            self._event(ops.PERIPHERAL_DISCONNECT, (conn_handle, 0xFF, bytes(6)))
        return True

    # ---- GATT server

    def gatts_register_services(self, services):
        self._check_active()
        message = bytearray((ops.REGISTER_SERVICES,))
        counts = []

        def add(kind, uuid, flags):
            octets = bytes(uuid)
            message.extend(struct.pack("<BHB", kind, flags & 0xFFFF, len(octets)) + octets)

        for uuid, characteristics in services:
            add(ops.SERVICE, uuid, 0)
            counts.append(0)
            for characteristic in characteristics:
                add(ops.CHARACTERISTIC, characteristic[0], characteristic[1])
                counts[-1] += 1
                for descriptor in characteristic[2] if len(characteristic) > 2 else ():
                    add(ops.DESCRIPTOR, descriptor[0], descriptor[1])
                    counts[-1] += 1
        answer = self._socket.request(message)
        handles = struct.unpack("<{}H".format(sum(counts)), answer)
        self._values = {handle: _Value(_DEFAULT_VALUE_LENGTH) for handle in handles}
        result = []
        for count in counts:
            result.append(handles[:count])
            handles = handles[count:]
        return tuple(result)

    def _value(self, value_handle):
        self._check_active()
        value = self._values.get(value_handle)
        if value is None:
            raise stack_error(_EINVAL)
        return value

    def gatts_read(self, value_handle):
        return self._value(value_handle).get()

    def gatts_write(self, value_handle, data, send_update=False):
        self._value(value_handle).set(data)
        if send_update:
            for conn_handle in self._connections:
                self.gatts_notify(conn_handle, value_handle, data)
        return len(data)

    def gatts_set_buffer(self, value_handle, length, append=False):
        self._value(value_handle).resize(length, append)

    # Always accepted: the stack copies to its heap what the controller has no room for.
    def gatts_notify(self, conn_handle, value_handle, data=None):
        connection = self._check_connected(conn_handle)
        if data is None:
            data = self._value(value_handle).get()
        # Cut without a word, as the firmware does.
        self._send_value(ops.NOTIFY, conn_handle, value_handle, data, min(len(data), connection.mtu - 3))

    def _send_value(self, op, conn_handle, value_handle, data, length):
        struct.pack_into("<BHH", self._socket.buffer(), 0, op, conn_handle, value_handle)
        self._socket.send(5, data, length)

    # ---- GATT client

    def gattc_exchange_mtu(self, conn_handle):
        connection = self._connections.get(_integer(conn_handle))
        if connection and not connection.mtu_exchanged:  # BTstack ignores a second time
            connection.mtu_exchanged = True
            self._socket.send_bytes(struct.pack("<BH", ops.EXCHANGE_MTU, conn_handle))

    def _start_request(self, conn_handle, message):
        connection = self._check_connected(conn_handle)
        if connection.busy:
            raise stack_error(_EALREADY)
        connection.busy = True
        self._socket.send_bytes(message)

    def gattc_discover_services(self, conn_handle, uuid=None):
        message = struct.pack("<BH", ops.DISCOVER_SERVICES, conn_handle)
        self._start_request(conn_handle, message + bytes(uuid or b""))

    def gattc_discover_characteristics(self, conn_handle, start_handle, end_handle, uuid=None):
        message = struct.pack("<BHHH", ops.DISCOVER_CHARACTERISTICS, conn_handle, start_handle, end_handle)
        self._start_request(conn_handle, message + bytes(uuid or b""))

    def gattc_discover_descriptors(self, conn_handle, start_handle, end_handle):
        message = struct.pack("<BHHH", ops.DISCOVER_DESCRIPTORS, conn_handle, start_handle, end_handle)
        self._start_request(conn_handle, message)

    def gattc_write(self, conn_handle, value_handle, data, mode=0):
        connection = self._check_connected(conn_handle)
        length = len(data)
        if length > connection.mtu - 3:
            raise stack_error(_EINVAL)
        if mode == 0:
            if connection.writes == 2 or (connection.writes and connection.busy):
                raise stack_error(_EALREADY)
            connection.writes += 1
            self._send_value(ops.WRITE_COMMAND, conn_handle, value_handle, data, length)
        else:
            if connection.busy or connection.writes == 2:
                raise stack_error(_EALREADY)
            connection.busy = True
            self._send_value(ops.WRITE_REQUEST, conn_handle, value_handle, data, length)

    # ---- Messages from the PC

    def _on_message(self, length):
        received = self._received
        op = received[0]
        if op == ops.GATTC_NOTIFY:
            self._event(op, self._notified.set(length))
            # Valid in the handler only: whoever keeps the view finds this.
            fill(received, 0xEE, length)
        elif op == ops.GATTS_WRITE:
            value = self._values.get(_read16(received, 3))
            if value:
                value.put(received, 5, length - 5)
                self._event(op, self._written.set(length))
        elif op == ops.WRITE_SENT:
            connection = self._connections.get(_read16(received, 1))
            if connection:
                connection.writes -= 1
        else:
            try:
                self._on_rare_message(op, length)
            except MemoryError:
                if op == ops.SCAN_RESULT:  # others follow, and faster than a full heap is searched for room
                    return
                # The C stack has memory of its own: use what is kept for this.
                self._reserve = None
                gc.collect()
                self._on_rare_message(op, length)
                try:
                    self._reserve = bytearray(_RESERVE)
                except MemoryError:
                    pass

    def _on_rare_message(self, op, length):
        message = memoryview(self._received)[1:length]
        if op in (ops.CENTRAL_CONNECT, ops.PERIPHERAL_CONNECT):
            conn_handle, addr_type = struct.unpack_from("<HB", message)
            if op == ops.PERIPHERAL_CONNECT:
                self._connecting = False
            if (
                addr_type == ops.CANCELLED
            ):  # the firmware does not look at the status and reports a connection
                addr_type = 0
            else:
                self._connections[conn_handle] = _Connection()
            self._event(op, (conn_handle, addr_type, message[3:9]))
        elif op in (ops.CENTRAL_DISCONNECT, ops.PERIPHERAL_DISCONNECT):
            conn_handle, addr_type = struct.unpack_from("<HB", message)
            self._connections.pop(conn_handle, None)
            self._event(op, (conn_handle, addr_type, message[3:9]))
        elif op == ops.SCAN_RESULT:
            if self._scanning:
                addr_type, adv_type, rssi = struct.unpack_from("<BBb", message)
                self._event(op, (addr_type, message[3:9], adv_type, rssi, message[9:]))
        elif op == ops.SCAN_DONE:
            if self._scanning:
                self._scanning = False
                self._event(op, ())
        elif op == ops.MTU_EXCHANGED:
            conn_handle, mtu = struct.unpack_from("<HH", message)
            self._connections[conn_handle].mtu = mtu
            self._event(op, (conn_handle, mtu))
        elif op == ops.CONNECTION_UPDATE:
            self._event(op, struct.unpack_from("<5H", message))
        elif op == ops.GATTC_SERVICE_RESULT:
            self._event(op, struct.unpack_from("<3H", message) + (UUID(message[6:]),))
        elif op == ops.GATTC_CHARACTERISTIC_RESULT:
            self._event(op, struct.unpack_from("<3HB", message) + (UUID(message[7:]),))
        elif op == ops.GATTC_DESCRIPTOR_RESULT:
            self._event(op, struct.unpack_from("<2H", message) + (UUID(message[4:]),))
        else:  # a request is done
            fields = struct.unpack_from("<3H" if op == ops.GATTC_WRITE_DONE else "<2H", message)
            connection = self._connections.get(fields[0])
            if connection:  # else the request had come to the host when the connection was over already
                connection.busy = False
            self._event(op, fields)


# None, as aioble gives after a disconnect, is a TypeError here as in the firmware.
def _integer(value):
    if not isinstance(value, int):
        raise TypeError("can't convert {} to int".format(type(value).__name__))
    return value


_the_ble = _BLE()


def BLE():  # noqa: N802 - the firmware's class has one instance
    return _the_ble
