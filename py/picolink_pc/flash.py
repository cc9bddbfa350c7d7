"""`picolink flash`: a firmware onto a board with an RP2040 or RP2350."""

import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from mpremote.transport import TransportError
from rich.console import Console
from rich.progress import Progress

from . import device, products
from .bootsel import Drive, find_drives, read_drive
from .device import DeviceError, port_option
from .findings import Findings, look
from .uf2 import Uf2, Uf2Error, read_uf2

_LIMIT_S = 60
"""For what a board does within seconds: show its drive, restart, answer."""

_CHUNK_BYTES = 16 * 1024

# With a pause, so that the board has answered before it is gone.
_START_BOOTLOADER = "import machine, time\ntime.sleep_ms(200)\nmachine.bootloader()"

# The whole flash is mapped into memory, so the board can read its own firmware.
_HASH_FLASH = """
import binascii, hashlib, uctypes

def hash_flash(ranges):
    digest = hashlib.sha256()
    for address, size in ranges:
        while size:
            part = min(size, 4096)
            digest.update(uctypes.bytearray_at(address, part))
            address += part
            size -= part
    return binascii.hexlify(digest.digest()).decode()
"""

console = Console(stderr=True, highlight=False)


@click.command()
@click.argument("firmware", required=False, type=click.Path(dir_okay=False, path_type=Path))
@port_option
@click.option(
    "--drive",
    type=click.Path(path_type=Path),
    help="Drive of the board in BOOTSEL mode, when it is not found by itself.",
)
def flash(firmware: Path | None, port: str | None, drive: Path | None) -> None:
    """Put a firmware (UF2) onto a Pico board, and read it back.

    A board that runs MicroPython is restarted into its USB bootloader. For any other, hold its BOOTSEL button
    while you connect the cable. The files on the board stay.

    \b
    picolink flash                          picolink's own firmware for the board (make firmware)
    picolink flash firmware.uf2             any firmware
    picolink flash firmware.uf2 --port /dev/ttyACM1
    """
    image = None if firmware is None else _read(firmware)
    ports = set(device.list_ports())
    if _find_bootloader(drive) is None:
        port = device.find_port(port)
        firmware, image = _restart_into_bootloader(port, firmware, image)
    elif port is not None:
        raise DeviceError(f"another board than that at {port} is in BOOTSEL mode: disconnect it")
    elif image is None:
        raise DeviceError(
            "name the firmware to flash: a board in BOOTSEL mode does not tell which board it is"
        )
    with console.status("Waiting for the board's bootloader"):
        bootloader = _wait(lambda: _find_bootloader(drive))
    if bootloader is None:
        raise DeviceError(
            "the board is in BOOTSEL mode, but its drive did not appear: mount it and name it with --drive, "
            "or install picotool"
        )
    if isinstance(bootloader, Drive):
        _check_chip(image, firmware, bootloader.chip)
        _copy(image, bootloader)
    else:
        _load_with_picotool(firmware)
    with console.status("Waiting for the board to start"):
        _verify(image, port, ports)
    click.echo(f"{firmware.name} is on the board, which read it back and found it whole.")


def _read(firmware: Path) -> Uf2:
    try:
        return read_uf2(firmware)
    except OSError as error:
        raise DeviceError(f"cannot read {firmware}: {error.strerror}") from None
    except Uf2Error as error:
        raise DeviceError(str(error)) from None


def _find_bootloader(drive: Path | None) -> Drive | str | None:
    """The drive of the board in BOOTSEL mode, or "picotool" when that sees one, or None.

    drive: the only place to look at, or None.
    """
    if drive is not None:
        return read_drive(drive)
    drives = find_drives()
    if len(drives) > 1:
        folders = ", ".join(str(found.folder) for found in drives)
        raise DeviceError(f"several boards in BOOTSEL mode found: choose one with --drive ({folders})")
    if drives:
        return drives[0]
    if shutil.which("picotool") is None:
        return None
    sees_board = subprocess.run(["picotool", "info"], check=False, capture_output=True).returncode == 0
    return "picotool" if sees_board else None


