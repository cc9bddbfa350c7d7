"""Fails when thread-local variables of a firmware lie where other variables are.

check_firmware.py ELF

A C library that is built for threads keeps such variables (picolibc: errno, what gmtime returns). The Pico
SDK points at one block of them, __tls_base, for both cores, and MicroPython's linker script sets no room
aside for it: build/riscv64_toolchain/thread_local.ld does.
"""

import sys
from pathlib import Path

from elftools.elf.constants import SH_FLAGS
from elftools.elf.elffile import ELFFile

ROOM = ".tbss_space"
"""Section that takes the room in memory; nothing else is in it."""


def faults(elf: ELFFile) -> list[str]:
    """What is wrong with the thread-local variables; empty when there are none, or all is well."""
    block = next(elf.iter_segments("PT_TLS"), None)
    if block is None or not block["p_memsz"]:
        return []
    symbols = elf.get_section_by_name(".symtab")
    start, end = block["p_vaddr"], block["p_vaddr"] + block["p_memsz"]
    found = []
    base = symbols.get_symbol_by_name("__tls_base")
    if not base or base[0]["st_value"] != start:
        at = f"{base[0]['st_value']:#x}" if base else "nowhere"
        found.append(f"they begin at {start:#x}, and the Pico SDK looks for them at {at} (__tls_base)")
    for section in elf.iter_sections():
        first, last = section["sh_addr"], section["sh_addr"] + section["sh_size"]
        in_memory = section["sh_flags"] & SH_FLAGS.SHF_ALLOC and not section["sh_flags"] & SH_FLAGS.SHF_TLS
        if not in_memory or first >= end or last <= start:
            continue
        if section.name != ROOM or any(name for name in _names(symbols, first, last)):
            names = _names(symbols, max(first, start), min(last, end)) or ["no names there"]
            found.append(f"at {start:#x} to {end:#x} is {section.name} too ({', '.join(names)})")
    return found


def _names(symbols, start: int, end: int) -> list[str]:
    """Of the variables from `start` to `end`."""
    return [
        symbol.name
        for symbol in symbols.iter_symbols()
        if symbol["st_info"]["type"] == "STT_OBJECT" and start < symbol["st_value"] + symbol["st_size"]
        if symbol["st_value"] < end and symbol["st_size"]
    ]


def main(path: str) -> None:
    """Raises SystemExit with what is wrong."""
    with Path(path).open("rb") as file:
        found = faults(ELFFile(file))
    if found:
        raise SystemExit(f"{path} has thread-local variables in a wrong place: " + "; ".join(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
