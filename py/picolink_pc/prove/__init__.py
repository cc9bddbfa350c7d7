"""`picolink prove`: all that two real boards can show, beside what emulated ones predicted."""

import dataclasses
from pathlib import Path

import click
from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from .. import advice, device, extras
from ..bench.report import cell
from ..boards import BoardError
from ..chaos.soak import Duration
from ..device import DeviceError
from ..findings import look, try_imports
from ..terminal.visit import open_radio, radio_option

_NUMBER = """
try:
    import binascii, machine
    print(binascii.hexlify(machine.unique_id()).decode())
except Exception:
    print("unknown")
"""


@click.command()
@click.option(
    "--port",
    "ports",
    multiple=True,
    metavar="PORT",
    help="Serial port of a board; give two, or one: this PC is the other end.",
)
@radio_option
@click.option(
    "--soak", type=Duration(), default="5m", show_default=True, help="At the full rate: 90s, 5m, 8h ..."
)
@click.option("--quick", is_flag=True, help="A minute: does it run at all?  Its figures are rough.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default="picolink-report",
    show_default=True,
    help="Folder for the report.",
)
def prove(ports: tuple[str, ...], radio: str, soak: int, quick: bool, out: Path) -> None:
    """Two real boards: rates, latency, CPU, heap, faults, a soak.

    \b
    picolink prove --port /dev/ttyACM0 --port /dev/ttyACM1
    picolink prove --port ... --port ... --soak 1h
    picolink prove --port ... --port ... --quick
    picolink prove --port /dev/ttyACM0      one board and this PC

    Both boards need picolink: picolink install. The first one advertises. About ten minutes; then a folder
    is there, with a page, pictures and a JSON file, that you can attach to a public issue: it has the last
    digits of the boards' numbers, and no addresses, names of ports, folders or keys. Files on the boards are
    left alone.

    Exit code 1 if a message was lost, duplicated, damaged or out of order. (Never run on hardware yet: only
    on emulated Pico Ws, at their emulated USB ports.)
    """
    if len(ports) not in (1, 2) or len(set(ports)) != len(ports):
        raise click.UsageError("--port is needed once, for a board and this PC, or twice, for two boards")
    if len(ports) == 1:
        open_radio(radio)  # or it says what is missing
    extras.require("plots", "the report's pictures")
    from .folder import about_pc, report, write
    from .measure import QUICK, Measurement, Plan
    from .session import SidePair

    console = Console(highlight=False)
    plan = QUICK if quick else dataclasses.replace(Plan(), soak_s=soak)
    try:
        boards = [_about(port) for port in ports]
        if len(ports) == 1:
            boards.append(about_pc())
        columns = (TextColumn("{task.description:32}"), BarColumn(), TimeElapsedColumn())
        with SidePair(ports, radio) as pair, Progress(*columns, console=console) as progress:
            task = progress.add_task("", total=1)
            native = all(board["native"] for board in boards[: len(ports)])

            def tell(what: str, share: float) -> None:
                if not console.is_terminal and what != progress.tasks[task].description:
                    console.print(what)
                progress.update(task, description=what, completed=share)

            figures = Measurement(pair, plan, native, tell).run()
    except BoardError as error:
        raise click.ClickException(str(error)) from None
    told = report(boards, ports, plan, figures)
    files = write(out, told)
    _show(console, told)
    console.print(f"written to {out}: {', '.join(file.name for file in files)}")
    for line in told["broken"]:
        console.print(line, style="bold red", markup=False)
    click.get_current_context().exit(1 if told["broken"] else 0)


def _about(port: str) -> dict[str, object]:
    """What is on the board at `port`.  Raises DeviceError unless a link can start there."""
    from .folder import about_board

    with device.connect(port) as board:
        found = look(board)
        if advice.blocker(port, found) is None:
            found = try_imports(board, found)
        if step := advice.next_step(port, found):
            raise DeviceError(f"the board at {port} is not ready: {step}")
        return about_board(found, device.run(board, _NUMBER).strip())


def _show(console: Console, told: dict) -> None:
    from .folder import predicted, side_by_side

    table = Table("", "unit", "predicted", "measured", box=box.SIMPLE)
    for what, unit, before, now in side_by_side(told, predicted()):
        table.add_row(what, unit, cell(before), cell(now))
    console.print(table)
