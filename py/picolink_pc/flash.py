"""`picolink flash`: a firmware onto a board with an RP2040 or RP2350."""

import errno
import hashlib
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress

from . import device, picotool, products
from .bootsel import Drive, count_on_usb, find_drives, read_drive
from .device import DeviceError, ProgramError, port_option
from .findings import Findings, look
from .picotool import Picotool
from .uf2 import Uf2, Uf2Error, erase_behind, read_uf2

_LIMIT_S = 60
"""For what a board does within seconds: show its drive, restart, answer."""

_MOUNT_LIMIT_S = 10
"""For the drive of a board that is in BOOTSEL mode already."""

_CHUNK_BYTES = 16 * 1024

_NO_DRIVE = (
    "the board is in BOOTSEL mode, but its drive did not appear: mount it and name it with --drive, "
    "or install picotool"
)

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
    help="Drive of the board in BOOTSEL mode, if it is not found by itself; with --port: where it will be.",
)
@click.option(
    "--erase-files",
    is_flag=True,
    help="Erase all files on the board too, if its main.py lets nobody in. (Boards by Raspberry Pi.)",
)
@click.option(
    "--switch-cores",
    is_flag=True,
    help="Allow firmware for cores of an RP2350 (ARM or RISC-V) other than those that run now.",
)
def flash(
    firmware: Path | None, port: str | None, drive: Path | None, erase_files: bool, switch_cores: bool
) -> None:
    """Put firmware (UF2) onto a Pico board, and read it back.

    A board that runs MicroPython is restarted into its USB bootloader. For any other, hold its BOOTSEL button
    while you connect the cable. The files on the board stay (but not when a Pico's firmware gives way to a
    Pico W's), and at the end it starts its main.py.

    Without a file, a board that has picolink's firmware gets the same variant of it again: tuned stays tuned.

    \b
    picolink flash                 picolink's firmware for the board (make firmware)
    picolink flash firmware.uf2    any firmware
    picolink flash firmware.uf2 --port /dev/ttyACM1
    """
    image = None if firmware is None else _read(firmware)
    ports = set(device.list_ports())
    if port is not None or not _in_bootsel_mode(drive):
        port = _find_running(port, drive)
        firmware, image = _restart_into_bootloader(port, firmware, image, switch_cores)
    elif image is None:
        raise DeviceError(
            "name the firmware to flash: a board in BOOTSEL mode does not say which board it is"
        )
    cores = f", for its {image.cores} cores" if image.chip == "RP2350" else ""
    click.echo(f"Putting {firmware.name} onto the {image.chip}{cores}.")
    content = erase_behind(image) if erase_files else image.content
    try:
        _put(firmware, image, content, port, ports, drive)
    except KeyboardInterrupt:
        raise DeviceError(
            f"interrupted: the board may be in BOOTSEL mode, with a part of {firmware.name}. Flash it again"
        ) from None
    click.echo(f"{firmware.name} is on the board, which read it back without an error.")


def _put(
    firmware: Path, image: Uf2, content: bytes, port: str | None, ports: set[str], drive: Path | None
) -> None:
    """Waits for the bootloader, copies, and waits for the board to read it back.  Raises DeviceError.

    content: of the file that is copied; the image is in it.
    port: the board's before, or None.   ports: all that there were then.
    """
    with console.status("Waiting for the board's bootloader"):
        bootloader = _wait(lambda: _find_bootloader(drive), _LIMIT_S)
    if bootloader is None:
        raise DeviceError(_NO_DRIVE)
    _check_chip(image, firmware, bootloader.chip)
    if isinstance(bootloader, Drive):
        _copy(content, bootloader)
    elif content is image.content:
        bootloader.load(firmware)
    else:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, firmware.name)
            file.write_bytes(content)
            bootloader.load(file)
    with console.status("Waiting for the board to start"):
        _verify(image, port, ports)


def _read(firmware: Path) -> Uf2:
    try:
        return read_uf2(firmware)
    except OSError as error:
        raise DeviceError(f"cannot read {firmware}: {error.strerror}") from None
    except Uf2Error as error:
        raise DeviceError(str(error)) from None


def _in_bootsel_mode(drive: Path | None) -> bool:
    """Whether a board is; the drive of one that is may take a while.  Raises DeviceError.

    drive: the only place to look at, or None.
    """
    if _find_bootloader(drive) is not None:
        return True
    if drive is not None:
        raise DeviceError(
            f"no board in BOOTSEL mode at {drive}: to restart a running one, name its --port too"
        )
    connected = count_on_usb()
    if connected == 0 or (connected is None and device.list_ports()):
        return False
    with console.status("Waiting for the board's drive"):
        found = _wait(lambda: _find_bootloader(None), _MOUNT_LIMIT_S)
    if found is None and connected:
        raise DeviceError(_NO_DRIVE)
    return found is not None


def _find_running(port: str | None, drive: Path | None) -> str:
    """The port of the board to restart.  Raises DeviceError."""
    if port is None:
        if not device.list_ports():
            raise DeviceError(
                "no board found: connect one that runs MicroPython, or any other with its BOOTSEL button held"
            )
        return device.find_port(None)
    if _find_bootloader(drive) is not None or count_on_usb():
        raise DeviceError(f"a board other than the one at {port} is in BOOTSEL mode: disconnect it")
    # A root such as Windows' E: is not there before.
    if drive is not None and drive != drive.parent and not drive.parent.is_dir():
        raise DeviceError(f"no drive can appear at {drive}: there is no folder {drive.parent}")
    return port


