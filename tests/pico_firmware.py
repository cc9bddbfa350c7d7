"""For tests on emulated boards: `make firmware BOARD=RPI_PICO`, UF2 files made here, and files on a board."""

import struct
from pathlib import Path

from picolink_pc import products

RP2040, RP2350_ARM, RP2350_RISC_V, RP2350_ABSOLUTE = 0xE48BFF56, 0xE48BFF59, 0xE48BFF5A, 0xE48BFF57
FLASH_BASE = 0x10000000

WITH_PICOLINK = products.firmware("RPI_PICO")
_PLAIN_IMAGE = products.firmware_without("RPI_PICO")

AIOBLE = {
    "__init__.py": "advertise = scan = Service = Characteristic = 1\n",
    "device.py": "class Device:\n    async def connect(self, limit, scan, least, most):\n        pass\n",
}
"""Files that pass for aioble on a board without Bluetooth."""


def write_plain_firmware(folder: Path) -> Path:
    """A UF2 file of the same MicroPython without picolink, in `folder`."""
    file = folder / "plain.uf2"
    file.write_bytes(b"".join(uf2_blocks(_PLAIN_IMAGE.read_bytes())))
    return file


def uf2_blocks(data: bytes, family: int = RP2040, flags: int = 0x2000) -> list[bytes]:
    """The blocks of a UF2 file that puts `data` at the start of flash."""
    parts = [data[start : start + 256].ljust(256, b"\0") for start in range(0, len(data), 256)]
    return [
        struct.pack(
            "<8I476sI",
            0x0A324655,
            0x9E5D5157,
            flags,
            FLASH_BASE + 256 * number,
            256,
            number,
            len(parts),
            family,
            part,
            0x0AB16F30,
        )
        for number, part in enumerate(parts)
    ]
