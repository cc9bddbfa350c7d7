"""`picolink bench sweep slow`: slow and lossy radios, beside a sender that is always ready."""

from dataclasses import dataclass, replace
from itertools import product
from statistics import mean

from ..radio.air import RadioSettings
from ..simulation.always_ready import always_ready
from ..simulation.board import Traffic
from ..simulation.engines import engines
from ..simulation.simulation import Setup, Simulation
from . import cycles
from .report import Result, Row

SHARE_GOAL = 80
"""Percent of the always-ready sender's rate that each direction has to carry."""

BALANCE_GOAL = 75
"""Percent of the faster direction's rate that the slower one has to carry."""

_SETTLE_S = 5
_MESSAGES = 20_000
"""Each way, about: that many make seeds agree within 5 %."""

_STACKS = ("btstack", "nimble")


@dataclass(frozen=True)
class Grid:
    """Intervals (ms), shares of PDUs lost, and pairs of PDUs an event (None: as many as fit) to combine.

    seconds: of virtual time, least and most; in between, enough for _MESSAGES.
    """

    intervals: tuple[float, ...]
    losses: tuple[float, ...]
    pairs: tuple[int | None, ...]
    seeds: int
    seconds: tuple[int, int]


SHORT = Grid((15.0, 48.75, 100.0), (0.0, 0.2, 0.4), (1, 4, None), 1, (5, 60))
WHOLE = Grid((7.5, 15.0, 30.0, 48.75, 100.0), (0.0, 0.01, 0.05, 0.1, 0.2, 0.4), (1, 4, None), 3, (20, 300))


@dataclass(frozen=True)
class SlowJob:
    """One simulation, both ways at full speed. radio: with the seed of all."""

    radio: RadioSettings
    stack: str
    size: int
    window: int
    seconds: tuple[int, int]


@dataclass(frozen=True)
class SlowOutcome:
    """rates, ready: messages/s to the peripheral and to the central; what an always-ready sender gets.

    timeouts: of both engines.
    """

    rates: tuple[float, float]
    ready: tuple[float, float]
    timeouts: int


def jobs(grid: Grid, radio: RadioSettings, size: int, window: int) -> list[SlowJob]:
    """All of them; `radio` sets what does not vary."""
    return [
        SlowJob(
            replace(radio, interval_ms=interval, loss=loss, pdus_per_event=pairs, seed=radio.seed + seed),
            stack,
            size,
            window,
            grid.seconds,
        )
        for interval, loss, pairs, stack, seed in product(
            grid.intervals, grid.losses, grid.pairs, _STACKS, range(grid.seeds)
        )
    ]


def simulate(job: SlowJob) -> SlowOutcome:
    """Run one; the same job always has the same outcome."""
    least, most = job.seconds
    rough = mean(always_ready(job.radio, job.size, 10))
    seconds = min(most, max(least, _MESSAGES / max(rough, 1)))
    calls = cycles.calls(cycles.load()["native"], job.size)
    rings = {"window": job.window}
    setup = Setup(
        radio=job.radio,
        stack=job.stack,
        rings=(rings, rings),
        traffic=(Traffic(job.size), Traffic(job.size)),
        costs=(calls, calls),
        reconnect_ms=0,
        seed=job.radio.seed,
    )
    simulation = Simulation(engines("native", job.radio.seed), setup)
    simulation.connect()
    simulation.run(_SETTLE_S)
    simulation.measure()
    simulation.run(seconds)
    flows = simulation.flow(0), simulation.flow(1)
    return SlowOutcome(
        tuple(flow.per_second for flow in flows),
        always_ready(job.radio, job.size, seconds, _SETTLE_S),
        sum(flow.engine["timeouts"] for flow in flows),
    )


_COLUMNS = {
    "interval": "interval ms",
    "loss": "PDUs lost %",
    "pairs": "pairs an event",
    "stack": "stack",
    "to_peripheral": "to peripheral",
    "to_central": "to central",
    "ready": "always ready",
    "share": "% of it",
    "balance": "slower % of faster",
    "timeouts": "timeouts",
    "met": "met",
}


def conclude(done: dict[SlowJob, SlowOutcome]) -> Result:
    """A row for each cell, the means of its seeds; the worst is named."""
    cells: dict[tuple, list[tuple[SlowJob, SlowOutcome]]] = {}
    for job, outcome in done.items():
        radio = job.radio
        cell = radio.interval_ms, radio.loss, radio.pdus_per_event, job.stack
        cells.setdefault(cell, []).append((job, outcome))
    rows = [_row(cell, [outcome for _, outcome in each]) for cell, each in cells.items()]
    worst = min(rows, key=lambda row: row["share"])
    missed = sum(not row["met"] for row in rows)
    job = next(iter(done))
    pairs = "as many pairs as fit" if worst["pairs"] == "fit" else f"pairs an event: {worst['pairs']}"
    where = f"{worst['interval']:g} ms, {worst['loss']:g} % lost, {pairs}, {worst['stack']}"
    notes = [
        f"Worst: {where}: {worst['share']:.0f} %. {missed} of {len(rows)} cells miss the goal.",
        f"Goal: each way {SHARE_GOAL} % of always ready, neither way below {BALANCE_GOAL} % of the other.",
        "always ready: a sender on the same link layer that waits for no acknowledgement.",
        "Simulated: both ways at once, messages/s, native engine; means of the seeds after the first 5 s.",
        "fit: as many pairs as fit. timeouts: of both engines.",
    ]
    parameters = {
        "message_bytes": job.size,
        "phy": job.radio.phy,
        "data_length": job.radio.data_length,
        "mtu": job.radio.mtu,
        "peripheral_latency": job.radio.latency,
        "window": job.window,
        "seeds": len(next(iter(cells.values()))),
    }
    return Result("sweep-slow", "Slow and lossy radios", parameters, _COLUMNS, rows, notes)


def _row(cell: tuple, outcomes: list[SlowOutcome]) -> Row:
    interval, loss, pairs, stack = cell
    rates = [mean(outcome.rates[way] for outcome in outcomes) for way in (0, 1)]
    ready = [mean(outcome.ready[way] for outcome in outcomes) for way in (0, 1)]
    share = 100 * min(rate / most if most else 0 for rate, most in zip(rates, ready, strict=True))
    balance = 100 * min(rates) / max(rates) if max(rates) else 0
    return {
        "interval": interval,
        "loss": round(100 * loss, 6),
        "pairs": "fit" if pairs is None else str(pairs),
        "stack": stack,
        "to_peripheral": rates[0],
        "to_central": rates[1],
        "ready": mean(ready),
        "share": share,
        "balance": balance,
        "timeouts": sum(outcome.timeouts for outcome in outcomes),
        "met": share >= SHARE_GOAL and balance >= BALANCE_GOAL,
    }
