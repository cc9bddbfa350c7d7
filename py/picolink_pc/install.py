"""`picolink install`: picolink onto a board that runs stock MicroPython."""

import argparse
import contextlib
import errno
import hashlib
import io
import os
import re
from collections.abc import Callable
from pathlib import Path

import click
from mpremote.commands import CommandError
from mpremote.main import State
from mpremote.mip import do_mip
from mpremote.transport import TransportExecError
from mpremote.transport_serial import SerialTransport
from rich.console import Console
from rich.progress import Progress
from serial import SerialException

from . import advice, bytecode, device, products
from .device import DeviceError, ports_option
from .findings import MPY_VERSION, Findings, look, try_imports

_CHUNK_BYTES = 2048
"""Written at once: the board compiles each chunk as a line of source."""

# An import looks into the root folder before /lib. So the new package goes from "picolink.new" to the root,
# where it hides the old one, then the old one goes, then the new one takes its place: each a single rename,
# and at any moment one whole package is found. A package that is in the root already was copied by hand, or a
# loss of power left it there.
_SWAP = """
import os

def exists(path):
    try:
        os.stat(path)
        return True
    except OSError:
        return False

def remove(path):
    if exists(path):
        if os.stat(path)[0] & 0x4000:
            for entry in os.ilistdir(path):
                remove(path + "/" + entry[0])
            os.rmdir(path)
        else:
            os.remove(path)

def swap(root, lib, native):
    old, top = lib + "/picolink", root + "/picolink"
    if exists(top):
        remove(old)
        os.rename(top, old)
    os.rename(lib + "/picolink.new", top)
    if native:
        os.rename(lib + "/_picolink.new", lib + "/_picolink.mpy")
    else:
        remove(lib + "/_picolink.mpy")
    remove(root + "/_picolink.mpy")
    remove(old)
    os.rename(top, old)

def prepare(lib):
    if not exists(lib):
        os.mkdir(lib)
    remove(lib + "/picolink.new")
    remove(lib + "/_picolink.new")
    disk = os.statvfs(lib)
    print(disk[0] * disk[3])
"""

_HASH_FILES = """
import binascii, hashlib

def hash_files(paths):
    for path in paths:
        digest = hashlib.sha256()
        with open(path, "rb") as file:
            while part := file.read(512):
                digest.update(part)
        print(binascii.hexlify(digest.digest()).decode())
"""

console = Console(stderr=True, highlight=False)


@click.command()
@ports_option
@click.option("--all", "on_all", is_flag=True, help="Onto all boards that are connected.")
@click.option(
    "--engine",
    type=click.Choice(["native", "python"]),
    default="native",
    help="python: leave the native module out, for tests or for boards that load none.",
)
def install(ports: tuple[str, ...], on_all: bool, engine: str) -> None:
    """Put picolink onto a board with stock MicroPython.

    Copies the package and the native module for the board's processor, and aioble if it is missing. The
    version on the board keeps working until the new one is complete. Then the board starts its main.py again.

    \b
    picolink install                        the only board that is connected
    picolink install --port /dev/ttyACM1    one of several
    picolink install --all                  all that are connected
    picolink install --engine python        without the native module
    """
    for port in device.find_ports() if on_all else ports or [device.find_port(None)]:
        _install_on(port, engine)


def _install_on(port: str, engine: str) -> None:
    with device.connect(port) as board:
        found = look(board)
        _refuse(port, found)
        native = _native_module(found) if engine == "native" else None
        _install(board, found, native)
        device.soft_reset(board)
        now = try_imports(board, look(board))
        if now.engine != engine:
            raise DeviceError(f"the board still uses the engine {now.engine}: see picolink doctor")
        click.echo(
            f"picolink {now.package_version} with the {now.engine} engine is on {now.machine} "
            f"at {port} (MicroPython {now.version_text})."
        )
        if now.bluetooth is not None and not now.aioble_ready:
            too_old = advice.old_aioble(port, now)
            if too_old is not None:
                raise DeviceError(too_old)
            with console.status("Fetching aioble"):
                _install_aioble(board)
                device.soft_reset(board)
                now = try_imports(board, look(board))
            if not now.aioble_ready:
                raise DeviceError(
                    f"aioble was fetched, but the board finds another one ({now.aioble}): remove that"
                )
            click.echo("aioble is installed.")
        step = advice.next_step(port, now)
        if step is not None:
            click.echo(f"To do: {step}")


def _refuse(port: str, found: Findings) -> None:
    blocker = advice.blocker(port, found)
    if blocker is not None:
        raise DeviceError(blocker)
    if found.package == "firmware":
        raise DeviceError(
            "picolink is part of this board's firmware: nothing to install. "
            "For another version, flash the firmware: picolink flash"
        )
    if found.lib is None:
        raise DeviceError(
            "the board has no folder for libraries on its sys.path: put /lib back there "
            '(boot.py: sys.path.append("/lib"))'
        )
    if not found.block_size:
        raise DeviceError(f"the board has no filesystem for {found.lib}: mount one there (boot.py)")


