"""Boards whose USB bootloader runs (BOOTSEL mode): on USB, and as the drives that they show on the PC."""

import os
import re
import string
from dataclasses import dataclass
from pathlib import Path

# Where operating systems put a drive by themselves: Linux desktops, macOS. On Windows every letter is tried.
_MOUNTS = ("media/*", "media/*/*", "run/media/*/*", "mnt/*", "Volumes/*")

# Where Linux tells about USB devices, and which of them are such boards: the boot ROMs of RP2040 and RP2350.
_USB = Path("/sys/bus/usb/devices")
_USB_IDS = {("2e8a", "0003"), ("2e8a", "000f")}

# Board-ID in INFO_UF2.TXT, written by the chip's boot ROM.
_CHIPS = {"RPI-RP2": "RP2040", "RP2350": "RP2350"}


@dataclass(frozen=True)
class Drive:
    """The drive of a board in BOOTSEL mode.  chip: "RP2040" or "RP2350"."""

    folder: Path
    chip: str


def usb_devices() -> list[tuple[str, str]] | None:
    """Vendor and product id of each USB device, such as ("2e8a", "0005"); None where the PC does not tell."""
    if not _USB.is_dir():
        return None
    return [(_read(path), _read(path.with_name("idProduct"))) for path in _USB.glob("*/idVendor")]


def count_on_usb() -> int | None:
    """Boards in BOOTSEL mode that are connected, mounted or not; None where the PC does not tell."""
    devices = usb_devices()
    return None if devices is None else sum(device in _USB_IDS for device in devices)


def find_drives() -> list[Drive]:
    """All drives of boards in BOOTSEL mode that are mounted."""
    folders = windows_drives() if os.name == "nt" else mounted()
    return [drive for folder in folders if (drive := read_drive(Path(folder))) is not None]


def windows_drives() -> list[str]:
    """The root folder of each drive letter, there or not: reading tells which is a board's."""
    return [f"{letter}:\\" for letter in string.ascii_uppercase]


def mounted(root: Path = Path("/")) -> list[Path]:
    """The folders where Linux and macOS mount drives by themselves.  root: of the file system."""
    return [folder for pattern in _MOUNTS for folder in root.glob(pattern)]


def read_drive(folder: Path) -> Drive | None:
    """The drive in this folder, or None when it is none."""
    match = re.search(r"^Board-ID: *(\S+)", _read(folder / "INFO_UF2.TXT"), re.MULTILINE)
    chip = _CHIPS.get(match[1]) if match else None
    return Drive(folder, chip) if chip else None


def _read(path: Path) -> str:
    """Empty when it is not there, or no more."""
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
