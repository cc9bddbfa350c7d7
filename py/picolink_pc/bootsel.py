"""A board whose USB bootloader runs (BOOTSEL mode): the drive that it shows on the PC."""

import os
import re
import string
from dataclasses import dataclass
from pathlib import Path

# Where operating systems put a drive by themselves: Linux desktops, macOS. On Windows every letter is tried.
_MOUNTS = ("/media/*", "/media/*/*", "/run/media/*/*", "/mnt/*", "/Volumes/*")

# Board-ID in INFO_UF2.TXT, written by the chip's boot ROM.
_CHIPS = {"RPI-RP2": "RP2040", "RP2350": "RP2350"}


@dataclass(frozen=True)
class Drive:
    """The drive of a board in BOOTSEL mode.  chip: "RP2040" or "RP2350"."""

    folder: Path
    chip: str


def find_drives() -> list[Drive]:
    """All drives of boards in BOOTSEL mode that are mounted."""
    if os.name == "nt":
        folders = [Path(f"{letter}:/") for letter in string.ascii_uppercase]
    else:
        folders = [folder for pattern in _MOUNTS for folder in Path("/").glob(pattern.lstrip("/"))]
    return [drive for folder in folders if (drive := read_drive(folder)) is not None]


def read_drive(folder: Path) -> Drive | None:
    """The drive in this folder, or None when it is none."""
    try:
        text = (folder / "INFO_UF2.TXT").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    match = re.search(r"^Board-ID: *(\S+)", text, re.MULTILINE)
    chip = _CHIPS.get(match[1]) if match else None
    return Drive(folder, chip) if chip else None
