"""The folder for a public issue: report.json, index.html and pictures, and no personal data."""

import datetime
import html
import importlib.util
import json
import platform
from importlib.metadata import version
from pathlib import Path

from ..bench.report import cell
from ..findings import Findings
from .figures import FIGURES, shown
from .measure import Figures, Plan

PREDICTED = Path(__file__).with_name("predicted.json")
"""The report of two emulated Pico Ws."""

_IDENTITY_DIGITS = 4
"""The last ones of a board's number, of 16: they tell the boards of a report apart."""

_PREDICTION = (
    "Predicted: two emulated Pico Ws, MicroPython {}, {}: real firmware on an emulated chip, with a modelled "
    "radio."
)
_ABOUT_FAULTS = (
    "Seconds without a message on the other board, by its clock. A reset board gets its program again "
    "from this PC, which takes a part of them."
)

_ABOUT_IDLE = (
    "CPU idle: the time of a loop that turns where asyncio would sleep. What interrupts and the Bluetooth "
    "stack take of it does not count."
)

BEHIND_TCP = "boards behind TCP ports: emulated or virtual, no hardware"
AT_USB = "boards at serial ports"


def about_board(found: Findings, number: str) -> dict[str, object]:
    """number: of the board's flash, in hex."""
    return {
        "identity": f"...{number[-_IDENTITY_DIGITS:]}",
        "machine": found.machine,
        "MicroPython": found.version_text,
        "clock_mhz": found.clock / 1e6,
        "picolink": found.package_version,
        "firmware": found.own_build,
        "native": bool(found.native),
        "engine": found.engine,
    }


def about_pc() -> dict[str, object]:
    """The same, where this PC is the other end."""
    return {
        "identity": "-",
        "machine": "this PC",
        "MicroPython": "-",
        "picolink": version("picolink"),
        "engine": "native" if importlib.util.find_spec("_picolink") else "python",
    }


def report(
    boards: list[dict[str, object]], ports: tuple[str, ...], plan: Plan, figures: Figures
) -> dict[str, object]:
    """All that goes into report.json."""
    return {
        "format": 1,
        "picolink": version("picolink"),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "kind": BEHIND_TCP if any("://" in port for port in ports) else AT_USB,
        "pc": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "boards": boards,
        "plan": vars(plan),
        "figures": figures.values,
        "faults": figures.faults,
        "soak": figures.soak,
        "broken": figures.broken,
    }


def side_by_side(told: dict, predicted: dict) -> list[tuple[str, str, float | None, float | None]]:
    """Rows: what, unit, predicted, measured."""
    return [
        (what, unit, predicted["figures"].get(name), told["figures"].get(name))
        for name, (what, unit) in FIGURES.items()
        if told["figures"].get(name) is not None
    ]


def predicted() -> dict:
    """The report of two emulated Pico Ws that came with this picolink."""
    return json.loads(PREDICTED.read_text())


def write(folder: Path, told: dict) -> list[Path]:
    """Write all; returns the files."""
    from . import pictures

    folder.mkdir(parents=True, exist_ok=True)
    foretold = predicted()
    rows = side_by_side(told, foretold)
    files = [folder / name for name in ("report.json", "index.html", "rates.png", "idle.png")]
    files[0].write_text(json.dumps(told, indent=1) + "\n")
    pictures.draw_bars(rows, "messages/s each way", files[2])
    pictures.draw_bars(rows, "%", files[3])
    if told["soak"]:
        files.append(folder / "soak.png")
        pictures.draw_soak(told["soak"], files[-1])
    files[1].write_text(_page(told, foretold, rows, [file.name for file in files[2:]]))
    return files


def _page(told: dict, foretold: dict, rows: list, names: list[str]) -> str:
    boards = [
        [role, *(str(board[key]) for key in ("identity", "machine", "MicroPython", "picolink", "engine"))]
        for role, board in zip(("peripheral", "central"), told["boards"], strict=True)
    ]
    figures = [
        [
            what,
            unit,
            cell(before),
            cell(now),
            f"{now / before:.2f}" if before and now and "grown" not in what else "-",
        ]
        for what, unit, before, now in rows
    ]
    faults = [[fault["what"], fault["board"], cell(fault["stopped_s"])] for fault in told["faults"]]
    claims = [[what, "yes" if there else "no"] for what, there in shown(told["figures"], told["broken"])]
    hardware = told["kind"] == AT_USB
    parts = [
        f"<p>{html.escape('; '.join(told[key] for key in ('kind', 'date', 'pc')))}.</p>",
        _table(["", "identity ends with", "board", "MicroPython", "picolink", "engine"], boards),
        "<h2>Broken promises</h2>",
        "".join(f"<p>{html.escape(line)}</p>" for line in told["broken"]) or "<p>None.</p>",
        "<h2>Predicted and measured</h2>",
        f"<p>{html.escape(_PREDICTION.format(foretold['boards'][0]['MicroPython'], foretold['date']))}</p>",
        _table(["", "unit", "predicted", "measured", "measured / predicted"], figures),
        *(f'<p><img alt="{name}" src="{name}"></p>' for name in names),
        "<h2>Faults</h2>",
        f"<p>{_ABOUT_FAULTS}</p>",
        _table(["", "board", "s"], faults),
        "<h2>What this shows</h2>" if hardware else "<h2>What this would show, of real boards</h2>",
        _table(["", ""], claims),
        f"<p>{_ABOUT_IDLE}</p>",
    ]
    return _HTML.replace("BODY", "\n".join(parts))


def _table(heads: list[str], rows: list[list[str]]) -> str:
    head = "".join(f"<th>{html.escape(text)}</th>" for text in heads)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(str(text))}</td>" for text in row) + "</tr>" for row in rows
    )
    return f"<table><tr>{head}</tr>{body}</table>"


_HTML = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>picolink prove</title><style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
img { max-width: 100%; } table { border-collapse: collapse; margin: 1rem 0; font-size: 0.9rem; }
th, td { padding: 0.2rem 0.7rem; border-bottom: 1px solid #ddd; text-align: right; }
th:first-child, td:first-child { text-align: left; }
</style></head><body><h1>picolink prove</h1>
BODY
</body></html>
"""
