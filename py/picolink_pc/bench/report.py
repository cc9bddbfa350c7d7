"""What a benchmark found: a table on the terminal, a JSON file, a picture, and a page that collects them.

A command makes one `Result` for each table, and hands them to `publish`:

    result = Result(
        name="sweep-interval", title="Messages/s against the connection interval",
        parameters={"message_bytes": 18, "phy": "1M"},
        columns={"interval_ms": "interval ms", "per_second": "messages/s"},
        rows=[{"interval_ms": 7.5, "per_second": 1651.2}, ...],
        notes=["Simulated: virtual time, repeats exactly."],
    )
    publish(console, [result], out, {"sweep-interval": draw} if plot else {})

The JSON file of a result (<out>/<name>.json) holds its fields as they are, so that `load` gives it back.
Rows are flat: numbers, text, booleans and None (not measured). By default `out` is build/out/bench.
"""

import dataclasses
import datetime
import html
import json
import os
import platform
import shlex
import sys
from collections.abc import Callable
from itertools import zip_longest
from pathlib import Path

import click
from rich import box
from rich.console import Console
from rich.table import Table

from .. import extras
from ..products import RESULTS

Row = dict[str, float | int | str | bool | None]


def command_line() -> str:
    """The command that runs now, without the folders of this machine, and without where results go."""
    program, *words = sys.argv
    if "--out" in words:
        at = words.index("--out")
        del words[at : at + 2]
    words = [Path(word).name if Path(word).is_absolute() else word for word in words]
    return shlex.join([Path(program).name, *words])


def machine() -> dict[str, str | int | float]:
    """The PC that this runs on, and how busy it was with other things."""
    cpu = platform.processor() or platform.machine()
    for line in _lines("/proc/cpuinfo"):
        if line.startswith("model name"):
            cpu = line.partition(":")[2].strip()
            break
    system = platform.system()
    for line in _lines("/etc/os-release"):
        if line.startswith("PRETTY_NAME="):
            system = line.partition("=")[2].strip('"')
    return {
        "cpu": cpu,
        "cores": os.cpu_count() or 1,
        "system": system,
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 1),
    }


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


@dataclasses.dataclass
class Result:
    """One table of figures, with all that is needed to get it again.

    name: of its files, such as "link-rate".  title: for people, one line.
    parameters: what it was measured with; not what changes from row to row.
    columns: key in each row -> heading, unit included; in this order.
    rows: one dict each, with the keys of `columns`.
    notes: sentences that a reader of the figures has to know: what is modelled, what was left out and why.
    command, date, machine: of this run, filled in.
    """

    name: str
    title: str
    parameters: dict[str, object]
    columns: dict[str, str]
    rows: list[Row]
    notes: list[str] = dataclasses.field(default_factory=list)
    command: str = dataclasses.field(default_factory=command_line)
    date: str = dataclasses.field(
        default_factory=lambda: datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    )
    machine: dict[str, str | int | float] = dataclasses.field(default_factory=machine)

    def tables(self, console: Console) -> list[Table]:
        """For a terminal: one, or as many as it takes for each to fit, all with the columns of words."""
        columns = list(self.columns)
        keys = [key for key in columns if key == columns[0] or self._words(key)]
        parts = [keys]
        for key in columns:
            if key not in keys:
                if parts[-1] != keys and not self._fits(console, self._table([*parts[-1], key])):
                    parts.append(keys)
                parts[-1] = [*parts[-1], key]
        titles = [self.title] + [None] * (len(parts) - 1)
        return [self._table(part, title) for part, title in zip(parts, titles, strict=True)]

    def _fits(self, console: Console, table: Table) -> bool:
        """Whether no column has to be narrower than it would be."""
        without_limit = console.options.update(max_width=1000)
        return console.measure(table, options=without_limit).maximum <= console.width

    def _words(self, key: str) -> bool:
        return any(isinstance(row[key], str) for row in self.rows)

    def _table(self, keys: list[str], title: str | None = None) -> Table:
        table = Table(
            box=box.SIMPLE, title=title, title_style="bold", title_justify="left", padding=(0, 1, 0, 0)
        )
        for key in keys:
            heading = self.columns[key]
            if self._words(key):
                table.add_column(heading)
            else:
                parts = [*heading.split(), *(cell(row[key]) for row in self.rows)]
                table.add_column(heading, justify="right", width=max(map(len, parts), default=1))
        first = next(iter(self.columns))
        for row, following in zip_longest(self.rows, self.rows[1:], fillvalue={}):
            ends = isinstance(row[first], str) and row[first] != following.get(first)
            table.add_row(*(cell(row[key]) for key in keys), end_section=ends)
        return table


