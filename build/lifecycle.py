"""Draws the states of a link and of its connection (py/picolink/lifecycle.py) into docs/design.md.

lifecycle.py    writes the diagrams between the marks that stand there
"""

from pathlib import Path

from picolink import lifecycle

DESIGN = Path(__file__).parents[1] / "docs" / "design.md"
_BEGIN = "<!-- {}: made by build/lifecycle.py -->\n"
_END = "<!-- end -->\n"
_NAMES = {value: name for name, value in vars(lifecycle).items() if isinstance(value, int)}


def diagrams() -> dict[str, str]:
    """Mermaid's source of each diagram, by its name: "link" and "connection"."""
    rows = {"link": [], "connection": []}
    for before, event, after in lifecycle.TRANSITIONS:
        name = "link" if after < lifecycle.APART else "connection"
        if before != after:  # such a row only keeps ANY from fitting
            rows[name].append(f"    {_label(before)} --> {_label(after)}: {_label(event)}\n")
    first = {"link": lifecycle.NEW, "connection": lifecycle.APART}
    return {
        name: f"```mermaid\nstateDiagram-v2\n    [*] --> {_label(first[name])}\n" + "".join(lines) + "```\n"
        for name, lines in rows.items()
    }


def drawn(text: str) -> str:
    """The text of a page with the diagrams in their places. Raises ValueError where a mark is missing."""
    for name, diagram in diagrams().items():
        begin = _BEGIN.format(name)
        start = text.index(begin) + len(begin)
        text = text[:start] + diagram + text[text.index(_END, start) :]
    return text


def _label(value: int) -> str:
    return _NAMES[value].lower()


if __name__ == "__main__":
    DESIGN.write_text(drawn(DESIGN.read_text()))
