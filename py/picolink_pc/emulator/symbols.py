"""The functions of a firmware, by address: from the symbol table of its ELF file."""

import bisect
import struct
from pathlib import Path

# Tool Interface Standard, ELF 1.2: where section headers are, a section header, a symbol.
_SECTION_TABLE = struct.Struct("<32xI10x2H")
_SECTION = struct.Struct("<4xI8x3I8xI")
_SYMBOL = struct.Struct("<3IBxH")
_SYMBOL_TABLE = 2
_FUNCTION = 2


class Symbols:
    """elf: of 32 bits, little-endian, with symbols."""

    def __init__(self, elf: Path) -> None:
        content = elf.read_bytes()
        table, size, count = _SECTION_TABLE.unpack_from(content)
        sections = [_SECTION.unpack_from(content, table + size * number) for number in range(count)]
        found: dict[int, str] = {}
        for kind, offset, length, link, entry in sections:
            if kind == _SYMBOL_TABLE:
                names = sections[link][1]
                for at in range(offset, offset + length, entry):
                    name, address, _, info, _ = _SYMBOL.unpack_from(content, at)
                    if info & 15 == _FUNCTION:
                        start = names + name
                        found[address & ~1] = content[start : content.index(b"\0", start)].decode()
        self._addresses = sorted(found)
        self._names = [found[address] for address in self._addresses]

    def function(self, address: int) -> str:
        """The one that begins at or before `address`; "?" before the first one."""
        place = bisect.bisect_right(self._addresses, address)
        return self._names[place - 1] if place else "?"
