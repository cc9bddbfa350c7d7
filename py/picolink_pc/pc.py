"""What this PC has to do with it that a board is not found, or its port is not opened."""

import os
from pathlib import Path

import serial.tools.list_ports

from . import bootsel

_RASPBERRY_PI, _DEBUG_PROBE = "2e8a", "000c"


def why_no_board() -> str:
    """One sentence for a person, where no serial port looks like one of a board."""
    if bootsel.find_drives() or bootsel.count_on_usb():
        return "no board found that runs a program, but one in BOOTSEL mode: picolink flash FIRMWARE.uf2"
    if any(
        vendor == _RASPBERRY_PI and product != _DEBUG_PROBE for vendor, product in bootsel.usb_devices() or []
    ):
        return (
            "no board found: one is on USB, but shows no serial port. Its firmware has none, or Linux lacks "
            "the driver: sudo modprobe cdc_acm; else connect it with its BOOTSEL button held, "
            "then picolink flash FIRMWARE.uf2"
        )
    return (
        "no board found: connect one with a USB data cable (many only charge); a new board first needs "
        "firmware: connect it with its BOOTSEL button held, then picolink flash FIRMWARE.uf2"
    )


def why_not_opened(port: str) -> str:
    """One sentence about a serial port that could not be opened."""
    known = [found.device for found in serial.tools.list_ports.comports()]
    path = Path(port)
    if "://" in port:
        return f"cannot open {port}: nothing answers there"
    if port not in known and not path.exists():
        return f"cannot open {port}: there is no such port; found: {', '.join(known) or 'none'}"
    if os.name == "posix" and path.exists() and not os.access(path, os.R_OK | os.W_OK):
        group = path.group()
        return (
            f"cannot open {port}: only the group {group} may use it. "
            f"Join it (sudo adduser $USER {group}), then log in again"
        )
    return (
        f"cannot open {port}: another program uses it. Close that (Thonny? a serial monitor?), then try again"
    )
