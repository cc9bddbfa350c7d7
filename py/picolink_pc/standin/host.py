"""The Bluetooth host of one virtual board, for as many starts of the board as there are."""

import asyncio
import secrets
import socket
from pathlib import Path

from ..radio.virtual_radio import VirtualRadio
from .board_socket import BoardSocket, BoardStream
from .stack import Stack


class StandinHost:
    """Serves one board's stand-in.  A board that restarts finds the host as new as after power-on.

    radio: where the board's controller is.  name: of the board.  address: public, as "28:CD:C1:00:00:01".
    mtu: the ATT MTU that this host agrees to at most, octets.
    notify_queue_peak: most notifications that ever waited on the board's heap for room in the controller.
    stalls: so many of the next connections stall, as in btstack#740: after some packets the stack accepts
        more and sends none. When the board restarts its stack that ends.
    """

    def __init__(self, radio: VirtualRadio, name: str, address: str, mtu: int) -> None:
        self.radio = radio
        self.name = name
        self.address = address
        self.mtu = mtu
        self.notify_queue_peak = 0
        self.stalls = 0
        self._listener: socket.socket | None = None
        self._server: asyncio.Task[asyncio.Server] | None = None
        self._stack: Stack | None = None

    def listen(self, path: Path) -> None:
        """Accept a board at this socket from now on.  Needs a running event loop."""
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.setblocking(False)
        self._listener.bind(str(path))
        self._listener.listen(1)
        asyncio.get_running_loop().add_reader(self._listener, self._accept)

    def listen_on_loopback(self) -> str:
        """Accept a board by TCP: the address for its standin_socket.  Needs a running event loop."""
        listener = socket.create_server(("127.0.0.1", 0))
        token = secrets.token_hex()
        loop = asyncio.get_running_loop()
        self._server = loop.create_task(
            loop.create_server(lambda: BoardStream(token, self._take), sock=listener)
        )
        return f"{listener.getsockname()[1]} {token}"

    def close(self) -> None:
        """End for good; a connected board loses its radio."""
        if self._listener:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
        if self._server:
            self._server.add_done_callback(lambda task: task.result().close())
        if self._stack:
            self._stack.power_off()

    def _accept(self) -> None:
        board, _ = self._listener.accept()
        self._take(BoardSocket(board))

    def _take(self, board: BoardSocket | BoardStream) -> None:
        if self._stack:
            self._stack.power_off()
        self._stack = Stack(self, board)
