"""Pictures of results, in one style."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from ..radio.air import RadioSettings, ceiling
from .cases import AIR
from .cycles import RP2040_HZ
from .report import Result, Row
from .slow import SHARE_GOAL

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

_COLOURS = ("#1b6ca8", "#5aa9e6", "#e08e2b", "#9aa3ab", "#3c8d5a", "#b1438c")


def new_figure(
    panels: int = 1, size: tuple[float, float] = (8.0, 4.2), rows: int = 1
) -> tuple[Figure, list[Axes]]:
    """A figure with panels side by side, in each of its rows; size: of the whole, in inches."""
    mpl.rcParams.update(_STYLE)
    figure, axes = plt.subplots(rows, panels, figsize=size, squeeze=False, layout="constrained")
    return figure, list(axes.flat)


def add_legend(figure: Figure, panel: Axes, columns: int = 4, place: str = "upper") -> None:
    """One legend for all panels, above ("upper") or below ("lower") them."""
    handles, labels = panel.get_legend_handles_labels()
    figure.legend(handles, labels, loc=f"outside {place} center", ncols=columns, fontsize=9)


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
    cost.minorticks_off()
    thousands(cost.xaxis)
    thousands(cost.yaxis)
    add_legend(figure, cost)

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
    share.set(xscale="log", xlabel=f"% of the CPU for {rate:,.0f} messages/s each way")
    share.set_xlim(1, max(400, *shares.values()) * 4)
    thousands(share.xaxis)
    share.invert_yaxis()
    share.grid(axis="y", visible=False)
    save(figure, path)


def draw_rate(result: Result, path: Path) -> None:
    """Messages/s against the interval, beside what the air allows."""
    ways = list(dict.fromkeys(row["way"] for row in result.rows))
    figure, panels = new_figure(len(ways), (10, 3.8))
    for panel, way in zip(panels, ways, strict=True):
        rows = of(result.rows, way=way)
        intervals = sorted({row["interval"] for row in rows})
        places = range(len(intervals))
        width = 0.38
        for engine, shift, colour in (
            ("native", -width / 2, _COLOURS[0]),
            ("python", width / 2, _COLOURS[1]),
        ):
            values = [of(rows, engine=engine, interval=ms)[0]["per_second"] for ms in intervals]
            panel.bar([place + shift for place in places], values, width, color=colour, label=engine)
        ceilings = [of(rows, interval=ms)[0]["ceiling"] for ms in intervals]
        for place, most in zip(places, ceilings, strict=True):
            label = "what the air allows" if not place else None
            panel.hlines(most, place - width, place + width, color="#c0392b", lw=2, label=label)
        panel.set_xticks(list(places), [f"{ms:g}" for ms in intervals])
        panel.set(xlabel="connection interval, ms", title=way, ylim=(0, 1.1 * max(ceilings)))
        thousands(panel.yaxis)
        panel.grid(axis="x", visible=False)
    panels[0].set_ylabel(f"messages of {result.parameters['message_bytes']} bytes/s (each way)")
    add_legend(figure, panels[0])
    save(figure, path)


def draw_latency(result: Result, path: Path) -> None:
    """Share of the messages that arrive within a time, on an idle link."""
    intervals = sorted({row["interval"] for row in result.rows})
    figure, panels = new_figure(len(intervals), (10, 3.4))
    for panel, interval in zip(panels, intervals, strict=True):
        for number, row in enumerate(of(result.rows, interval=interval)):
            shares = range(0, 101, 5)
            panel.plot(
                [row[f"q{share}"] for share in shares],
                shares,
                color=_COLOURS[number],
                label=f"{row['way']}, latency {row['latency']}",
            )
        panel.axvline(interval, color="#c0392b", lw=1, ls=":")
        panel.set(title=f"interval {interval:g} ms", xlabel="ms", xlim=(0, None), ylim=(0, 101))
    panels[0].set_ylabel("% of the messages are there")
    add_legend(figure, panels[0])
    save(figure, path)


def draw_load(result: Result, path: Path) -> None:
    """Delivered against offered messages/s."""
    intervals = sorted({row["interval"] for row in result.rows})
    figure, panels = new_figure(len(intervals), (10, 4.2))
    names = list(dict.fromkeys(row["who"] for row in result.rows))
    colour = colours(names)
    for panel, interval in zip(panels, intervals, strict=True):
        for name in names:
            rows = sorted(of(result.rows, interval=interval, who=name), key=lambda row: row["offered"])
            panel.plot(
                [row["offered"] for row in rows],
                [row["delivered"] for row in rows],
                marker="o",
                ms=3.5,
                color=colour[name],
                label=name,
                lw=4 if name == names[0] else 1.5,  # it lies under others that lose nothing
            )
        most = max(row["offered"] for row in result.rows)
        panel.plot([1, most], [1, most], color="#bbbbbb", lw=1, ls=":")
        panel.set(xscale="log", yscale="log", xlabel="offered messages/s", title=f"interval {interval:g} ms")
        thousands(panel.xaxis)
        thousands(panel.yaxis)
    panels[0].set_ylabel("delivered messages/s")
    add_legend(figure, panels[0])
    save(figure, path)


_AIR_COLOURS = dict(
    zip(
        AIR,
        (
            "#1b6ca8",
            "#5aa9e6",
            "#a9d4f5",
            "#3c8d5a",
            "#9fcdb0",
            "#e08e2b",
            "#c0392b",
            "#b1438c",
            "#b8bec4",
            "#eceff1",
        ),
        strict=True,
    )
)


def draw_sweep(result: Result, path: Path) -> None:
    """By what varies: messages/s, the CPU's work, and what the air is used for."""
    figure, (rate, cpu, *uses) = new_figure(2, (10, 8), rows=2)
    values = list(dict.fromkeys(row["value"] for row in result.rows))
    ways = list(dict.fromkeys(row["way"] for row in result.rows))
    places = range(len(values))
    if result.name == "sweep-size":
        rate_key, unit = "goodput", "kB/s"
    else:
        rate_key, unit = "per_second", f"messages of {result.parameters['message_bytes']} bytes per second"
    for way, colour in zip(ways, ("#c0392b", "#e59866"), strict=True):
        ceilings = [row[f"{rate_key}_ceiling"] for row in of(result.rows, way=way, engine="native")]
        rate.plot(places, ceilings, "_", ms=15, mew=2, color=colour, label=f"the air allows, {way}")
    for engine, colour, width in (("native", _COLOURS[0], 3), ("python", _COLOURS[2], 1.5)):
        for way, line in zip(ways, ("-", "--"), strict=True):
            rows = of(result.rows, way=way, engine=engine)
            style = {"ls": line, "lw": width, "marker": "o", "ms": 4, "color": colour}
            rate.plot(places, [row[rate_key] for row in rows], **style, label=f"{engine}, {way}")
            cpu.plot(places, [max(row["cpu_central"], row["cpu_peripheral"]) for row in rows], **style)
    rate.set(ylabel=unit, ylim=(0, None), title="what arrives, each way")
    thousands(rate.yaxis)
    cpu.set(ylabel="% of an RP2040, of the busier board", ylim=(0, 105), title="CPU time of the engine")
    add_legend(figure, rate, columns=3)
    for panel, way in zip(uses, ways, strict=True):
        rows = of(result.rows, way=way, engine="native")
        _stack_air(panel.bar, list(places), rows)
        panel.set(ylim=(0, 100), title=f"use of the air, {way}", ylabel="% of the time")
        panel.grid(visible=False)
    add_legend(figure, uses[0], columns=5, place="lower")
    for panel in (rate, cpu, *uses):
        panel.set_xticks(list(places), [v if isinstance(v, str) else f"{v:,g}" for v in values], fontsize=9)
        panel.set_xlabel(result.columns["value"])
    save(figure, path)


