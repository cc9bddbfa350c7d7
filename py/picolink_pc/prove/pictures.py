"""Pictures of a report."""

from pathlib import Path

from ..bench.plots import new_figure, save, thousands

_PREDICTED, _MEASURED = "#9aa3ab", "#1b6ca8"


def draw_bars(rows: list[tuple[str, str, float | None, float | None]], unit: str, path: Path) -> None:
    """Predicted beside measured, of the figures with this unit.  rows: as folder.side_by_side."""
    rows = [row for row in rows if row[1] == unit]
    figure, (panel,) = new_figure(1, (9, 1 + 0.6 * len(rows)))
    for shift, which, label, colour in ((-0.2, 2, "predicted", _PREDICTED), (0.2, 3, "measured", _MEASURED)):
        places = [number + shift for number in range(len(rows))]
        bars = panel.barh(places, [row[which] or 0 for row in rows], 0.38, label=label, color=colour)
        panel.bar_label(bars, [f"{row[which]:,.0f}" if row[which] else "-" for row in rows], padding=3)
    panel.set_yticks(range(len(rows)), [row[0] for row in rows])
    panel.set(xlabel=unit)
    panel.margins(x=0.12)
    panel.invert_yaxis()
    panel.grid(axis="y", visible=False)
    thousands(panel.xaxis)
    panel.legend()
    save(figure, path)


def draw_soak(rows: list[dict], path: Path) -> None:
    """Messages and heap over time."""
    figure, (messages, heap) = new_figure(2, (10, 3.6))
    seconds = [row["s"] for row in rows]
    messages.plot(seconds, [row["received"] for row in rows], color=_MEASURED)
    messages.set(title="messages received, both ways", ylim=(0, None))
    thousands(messages.yaxis)
    for role, colour in (("peripheral", _MEASURED), ("central", "#e08e2b")):
        heap.plot(seconds, [row[role] / 1024 for row in rows], label=role, color=colour)
    heap.set(title="heap in use, KiB", ylim=(0, None))
    heap.legend()
    for panel in (messages, heap):
        panel.set(xlabel="seconds", xlim=(0, None))
    save(figure, path)
