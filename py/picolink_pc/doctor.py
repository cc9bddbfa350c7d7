"""`picolink doctor`: what is on boards, and what to do next."""

from importlib.metadata import version

import click
from rich.console import Console
from rich.table import Table

from . import advice, device, products
from .device import DeviceError, ports_option
from .findings import Findings, look, try_imports


@click.command()
@ports_option
def doctor(ports: tuple[str, ...]) -> None:
    """Show what is on a board, and what to do next.

    Looks at all connected boards, or at those named: firmware, architecture, engine, aioble, free memory and
    files, what starts by itself; and whether their versions are the same. The exit code is 0 when links can
    start on all of them. The boards start their main.py again.

    \b
    picolink doctor
    picolink doctor --port /dev/ttyACM0
    """
    ready = True
    versions = {}
    for port in ports or device.find_ports():
        try:
            with device.connect(port) as board:
                found = look(board)
                if advice.blocker(port, found) is None:
                    found = try_imports(board, found)
        except DeviceError as error:
            error.show()
            ready = False
            continue
        _show(port, found)
        step = advice.next_step(port, found)
        click.echo("Ready." if step is None else f"To do: {step}")
        ready = ready and step is None
        versions[port] = found.package_version
    if len(set(versions.values())) > 1:
        listed = ", ".join(f"{name or 'none'} at {port}" for port, name in versions.items())
        click.echo(f"The boards have different versions of picolink ({listed}): install the same on all.")
        ready = False
    if not ready:
        raise SystemExit(1)


def _show(port: str, found: Findings) -> None:
    table = Table(show_header=False, box=None)
    for name, value in _rows(port, found):
        table.add_row(name, value)
    Console(highlight=False).print(table)


def _rows(port: str, found: Findings) -> list[tuple[str, str]]:
    loads = "no native modules"
    if found.architecture != "none":
        loads = f"native modules for {found.architecture}, format {found.mpy_version}"
    picolink = _place(found.package)
    if found.package == "firmware" and found.own_build:
        picolink += f" ({found.own_build})"
    if found.package_version is not None:
        picolink = f"{found.package_version}, {picolink}"
    name = "CircuitPython" if found.implementation == "circuitpython" else "MicroPython"
    return [
        ("port", port),
        ("board", found.machine),
        ("clock", f"{found.clock / 1e6:g} MHz" if found.clock else "unknown"),
        (name, f"{found.version_text}, loads {loads}"),
        ("Bluetooth", "yes" if found.bluetooth else "no"),
        ("aioble", _place(found.aioble)),
        ("picolink", f"{picolink} (this PC: {version('picolink')})"),
        ("native engine", _place(found.native)),
        ("engine in use", _engine(found)),
        ("memory free", f"{found.memory_free // 1024} of {found.memory // 1024} KiB"),
        ("files free", f"{found.files_free // 1024} KiB"),
        ("starts by itself", "; ".join(_program(*each) for each in found.programs.items()) or "nothing"),
    ]


def _program(name: str, about: list | None) -> str:
    if about is None:
        return f"{name}, which cannot be read"
    size, *modules = about
    return f"{name} ({size} bytes{', imports ' + ', '.join(modules) if modules else ''})"


def _engine(found: Findings) -> str:
    if found.engine == "python" and products.native_for(found.architecture) is None:
        return f"python (there is no native one for {found.architecture} here)"
    return found.engine or "none"


def _place(where: str | None) -> str:
    if where is None:
        return "not there"
    return where.replace("firmware", "in the firmware")
