"""The functions of a firmware, in C and in Python, by address: from the symbol table of its ELF file."""

import bisect
import struct
from pathlib import Path

# Tool Interface Standard, ELF 1.2: where section headers are, a section header, a symbol.
_SECTION_TABLE = struct.Struct("<32xI10x2H")
_SECTION = struct.Struct("<4xI8x3I8xI")
_SYMBOL = struct.Struct("<3IBxH")
_SYMBOL_TABLE = 2
_OBJECT = 1
_FUNCTION = 2

_FROZEN = "fun_data_"
"""Before the name of the bytecode of a function that is frozen into the firmware."""

_PYTHON_TYPES = ("mp_type_fun_bc", "mp_type_gen_wrap")


class Symbols:
    """elf: of 32 bits, little-endian, with symbols.

    python_types: addresses of the types of functions in Python.
    """

    def __init__(self, elf: Path) -> None:
        content = elf.read_bytes()
        table, size, count = _SECTION_TABLE.unpack_from(content)
        sections = [_SECTION.unpack_from(content, table + size * number) for number in range(count)]
        found: dict[int, str] = {}
        objects: dict[str, tuple[int, int]] = {}
        for kind, offset, length, link, entry in sections:
            if kind == _SYMBOL_TABLE:
                names = sections[link][1]
                for at in range(offset, offset + length, entry):
                    name, address, size, info, _ = _SYMBOL.unpack_from(content, at)
                    start = names + name
                    text = content[start : content.index(b"\0", start)].decode()
                    if info & 15 == _FUNCTION:
                        found[address & ~1] = text
                    elif info & 15 == _OBJECT:
                        objects[text] = (address, size)
        self._addresses = sorted(found)
        self._names = [found[address] for address in self._addresses]
        self.python_types = [objects[name][0] for name in _PYTHON_TYPES if name in objects]
        self._python = {
            name.removeprefix(_FROZEN): place for name, place in objects.items() if name.startswith(_FROZEN)
        }

    def function(self, address: int) -> str:
        """The one that begins at or before `address`; "?" before the first one."""
        place = bisect.bisect_right(self._addresses, address)
        return self._names[place - 1] if place else "?"

    def python_function(self, address: int) -> str:
        """The frozen one whose bytecode is there, such as "picolink_link_Link_send"; "" for another."""
        for name, (start, size) in self._python.items():
            if start <= address < start + size:
                return name
        return ""
