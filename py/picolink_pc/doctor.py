"""`picolink doctor`: what is on a board, and what to do next."""

from importlib.metadata import version

import click
from rich.console import Console
from rich.table import Table

from . import device
from .device import port_option
from .findings import MPY_VERSION, OLDEST_MICROPYTHON, Findings, look, try_imports


@click.command()
@port_option
def doctor(port: str | None) -> None:
    """Tell what is on a board, and what to do next.

    Shows firmware, architecture, engine, aioble, free memory and free space for files.
    Exits with 0 when two boards like this one can talk to each other. The board starts its main.py again.
    """
    port = device.find_port(port)
    with device.connect(port) as board:
        found = look(board)
        if found.hiding is None:
            found = try_imports(board, found)
    table = Table(show_header=False, box=None)
    for name, value in _rows(port, found):
        table.add_row(name, value)
    Console(highlight=False).print(table)
    if not found.bluetooth:
        click.echo("No link can start here: this board has no Bluetooth. One that has is the Pico W.")
    advice = _advice(port, found)
    if advice is not None:
        click.echo(f"To do: {advice}")
    elif found.bluetooth:
        click.echo("Ready.")
        return
    raise SystemExit(1)


def _rows(port: str, found: Findings) -> list[tuple[str, str]]:
    loads = "no native modules"
    if found.architecture != "none":
        loads = f"native modules for {found.architecture}, format {found.mpy_version}"
    picolink = _place(found.package)
    if found.package_version is not None:
        picolink = f"{found.package_version}, {picolink}"
    return [
        ("port", port),
        ("board", found.machine),
        ("MicroPython", f"{found.version_text}, loads {loads}"),
        ("Bluetooth", "yes" if found.bluetooth else "no"),
        ("aioble", _place(found.aioble)),
        ("picolink", picolink),
        ("native engine", _place(found.native)),
        ("engine in use", found.engine or "none"),
        ("memory free", f"{found.memory_free // 1024} KiB"),
        ("files free", f"{found.files_free // 1024} KiB"),
    ]


def _place(where: str | None) -> str:
    if where is None:
        return "not there"
    return "in the firmware" if where == "firmware" else where


def _advice(port: str, found: Findings) -> str | None:
    """The first thing to do, or None."""
    install, flash = f"picolink install --port {port}", f"picolink flash --port {port}"
    if found.version < OLDEST_MICROPYTHON:
        return f"update MicroPython: picolink needs {OLDEST_MICROPYTHON[0]}.{OLDEST_MICROPYTHON[1]} or newer."
    if found.hiding is not None:
        return f"{found.hiding} hides the package: rename it."
    if found.engine is None:
        return install
    if found.package_version != version("picolink"):
        command = flash if found.package == "firmware" else install
        return f"{command} puts picolink {version('picolink')} there, as on this PC."
    if found.engine == "python" and found.mpy_version == MPY_VERSION and found.architecture != "none":
        return f"{install} puts the native engine beside the Python one, which works but is slow."
    if found.bluetooth and not found.aioble_ready:
        return f"{install} fetches aioble."
    return None
