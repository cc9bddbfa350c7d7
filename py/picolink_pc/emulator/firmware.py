"""Firmware for emulated Pico Ws: what a file holds, and whether the emulator can run it."""

import dataclasses
import hashlib
import struct
import tempfile
from dataclasses import dataclass
from pathlib import Path

from .. import bytecode, products
from ..uf2 import Uf2Error, make_rp2040, read_uf2
from . import filesystem, packages
from .errors import EmulatorError

_FLASH = range(0x10000000, 0x10000000 + 2 * 1024 * 1024)

MISS_CYCLES = 50
"""What a miss of the flash cache costs the CPU, about: see flash_cache.mjs."""

# ELF files (Tool Interface Standard, ELF 1.2): identification, header of the file, and of a segment.
_ELF = b"\x7fELF\x01\x01"
_ELF_HEADER = struct.Struct("<16s2H5I6H")
_SEGMENT = struct.Struct("<8I")
_LOADED = 1

# MicroPython's names of the board, and of what is frozen into the firmware.
_PICO_W = b"Pico W with RP2040"
_PICOLINK = b"picolink/__init__.py"
_AIOBLE = b"aioble/__init__.py"


@dataclass(frozen=True)
class Firmware:
    """Firmware for a Pico W.

    path: as a UF2 file.   elf: the ELF file that it comes from, with its symbols; None: a UF2 file.
    has_picolink: is picolink inside?
    flash: what is in the board's flash before, with the files of MicroPython's file system.
    miss_cycles: what a miss of the flash cache costs the CPU that runs it; 0: as if there were none.
    sample_cycles: see BoardOptions.
    """

    path: Path
    elf: Path | None = None
    has_picolink: bool = True
    flash: bytes = b""
    miss_cycles: int = MISS_CYCLES
    sample_cycles: int = 0


def read_firmware(path: Path) -> Firmware:
    """A UF2 or an ELF file.  Raises EmulatorError: why the emulator cannot run it."""
    try:
        content = path.read_bytes()
        is_elf = content.startswith(_ELF)
        ranges = _read_elf(path, content) if is_elf else _read_uf2(path)
    except OSError as error:
        raise EmulatorError(f"cannot read {path}: {error.strerror}") from None
    except Uf2Error as error:
        raise EmulatorError(str(error)) from None
    image = b"".join(data for _, data in ranges)
    if _PICO_W not in image:
        raise EmulatorError(f"{path} is not MicroPython for a Pico W; the emulator has no other radio")
    if _PICOLINK not in image and _AIOBLE not in image:
        raise EmulatorError(f"{path} has no aioble inside, and there is no network to get it from")
    file = path
    if is_elf:
        packages.FOLDER.mkdir(parents=True, exist_ok=True)
        file = packages.FOLDER / f"{path.stem}-{hashlib.sha256(content).hexdigest()[:12]}.uf2"
        file.write_bytes(make_rp2040(ranges))
    return Firmware(file, path if is_elf else None, _PICOLINK in image)


def with_picolink(firmware: Firmware) -> Firmware:
    """The same; without picolink inside, it is on the filesystem, as `picolink install` puts it there.

    Raises EmulatorError.
    """
    if firmware.has_picolink:
        return firmware
    with tempfile.TemporaryDirectory() as folder:
        flash = Path(folder, "flash.bin")
        filesystem.write_files(flash, installed_files(), filesystem.PICO_W_BYTES)
        return dataclasses.replace(firmware, flash=flash.read_bytes())


def installed_files() -> dict[str, bytes]:
    """What `picolink install` puts onto a board with an RP2040, by path.  Raises EmulatorError."""
    native = products.native_for("armv6m")
    if native is None:
        raise EmulatorError(f"there is no native module for armv6m here: {products.how_to_get('native')}")
    files = {f"lib/picolink/{name}": content for name, content in bytecode.package().items()}
    files["lib/_picolink.mpy"] = native.read_bytes()
    return files


def _read_uf2(path: Path) -> list[tuple[int, bytes]]:
    uf2 = read_uf2(path)
    if uf2.chip != "RP2040":
        raise EmulatorError(f"{path} is for an {uf2.chip}: the emulator has an RP2040, one core of it")
    return uf2.ranges()


def _read_elf(path: Path, content: bytes) -> list[tuple[int, bytes]]:
    """(address, data) of what the file puts into flash."""
    try:
        _, _, _, _, _, table, *_, size, count, _, _, _ = _ELF_HEADER.unpack_from(content)
        segments = [_SEGMENT.unpack_from(content, table + size * number) for number in range(count)]
    except struct.error:
        raise EmulatorError(f"{path} is damaged: its segments are not whole") from None
    return [
        (address, content[offset : offset + length])
        for kind, offset, _, address, length, *_ in segments
        if kind == _LOADED and length and address in _FLASH
    ]
