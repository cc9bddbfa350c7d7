"""picotool, for a board in BOOTSEL mode whose drive is not mounted."""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .device import DeviceError


@dataclass(frozen=True)
class Picotool:
    """It sees a board in BOOTSEL mode.  chip: "RP2040" or "RP2350"."""

    chip: str

    def load(self, firmware: Path) -> None:
        """Writes a UF2 file, and starts the board.  Raises DeviceError."""
        command = ["picotool", "load", "--verify", "--execute", firmware]
        # Its errors go to standard output, behind the lines of its progress.
        result = subprocess.run(
            command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        if result.returncode:
            reason = re.search(r"ERROR: *(.*\S)", result.stdout)
            raise DeviceError(f"picotool failed: {reason[1] if reason else 'no reason given'}")


def find() -> Picotool | None:
    """None without picotool, or when it sees no board.  Raises DeviceError for several."""
    if shutil.which("picotool") is None:
        return None
    result = subprocess.run(["picotool", "info", "-d"], check=False, capture_output=True, text=True)
    if result.returncode:
        return None
    if re.search(r"^Multiple .* devices in BOOTSEL mode", result.stdout, re.MULTILINE):
        raise DeviceError("several boards in BOOTSEL mode found: disconnect all but one")
    chip = re.search(r"^ *type: *(\S+)", result.stdout, re.MULTILINE)
    return Picotool(chip[1] if chip else "RP2040")  # before version 2 it knew no other, and did not say
