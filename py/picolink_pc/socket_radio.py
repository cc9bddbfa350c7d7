"""A radio of sockets in a folder: links of several programs on this PC hear each other. For tests, on Linux.

radio = SocketRadio(folder)
picolink.advertise("PicoA", radio=radio)      # in one program
picolink.connect("PicoA", radio=radio)        # in another one
"""

import asyncio
import contextlib
import hashlib
import socket
from pathlib import Path

from picolink import wire
from picolink.lifecycle import READY
from picolink.policy import Policy
from picolink.radio.board import Board
from picolink.runtime import sleep_ms, ticks_ms

_LOOK_MS = 50
_SEEK_MS = 5000
_PACKET = 1024
_DATA = b"\0"  # before each packet: an empty one would be taken for the end


class SocketRadio:
    """folder: where the sockets are.   who: names this program; the same after a restart."""

    def __init__(self, folder: Path, who: str = "") -> None:
        self.folder = folder
        self._who = who

    def advertise(self, name: str, services: object = ()) -> "_Role":  # noqa: ARG002
        return _Advertises(name, self.folder, f"board {name}")

    def connect(self, name: str) -> "_Role":
        return _Connects(name, self.folder, f"program {self._who}")


class _Role:
    TROUBLES = (OSError, MemoryError)
    TEND_MS = 20
    folder = ""
    irq_errors = 0
    rssi = None

    def __init__(self, name: str, folder: Path, who: str) -> None:
        self.name = wire.checked_name(name)
        self.identity = hashlib.blake2b(who.encode(), digest_size=8).digest()
        self.handle = -1
        self.ticks = 0
        self._path = folder / f"{name}.socket"
        self._board = Board()
        self._socket: socket.socket | None = None

    def serve(self, policy: Policy) -> None:
        self.policy = policy
        policy.transmit = self._transmit

    async def claim(self) -> None:
        await self._board.claim(self)

    def release(self) -> bool:
        return self._board.release(self)

    async def hang_up(self) -> bool:
        self._drop()
        return True

    def restart(self) -> None:
        pass

    def tend(self) -> None:
        self.ticks = (self.ticks + 1) & 0xFF

    def join(self, connected: socket.socket) -> None:
        self._socket = connected
        asyncio.get_running_loop().add_reader(connected, self._arrive)
        self.policy.adopt(ticks_ms(), self.name, self.name)
        self.handle = 0
        self.policy.call(wire.MTU)

    def _drop(self) -> None:
        if self._socket:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None
        if self.handle >= 0:
            self.handle = -1
            self.policy.wake.set()

    def _arrive(self) -> None:
        try:
            packet = self._socket.recv(_PACKET)
        except BlockingIOError:
            return
        except OSError:
            packet = b""
        if not packet:
            self._drop()
        elif self.policy.connection >= READY:
            self.policy.feed(packet[1:], ticks_ms())

    def _transmit(self, packet: memoryview) -> None:
        if self._socket is None:
            raise OSError(107, "there is no connection")
        self._socket.send(_DATA + packet)  # BlockingIOError is EAGAIN: full


class _Advertises(_Role):
    async def establish(self) -> None:
        self.policy.limit(ticks_ms(), _SEEK_MS)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        listener.setblocking(False)
        try:
            self._path.unlink(missing_ok=True)
            listener.bind(str(self._path))
            listener.listen(1)
            connected, _ = await asyncio.get_running_loop().sock_accept(listener)
        finally:
            listener.close()
            self._path.unlink(missing_ok=True)
        self.join(connected)


class _Connects(_Role):
    async def establish(self) -> None:
        self.policy.limit(ticks_ms(), _SEEK_MS)
        try:
            while True:
                connected = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                connected.setblocking(False)
                with contextlib.suppress(OSError):
                    connected.connect(str(self._path))
                    break
                connected.close()
                await sleep_ms(_LOOK_MS)
        except asyncio.CancelledError:
            connected.close()
            self.policy.not_found(ticks_ms(), self.name, ())
            raise
        self.join(connected)