def _stack_air(bar: Callable, places: Sequence[float], rows: list[Row]) -> None:
    """Bars of what the air is used for, one for each row; bar: Axes.bar or Axes.barh."""
    ends = [0.0] * len(rows)
    for part, name in AIR.items():
        parts = [row[f"air_{part}"] for row in rows]
        bar(places, parts, 0.75, ends, color=_AIR_COLOURS[part], label=name)
        ends = [end + more for end, more in zip(ends, parts, strict=True)]


def draw_air(result: Result, path: Path) -> None:
    """What the air is used for, a bar for each row."""
    figure, (panel,) = new_figure(1, (10, 3.6))
    places = range(len(result.rows))
    _stack_air(panel.barh, list(places), result.rows)
    panel.set_yticks(list(places), [f"{row['engine']}, {row['way']}" for row in result.rows])
    panel.set(xlim=(0, 100), xlabel="% of the time")
    panel.invert_yaxis()
    panel.grid(visible=False)
    add_legend(figure, panel, columns=5, place="lower")
    save(figure, path)


def draw_slow(result: Result, path: Path) -> None:
    """Share of an always-ready sender's rate against the loss: a panel for each count of pairs an event."""
    pairs = list(dict.fromkeys(row["pairs"] for row in result.rows))
    intervals = list(dict.fromkeys(row["interval"] for row in result.rows))
    losses = list(dict.fromkeys(row["loss"] for row in result.rows))
    figure, panels = new_figure(len(pairs), (10, 3.8))
    colour = colours(intervals)
    for panel, count in zip(panels, pairs, strict=True):
        for interval in intervals:
            for stack, line in (("btstack", "-"), ("nimble", "--")):
                rows = of(result.rows, pairs=count, interval=interval, stack=stack)
                panel.plot(
                    range(len(losses)),
                    [row["share"] for row in rows],
                    line,
                    marker="o",
                    ms=4,
                    color=colour[interval],
                    label=f"{interval:g} ms, {stack}",
                )
        panel.axhline(SHARE_GOAL, color="#c0392b", lw=1, ls=":")
        panel.set_xticks(range(len(losses)), [f"{loss:g}" for loss in losses])
        most = "as many pairs as fit" if count == "fit" else f"pairs an event: {count}"
        panel.set(xlabel="PDUs lost, %", title=most, ylim=(0, 105))
    panels[0].set_ylabel("% of an always-ready sender's rate")
    add_legend(figure, panels[0], columns=5)
    save(figure, path)


def draw_profile(result: Result, path: Path) -> None:
    """A bar for each function, and for each way to send and read, the dearest on top."""
    ways = [name for name in result.columns if name != "function"]
    names = [row["function"] for row in result.rows]
    figure, (panel,) = new_figure(size=(8.0, 0.8 + 0.24 * len(names)))
    height = 0.8 / len(ways)
    for number, way in enumerate(ways):
        places = [place + (number - (len(ways) - 1) / 2) * height for place in range(len(names))]
        widths = [row[way] for row in result.rows]
        panel.barh(places, widths, height, color=_COLOURS[number], label=result.columns[way])
    panel.set_yticks(range(len(names)), names, fontsize=7)
    panel.invert_yaxis()
    thousands(panel.xaxis)
    panel.set_xlabel(result.columns[ways[0]] if len(ways) == 1 else "cycles for a message sent and one read")
    if len(ways) > 1:
        add_legend(figure, panel)
    save(figure, path)
