"""Pictures of results, in one style."""

from collections.abc import Iterable
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from ..radio.air import RadioSettings, ceiling
from .report import Result, Row

RP2040_HZ = 125_000_000

_STYLE = {
    "figure.dpi": 110,
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "legend.frameon": False,
}

_COLOURS = ("#1b6ca8", "#5aa9e6", "#e08e2b", "#9aa3ab", "#565f67", "#b1438c", "#3c8d5a")


def new_figure(panels: int = 1, size: tuple[float, float] = (8.0, 4.2)) -> tuple[Figure, list[Axes]]:
    """A figure with panels side by side; size: of the whole, in inches."""
    with mpl.rc_context(_STYLE):
        figure, axes = plt.subplots(1, panels, figsize=size, squeeze=False, layout="constrained")
    return figure, list(axes[0])


def save(figure: Figure, path: Path) -> None:
    """As PNG, without anything that changes from run to run."""
    figure.savefig(path, metadata={"Software": None})
    plt.close(figure)


def thousands(axis: mpl.axis.Axis) -> None:
    """1,000 and not 10^3, on axes of any scale."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))


def colours(names: Iterable[str]) -> dict[str, str]:
    """One colour for each name."""
    return dict(zip(names, _COLOURS, strict=False))


def of(rows: Iterable[Row], **wanted: object) -> list[Row]:
    """The rows with these values."""
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def draw_cycles(result: Result, path: Path) -> None:
    """Cost of a message by its size, and what that takes of the CPU when the radio is full."""
    figure, (cost, share) = new_figure(2, (10, 4.2))
    engines = list(dict.fromkeys(row["engine"] for row in result.rows))
    sizes = sorted({row["size"] for row in result.rows})
    colour = colours(engines)
    for engine in engines:
        rows = of(result.rows, engine=engine)
        cost.plot(
            [row["size"] for row in rows],
            [row["whole_into"] or row["whole"] for row in rows],
            marker="o",
            ms=4,
            color=colour[engine],
            label=engine,
        )
    cost.set(xscale="log", yscale="log", xlabel="bytes in a message", ylabel="CPU cycles, whole way")
    cost.set_xticks(sizes, [f"{size:,}" for size in sizes], minor=False)
    cost.minorticks_off()
    thousands(cost.yaxis)
    cost.legend(fontsize=8)

    message = 20 if 20 in sizes else sizes[0]
    rate = ceiling(RadioSettings(), message=message, both_ways=True)
    shares = {
        engine: 100 * (row["whole_into"] or row["whole"]) * rate / RP2040_HZ
        for engine in engines
        for row in of(result.rows, engine=engine, size=message)
    }
    bars = share.barh(list(shares), list(shares.values()), color=[colour[engine] for engine in shares])
    share.bar_label(
        bars, [f"{value:,.0f} %" if value >= 10 else f"{value:.1f} %" for value in shares.values()], padding=3
    )
    share.axvline(100, color="#c0392b", lw=1)
    share.set(xscale="log", xlabel=f"CPU at 125 MHz for {rate:,.0f} messages/s each way, %")
    share.set_xlim(1, max(400, *shares.values()) * 4)
    thousands(share.xaxis)
    share.invert_yaxis()
    share.grid(axis="y", visible=False)
    save(figure, path)
