"""`picolink bench engine`: what one message costs, in time or CPU cycles, in heap, flash and RAM."""

import contextlib
import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import click
from mpremote.transport import TransportExecError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from .. import device, products
from ..emulator import CYCLE_COUNTER, Emulator, EmulatorError, packages
from . import objects
from .report import Result, Row, new_console, publish, report_options

SIZES = (1, 18, 20, 100, 236, 1000)
"""Bytes of a message."""

_PROGRAM = Path(__file__).parent / "programs" / "engine_cost.py"
MPY_ON_BOARD = "picolink_native_module"
"""The native module under a name of its own: the firmware has one inside, too."""

_SILENCE_S = 300
"""Longest silence of a board at work: the emulated one is slower than a real one."""

_JSON = "JSON: struct, json and a checksum by hand, a frame for each message that nobody acknowledges."

_STAGES = ("send", "pull", "feed", "recv", "ack")

ENGINES = {
    "_picolink": "native",
    MPY_ON_BOARD: "native .mpy",
    "picolink.pyengine": "Python",
    "c-crc": "JSON, C CRC",
    "python-crc": "JSON, Python CRC",
}
"""What the program on the board calls it -> what people call it."""

_OBJECTS = {"picolink.pyengine": "picolink.objects"}
"""Engine -> the module with its objects, where that is another one."""


@dataclass
class Board:
    """Something that runs the program.

    unit: of its figures, which are those of `meter` divided by `scale`.
    run(call): what the program prints for this call of one of its functions.
    keyed: whether engines have a key.
    """

    name: str
    title: str
    unit: str
    scale: float
    meter: str
    rounds: int
    repeats: int
    engines: tuple[str, ...]
    run: Callable[[str], str]
    notes: tuple[str, ...] = ()
    keyed: bool = False

    def ask(self, call: str) -> str:
        """As run(), of engines with a key if they are to have one."""
        return self.run(f"use_key()\n{call}" if self.keyed else call)

    def costs(self, engine: str, size: int, into: bool = True) -> dict[str, float]:
        """Cost by stage, per message.  The least of `repeats`: what else the machine does only adds to it."""
        call = f"measure({engine!r}, {size}, {self.rounds}, {self.repeats}, {self.meter}, {into})"
        least = map(min, zip(*json.loads(self.ask(call)), strict=True))
        return {stage: max(0.0, cost / self.scale) for stage, cost in zip(_STAGES, least, strict=True)}

    def heap(self, engine: str, size: int, into: bool = True) -> float:
        """Bytes of heap allocated per message."""
        return sum(json.loads(self.ask(f"measure({engine!r}, {size}, 1, 1, heap(), {into})"))[0])


@contextlib.contextmanager
def virtual_board() -> Iterator[Board]:
    """MicroPython's unix port with picolink; no radio."""
    micropython, module = products.MICROPYTHON, products.native_module("x64")
    for path in (micropython, module):
        if not path.exists():
            raise click.ClickException(f"{path.name} is missing: {products.how_to_get('native')}")
    search = f"{module.parent}:{products.PACKAGE.parent}:.frozen"

    def run(call: str) -> str:
        result = subprocess.run(
            [micropython, "-c", f"{_PROGRAM.read_text()}\n{call}"],
            check=False,
            capture_output=True,
            text=True,
            env=os.environ | {"MICROPYPATH": search},
        )
        if result.returncode:
            raise click.ClickException(f"{call} failed on the virtual board:\n{result.stderr}")
        return result.stdout

    yield Board(
        name="virtual",
        title="on a virtual board (MicroPython's unix port on this PC)",
        unit="us",
        scale=1000,
        meter="nanoseconds()",
        rounds=5,
        repeats=60,
        engines=tuple(engine for engine in ENGINES if engine != MPY_ON_BOARD),
        run=run,
        notes=("Measured on this PC: it says which is faster, not how fast a board is. Least of 60 runs.",),
    )


