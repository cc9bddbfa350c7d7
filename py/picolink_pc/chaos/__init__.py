"""`picolink chaos`: faults of every kind, and whether every message still arrives once, in order.

simulated.py    very many short runs in virtual time, each decided by its seed
on_boards.py    connections dropped and boards restarted, on virtual or emulated boards
file_cuts.py    files between virtual or emulated boards whose power is cut
pair.py         two boards, or one and a PC, and all that can be done to them
oracle.py       whether what they have read is what docs/protocol.md promises
soak.py         `picolink soak`: one pair for a long time, with its heap and latency over time
programs/       what runs on the boards
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from .. import extras
from ..bench.report import new_console, out_option, publish
from ..boards import BoardError
from ..c_engine import CompileError
from ..run import firmware_options
from ..simulation.engines import KINDS

if TYPE_CHECKING:
    from ..emulator.firmware import Firmware

_OF_SIMULATION = ("seeds", "seed", "key", "forger")
_OF_BOARDS = ("pc", "drops", "restarts")


@click.command()
@click.option("--seeds", type=click.IntRange(min=1), default=1000, show_default=True, help="How many runs.")
@click.option("--from-seed", type=int, default=0, show_default=True, help="Seed of the first run.")
@click.option("--seed", type=int, help="Only this run, shown step by step.")
@click.option("--key/--no-key", default=None, help="Boards with a key, or without; otherwise every other.")
@click.option("--forger/--no-forger", default=None, help="With a forger in each run, or none; likewise.")
@click.option("--boards", is_flag=True, help="On virtual boards in real time, not in simulation.")
@click.option("--pc", is_flag=True, help="With --boards: one of the two is a PC, which connects by bleak.")
@click.option(
    "--drops",
    type=click.IntRange(min=0),
    default=100,
    show_default=True,
    help="With --boards: connections to drop.",
)
@click.option(
    "--restarts",
    type=click.IntRange(min=0),
    default=10,
    show_default=True,
    help="With --boards: how often to cut the power of each board.",
)
@click.option(
    "--files",
    type=click.IntRange(min=1),
    metavar="CUTS",
    help="Files between boards, while the power of each is cut so often.",
)
@click.option(
    "--engine",
    type=click.Choice(KINDS),
    default="native",
    show_default=True,
    help="mixed: one board with each.",
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    help="Runs, or pairs of boards, at a time; one for each core by default, one with --firmware.",
)
@firmware_options
@out_option
def chaos(
    seeds: int,
    from_seed: int,
    seed: int | None,
    key: bool | None,
    forger: bool | None,
    boards: bool,
    pc: bool,
    drops: int,
    restarts: int,
    files: int | None,
    engine: str,
    jobs: int | None,
    firmware: "Firmware | None",
    out: Path | None,
) -> None:
    """Break what can be broken around two boards, or a board and a PC: is a message lost?

    \b
    picolink chaos                1,000 simulated runs; some seconds in all
    picolink chaos --seed 4711    one run again, exactly, step by step
    picolink chaos --key --forger     only boards with a key, and a forger who has none
    picolink chaos --boards       100 drops, 20 restarts of virtual boards; minutes
    picolink chaos --boards --drops 20 --restarts 3 --firmware FILE.uf2
                                  of emulated Pico Ws that run this firmware
    picolink chaos --files 100    files, and 200 power cuts; minutes

    In simulation a run is decided by its seed: connections dropped at any moment, boards restarted, packets
    lost, corrupted, truncated, duplicated and delayed above the radio, host stacks that are full, refuse or
    stall, readers that stand still, frozen boards, exhausted heaps, clocks that wrap. In every
    other run a third device forges packets, and third boards connect first; in every other one boards have a
    key.

    On virtual boards the whole of picolink runs, in real time: connections are dropped while messages flow
    and while boards connect, power is cut, radios go out of range, processors freeze. --pc: a PC connects to
    a board, by bleak and a virtual adapter; to cut its power is to kill its program.

    What docs/protocol.md promises is checked for each message; exit code 1 if a promise is broken.
    """
    context = click.get_current_context()
    for name in _OF_SIMULATION if boards else _OF_BOARDS:
        if context.get_parameter_source(name) != ParameterSource.DEFAULT:
            raise click.UsageError(f"--{name} is {'not for' if boards else 'only for'} --boards")
    if seed is not None and context.get_parameter_source("seeds") != ParameterSource.DEFAULT:
        raise click.UsageError("--seed is one run, --seeds is how many: give one of them")
    if firmware and not boards and not files:
        raise click.UsageError("--firmware is only for --boards and --files")
    if firmware and pc:
        raise click.UsageError("--pc lives in real time, and emulated boards do not: give --pc or --firmware")
    if files and (boards or firmware):
        raise click.UsageError(
            "--files has virtual boards of its own: give it without --boards or --firmware"
        )
    jobs = jobs or (1 if firmware else os.cpu_count() or 1)
    if boards or files:
        extras.require("virtual", "virtual boards")
        if pc:
            extras.require("pc", "links from this PC")
    elif engine != "native":
        extras.require("keys", "runs with a key and the Python engine")
    console = new_console()
    try:
        if files:
            from . import file_cuts

            found = file_cuts.play(console, files, from_seed, jobs, firmware)
            publish(console, [found.result(from_seed, firmware)], out, {})
            kept = not found.errors
        elif boards:
            from . import on_boards

            found = on_boards.play(console, drops, restarts, engine, from_seed, jobs, pc, firmware)
            publish(console, found.results(engine, from_seed, pc, firmware), out, {})
            kept = not found.errors
        else:
            from . import simulated

            choice = simulated.Choice(forger, key)
            if seed is None:
                summary = simulated.play(console, range(from_seed, from_seed + seeds), engine, jobs, choice)
                publish(console, [summary.result()], out, {})
                kept = not summary.failures
            else:
                kept = simulated.tell(console, seed, engine, choice)
    except (BoardError, CompileError) as error:
        raise click.ClickException(str(error)) from None
    context.exit(0 if kept else 1)
