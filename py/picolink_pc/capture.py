"""What passes between Bluetooth hosts and their controllers, in files for Wireshark and other programs.

The format is btsnoop, one file for each board: it cannot tell boards apart.
"""

import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from .radio.controller import RadioController
    from .radio.virtual_radio import VirtualRadio

# As in Wireshark's description of the format; H4: the octet before each packet that says what it is.
_HEADER = struct.pack(">8sII", b"btsnoop\0", 1, 1002)
_RECORD = struct.Struct(">IIIIQ")  # original and stored length, flags, lost packets, microseconds
_TO_HOST, _COMMAND_OR_EVENT = 1, 2
_H4_ACL = 2
_UNIX_EPOCH_US = 0x00DCDDB30F2F8000  # since the year 0


class Capture:
    """Use it with `with`, while there are boards on `radio`.

    path: of the files; the name of a board is put before its suffix.
    now_us: the time that goes with each packet, in us since 1970.
    """

    def __init__(self, radio: "VirtualRadio", path: Path, now_us: Callable[[], int]) -> None:
        self.files: dict[str, Path] = {}
        """By name of the board."""
        self._radio = radio
        self._path = path
        self._now_us = now_us
        self._open: dict[str, BinaryIO] = {}

    def __enter__(self) -> "Capture":
        self._radio.tap = self._write
        return self

    def __exit__(self, *_exception: object) -> None:
        self._radio.tap = None
        for file in self._open.values():
            file.close()

    def _write(self, controller: "RadioController", packet: bytes, to_host: bool) -> None:
        file = self._open.get(controller.name) or self._begin(controller.name)
        flags = _TO_HOST * to_host | _COMMAND_OR_EVENT * (packet[0] != _H4_ACL)
        file.write(_RECORD.pack(len(packet), len(packet), flags, 0, _UNIX_EPOCH_US + self._now_us()) + packet)

    def _begin(self, board: str) -> BinaryIO:
        name = re.sub(r"\W+", "-", board)
        path = self._path.with_name(f"{self._path.stem}-{name}{self._path.suffix or '.btsnoop'}")
        self.files[board] = path
        file = self._open[board] = path.open("wb")
        file.write(_HEADER)
        return file
