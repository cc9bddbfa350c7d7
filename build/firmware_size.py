"""What picolink adds to a firmware: prints the flash and RAM of each part, in bytes.

firmware_size.py REPORT WITH [WITHOUT]: the file that gets the table, and build folders of the rp2 port,
with and without picolink.
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


def copied_bytes(elf: ELFFile) -> int:
    """Bytes that the start copies from flash to RAM: variables with values, and code that runs there."""
    return elf.get_section_by_name(".data")["sh_size"]


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


def engine_bytes(folder: Path) -> tuple[int, int]:
    """Flash and RAM bytes of the native engine in a build folder.  Raises SystemExit when it is not there."""
    # CMake's name for them depends on the Pico SDK: .c.o, or .c.obj before version 2.1.
    objects = [*folder.rglob("native/*.c.o"), *folder.rglob("native/*.c.obj")]
    if not objects:
        raise SystemExit(f"{folder} has no object files of native/: picolink's engine is not in it")
    return tuple(sum(column) for column in zip(*map(object_bytes, objects), strict=True))


def sizes(folder: Path) -> tuple[int, int, int]:
    """Bytes of the firmware in a build folder: flash, left for Python's heap, copied to RAM at start."""
    with (folder / "firmware.elf").open("rb") as file:
        elf = ELFFile(file)
        return flash_bytes(elf), python_heap_bytes(elf), copied_bytes(elf)


def table(with_picolink: Path, without_picolink: Path | None) -> str:
    """The report, without the last part of each line that needs a firmware `without_picolink`."""
    flash, heap, copied = sizes(with_picolink)
    engine = engine_bytes(with_picolink)
    rows = [("firmware with picolink", flash, ""), ("  native engine (C)", *engine)]
    if without_picolink is not None:
        plain_flash, plain_heap, plain_copied = sizes(without_picolink)
        added = flash - plain_flash, plain_heap - heap
        moved = copied - plain_copied
        rows = [
            ("firmware without picolink", plain_flash, ""),
            rows[0],
            ("picolink adds", *added),
            rows[1],
            ("  code and tables in RAM", "", moved),
            ("  frozen Python and names", added[0] - engine[0], added[1] - engine[1] - moved),
        ]
    lines = [f"{'bytes':<28} {'flash':>8} {'static RAM':>11}"]
    lines += [f"{name:<28} {in_flash:>8} {in_ram:>11}" for name, in_flash, in_ram in rows]
    lines += [f"left for Python's heap: {heap} bytes of RAM"]
    return "\n".join(lines) + "\n"


def main(report: str, with_picolink: str, without_picolink: str | None = None) -> None:
    """Print the table and write it to the file `report`."""
    text = table(Path(with_picolink), without_picolink and Path(without_picolink))
    Path(report).write_text(text)
    print(text, end="")


if __name__ == "__main__":
    main(*sys.argv[1:])
