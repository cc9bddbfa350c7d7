"""The virtual radio of `picolink run` or `emulate`, for other programs of the same user: HCI on the loopback.

Whoever comes says a token that only a file of that user holds, and then is the host of a new controller.
"""

import asyncio
import contextlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from platformdirs import user_cache_path

if TYPE_CHECKING:
    from bumble.host import Host

    from .radio.controller import RadioController
    from .radio.virtual_radio import VirtualRadio

_TOKEN_OCTETS = 32
_PUBLIC_ADDRESS = "28:CD:C1:00:01:{:02X}"
_VISITORS = 256


def folder() -> Path:
    """Where a file for each open door is."""
    return user_cache_path("picolink", appauthor=False) / "radios"


def is_open() -> bool:
    """Does a radio seem to be there?"""
    return bool(_newest_first())


class RadioDoor:
    """Use it with `async with`: meanwhile the radio can be entered.

    radio: it.   file: for enter(), while it is open.
    """

    def __init__(self, radio: "VirtualRadio") -> None:
        self._radio = radio
        self._token = secrets.token_bytes(_TOKEN_OCTETS)
        self._visitors: set[_Visitor] = set()
        self._count = 0

    async def __aenter__(self) -> "RadioDoor":
        self._server = await asyncio.get_running_loop().create_server(self._visitor, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        folder().mkdir(parents=True, exist_ok=True)
        self.file = folder() / f"{os.getpid()}-{port}"
        with os.fdopen(os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(f"{port} {self._token.hex()}\n")
        return self

    async def __aexit__(self, *_exception: object) -> None:
        self.file.unlink(missing_ok=True)
        self._server.close()
        for visitor in list(self._visitors):
            visitor.close()

    def _visitor(self) -> "_Visitor":
        self._count = (self._count + 1) % _VISITORS
        return _Visitor(self._radio, _PUBLIC_ADDRESS.format(self._count), self._token, self._visitors)


class _Visitor(asyncio.Protocol):
    """A host on this side of its socket."""

    def __init__(self, radio: "VirtualRadio", address: str, token: bytes, visitors: "set[_Visitor]") -> None:
        self._radio = radio
        self._address = address
        self._token = token
        self._visitors = visitors
        self._said = b""
        self._controller: RadioController | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._visitors.add(self)

    def data_received(self, data: bytes) -> None:
        if self._controller:
            self._parser.feed_data(data)
            return
        self._said += data
        if len(self._said) < _TOKEN_OCTETS:
            return
        token, first = self._said[:_TOKEN_OCTETS], self._said[_TOKEN_OCTETS:]
        if not secrets.compare_digest(token, self._token):
            self.close()
            return
        from bumble.transport.common import PacketParser

        self._controller = self._radio.add_controller("PC", self._address)
        self._controller.host = self
        self._parser = PacketParser(self._controller)
        self._parser.feed_data(first)

    def connection_lost(self, _error: Exception | None) -> None:
        """As if its power was cut: boards have to notice."""
        self._visitors.discard(self)
        if self._controller in self._radio.controllers:
            self._radio.remove_controller(self._controller)

    @property
    def backlog(self) -> int:
        """Octets that the host has not taken yet: its controller then takes no more from the air."""
        return self._transport.get_write_buffer_size()

    def on_packet(self, packet: bytes) -> None:
        if not self._transport.is_closing():  # its program was killed, and connection_lost() comes soon
            self._transport.write(packet)

    def close(self) -> None:
        self._transport.abort()


async def enter(lost: Callable[[], None], door: Path | None = None) -> "Host":
    """A Bumble host on a radio.

    door: RadioDoor.file; None: the one that was opened last.
    lost: called when that radio is gone.   Raises OSError, which says what to do, when there is none.
    """
    from bumble.host import Host
    from bumble.transport.common import StreamPacketSink, StreamPacketSource

    class Source(StreamPacketSource):
        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            host.on_transport_lost()
            lost()

    loop = asyncio.get_running_loop()
    for file in [door] if door else _newest_first():
        try:
            port, token = file.read_text().split()
            transport, source = await loop.create_connection(Source, "127.0.0.1", int(port))
        except ValueError:  # it is being written
            continue
        except OSError:  # its program was killed
            file.unlink(missing_ok=True)
            continue
        transport.write(bytes.fromhex(token))
        host = Host(source, StreamPacketSink(transport))
        return host
    raise OSError("no virtual radio is there: start one in another terminal, picolink run PROGRAM.py")


def _newest_first() -> list[Path]:
    def age(file: Path) -> float:
        with contextlib.suppress(FileNotFoundError):
            return -file.stat().st_mtime_ns
        return 0

    with contextlib.suppress(FileNotFoundError):
        return sorted(folder().iterdir(), key=age)
    return []
