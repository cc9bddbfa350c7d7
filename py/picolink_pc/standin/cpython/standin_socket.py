"""The connection to the PC's side of the stand-in: as MicroPython's standin_socket.py, over TCP."""

import collections
import os
import socket
import struct
import threading
import time

import interrupts

MAX_MESSAGE = 1024
_RECEIVED_OCTETS = 4096
"""Little, so that the radio soon holds back the peer of a board that takes nothing."""

_leaving = []


class Link:
    """The TCP connection. The process ends with it.

    address: "PORT TOKEN" of the PC's side, on the loopback.
    """

    def __init__(self, address):
        port, token = address.split()
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVED_OCTETS)
        self._socket.connect(("127.0.0.1", int(port)))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.send(token.encode())
        self._unread = collections.deque()
        self._taken = threading.Event()
        self._on_messages = None
        threading.Thread(target=self._read, daemon=True).start()

    def start(self, on_messages):
        """on_messages(deque): called by the main thread when there are some."""
        self._on_messages = on_messages
        if self._unread:
            interrupts.schedule(self._deliver, None)

    def send(self, message):
        try:
            self._socket.sendall(struct.pack("<H", len(message)) + message)
        except OSError:
            _gone()

    def _read(self):
        received = b""
        while True:
            try:
                more = self._socket.recv(_RECEIVED_OCTETS)
            except OSError:
                more = b""
            if not more:
                _gone()
            received += more
            while len(received) >= 2 and len(received) >= 2 + (length := received[0] | received[1] << 8):
                self._unread.append(received[2 : 2 + length])
                received = received[2 + length :]
            if self._unread:
                self._taken.clear()
                if self._on_messages:
                    interrupts.schedule(self._deliver, None)
                self._taken.wait()  # what the program does not take stays with the PC

    def _deliver(self, _):
        self._on_messages(self._unread)
        self._taken.set()


def _gone():
    print("picolink: the virtual radio has gone")
    os._exit(1)


link = None
"""Made by cpython_board.py, before the program begins."""


def copy(target, start, source, begin, length):
    """Copies bytes of a buffer into another, as many as there are and there is room for. Returns how many."""
    length = max(0, min(length, len(target) - start, len(source) - begin))
    target[start : start + length] = source[begin : begin + length]
    return length


def fill(target, byte, length):
    target[:length] = bytes((byte,)) * length


def stack_error(errno):
    """What the firmware raises; with one argument only, CPython's would have no errno."""
    return OSError(errno, "Bluetooth stack")


class Socket:
    """As MicroPython's."""

    def __init__(self, _address, on_message, answer):
        self.received = bytearray(MAX_MESSAGE)
        self._on_message = on_message
        self._answer_op = answer
        self._answer = None
        self._buffers = (bytearray(MAX_MESSAGE), bytearray(MAX_MESSAGE))
        self._in_handler = 0
        link.start(self._take)

    def buffer(self):
        return self._buffers[self._in_handler]

    def send(self, start, value=b"", length=0):
        link.send(bytes(self._buffers[self._in_handler][:start]) + bytes(value[:length]))

    def send_bytes(self, message):
        link.send(bytes(message))

    def request(self, message):
        if self._in_handler:
            raise RuntimeError("not in a handler")
        self._answer = None
        link.send(bytes(message))
        while self._answer is None:
            time.sleep(0.001)
        return self._answer

    def _take(self, messages):
        self._in_handler = 1
        try:
            while messages:
                message = messages.popleft()
                if message[0] == self._answer_op:
                    self._answer = message[1:]
                else:
                    self.received[: len(message)] = message
                    self._on_message(len(message))
        finally:
            self._in_handler = 0


class PacketEvent:
    """As MicroPython's; a new tuple each time."""

    def __init__(self, received, with_view):
        self._received = memoryview(received)
        self._with_view = with_view

    def set(self, length):
        connection, handle = struct.unpack_from("<HH", self._received, 1)
        return (connection, handle, self._received[5:length]) if self._with_view else (connection, handle)


def at_exit(leave):
    _leaving.insert(0, leave)


def leave():
    """The program has ended."""
    while _leaving:
        _leaving.pop(0)()
