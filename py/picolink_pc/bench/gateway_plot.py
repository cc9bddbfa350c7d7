"""The picture of `picolink bench gateway`: what came, second by second, and what was killed when."""

from pathlib import Path

from . import plots


def draw(came: list[float], kills: list[tuple[float, str]], path: Path) -> None:
    """came: when each message came for the first time, s.   kills: (when, what), s."""
    figure, (panel,) = plots.new_figure(1, (10, 3.6))
    panel.hist(
        came, bins=range(int(max(came)) + 2), color=plots._COLOURS[1], label="messages/s at a subscriber"
    )
    for what, colour in (("broker", plots._COLOURS[5]), ("gateway", plots._COLOURS[2])):
        times = [when for when, killed in kills if killed == what]
        panel.plot(times, [0] * len(times), "^", color=colour, label=f"{what} killed", clip_on=False)
    panel.set_xlabel("seconds")
    plots.thousands(panel.yaxis)
    plots.add_legend(figure, panel)
    plots.save(figure, path)