def _restart_into_bootloader(port: str, firmware: Path | None, image: Uf2 | None) -> tuple[Path, Uf2]:
    """Checks first that the firmware is for this board.  Without one, chooses picolink's own for it."""
    with device.connect(port) as board:
        found = look(board)
        if image is None:
            firmware = _own_firmware(found)
            image = _read(firmware)
        _check_chip(image, firmware, _chip(found))
        board.exec_raw_no_follow(_START_BOOTLOADER)
    return firmware, image


def _own_firmware(found: Findings) -> Path:
    if not found.build:
        raise DeviceError(
            f"MicroPython {found.version_text} does not tell which board it is on: name the firmware to flash"
        )
    firmware = products.firmware(found.build)
    if not firmware.exists():
        raise DeviceError(
            f"picolink's firmware for this board is not built yet: run make firmware BOARD={found.build}"
        )
    return firmware


def _chip(found: Findings) -> str:
    chip = next((chip for chip in ("RP2040", "RP2350") if chip in found.machine), None)
    if chip is None:
        raise DeviceError(
            f"the board is a {found.machine}: only those with an RP2040 or RP2350 can be flashed"
        )
    return chip


def _check_chip(image: Uf2, firmware: Path, chip: str) -> None:
    if image.chip != chip:
        raise DeviceError(
            f"{firmware.name} is for the {image.chip}, the board has an {chip}: nothing was done"
        )


def _copy(image: Uf2, drive: Drive) -> None:
    """Returns when the board has taken the file: then its drive goes away.  Raises DeviceError."""
    written = 0
    target = drive.folder / "firmware.uf2"
    try:
        progress = Progress(console=console, transient=True, disable=not console.is_terminal)
        with progress, target.open("wb", buffering=0) as file:
            task = progress.add_task("Copying", total=len(image.content))
            while written < len(image.content):
                written += file.write(image.content[written : written + _CHUNK_BYTES])
                if written < len(image.content):
                    os.fsync(file.fileno())  # else all of it seems to be copied at once
                progress.update(task, completed=written)
    except OSError as error:
        # With the last block the board is off, and the operating system may complain that the drive is gone.
        if written < len(image.content):
            raise DeviceError(
                f"copying to {drive.folder} failed ({error.strerror}): connect the board with its BOOTSEL "
                "button held, and start again"
            ) from None
    with console.status("Waiting for the board to take it"):
        if not _wait(lambda: read_drive(drive.folder) is None):
            raise DeviceError(
                "the board did not take the firmware: connect it with its BOOTSEL button held, and retry"
            )


def _load_with_picotool(firmware: Path) -> None:
    command = ["picotool", "load", "--verify", "--execute", firmware]
    result = subprocess.run(command, check=False, stderr=subprocess.PIPE, text=True)
    if result.returncode:
        raise DeviceError(f"picotool failed: {result.stderr.strip() or 'no reason given'}")


def _verify(image: Uf2, port: str | None, ports_before: set[str]) -> None:
    """Waits for the board and lets it compare its flash with `image`.

    port: the board's, or None: one that was not among ports_before.  Raises DeviceError.
    """
    ranges = image.ranges()
    program = _HASH_FLASH + f"print(hash_flash({[(address, len(data)) for address, data in ranges]}))"

    def ask() -> str | None:
        for candidate in [port] if port is not None else sorted(set(device.list_ports()) - ports_before):
            try:
                with device.connect(candidate) as board:
                    return device.run(board, program).strip()
            except DeviceError:
                pass  # it is still starting
        return None

    try:
        answer = _wait(ask)
    except TransportError:
        raise DeviceError(
            "the board took the firmware and runs MicroPython, but it cannot be read back there: "
            "is it an official build?"
        ) from None
    if answer is None:
        raise DeviceError(
            "the board took the firmware, but does not answer as MicroPython; if the firmware is that, "
            "flash it again"
        )
    if answer != hashlib.sha256(b"".join(data for _, data in ranges)).hexdigest():
        raise DeviceError("what the board reads back is not the firmware: flash it again")


def _wait(condition: Callable[[], Any]) -> Any:
    """What `condition` returns once that is true, or None when it is not within some time."""
    end = time.monotonic() + _LIMIT_S
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.1)
    return None