def _find_bootloader(drive: Path | None) -> Drive | Picotool | None:
    """The board in BOOTSEL mode, by its drive, or as picotool sees it.  Raises DeviceError for several.

    drive: the only place to look at, or None.
    """
    if drive is not None:
        return read_drive(drive)
    drives = find_drives()
    if len(drives) > 1 or (count_on_usb() or 0) > 1:
        folders = ", ".join(str(found.folder) for found in drives) or "none is mounted"
        raise DeviceError(f"several boards in BOOTSEL mode found: choose one with --drive ({folders})")
    return drives[0] if drives else picotool.find()


def _restart_into_bootloader(
    port: str, firmware: Path | None, image: Uf2 | None, switch_cores: bool
) -> tuple[Path, Uf2]:
    """Checks first that the firmware is for this board.  Without one, chooses picolink's own for it."""
    with device.connect(port) as board:
        found = look(board)
        if image is None:
            firmware = _own_firmware(found)
            image = _read(firmware)
        _check_chip(image, firmware, _chip(found))
        cores = _cores(found)
        if image.cores != cores and not switch_cores:
            raise DeviceError(
                f"{firmware.name} is for the RP2350's {image.cores} cores, the board runs its {cores} cores: "
                "nothing was done. --switch-cores allows it; then replace the native modules on the board "
                "(picolink install)"
            )
        board.exec_raw_no_follow(_START_BOOTLOADER)
    return firmware, image


def _own_firmware(found: Findings) -> Path:
    """Picolink's for this board, in the variant that is there: tuned or not.  Raises DeviceError."""
    build = found.own_build or found.build
    if not build:
        raise DeviceError(
            f"MicroPython {found.version_text} does not say which board it is on: name the firmware to flash"
        )
    firmware = products.firmware(build)
    tuned = products.firmware(build + products.TUNED)
    if found.package == "firmware" and found.own_build is None and tuned.exists():
        raise DeviceError(
            "the board's firmware does not say whether it is tuned: name the one to flash "
            f"({firmware.name} or {tuned.name})"
        )
    if not firmware.exists():
        board, tuned, _ = build.partition(products.TUNED)
        target = f"firmware BOARD={board}" + (" TUNED=1" if tuned else "")
        raise DeviceError(
            f"name the firmware to flash: picolink's own for this board ({build}) is missing "
            f"({products.how_to_get(target)})"
        )
    return firmware


def _chip(found: Findings) -> str:
    chip = next((chip for chip in ("RP2040", "RP2350") if chip in found.machine), None)
    if chip is None:
        raise DeviceError(
            f"the board is a {found.machine}: only those with an RP2040 or RP2350 can be flashed"
        )
    return chip


def _cores(found: Findings) -> str:
    return "RISC-V" if "RISCV" in found.machine else "ARM"


def _check_chip(image: Uf2, firmware: Path, chip: str) -> None:
    if image.chip != chip:
        raise DeviceError(
            f"{firmware.name} is for the {image.chip}, the board has an {chip}: nothing was done"
        )


def _copy(content: bytes, drive: Drive) -> None:
    """Returns when the board has taken the file: then its drive goes away.  Raises DeviceError."""
    written = 0
    target = drive.folder / "firmware.uf2"
    try:
        progress = Progress(console=console, transient=True, disable=not console.is_terminal)
        with progress, target.open("wb", buffering=0) as file:
            task = progress.add_task("Copying", total=len(content))
            while written < len(content):
                written += file.write(content[written : written + _CHUNK_BYTES])
                if written < len(content):
                    os.fsync(file.fileno())  # else all of it seems to be copied at once
                progress.update(task, completed=written)
    except OSError as error:
        if isinstance(error, PermissionError) or error.errno == errno.EROFS:
            raise DeviceError(
                f"{drive.folder} cannot be written ({error.strerror}): mount it so that you can write to it"
            ) from None
        # With the last block the board is off, and the operating system may complain that the drive is gone.
        if written + _CHUNK_BYTES < len(content):
            raise DeviceError(
                f"copying to {drive.folder} failed ({error.strerror}): connect the board with its BOOTSEL "
                "button held, and start again"
            ) from None
    with console.status("Waiting for the board to take it"):
        if not _wait(lambda: read_drive(drive.folder) is None, _LIMIT_S):
            raise DeviceError(
                "the board did not take the firmware: connect it with its BOOTSEL button held, and retry"
            )


def _verify(image: Uf2, port: str | None, ports_before: set[str]) -> None:
    """Waits for the board and lets it compare its flash with `image`.

    port: the board's before, or None.  It may come back at one that was not among ports_before.
    Raises DeviceError.
    """
    ranges = image.ranges()
    program = _HASH_FLASH + f"print(hash_flash({[(address, len(data)) for address, data in ranges]}))"

    def ask() -> str | None:
        new = sorted(set(device.list_ports()) - ports_before - {port})
        for candidate in new if port is None else [port, *new]:
            try:
                with device.connect(candidate) as board:
                    return device.run(board, program).strip()
            except ProgramError:
                raise DeviceError(
                    "the board took the firmware and runs MicroPython, but it cannot be read back there: "
                    "is it an official build?"
                ) from None
            except DeviceError:
                pass  # it is still starting
        return None

    answer = _wait(ask, _LIMIT_S)
    if answer is None:
        raise DeviceError(
            "the firmware was copied, but could not be read back: the board does not answer as MicroPython. "
            "That is fine if the firmware is not MicroPython; else flash it again"
        )
    if answer != hashlib.sha256(b"".join(data for _, data in ranges)).hexdigest():
        raise DeviceError("what the board reads back is not the firmware: flash it again")


def _wait(condition: Callable[[], Any], limit_s: float) -> Any:
    """What `condition` returns once that is true, or None when it is not within limit_s."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.1)
    return None
