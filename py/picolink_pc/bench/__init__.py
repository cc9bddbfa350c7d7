"""`picolink bench`: what the link carries and what it costs. One module for each command."""

import click

from ..cli import Commands

# As in cli.py. The last two are for maintainers.
_COMMANDS = {
    "link": (".bench.link", "What two boards carry, how late, and what aioble alone loses."),
    "pc": (
        ".bench.pc",
        "What a PC and a board carry, beside two boards on the same radio, and what it costs the PC.",
    ),
    "gateway": (
        ".bench.gateway",
        "Many boards, some gateways and one broker, which are killed again and again: is a message lost?",
    ),
    "engine": (".bench.engine", "What one message costs: each step of its way, and the whole of it."),
    "files": (
        ".bench.files",
        "A file beside messages of the same size: how long each takes, and the heap meanwhile.",
    ),
    "cpu": (".bench.cpu", "How busy picolink keeps a Pico's CPU at the radio's full rate."),
    "sweep": (".bench.sweep", "What would two boards do? Simulated in virtual time."),
    "newest": (".bench.newest", "How old the newest value is at its reader, beside a channel at full rate."),
    "meet": (".bench.meet", "How long boards with the same program take to meet."),
    "heap": (".bench.heap", "A million messages through one link, and the heap meanwhile."),
    "logging": (".bench.logging", "What becomes of a link while a board logs to its file system."),
    "costs": (".bench.costs", "For maintainers: the cycles that the sweep computes with."),
    "docs": (".bench.docs", "For maintainers: put results into the pages of docs."),
}


@click.group(cls=Commands, modules=_COMMANDS)
def bench() -> None:
    """Benchmarks: tables, JSON and, with --plot, pictures on a page.

    \b
    picolink bench link      two boards: messages/s, latency, loss; picolink beside aioble alone
    picolink bench pc        a PC and a board beside two boards: messages/s, the PC's CPU time
    picolink bench gateway   boards, gateways and a broker that are killed
    picolink bench engine    cost of a message: us, or CPU cycles of the emulated Pico
    picolink bench files     a file, its rate and its heap
    picolink bench cpu       how busy a Pico is at the radio's full rate
    picolink bench sweep     what your boards would do, in a simulation
    picolink bench newest    how old the newest value is at its reader
    picolink bench meet      how long boards with the same program take to meet
    picolink bench heap      a million messages, and the heap meanwhile
    picolink bench logging   a board that logs to its file system while it is linked

    Results go to build/out/bench.  docs/benchmarks.md explains the figures and how far to trust them.
    """
