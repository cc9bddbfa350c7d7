"""The socket to the stand-in on one board: a unix socket to MicroPython, a TCP connection to CPython."""

import asyncio
import secrets
import socket
import struct
from collections import deque
from collections.abc import Callable

_MAX_MESSAGE = 1024

_SOCKET_OCTETS = 4096
"""Little, so that the radio soon holds back the peer of a board that takes nothing (see `backlog`)."""


class BoardSocket:
    """Messages (board/standin_ops.py) to and from a board, in order.

    on_message: called with each message that arrives.  on_end: called once, when the board is gone.
    Whoever has this sets them.
    """

    def __init__(self, board: socket.socket) -> None:
        self._board = board
        self.on_message: Callable[[bytes], None] = lambda _: None
        self.on_end: Callable[[], None] = lambda: None
        self._unsent: deque[bytes] = deque()
        self._loop = asyncio.get_running_loop()
        board.setblocking(False)
        board.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_OCTETS)
        self._loop.add_reader(board, self._receive)

    def close(self) -> None:
        """Give the socket back, if that was not done yet; nothing is called any more."""
        if self._board.fileno() < 0:
            return
        self._loop.remove_reader(self._board)
        self._loop.remove_writer(self._board)
        self._board.close()

    @property
    def backlog(self) -> int:
        """Octets that the board has not taken yet, beyond what the socket holds."""
        return sum(map(len, self._unsent))

    def tell(self, message: bytes) -> None:
        """Send a message, now or when the board takes it."""
        if not self._unsent:
            try:
                self._board.send(message)
                return
            except BlockingIOError:
                self._loop.add_writer(self._board, self._send_unsent)
            except OSError:  # the board is gone: _receive will see it too
                return
        self._unsent.append(message)

    def _send_unsent(self) -> None:
        try:
            while self._unsent:
                self._board.send(self._unsent[0])
                self._unsent.popleft()
        except BlockingIOError:
            return
        except OSError:
            self._unsent.clear()
        self._loop.remove_writer(self._board)

    def _receive(self) -> None:
        while self._board.fileno() >= 0:  # a message may lead to close()
            try:
                message = self._board.recv(_MAX_MESSAGE)
            except BlockingIOError:
                return
            except ConnectionError:
                message = b""
            if not message:
                self._loop.remove_reader(self._board)
                self.on_end()
                return
            self.on_message(message)


class BoardStream(asyncio.Protocol):
    """The same by TCP, on every system: each message after its length in two octets, little-endian.

    on_board: called with this object when the board has said the token; it sets `on_message` and `on_end`.
    """

    def __init__(self, token: str, on_board: Callable[["BoardStream"], None]) -> None:
        self._token = token.encode()
        self._on_board = on_board
        self._received = b""
        self._known = False
        self.on_message: Callable[[bytes], None] = lambda _: None
        self.on_end: Callable[[], None] = lambda: None

    def connection_made(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        board = transport.get_extra_info("socket")
        board.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_OCTETS)
        board.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        received = self._received + data
        while len(received) >= 2 and not self._transport.is_closing():
            (length,) = struct.unpack_from("<H", received)
            if len(received) < 2 + length:
                break
            message, received = received[2 : 2 + length], received[2 + length :]
            if self._known:
                self.on_message(message)
            elif secrets.compare_digest(message, self._token):
                self._known = True
                self._on_board(self)
            else:
                self._transport.abort()
        self._received = received

    def connection_lost(self, _error: Exception | None) -> None:
        if self._known:
            self.on_end()

    def close(self) -> None:
        """End the connection; nothing is called any more."""
        self.on_end = lambda: None
        self._transport.abort()

    @property
    def backlog(self) -> int:
        """Octets that the board has not taken yet, beyond what the operating system holds."""
        return self._transport.get_write_buffer_size()

    def tell(self, message: bytes) -> None:
        """Send a message, now or when the board takes it."""
        if not self._transport.is_closing():
            self._transport.write(struct.pack("<H", len(message)) + message)
