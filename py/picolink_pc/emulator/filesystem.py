"""Files for an emulated board, put into its flash before it starts."""

import subprocess
import tempfile
from pathlib import Path

from .. import products
from .errors import EmulatorError

# The filesystem is at the end of the flash (mpconfigboard.h of MicroPython's boards).
_FLASH_SIZE = 2 * 1024 * 1024
PICO_BYTES = 1408 * 1024
PICO_W_BYTES = 848 * 1024

# For the unix port of MicroPython, which has the same littlefs. Arguments: image, start, folder.
_MAKE = """
import os, sys, vfs

BLOCK = 4096

class Flash:
    def __init__(self, path, start):
        self.file = open(path, "r+b")
        self.start = start
        self.blocks = (self.file.seek(0, 2) - start) // BLOCK

    def readblocks(self, block, buf, offset=0):
        self.file.seek(self.start + block * BLOCK + offset)
        self.file.readinto(buf)

    def writeblocks(self, block, buf, offset=0):
        self.file.seek(self.start + block * BLOCK + offset)
        self.file.write(buf)

    def ioctl(self, operation, argument):
        if operation == 4:
            return self.blocks
        if operation == 5:
            return BLOCK
        if operation == 6:
            self.writeblocks(argument, b"\\xff" * BLOCK)
        return 0

def copy(folder, target):
    for entry in os.ilistdir(folder):
        path, to = folder + "/" + entry[0], target + "/" + entry[0]
        if entry[1] & 0x4000:
            disk.mkdir(to)
            copy(path, to)
        else:
            with open(path, "rb") as source, disk.open(to, "wb") as file:
                file.write(source.read())

image, start, folder = sys.argv[1:]
flash = Flash(image, int(start))
vfs.VfsLfs2.mkfs(flash, progsize=256)
disk = vfs.VfsLfs2(flash, progsize=256)
copy(folder, "")
flash.file.close()
"""


def write_files(flash: Path, files: dict[str, bytes], size: int = PICO_BYTES) -> None:
    """Makes the flash file of a board that has these files and no others, for Emulator(..., flash=flash).

    files: content by path on the board, such as "lib/_picolink.mpy".   size: bytes of its filesystem.
    Needs the unix port of MicroPython that `make` builds.  Raises EmulatorError.
    """
    if not products.MICROPYTHON.exists():
        raise EmulatorError(f"MicroPython for this PC is missing: {products.how_to_get('native')}")
    flash.write_bytes(b"\xff" * _FLASH_SIZE)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "files")
        folder.mkdir()
        for path, content in files.items():
            file = folder / path.lstrip("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        program = Path(name, "make.py")
        program.write_text(_MAKE)
        command = [products.MICROPYTHON, program, flash, str(_FLASH_SIZE - size), folder]
        result = subprocess.run(command, check=False, capture_output=True, text=True)
    if result.returncode:
        raise EmulatorError(f"the board's filesystem could not be made: {result.stdout}{result.stderr}")
