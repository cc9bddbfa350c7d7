"""A controller offered over a pseudo-terminal, for a host stack in another process.

MicroPython's unix port with NimBLE or BTstack opens the device that the environment variable MICROPYBTUART
names, at any speed, and speaks HCI with H4 framing on it.
"""

import asyncio
import contextlib
import logging
import os
import tty

from bumble.core import InvalidPacketError
from bumble.transport.common import PacketParser

from .controller import RadioController

logger = logging.getLogger(__name__)

_READ_OCTETS = 4096


class HciPty:
    """The host side of a controller as a terminal device; one for each start of a board.

    path: the device for the host to open.
    """

    def __init__(self, controller: RadioController):
        """Takes the controller's host side; raises OSError if there is no pseudo-terminal to be had."""
        self._name = controller.name
        self._loop = asyncio.get_running_loop()
        self._parser = PacketParser(controller)
        self._outgoing = bytearray()
        self._full = False  # the terminal takes no more at present
        # The device stays open here as well: a host that closes it is no error on this side.
        self._fd, self._device = os.openpty()
        tty.setraw(self._device)
        os.set_blocking(self._fd, False)
        self.path = os.ttyname(self._device)
        self._loop.add_reader(self._fd, self._read)
        controller.host = self

    def close(self) -> None:
        """Give the device back; what the host has not read is gone."""
        self._loop.remove_reader(self._fd)
        self._loop.remove_writer(self._fd)
        os.close(self._fd)
        os.close(self._device)
        self._fd = -1

    @property
    def backlog(self) -> int:
        """Octets that the host has not taken yet, beyond what the terminal holds (some 4 KiB)."""
        return len(self._outgoing)

    def on_packet(self, packet: bytes) -> None:
        """A packet from the controller; those of one round of the event loop are written together."""
        if not self._outgoing:
            self._loop.call_soon(self._write)
        self._outgoing += packet

    def _write(self) -> None:
        if self._fd < 0:
            return
        with contextlib.suppress(BlockingIOError):
            del self._outgoing[: os.write(self._fd, self._outgoing)]
        if self._outgoing and not self._full:
            self._full = True
            self._loop.add_writer(self._fd, self._write)
        elif self._full and not self._outgoing:
            self._full = False
            self._loop.remove_writer(self._fd)

    def _read(self) -> None:
        try:
            self._parser.feed_data(os.read(self._fd, _READ_OCTETS))
        except InvalidPacketError as error:
            logger.error("the host of %s does not speak HCI (H4): %s", self._name, error)
