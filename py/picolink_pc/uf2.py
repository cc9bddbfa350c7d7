"""UF2 files: 512-byte blocks that a board's USB bootloader writes to its flash (github.com/microsoft/uf2)."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

BLOCK_SIZE = 512
_HEADER = struct.Struct("<8I")
_PAYLOAD = 256
_SECTOR = 4096
_MAGIC_START = (0x0A324655, 0x9E5D5157)
_MAGIC_END = 0x0AB16F30
_LARGEST_PAYLOAD = 476
_NOT_MAIN_FLASH = 0x00000001
_FAMILY_ID_PRESENT = 0x00002000

_RP2040 = 0xE48BFF56
# Chip, its cores that run the image, and what to call both, by family id (the uf2 project's
# utils/uf2families.json). An RP2350 has cores of both kinds and starts those that the image is for.
_FAMILIES = {
    _RP2040: ("RP2040", "ARM", "RP2040"),
    0xE48BFF59: ("RP2350", "ARM", "RP2350 (ARM)"),
    0xE48BFF5A: ("RP2350", "RISC-V", "RP2350 (RISC-V)"),
    0xE48BFF5B: ("RP2350", "ARM", "RP2350 (ARM, non-secure)"),
}

_FLASH = {"RP2040": (0x10000000, 2 << 20), "RP2350": (0x10000000, 4 << 20)}
"""Start and size of the flash of Raspberry Pi's own boards: Pico and Pico W, Pico 2 and Pico 2 W."""

# A block for any RP2350: the Pico SDK's tools put one in front because of erratum RP2350-E10.
_ABSOLUTE_FAMILY = 0xE48BFF57


class Uf2Error(Exception):
    """The file is not a UF2 file for one chip, whole and undamaged.  The text says what is wrong."""


@dataclass(frozen=True)
class Uf2:
    """A checked UF2 file.

    chip: "RP2040" or "RP2350".  cores: "ARM" or "RISC-V".
    blocks: (address, payload) of each block for that chip, in the file's order.
    content: the whole file.
    """

    chip: str
    cores: str
    blocks: tuple[tuple[int, bytes], ...]
    content: bytes

    def ranges(self) -> list[tuple[int, bytes]]:
        """The same as `blocks`, with neighbors joined and sorted by address."""
        joined: list[tuple[int, bytearray]] = []
        for address, payload in sorted(self.blocks):
            if joined and joined[-1][0] + len(joined[-1][1]) == address:
                joined[-1][1].extend(payload)
            else:
                joined.append((address, bytearray(payload)))
        return [(address, bytes(data)) for address, data in joined]


def erase_behind(image: Uf2) -> bytes:
    """A UF2 file with the image, that erases the rest of the flash: there MicroPython keeps its files.

    For boards with the flash of Raspberry Pi's own.
    """
    start, size = _FLASH[image.chip]
    end = max(address + len(payload) for address, payload in image.blocks)
    # Whoever writes a page erases its sector first: one page of each is enough.
    sectors = range(-(-end // _SECTOR) * _SECTOR, start + size, _SECTOR)
    more = [(address, b"\xff" * _PAYLOAD) for address in sectors]
    last = image.content[-BLOCK_SIZE:]
    family = _HEADER.unpack_from(last)[-1]
    blocks = [*image.blocks, *more]
    return b"".join(_block(*block, number, len(blocks), family) for number, block in enumerate(blocks))


def make_rp2040(ranges: list[tuple[int, bytes]]) -> bytes:
    """A UF2 file for an RP2040 that puts these bytes at these addresses."""
    pieces = [
        (address + start, data[start : start + _PAYLOAD])
        for address, data in ranges
        for start in range(0, len(data), _PAYLOAD)
    ]
    return b"".join(_block(*piece, number, len(pieces), _RP2040) for number, piece in enumerate(pieces))


def _block(address: int, payload: bytes, number: int, count: int, family: int) -> bytes:
    header = _HEADER.pack(*_MAGIC_START, _FAMILY_ID_PRESENT, address, len(payload), number, count, family)
    return (header + payload).ljust(BLOCK_SIZE - 4, b"\0") + struct.pack("<I", _MAGIC_END)


def read_uf2(path: Path) -> Uf2:
    """Reads and checks a UF2 file.  Raises Uf2Error, or OSError when it cannot be read."""
    content = path.read_bytes()
    if len(content) < BLOCK_SIZE or content[:4] != _MAGIC_START[0].to_bytes(4, "little"):
        raise Uf2Error(f"{path} is not a UF2 file")
    if len(content) % BLOCK_SIZE:
        raise Uf2Error(f"{path} is cut short: its last block is not whole. Get or build it again")
    blocks = []
    families = set()
    numbers = []
    counts = set()
    for position, (family, number, count, address, payload) in enumerate(_parse(path, content)):
        if family == _ABSOLUTE_FAMILY:
            continue
        if family not in _FAMILIES:
            raise Uf2Error(f"{path} is for another chip (family id 0x{family:08x} in block {position})")
        families.add(_FAMILIES[family])
        numbers.append(number)
        counts.add(count)
        blocks.append((address, payload))
    if len(families) != 1:
        names = " and ".join(sorted(name for *_, name in families)) or "no chip"
        raise Uf2Error(f"{path} is for {names}: one is needed")
    if len(counts) > 1 or len(set(numbers)) < len(numbers):
        raise Uf2Error(f"{path} has blocks of several files, or some twice. Get or build it again")
    missing = counts.pop() - len(numbers)
    if missing:
        raise Uf2Error(
            f"{path}: {missing} of {missing + len(numbers)} blocks are missing. Get or build it again"
        )
    ((chip, cores, _),) = families
    return Uf2(chip, cores, tuple(blocks), content)


def _parse(path: Path, content: bytes) -> Iterator[tuple[int, int, int, int, bytes]]:
    for start in range(0, len(content), BLOCK_SIZE):
        block = content[start : start + BLOCK_SIZE]
        magic0, magic1, flags, address, length, number, count, family = _HEADER.unpack_from(block)
        (end,) = struct.unpack_from("<I", block, BLOCK_SIZE - 4)
        intact = (magic0, magic1) == _MAGIC_START and end == _MAGIC_END
        if not intact or not 0 < length <= _LARGEST_PAYLOAD or number >= count:
            raise Uf2Error(f"{path} is damaged in block {start // BLOCK_SIZE}. Get or build it again")
        if flags & _NOT_MAIN_FLASH:
            continue
        if not flags & _FAMILY_ID_PRESENT:
            raise Uf2Error(f"{path} does not say for which chip it is")
        yield family, number, count, address, block[_HEADER.size : _HEADER.size + length]
