"""The unix socket to the stand-in on one board."""

import asyncio
import socket
from collections import deque
from collections.abc import Callable

_MAX_MESSAGE = 1024

_SOCKET_OCTETS = 4096
"""Little, so that the radio soon holds back the peer of a board that takes nothing (see `backlog`)."""


class BoardSocket:
    """Messages (board/standin_ops.py) to and from a board, in order.

    on_message: called with each message that arrives.  on_end: called once, when the board is gone.
    """

    def __init__(
        self, board: socket.socket, on_message: Callable[[bytes], None], on_end: Callable[[], None]
    ) -> None:
        self._board = board
        self._on_message = on_message
        self._on_end = on_end
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
                self._on_end()
                return
            self._on_message(message)
