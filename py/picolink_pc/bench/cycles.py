"""CPU cycles of the engines' calls on a Pico, which the sweep computes with: cycles.json.

The table is in git so that the sweep needs no emulator and computes the same everywhere.
`picolink bench costs` makes it.
"""

import json
from bisect import bisect_left
from functools import cache
from pathlib import Path

from ..simulation.board import CallCosts

TABLE = Path(__file__).with_suffix(".json")
RP2040_HZ = 125_000_000
"""Clock of a Pico W under MicroPython."""

Table = dict[str, dict[str, float]]
"""CPU cycles of one engine.

send, recv: bytes of a message -> cycles of the call.
packet: "pull", "feed": cycles of the call; "pull_octet", "feed_octet": and for each octet of the packet.
message: "feed": what feed() takes longer for each message in a packet; "acknowledged": for each message that
    an acknowledgement is for.
"""


@cache
def load() -> dict[str, Table]:
    """Engine ("native", "python") -> its table."""
    return json.loads(TABLE.read_text())["engines"]


def compiler() -> str:
    """What compiled the firmware that the table was measured with, such as "GCC 12.2.1"."""
    return json.loads(TABLE.read_text())["compiler"]


def calls(table: Table, size: int) -> CallCosts:
    """What the calls cost on an RP2040 with messages of `size` bytes.

    What packets cost for each message in them is counted with the message: with recv() at its receiver, with
    send() at the side that hears the acknowledgement.
    """
    us = 1e6 / RP2040_HZ
    message = table["message"]
    return CallCosts(
        send=(_at(table["send"], size) + message["acknowledged"]) * us,
        recv=(_at(table["recv"], size) + message["feed"]) * us,
        **{name: cycles * us for name, cycles in table["packet"].items()},
    )


def _at(points: dict[str, float], size: int) -> float:
    """The cycles at a size, on a line through the two nearest sizes that were measured."""
    sizes = sorted(map(int, points))
    after = min(max(1, bisect_left(sizes, size)), len(sizes) - 1)
    low, high = sizes[after - 1], sizes[after]
    slope = (points[str(high)] - points[str(low)]) / (high - low)
    return points[str(low)] + slope * (size - low)
