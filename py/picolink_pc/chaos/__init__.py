"""`picolink chaos`: faults of every kind, and whether every message still arrives once, in order.

simulated.py    very many short runs in virtual time, each decided by its seed
"""

import os
from pathlib import Path

import click

from ..bench.report import new_console, out_option, publish
from ..simulation.engines import KINDS


@click.command()
@click.option("--seeds", type=click.IntRange(min=1), default=1000, show_default=True, help="How many runs.")
@click.option("--from-seed", type=int, default=0, show_default=True, help="Seed of the first run.")
@click.option("--seed", type=int, help="This one run only, told step by step.")
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
    default=os.cpu_count,
    help="Runs at a time; one for each core by default.",
)
@out_option
def chaos(seeds: int, from_seed: int, seed: int | None, engine: str, jobs: int, out: Path | None) -> None:
    """Break what can be broken around two boards, and check that nothing is lost, doubled or out of order.

    \b
    picolink chaos                      1,000 runs in virtual time, some seconds each of them
    picolink chaos --seeds 100000       as in docs/reliability.md
    picolink chaos --seed 4711          one run again, exactly, with all that happens in it

    A run is decided by its seed: connections dropped at any moment, boards restarted, packets lost,
    corrupted, truncated, doubled and delayed above the radio, host stacks that are full, refuse or stall,
    readers that stand still, frozen boards, exhausted heaps, clocks that wrap. What docs/protocol.md
    promises is checked for each message and each restart; exit code 1 if a promise is broken.
    """
    from . import simulated

    console = new_console()
    try:
        if seed is not None:
            kept = simulated.tell(console, seed, engine)
        else:
            summary = simulated.play(console, range(from_seed, from_seed + seeds), engine, jobs)
            publish(console, [summary.result()], out, {})
            kept = not summary.failures
    except FileNotFoundError as error:
        raise click.ClickException(f"{error}; run: make setup") from None
    click.get_current_context().exit(0 if kept else 1)
