"""`picolink bench docs`: puts the latest results into the pages of docs."""

import re
import shutil
from pathlib import Path

import click

from ..products import RESULTS
from .report import Result, cell, load

_DOCS = Path(__file__).parents[3] / "docs"
_PAGES = ("benchmarks.md", "reliability.md")
_PLACE = re.compile(r"(<!-- (result|notes|picture): (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path), default=RESULTS)
def docs(folder: Path) -> None:
    """For maintainers: put results into the pages of docs.

    The pages are docs/benchmarks.md and docs/reliability.md.  FOLDER: where the results are, build/out/bench
    by default.

    Each place between the lines `<!-- result: NAME -->` and `<!-- end -->` gets that result if FOLDER has it,
    with its command, date and machine; `<!-- notes: NAME -->` the same without the table, `<!-- picture: NAME
    -->` without table and notes.  Pictures go to docs/images.
    """
    for page in _PAGES:
        click.echo(f"{page}: {', '.join(_fill(_DOCS / page, folder)) or 'nothing found'}")


def _fill(page: Path, folder: Path) -> list[str]:
    """Fill the places of a page. Returns the names of the results."""
    put = []

    def replace(match: re.Match) -> str:
        start, kind, name, end = match.groups()
        path = folder / f"{name}.json"
        if not path.exists():
            return match[0]
        put.append(name)
        return start + _section(load(path), path.with_suffix(".png"), kind) + end

    page.write_text(_PLACE.sub(replace, page.read_text()))
    return put


def _section(result: Result, picture: Path, kind: str) -> str:
    lines = [f"**{result.title}**", ""]
    if picture.exists():
        images = _DOCS / "images"
        images.mkdir(exist_ok=True)
        shutil.copy(picture, images / f"bench-{picture.name}")
        lines += [f"![{result.title}](images/bench-{picture.name})", ""]
    if kind == "result":
        lines += [*_table(result), ""]
    if kind != "picture" and result.notes:
        lines += [*(f"- {note}" for note in result.notes), ""]
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