def cell(value: float | int | str | bool | None) -> str:
    """One value as people read it: three digits that count, or all before the point."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else value


def new_console() -> Console:
    """The terminal; what is not one is wide enough for all tables."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=120)


def load(path: Path) -> Result:
    """A result from its JSON file."""
    return Result(**json.loads(path.read_text()))


def publish(
    console: Console,
    results: list[Result],
    out: Path | None,
    draw: dict[str, Callable[[Result, Path], None]],
) -> None:
    """Print each result, write it to the folder `out` (None: RESULTS), and draw it.

    draw: name of a result -> function that makes its picture (PNG) from it; with any, the page is made anew.
    """
    out = out or RESULTS
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for result in results:
        console.print()
        for table in result.tables(console):
            console.print(table)
        for note in result.notes:
            console.print(f"  {note}", style="dim")
        path = out / f"{result.name}.json"
        path.write_text(json.dumps(dataclasses.asdict(result), indent=1) + "\n")
        written.append(path.name)
        if result.name in draw:
            picture = path.with_suffix(".png")
            draw[result.name](result, picture)
            written.append(picture.name)
    if draw:
        written.append(write_page(out).name)
    console.print(f"\nwritten to {_short(out)}: {', '.join(written)}")


def write_page(out: Path) -> Path:
    """The HTML page of all results and pictures in the folder `out`."""
    parts = []
    for path in sorted(out.glob("*.json")):
        result = load(path)
        picture = path.with_suffix(".png")
        parts.append(f"<h2>{html.escape(result.title)}</h2>")
        if picture.exists():
            parts.append(f'<img src="{picture.name}" alt="{html.escape(result.title)}">')
        parts.append(_html_table(result))
        parts += [f"<p>{html.escape(note)}</p>" for note in result.notes]
        told = {"command": result.command, "date": result.date, **result.machine, **result.parameters}
        parts.append(
            "<details><summary>How it was measured</summary><dl>"
            + "".join(f"<dt>{html.escape(k)}</dt><dd>{html.escape(str(v))}</dd>" for k, v in told.items())
            + "</dl></details>"
        )
    page = out / "index.html"
    page.write_text(_PAGE.replace("BODY", "\n".join(parts)))
    return page


def _html_table(result: Result) -> str:
    head = "".join(f"<th>{html.escape(heading)}</th>" for heading in result.columns.values())
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell(row[key]))}</td>" for key in result.columns) + "</tr>"
        for row in result.rows
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def _short(path: Path) -> str:
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>picolink benchmarks</title><style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
img { max-width: 100%; } table { border-collapse: collapse; margin: 1rem 0; font-size: 0.9rem; }
th, td { padding: 0.2rem 0.7rem; border-bottom: 1px solid #ddd; text-align: right; }
th:first-child, td:first-child { text-align: left; } dt { font-weight: bold; } summary { cursor: pointer; }
</style></head><body><h1>picolink benchmarks</h1>
BODY
</body></html>
"""


def out_option(command: Callable) -> Callable:
    """Adds the option `out`: where results go."""
    return click.option(
        "--out",
        type=click.Path(file_okay=False, path_type=Path),
        help=f"Folder for JSON, pictures and the page; {_short(RESULTS)} by default.",
    )(command)


def report_options(command: Callable) -> Callable:
    """Adds the options of a benchmark that can draw: `plot` and `out`."""
    text = "Draw pictures too, and a page with all results."
    plot = click.option("--plot", is_flag=True, callback=_check_plot, help=text)
    return plot(out_option(command))


def _check_plot(_context: click.Context, _option: click.Parameter, plot: bool) -> bool:
    """Whoever wants pictures without the packages for them is told before anything begins."""
    if plot:
        extras.require("plots", "pictures")
    return plot
