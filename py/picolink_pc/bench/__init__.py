"""`picolink bench`: what the link carries and what it costs. One module for each command."""

import click

from ..cli import Commands

# As in cli.py. The last two are for maintainers.
_COMMANDS = {
    "link": ".bench.link",
    "engine": ".bench.engine",
    "cpu": ".bench.cpu",
    "sweep": ".bench.sweep",
    "heap": ".bench.heap",
    "costs": ".bench.costs",
    "docs": ".bench.docs",
}


@click.group(cls=Commands, modules=_COMMANDS)
def bench() -> None:
    """Benchmarks: tables, JSON and, with --plot, pictures on a page.

    \b
    picolink bench link      two boards: messages/s, latency, loss; picolink beside aioble alone
    picolink bench engine    cost of a message: us, or CPU cycles of the emulated Pico
    picolink bench cpu       how busy a Pico is at the radio's full rate
    picolink bench sweep     what your boards would do, in a simulation
    picolink bench heap      a million messages, and the heap meanwhile

    Results go to build/out/bench.  docs/benchmarks.md explains the figures and how far to trust them.
    """
