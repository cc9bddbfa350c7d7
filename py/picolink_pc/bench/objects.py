"""For `picolink bench engine`: what it costs to pack and unpack a reading of four fields, beside JSON."""

import json
from typing import TYPE_CHECKING

from .report import Result

if TYPE_CHECKING:
    from .engine import Board

_JSON = "json"


def measure(board: "Board", modules: dict[str, str]) -> Result:
    """The table.

    modules: what the program on the board calls those with pack() and unpack() -> what people call them.
    """
    calls = {f"{module}.pack": (f"{module}.unpack", name) for module, name in modules.items()}
    calls[f"{_JSON}.dumps"] = (f"{_JSON}.loads", _JSON)
    rows = []
    for pack, (unpack, name) in calls.items():
        times = _least(board, pack, unpack, board.rounds, board.repeats, board.meter)
        heap = _least(board, pack, unpack, 1, 1, "heap()")
        costs = [time / board.scale for time in times[:2]]
        rows.append(
            {
                "module": name,
                "pack": costs[0],
                "unpack": costs[1],
                "both": sum(costs),
                "bytes": times[2],
                "pack_heap": heap[0],
                "unpack_heap": heap[1],
            }
        )
    json_costs = rows[-1]["both"]
    for row in rows:
        row["times_faster"] = round(json_costs / row["both"], 1)
    return Result(
        name=f"objects-{board.name}",
        title=f"A reading of four fields, packed and unpacked, {board.title}, in {board.unit}",
        parameters={"unit": board.unit},
        columns={
            "module": "by",
            "pack": "pack",
            "unpack": "unpack",
            "both": "both",
            "times_faster": "times faster than json",
            "bytes": "bytes",
            "pack_heap": "pack: heap B",
            "unpack_heap": "unpack: heap B",
        },
        rows=rows,
        notes=[
            'The reading: {"temperature": 21.5, "humidity": 48, "pressure": 1013.25, "heating": True}.',
            "json: dumps() and loads(). heap B: allocated. Garbage collection is not counted.",
            *board.notes,
        ],
    )


def _least(board: "Board", pack: str, unpack: str, rounds: int, repeats: int, meter: str) -> list[float]:
    """[pack, unpack, bytes]: the least of `repeats`, as other work on the machine only adds to it."""
    call = f"objects({pack!r}, {unpack!r}, {rounds}, {meter})"
    runs = [json.loads(board.run(call)) for _ in range(repeats)]
    return [min(each) for each in zip(*runs, strict=True)]
