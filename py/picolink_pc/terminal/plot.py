"""The numbers in messages, and how they change: drawn on the terminal, or as a PNG."""

import contextlib
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..as_text import as_bytes

if TYPE_CHECKING:
    from rich.text import Text

_FIELDS = 12
"""More are not followed: a board that makes up names must not fill the memory."""

_POINTS = 20_000
"""Of a field; when there are more, every other one is forgotten, and of what comes then as many."""

_SPAN_S = 60
"""What the terminal shows."""

_LEAST_ROWS = 7
"""Of a field on the terminal."""

# A number that is no part of a word, and the word before it: "temperature: 21.5", "n=7", "-3".
_IN_TEXT = re.compile(r"(?:([^\W\d]\w*)\s*[:=]?\s*)?(?<![\w.])([-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)(?!\w)")


def numbers(message: object) -> dict[str, float]:
    """Those in a message, by name: a member of an object or of JSON; else the word before, or "value"."""
    try:
        text = as_bytes(message).decode()
    except UnicodeDecodeError:
        return {}
    with contextlib.suppress(ValueError, RecursionError):
        return {name or "value": value for name, value in _members("", json.loads(text))}
    found: dict[str, float] = {}
    for word, number in _IN_TEXT.findall(text):
        name = word or "value"
        alike = sum(each.partition(" ")[0] == name for each in found)
        found[f"{name} {alike + 1}" if alike else name] = float(number)
    return found


def _members(name: str, value: object) -> Iterator[tuple[str, float]]:
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _members(f"{name}.{key}" if name else str(key), inner)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        with contextlib.suppress(OverflowError):
            if math.isfinite(float(value)):
                yield name, float(value)


class Field:
    """points: (time in s, value), the newest last: one of every `every` that have come.   latest: value."""

    def __init__(self) -> None:
        self.points: list[tuple[float, float]] = []
        self.every = 1
        self.latest = 0.0
        self._count = 0

    def add(self, now: float, value: float) -> None:
        self.latest = value
        if self._count % self.every == 0:
            self.points.append((now, value))
            if len(self.points) > _POINTS:
                del self.points[1::2]
                self.every *= 2
        self._count += 1


class History:
    """fields: by name, what has come."""

    def __init__(self) -> None:
        self.fields: dict[str, Field] = {}

    def add(self, channel: int, message: object, now: float) -> None:
        """now: in s, on any clock."""
        for name, value in numbers(message).items():
            of_channel = f"[{channel}] {name}" if channel else name
            if of_channel not in self.fields and len(self.fields) == _FIELDS:
                continue
            self.fields.setdefault(of_channel, Field()).add(now, value)

    def draw(self, width: int, height: int, now: float) -> "list[Text]":
        """The last minute on a terminal, a panel for each field, as many as fit into columns and rows."""
        from rich.text import Text

        if not self.fields:
            return [Text("no number has come yet", style="dim")]
        shown = list(self.fields.items())[: max(1, (height - 1) // _LEAST_ROWS)]
        rows = min(15, (height - 1) // len(shown))
        first = min(field.points[0][0] for _, field in shown)
        span = min(_SPAN_S, math.ceil(now - first) or 1)
        panels = [_panel(name, field, (width, rows), now, span) for name, field in shown]
        hidden = len(self.fields) - len(shown)
        if hidden:
            panels.append(Text(f"{hidden} more: a taller window has room for them", style="dim"))
        return panels

    def save(self, file: Path) -> None:
        """As a PNG: all that has come, by seconds since the first."""
        from ..bench import plots

        count = len(self.fields)
        figure, panels = plots.new_figure(1, (9, 1 + 1.6 * count), count)
        first = min(field.points[0][0] for field in self.fields.values())
        for panel, (name, field) in zip(panels, self.fields.items(), strict=True):
            panel.plot([at - first for at, _ in field.points], [value for _, value in field.points])
            panel.set_title(name, parse_math=False)
            panel.sharex(panels[0])
        panels[-1].set_xlabel("seconds")
        plots.save(figure, file)


def _panel(name: str, field: Field, size: tuple[int, int], now: float, span: float) -> "Text":
    import plotext
    from rich.text import Text

    recent = [(at - now, value) for at, value in field.points if at >= now - span]
    recent = recent[:: len(recent) // (4 * size[0]) + 1]
    plotext.clear_figure()
    plotext.theme("clear")
    plotext.plot_size(*size)
    plotext.title(_plain(f"{name}: {field.latest:g}"))
    plotext.xlim(-span, 0)
    if recent:
        plotext.plot(*map(list, zip(*recent, strict=True)), marker="braille")
    text = Text.from_ansi(plotext.build())
    text.no_wrap = True
    return text


def _plain(text: str) -> str:
    """Without what a terminal would obey: names come from boards."""
    return "".join(character if character.isprintable() else "?" for character in text)
