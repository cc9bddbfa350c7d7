"""`picolink bench sweep targets`: what the project wants to reach on a stock radio, and what it does."""

from dataclasses import replace

from ..simulation.simulation import Flow
from .cases import WAYS, Case, Job, Outcomes
from .report import Result, Row

INTERVALS = (7.5, 15.0, 30.0)
_RATES = {27: 95, 251: 90}
"""Octets of a PDU -> percent of what the air allows."""

_LOST_PACKETS = 0.1
_LOSSY = 50
"""Percent of the rate without losses."""

_SECONDS = 4
_LOSSY_SECONDS = 20
_IDLE_SECONDS = 200
STOCK_LATENCY = 4
"""Peripheral latency of MicroPython's BTstack, which is what a Pico W runs."""


def idle_ms(interval_ms: float) -> dict[str, float]:
    """The latencies of a message on an idle link that are wanted at most, in ms, at peripheral latency 0."""
    return {"p50": interval_ms + 5, "p99": 2 * interval_ms + 10}


def _full(interval: float, way: str, data_length: int = 27, lost_packets: float = 0.0) -> Job:
    case = Case(lost_packets=lost_packets)
    radio = replace(case.radio, interval_ms=interval, data_length=data_length)
    return Job(replace(case, radio=radio), "native", way, _LOSSY_SECONDS if lost_packets else _SECONDS)


def _idle(interval: float, latency: int) -> Job:
    case = Case()
    return Job(
        replace(case, radio=replace(case.radio, interval_ms=interval, latency=latency)),
        "native",
        None,
        _IDLE_SECONDS,
    )


def jobs() -> list[Job]:
    """The simulations that it takes."""
    full = [
        _full(interval, way, **radio)
        for interval in INTERVALS
        for way in WAYS
        for radio in (*({"data_length": octets} for octets in _RATES), {"lost_packets": _LOST_PACKETS})
    ]
    return full + [_idle(interval, latency) for interval in INTERVALS for latency in (0, STOCK_LATENCY)]


def _each() -> list[tuple[float, str]]:
    return [(interval, way) for interval in INTERVALS for way in WAYS]


def _slower(outcomes: Outcomes, job: Job) -> Flow:
    """The slower direction of those at full speed."""
    return min((outcomes[job].flows[way] for way in WAYS[job.way]), key=lambda flow: flow.per_second)


def _row(what: str, interval: float, way: str, wanted: float, found: float, met: bool) -> Row:
    return {
        "what": what,
        "interval": interval,
        "way": way,
        "wanted": wanted,
        "found": found,
        "met": met,
        "stock": None,
    }


def conclude(outcomes: Outcomes) -> Result:
    """A row for each target."""
    rows = []
    for octets, wanted in _RATES.items():
        what = f"PDUs of {octets} octets, % of what the air allows"
        for interval, way in _each():
            share = 100 * _slower(outcomes, _full(interval, way, octets)).share
            rows.append(_row(what, interval, way, wanted, share, share >= wanted))
    what = f"{_LOST_PACKETS:.0%} of packets lost, % of the rate without"
    for interval, way in _each():
        clean = _slower(outcomes, _full(interval, way)).per_second
        lossy = _slower(outcomes, _full(interval, way, lost_packets=_LOST_PACKETS)).per_second
        rows.append(_row(what, interval, way, _LOSSY, 100 * lossy / clean, lossy >= clean * _LOSSY / 100))
    for name, place in (("p50", 0), ("p99", 2)):
        what = f"idle latency {name}, ms"
        for interval in INTERVALS:
            for way, (direction, *others) in WAYS.items():
                if others:
                    continue
                found, stock = (
                    outcomes[_idle(interval, latency)].flows[direction].latency_ms[place]
                    for latency in (0, STOCK_LATENCY)
                )
                wanted = idle_ms(interval)[name]
                rows.append(_row(what, interval, way, wanted, found, found <= wanted) | {"stock": stock})
    return Result(
        name="sweep-targets",
        title="Targets and figures: native engine, messages of 18 bytes as fast as it goes, or idle",
        parameters={"seconds": _SECONDS, "lossy_seconds": _LOSSY_SECONDS, "idle_seconds": _IDLE_SECONDS},
        columns={
            "what": "",
            "interval": "interval ms",
            "way": "way",
            "wanted": "wanted",
            "found": "found",
            "met": "met",
            "stock": f"at latency {STOCK_LATENCY}",
        },
        rows=rows,
        notes=[
            "Simulated: real engines, a model of the radio and of BTstack, virtual time. It repeats exactly.",
            "Wanted: at least; of latency: at most, at peripheral latency 0. Both at once: the slower way.",
            f"At latency {STOCK_LATENCY}: with the peripheral latency that MicroPython's BTstack fixes.",
        ],
    )
