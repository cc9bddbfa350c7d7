"""`picolink bench costs`: measures the table that the sweep computes with (cycles.json) on the emulated Pico.

tests/test_bench_budgets.py measures it too, and fails when what is in git is out of date.
"""

import json
from statistics import linear_regression

import click
from rich.console import Console

from .. import products
from ..radio.air import PACKET_OVERHEAD, record_octets
from . import engine
from .cycles import TABLE, Table

_ROUNDS = 8
_PACKETS = ((1, 1), (1, 20), (1, 100), (1, 221), (2, 100), (10, 20), (74, 1))  # messages, bytes of each
_SAME_OCTETS = (1, 221), (74, 1)  # nearly the same packet, but for the number of messages

_MODULES = {"native": "_picolink", "python": "picolink.pyengine"}


def measure(board: engine.Board) -> dict[str, Table]:
    """As cycles.load(), but by running both engines on a board that counts cycles."""
    return {name: _measure(board, module) for name, module in _MODULES.items()}


def _measure(board: engine.Board, module: str) -> Table:
    messages = {str(size): board.costs(module, size, into=False) for size in engine.SIZES}
    found = {packet: _packet(board, module, *packet) for packet in _PACKETS}
    few, many = _SAME_OCTETS
    more = [(b - a) / (many[0] - few[0]) for a, b in zip(found[few], found[many], strict=True)]
    octets = [count * record_octets(size) + PACKET_OVERHEAD for count, size in found]
    pull_octet, pull = linear_regression(octets, [cost for cost, _, _ in found.values()])
    feeds = [cost - more[1] * count for (count, _), (_, cost, _) in found.items()]
    feed_octet, feed = linear_regression(octets, feeds)
    return {
        "send": {size: costs["send"] for size, costs in messages.items()},
        "recv": {size: costs["recv"] for size, costs in messages.items()},
        "packet": {"pull": pull, "pull_octet": pull_octet, "feed": feed, "feed_octet": feed_octet},
        "message": {"feed": more[1], "acknowledged": more[2]},
    }


def _packet(board: engine.Board, module: str, messages: int, size: int) -> list[float]:
    """Cycles of pull_into(), feed(), and feed() of the acknowledgement."""
    return json.loads(board.run(f"packets({module!r}, {messages}, {size}, {_ROUNDS}, {board.meter})"))


@click.command()
def costs() -> None:
    """For maintainers: the cycles that the sweep computes with.

    Measures what the engines' calls cost on the emulated Pico, with the firmware of this source (make
    firmware), and writes cycles.json, which is in git.
    """
    with Console(stderr=True).status("Measuring on the emulated Pico"), engine.emulated_board() as board:
        measured = measure(board)
    rounded = {
        name: {
            part: {key: round(cycles, 1) for key, cycles in figures.items()}
            for part, figures in table.items()
        }
        for name, table in measured.items()
    }
    made = {"compiler": products.compiler("RPI_PICO"), "engines": rounded}
    TABLE.write_text(json.dumps(made, indent=1) + "\n")
    click.echo(f"written: {TABLE.name}")
