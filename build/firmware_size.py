"""What picolink adds to a firmware: compares two builds and prints the flash and RAM of each part, in bytes.

firmware_size.py WITH WITHOUT REPORT: two build folders of the rp2 port, and the file that gets the table.
"""

import sys
from pathlib import Path

from elftools.elf.constants import SH_FLAGS
from elftools.elf.elffile import ELFFile


def flash_bytes(elf: ELFFile) -> int:
    """Bytes that the image takes in flash: everything that is loaded."""
    return sum(segment["p_filesz"] for segment in elf.iter_segments("PT_LOAD"))


def python_heap_bytes(elf: ELFFile) -> int:
    """Bytes of RAM left for MicroPython's heap: what static variables and stacks do not take."""
    symbols = elf.get_section_by_name(".symtab")
    start = symbols.get_symbol_by_name("__GcHeapStart")[0]["st_value"]
    return symbols.get_symbol_by_name("__GcHeapEnd")[0]["st_value"] - start


def object_bytes(path: Path) -> tuple[int, int]:
    """Flash and RAM bytes of one object file; initialized variables count in both."""
    flash = ram = 0
    with path.open("rb") as file:
        for section in ELFFile(file).iter_sections():
            if section["sh_flags"] & SH_FLAGS.SHF_ALLOC:
                writable = section["sh_flags"] & SH_FLAGS.SHF_WRITE
                ram += section["sh_size"] if writable else 0
                flash += section["sh_size"] if section["sh_type"] != "SHT_NOBITS" else 0
    return flash, ram


def main(with_picolink: str, without_picolink: str, report: str) -> None:
    """Print the table and write it to the file `report`."""
    flash, heap = {}, {}
    for folder in (with_picolink, without_picolink):
        with (Path(folder) / "firmware.elf").open("rb") as file:
            elf = ELFFile(file)
            flash[folder], heap[folder] = flash_bytes(elf), python_heap_bytes(elf)
    added = flash[with_picolink] - flash[without_picolink], heap[without_picolink] - heap[with_picolink]
    objects = [object_bytes(path) for path in Path(with_picolink).rglob("native/*.c.o")]
    engine = tuple(sum(column) for column in zip(*objects, strict=True))
    rows = [
        ("firmware without picolink", flash[without_picolink], ""),
        ("firmware with picolink", flash[with_picolink], ""),
        ("picolink adds", *added),
        ("  native engine (C)", *engine),
        ("  frozen Python and names", added[0] - engine[0], added[1] - engine[1]),
    ]
    lines = [f"{'bytes':<28} {'flash':>8} {'static RAM':>11}"]
    lines += [f"{name:<28} {in_flash:>8} {in_ram:>11}" for name, in_flash, in_ram in rows]
    lines += [f"left for Python's heap: {heap[with_picolink]} bytes of RAM"]
    Path(report).write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main(*sys.argv[1:])