@contextlib.contextmanager
def emulated_board() -> Iterator[Board]:
    """An emulated Pico with picolink's firmware, and the native module as a file beside it."""
    firmware, module = products.firmware("RPI_PICO"), products.native_module("armv6m")
    if not firmware.exists():
        raise click.ClickException(
            "the emulated Pico needs picolink's firmware; leave it out with --on virtual, or "
            + products.how_to_get("firmware BOARD=RPI_PICO")
        )
    if not module.exists():
        raise click.ClickException(
            f"the native module for the Pico is missing: {products.how_to_get('native')}"
        )
    try:
        if not packages.installed():
            with Console(stderr=True).status("Installing the emulator's npm packages (once)"):
                packages.program()
        with Emulator(firmware) as pico, pico.raw_repl() as board:
            board.fs_writefile(f"{MPY_ON_BOARD}.mpy", module.read_bytes())
            yield Board(
                name="emulated",
                title="on an emulated Pico (RP2040)",
                unit="cycles",
                scale=1,
                meter=f"cycles({CYCLE_COUNTER})",
                rounds=4,
                repeats=1,
                engines=tuple(ENGINES),
                run=_over(board),
                notes=(
                    "CPU cycles of an emulated RP2040 that runs the real firmware; they repeat exactly.",
                    "Misses of the flash cache are not modelled: a real chip needs somewhat more.",
                ),
            )
    except EmulatorError as error:
        raise click.ClickException(str(error)) from None


@contextlib.contextmanager
def real_board(port: str) -> Iterator[Board]:
    """The board at a serial port, with whatever of picolink it has."""
    with device.connect(port) as board:
        _, error = board.exec_raw("import picolink.pyengine", timeout=_SILENCE_S)
        if error:
            raise click.ClickException(f"the board at {port} has no picolink: run picolink install first")
        _, no_native = board.exec_raw("import _picolink", timeout=_SILENCE_S)
        board.enter_raw_repl()  # with a soft reset: what was just imported is forgotten
        skipped = {MPY_ON_BOARD} | ({"_picolink"} if no_native else set())
        yield Board(
            name="board",
            title=f"on the board at {port}",
            unit="us",
            scale=1,
            meter="microseconds()",
            rounds=4,
            repeats=3,
            engines=tuple(engine for engine in ENGINES if engine not in skipped),
            run=_over(board),
            notes=("Least of 3 runs.",),
        )


def _over(board: device.SerialTransport) -> Callable[[str], str]:
    """Runs calls in the raw REPL of a board that gets the program first."""

    def run(call: str) -> str:
        output, error = board.exec_raw(call, timeout=_SILENCE_S)
        if error:
            raise TransportExecError(output.decode(), error.decode())
        return output.decode()

    run(_PROGRAM.read_text())
    return run


def whole_way(costs: dict[str, float]) -> float:
    """Send, pull, feed, recv and the share in the acknowledgement, of one message."""
    return sum(costs.values())


def _row(board: Board, engine: str, size: int) -> Row:
    costs = board.costs(engine, size)
    row = {"engine": ENGINES[engine], "size": size}
    if engine.endswith("-crc"):
        stages = {"send": costs["send"], "pull": None, "feed": None, "recv_into": None, "ack": None}
        whole, heap = {"whole_into": None, "whole": whole_way(costs)}, board.heap(engine, size)
        return row | stages | {"recv": costs["recv"]} | whole | {"heap_into": None, "heap": heap}
    allocating = board.costs(engine, size, into=False)
    return row | {
        "send": costs["send"],
        "pull": costs["pull"],
        "feed": costs["feed"],
        "recv_into": costs["recv"],
        "ack": costs["ack"],
        "recv": allocating["recv"],
        "whole_into": whole_way(costs),
        "whole": whole_way(allocating),
        "heap_into": board.heap(engine, size),
        "heap": board.heap(engine, size, into=False),
    }


def _measure(board: Board, sizes: tuple[int, ...], progress: Progress) -> Result:
    task = progress.add_task(board.name, total=len(board.engines) * len(sizes))
    rows = []
    for engine in board.engines:
        for size in sizes:
            rows.append(_row(board, engine, size))
            progress.advance(task)
    unit = board.unit
    return Result(
        name=f"engine-{board.name}{'-key' if board.keyed else ''}",
        title=f"Cost of one message {'with a key ' if board.keyed else ''}{board.title}, in {unit}",
        parameters={"unit": unit, "packet_bytes": 236, "packets_per_acknowledgement": 4},
        columns={
            "engine": "engine",
            "size": "bytes",
            "send": "send",
            "pull": "pull",
            "feed": "feed",
            "recv_into": "recv_into",
            "ack": "ack",
            "whole_into": "whole way",
            "whole": "with recv",
            "heap_into": "heap B",
            "heap": "with recv",
        },
        rows=rows,
        notes=[
            "Per message, one way in full packets of 236 bytes; ack: both sides, one for 4 packets.",
            "with recv: recv() makes a bytes object of the message, recv_into() does not. heap B: allocated.",
            "The loop around a call is not counted, the call is; garbage collection is not.",
            *([] if board.keyed else [_JSON]),
            *board.notes,
        ],
    )


