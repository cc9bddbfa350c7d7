"""`picolink bench docs`: puts the latest results into docs/benchmarks.md."""

import re
import shutil
from pathlib import Path

import click

from ..products import RESULTS
from .report import Result, cell, load

_DOCS = Path(__file__).parents[3] / "docs"
_PAGE = _DOCS / "benchmarks.md"
_PLACE = re.compile(r"(<!-- (result|picture): (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path), default=RESULTS)
def docs(folder: Path) -> None:
    """For maintainers: put results into docs/benchmarks.md.

    FOLDER: where the results are, build/out/bench by default.

    Each place between the lines `<!-- result: NAME -->` and `<!-- end -->` gets that result if FOLDER has it,
    with its command, date and machine; `<!-- picture: NAME -->` the same without the table.  Pictures go to
    docs/images.
    """
    page = _PAGE.read_text()
    put = []

    def replace(match: re.Match) -> str:
        start, kind, name, end = match.groups()
        path = folder / f"{name}.json"
        if not path.exists():
            return match[0]
        put.append(name)
        return start + _section(load(path), path.with_suffix(".png"), kind == "result") + end

    _PAGE.write_text(_PLACE.sub(replace, page))
    click.echo(f"{_PAGE.name}: {', '.join(put) or 'nothing found'}")


def _section(result: Result, picture: Path, with_table: bool) -> str:
    lines = [f"**{result.title}**", ""]
    if picture.exists():
        images = _DOCS / "images"
        images.mkdir(exist_ok=True)
        shutil.copy(picture, images / f"bench-{picture.name}")
        lines += [f"![{result.title}](images/bench-{picture.name})", ""]
    if with_table:
        lines += [*_table(result), "", *(f"- {note}" for note in result.notes), ""]
    machine = result.machine
    lines.append(
        f"`{result.command}`, {result.date[:10]}, {machine['cpu']}, {machine['cores']} cores, "
        f"{machine['system']}, load average {machine['load']:g}."
    )
    return "\n".join(lines) + "\n"


def _table(result: Result) -> list[str]:
    columns = result.columns
    return [
        "| " + " | ".join(columns.values()) + " |",
        "|" + "".join(" --- |" if _is_text(result, key) else " ---: |" for key in columns),
        *("| " + " | ".join(cell(row[key]) for key in columns) + " |" for row in result.rows),
    ]


def _is_text(result: Result, key: str) -> bool:
    return any(isinstance(row[key], str) for row in result.rows)
