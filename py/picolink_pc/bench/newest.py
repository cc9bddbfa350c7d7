"""`picolink bench newest`: how old the newest value is at the reader, while a channel runs at full rate."""

from pathlib import Path

import click

from .. import c_engine
from ..percentile import percentile
from ..radio.air import RadioSettings
from ..simulation.board import NO_TRAFFIC, Traffic
from ..simulation.engines import engines
from ..simulation.simulation import Setup, Simulation
from ..simulation.values import ValuesBoard
from . import cycles
from .report import Result, Row, new_console, out_option, publish

_WAYS = ((15.0, 0.0, 0), (15.0, 0.2, 0), (100.0, 0.0, 0), (15.0, 0.0, 3), (15.0, 0.2, 3))
"""Interval (ms), share of PDUs lost, s out of range in the middle."""
_SETTLE_S = 5
_SECONDS = 30
_AGAIN_S = 20  # to connect again after an outage, and to settle
_BYTES = 18
_EVERY_MS = 1
_SENDER, _READER = 1, 0

_COLUMNS = {
    "load": "ordinary messages",
    "interval": "interval ms",
    "loss": "PDUs lost %",
    "outage": "outage s",
    "rtt": "round trip ms",
    "age_p50": "age p50 ms",
    "age_p95": "age p95 ms",
    "trips": "p95 in round trips",
    "after": "after the outage ms",
    "late_p50": "ordinary p50 ms",
    "late_p95": "ordinary p95 ms",
    "rate": "ordinary /s",
    "rate_alone": "without values /s",
    "last": "last value came",
}

_NOTES = [
    "Simulated: values of 16 bytes set every 5 ms, messages of 18 bytes, native engine, BTstack.",
    "age: of the value that the reader sees, looked at every ms, without the outage.",
    "ordinary: from the moment that the program wanted to send a message until it was read.",
    "round trip: the engine's. p95 in round trips: the goal is 2.",
    "after the outage: from the greeting until the reader saw a value younger than 2 round trips.",
]


class _NoValues(ValuesBoard):
    def begin_values(self) -> None:
        pass


def _simulation(radio: RadioSettings, load: bool, board_class: type[ValuesBoard]) -> Simulation:
    calls = cycles.calls(cycles.load()["native"], _BYTES)
    traffic = Traffic(_BYTES) if load else NO_TRAFFIC
    setup = Setup(radio=radio, traffic=(traffic, traffic), costs=(calls, calls), seed=radio.seed)
    simulation = Simulation(engines("native", radio.seed), setup, board_class)
    simulation.connect()
    simulation.run(1)
    sender = simulation.boards[_SENDER]
    assert isinstance(sender, ValuesBoard)
    sender.begin_values()
    simulation.run(_SETTLE_S)
    simulation.measure()
    return simulation


def _watch(simulation: Simulation, seconds: float) -> list[float]:
    """Ages in ms of what the reader sees, looked at every ms."""
    reader = simulation.boards[_READER]
    assert isinstance(reader, ValuesBoard)
    ages = []
    for _ in range(round(seconds * 1000 / _EVERY_MS)):
        simulation.run(_EVERY_MS / 1000)
        age_us = reader.age_us()
        ages.append(float("inf") if age_us is None else age_us / 1000)
    return ages


def simulate(interval: float, loss: float, outage: int, load: bool, seconds: int, seed: int) -> Row:
    """One row: values from the peripheral, and ordinary messages both ways where there is `load`."""
    radio = RadioSettings(interval_ms=interval, loss=loss, seed=seed)
    simulation = _simulation(radio, load, ValuesBoard)
    sender, reader = simulation.boards[_SENDER], simulation.boards[_READER]
    assert isinstance(sender, ValuesBoard)
    assert isinstance(reader, ValuesBoard)
    trips = []
    ages: list[float] = []
    for _ in range(seconds):
        ages += _watch(simulation, 1)
        trips.append(sender.engine.stats()["rtt_ms"])
    flow = simulation.flow(_SENDER)
    trip = sum(trips) / len(trips)
    ages.sort()
    p95 = percentile(ages, 0.95)
    after = None
    if outage:
        simulation.leave_range(outage)
        simulation.run(outage)
        opened = False
        after = 0.0
        for _ in range(_AGAIN_S * 1000):
            (age,) = _watch(simulation, _EVERY_MS / 1000)
            opened = opened or (sender.opened and reader.opened)
            if opened and age <= 2 * trip:
                break
            after += opened
    sender.end_values()
    drained = simulation.drain(120)
    errors = simulation.broken_promises()
    if errors or not drained:
        raise click.ClickException(f"messages were lost, or did not come in two minutes: {errors[:3]}")
    alone = None
    if load:
        alone_too = _simulation(radio, load, _NoValues)
        alone_too.run(seconds)
        alone = alone_too.flow(_SENDER).per_second
    latency = flow.latency_ms if load else None
    return {
        "load": "at full rate both ways" if load else "none",
        "interval": interval,
        "loss": round(100 * loss, 6),
        "outage": outage,
        "rtt": trip,
        "age_p50": percentile(ages, 0.5),
        "age_p95": p95,
        "trips": p95 / trip if trip else None,
        "after": after,
        "late_p50": latency and latency[0],
        "late_p95": latency and latency[1],
        "rate": flow.per_second if load else None,
        "rate_alone": alone,
        "last": reader.seen == len(sender.set_at_us) - 1,
    }


@click.command()
@click.option(
    "--seconds", type=click.IntRange(5, 3600), default=_SECONDS, show_default=True, help="Of each row."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of all that is random.")
@out_option
def newest(seconds: int, seed: int, out: Path | None) -> None:
    """How old the newest value is at its reader, beside a channel at full rate.

    \b
    picolink bench newest              a value set 200 times a second, beside a
                                       channel at full rate, and alone

    Simulated in virtual time: the same command always gives the same figures.  The engines are the real ones
    and so are the decisions; radio and Bluetooth stack are models of a Pico W's.
    """
    try:
        c_engine.engine_class()
    except c_engine.CompileError as error:
        raise click.ClickException(str(error)) from None
    console = new_console()
    rows = []
    with console.status("simulating"):
        for load in (True, False):
            rows += [simulate(*way, load, seconds, seed) for way in _WAYS]
    parameters = {"seconds": seconds, "seed": seed, "value_bytes": 16, "message_bytes": _BYTES}
    result = Result("newest", "Age of the newest value", parameters, _COLUMNS, rows, _NOTES)
    publish(console, [result], out, {})