def _native_module(found: Findings) -> Path:
    architecture = found.architecture
    if architecture == "none":
        raise DeviceError("this board's firmware loads no native modules: install with --engine python")
    if found.mpy_version != MPY_VERSION:
        raise DeviceError(
            f"the board loads native modules of format {found.mpy_version}, ours are {MPY_VERSION}: "
            "install with --engine python"
        )
    module = products.native_for(architecture)
    if module is None:
        raise DeviceError(
            f"there is no native module for {architecture} here: install with --engine python, "
            f"or {products.how_to_get('native')}"
        )
    return module


def _install(board: SerialTransport, found: Findings, native: Path | None) -> None:
    lib = found.lib
    files = {f"{lib}/picolink.new/{name}": content for name, content in bytecode.package().items()}
    if native is not None:
        files[f"{lib}/_picolink.new"] = native.read_bytes()
    try:
        _put(board, found, files)
    except SerialException:
        raise
    except (TransportExecError, OSError) as error:
        if _is_full(error):
            with contextlib.suppress(TransportExecError):
                device.run(board, _SWAP + f"prepare({lib!r})")
            raise DeviceError(_full(files)) from None
        if isinstance(error, OSError):  # of the board: mpremote puts the path where the text is
            raise DeviceError(
                f"the board cannot write {error.strerror} ({os.strerror(error.errno)}): is {lib} a folder?"
            ) from None
        raise


def _put(board: SerialTransport, found: Findings, files: dict[str, bytes]) -> None:
    """Raises OSError or mpremote's TransportExecError when the board cannot write them."""
    lib = found.lib
    free = int(device.run(board, _SWAP + f"prepare({lib!r})"))
    if free < _size_on_board(files, found.block_size):
        raise DeviceError(_full(files))
    for folder in sorted(
        {path.rpartition("/")[0] for path in files if path.startswith(f"{lib}/picolink.new/")}
    ):
        board.fs_mkdir(folder)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("Copying", total=sum(len(content) for content in files.values()))
        for path, content in files.items():
            _copy(board, path, content, lambda size: progress.advance(task, size))
    _check(board, files)
    root = lib.rpartition("/")[0]
    native = f"{lib}/_picolink.new" in files
    device.run(board, _SWAP + f"swap({root!r}, {lib!r}, {native})")


def _size_on_board(files: dict[str, bytes], block_size: int) -> int:
    """Bytes of filesystem that the files and their folders take."""
    folders = 4 * block_size  # littlefs keeps each folder in a pair of blocks
    return folders + sum(-(-len(content) // block_size) * block_size for content in files.values())


def _is_full(error: TransportExecError | OSError) -> bool:
    if isinstance(error, OSError):
        return error.errno == errno.ENOSPC
    return re.search(rf"OSError: (\[Errno )?{errno.ENOSPC}\b", error.error_output) is not None


def _full(files: dict[str, bytes]) -> str:
    kilobytes = -(-sum(len(content) for content in files.values()) // 1024)
    return (
        f"the board's filesystem has no room for {kilobytes} KiB more: remove files "
        "(mpremote fs ls, mpremote fs rm); what was installed still works"
    )


def _copy(board: SerialTransport, path: str, content: bytes, advance: Callable[[int], object]) -> None:
    """advance: called with the number of bytes whenever some more are on the board."""
    written = 0

    def report(size: int, _total: int) -> None:
        nonlocal written
        advance(size - written)
        written = size

    board.fs_writefile(path, content, _CHUNK_BYTES, report)


def _check(board: SerialTransport, files: dict[str, bytes]) -> None:
    arrived = device.run(board, _HASH_FILES + f"hash_files({list(files)})").split()
    for (path, content), digest in zip(files.items(), arrived, strict=True):
        if hashlib.sha256(content).hexdigest() != digest:
            raise DeviceError(f"{path} arrived damaged; what was installed still works. Try again")


def _install_aioble(board: SerialTransport) -> None:
    state = State()
    state.transport = board
    command = argparse.Namespace(command=["install"], packages=["aioble"], index=None, target=None, mpy=True)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            do_mip(state, command)
    except SerialException:
        raise
    except (CommandError, OSError) as error:
        if isinstance(error, OSError) and _is_full(error):
            raise DeviceError(
                "picolink is installed, but the board's filesystem has no room for aioble: remove files "
                "(mpremote fs ls, mpremote fs rm) and run picolink install again"
            ) from None
        raise DeviceError(
            f"picolink is installed, but aioble could not be fetched ({error}): "
            "run picolink install again on a PC with internet access"
        ) from None
