"""MicroPython boards in QEMU, for the native modules that no emulated Pico loads: Cortex-M4F and RISC-V."""

import contextlib
import io
import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from mpremote.romfs import make_romfs
from picolink_pc import device, products

# The board's files lie in memory that nothing else uses, as a ROM filesystem of MicroPython's. A soft reset
# unmounts it.
_MOUNT = """
import os, sys, uctypes, vfs
vfs.mount(vfs.VfsRom(uctypes.bytearray_at({address}, {size})), "/rom")
sys.path[:] = ["/rom", "/rom/lib"]
os.chdir("/rom")
"""


@dataclass(frozen=True)
class Machine:
    """A machine of QEMU and MicroPython's qemu port for it (build/qemu.sh).

    command: QEMU with the options of the machine.  image: file name of the port.
    rom: address of free memory for the filesystem.
    """

    command: tuple[str, ...]
    image: str
    rom: int


ARM = Machine(
    # The loader enables the floating-point unit (CPACR): nothing in the port does, it is for a Cortex-M3.
    (
        "qemu-system-arm",
        "-machine",
        "mps2-an386",
        "-device",
        "loader,addr=0xe000ed88,data=0x00f00000,data-len=4",
    ),
    "arm.elf",
    0x21000000,
)
RISCV = Machine(("qemu-system-riscv32", "-machine", "virt", "-bios", "none"), "riscv32.elf", 0x81000000)


class QemuBoard:
    """A board with these files, which can be imported and read.

    files: content by path on the board, such as "lib/_picolink.mpy".
    """

    def __init__(self, machine: Machine, files: dict[str, bytes]) -> None:
        self._machine = machine
        self._files = files

    def run(self, program: str) -> str:
        """What `program` (MicroPython source) prints, run after a soft reset."""
        self._board.enter_raw_repl()
        return device.run(self._board, self._mount + program)

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            rom = stack.enter_context(tempfile.NamedTemporaryFile())
            rom.write(_rom_filesystem(self._files))
            rom.flush()
            port = stack.enter_context(self._started(Path(rom.name)))
            self._board = stack.enter_context(device.connect(port))
            size = Path(rom.name).stat().st_size
            self._mount = _MOUNT.format(address=self._machine.rom, size=size)
            self._end = stack.pop_all().close
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    @contextlib.contextmanager
    def _started(self, rom: Path) -> Iterator[str]:
        """Runs QEMU.  Gives the board's serial port."""
        image = products.OUT / "qemu" / self._machine.image
        if not image.exists():
            raise FileNotFoundError(f"{image} is missing: run 'make test'")
        # setpriv: QEMU would outlive tests that are killed.
        command = ["setpriv", "--pdeathsig", "KILL", *self._machine.command, "-kernel", str(image)]
        command += ["-device", f"loader,file={rom},addr={self._machine.rom},force-raw=on"]
        command += ["-display", "none", "-monitor", "none", "-semihosting", "-serial", "pty"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as qemu:
            try:
                yield re.search(r"/dev/\S+", qemu.stdout.readline())[0]
            finally:
                qemu.kill()


def _rom_filesystem(files: dict[str, bytes]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        for path, content in files.items():
            file = Path(folder, path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        with contextlib.redirect_stdout(io.StringIO()):
            return make_romfs(folder, mpy_cross=False)