def _give_key(board: Board) -> None:
    """Only engines that can have one are left; the one in Python needs cryptolib."""
    board.keyed = True
    has_cipher = board.run("try:\n import cryptolib\n print(1)\nexcept ImportError:\n print(0)")
    without = set() if int(has_cipher) else {"picolink.pyengine"}
    board.engines = tuple(each for each in board.engines if not each.endswith("-crc") and each not in without)


def _memory(board: Board) -> Result:
    rows = []
    for engine in board.engines:
        if not engine.endswith("-crc"):
            used = json.loads(board.ask(f"memory({engine!r}, {board.meter})"))
            flash = products.native_module("armv6m").stat().st_size if engine == MPY_ON_BOARD else None
            rows.append(
                {
                    "engine": ENGINES[engine],
                    "file": flash,
                    "module": used["import"],
                    "object": used["engine"],
                    "collection": used["collection"] / board.scale,
                }
            )
    return Result(
        name=f"engine-memory-{board.name}{'-key' if board.keyed else ''}",
        title=f"Memory of an engine {'with a key ' if board.keyed else ''}{board.title}, in bytes",
        parameters={"unit": board.unit, "rings": "8192 + 8192"},
        columns={
            "engine": "engine",
            "file": ".mpy file",
            "module": "heap: module",
            "object": "heap: engine",
            "collection": f"a collection, {board.unit}",
        },
        rows=rows,
        notes=[
            "An engine with rings of 8192 bytes each way. What the firmware holds takes no heap.",
            *_firmware_sizes(),
        ],
    )


def _modules(board: Board) -> dict[str, str]:
    """Those with objects, by name on the board."""
    engines = [engine for engine in board.engines if not engine.endswith("-crc")]
    return {_OBJECTS.get(engine, engine): ENGINES[engine] for engine in engines}


def _firmware_sizes() -> list[str]:
    """What the size report of the firmware's build says, if there is one."""
    report = products.OUT / "firmware" / "RPI_PICO" / "size.txt"
    if not report.exists():
        return []
    sizes = {}
    for line in report.read_text().splitlines():
        name, *numbers = re.split(r"\s{2,}", line.strip())
        sizes[name] = numbers
    if "picolink adds" not in sizes:  # the build has not compared
        return []
    flash, ram = sizes["picolink adds"]
    engine, _ = sizes["native engine (C)"]
    return [
        f"In firmware picolink takes {flash} bytes of flash ({engine} the native engine) and {ram} of RAM."
    ]


@click.command()
@click.option(
    "--on",
    type=click.Choice(("virtual", "emulated")),
    multiple=True,
    help="A board of this kind only; both by default.",
)
@click.option("--port", help="Measure on the real board at this serial port instead.")
@click.option(
    "--size",
    "sizes",
    type=click.IntRange(1, 4000),
    multiple=True,
    metavar="BYTES",
    help="Size of a message; can be given again. By default " + ", ".join(map(str, SIZES)) + ".",
)
@click.option("--key", "keyed", is_flag=True, help="With a key; engines only.")
@report_options
def engine(
    on: tuple[str, ...], port: str | None, sizes: tuple[int, ...], keyed: bool, plot: bool, out: Path | None
) -> None:
    """What one message costs: each step of its way, and the whole of it.

    \b
    picolink bench engine                      virtual board (us) and emulated Pico (CPU cycles)
    picolink bench engine --on emulated        the figures that repeat exactly
    picolink bench engine --on emulated --key  the same with a key: what encryption costs
    picolink bench engine --port /dev/ttyACM0  a real board (us) that has picolink installed

    The way of a message: send() puts it into a ring, pull_into() makes a packet of what is there, the radio
    carries the packet, feed() takes it in, recv() or recv_into() gives the message.  There is no radio here:
    packets go straight from one engine to another.  Beside both engines stands what programs do without
    picolink: JSON in a frame with a checksum.  Objects have a table of their own: pack() and unpack() of a
    reading beside json.
    """
    console = new_console()
    if port is not None:
        boards = [real_board(port)]
    else:
        kinds = {"virtual": virtual_board, "emulated": emulated_board}
        boards = [kinds[kind]() for kind in on or kinds]
    results = []
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
    ) as progress:
        for making in boards:
            with making as board:
                if keyed:
                    _give_key(board)
                others = [_memory(board)]
                if not keyed:
                    others.append(objects.measure(board, _modules(board)))
                results += [_measure(board, tuple(sizes or SIZES), progress), *others]
    drawings = {}
    if plot and not keyed:
        from .plots import draw_cycles

        drawings = {"engine-emulated": draw_cycles}
    publish(console, results, out, drawings)
