"""`picolink bench sweep`: what two boards would do, by simulation in virtual time."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from .. import c_engine
from ..processes import in_processes
from ..radio.air import RadioSettings
from ..run import radio_options
from ..simulation import air_time
from . import slow, targets
from .cases import AIR, ENGINES, LEAST_BYTES, WAYS, Case, Job, Outcome, Outcomes, air_parts, simulate
from .report import Result, Row, new_console, publish, report_options

_SECONDS = 2
_LOSSY_SECONDS = 6
_IDLE_SECONDS = 40
_RINGS = tuple(1 << bits for bits in range(8, 16))
_SWEPT_WAYS = ("to central", "both at once")

# -- what is swept ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sweep:
    """One thing that varies.

    heading: of its column.   title: of its result.   values: value as it is shown -> change of a case.
    seconds: of virtual time for each value: longer where chance has its part.
    """

    heading: str
    title: str
    values: dict[Any, Callable[[Case], Case]]
    seconds: float = _SECONDS


def _radio(field_name: str, values: Iterable[Any], factor: float = 1) -> dict[Any, Callable[[Case], Case]]:
    def change(value: Any) -> Callable[[Case], Case]:
        return lambda case: replace(case, radio=replace(case.radio, **{field_name: value * factor}))

    return {value: change(value) for value in values}


def _case(field_name: str, values: Iterable[Any], factor: float = 1) -> dict[Any, Callable[[Case], Case]]:
    def change(value: Any) -> Callable[[Case], Case]:
        return lambda case: replace(case, **{field_name: value * factor})

    return {value: change(value) for value in values}


def _pdu(octets: int, phy: str) -> Callable[[Case], Case]:
    return lambda case: replace(case, radio=replace(case.radio, data_length=octets, phy=phy))


_PERCENT = (0, 1, 2, 5, 10)

SWEEPS = {
    "interval": Sweep(
        "interval ms", "the connection interval", _radio("interval_ms", (7.5, 10, 15, 20, 30, 50, 100))
    ),
    "size": Sweep("bytes", "the size of messages", _case("size", (6, 18, 50, 100, 236, 1000, 4000))),
    "mtu": Sweep("ATT MTU", "the ATT MTU", _radio("mtu", (23, 50, 77, 104, 128, 185, 247))),
    "pdu": Sweep(
        "PDU",
        "the length of link-layer PDUs and the PHY",
        {f"{octets}, {phy}": _pdu(octets, phy) for octets in (27, 251) for phy in ("1M", "2M")},
    ),
    "loss": Sweep(
        "PDUs lost %", "the loss of PDUs in the air", _radio("loss", _PERCENT, 0.01), _LOSSY_SECONDS
    ),
    "lost-packets": Sweep(
        "packets lost %",
        "the loss of packets above the radio",
        _case("lost_packets", _PERCENT, 0.01),
        _LOSSY_SECONDS,
    ),
    "window": Sweep("window B", "the window", _case("window", (256, 512, 1024, 2048, 4096, 8192))),
    "ring": Sweep("rings B", "the size of the rings", _case("ring", _RINGS[:-1])),
}

# -- results ----------------------------------------------------------------------------------------------

_COLUMNS = {
    "engine": "engine",
    "way": "way",
    "per_second": "per second",
    "share": "% of air",
    "p50": "idle p50 ms",
    "p95": "p95",
    "packets": "packets per message",
    "alone": "acks alone %",
    "again": "sent again %",
    "air": "air used %",
    "cpu_central": "CPU % central",
    "cpu_peripheral": "CPU % periph.",
}

_AIR_NOTES = (
    "messages: their bytes; the rest is overhead, or unused. acks alone: with all headers and pauses.",
    "PDU headers, pauses: of PDUs that carry messages. empty PDUs: Bluetooth answers in any case.",
    "unused: nothing to send, or the rest of a connection event is too short for an exchange.",
)

_NOTES = (
    "Simulated: real engines, a model of the radio and of BTstack, virtual time. It repeats exactly.",
    "per second: messages; both at once: each way, the slower one. % of air: of what it allows without loss.",
    "idle: from send() to recv() of one message now and then; of the slower way.",
    "acks alone, sent again: of all packets of both boards.",
    "CPU: the engine's share on an RP2040 at 125 MHz; the link, asyncio and BTstack come on top.",
)


def row(way: str, case: Case, full: Outcome, idle: Outcome) -> Row:
    """Everything about one way."""
    flows = [full.flows[direction] for direction in WAYS[way]]
    slower = min(flows, key=lambda flow: flow.per_second)
    latencies = [idle.flows[direction].latency_ms for direction in WAYS[way]]
    # At the slowest settings nothing comes in the time that is simulated.
    p50, p95, p99, most = max(latencies) if all(latencies) else (None,) * 4
    counters = [flow.engine for flow in full.flows]
    packets = sum(each["packets_sent"] for each in counters)
    messages = sum(flow.messages for flow in flows)
    parts = air_parts(full, case.size)
    return {
        "way": way,
        "per_second": slower.per_second,
        "goodput": slower.per_second * case.size / 1000,
        "per_second_ceiling": slower.ceiling,
        "goodput_ceiling": slower.ceiling * case.size / 1000,
        "share": 100 * slower.share,
        "p50": p50,
        "p95": p95,
        "p99": p99,
        "max": most,
        "packets": packets / messages if messages else None,
        "alone": 100 * sum(each["acks_alone"] for each in counters) / packets if packets else None,
        "again": 100 * sum(each["retransmitted"] for each in counters) / packets if packets else None,
        "air": 100 - parts[air_time.UNUSED],
        "cpu_central": 100 * full.cpu[0],
        "cpu_peripheral": 100 * full.cpu[1],
        **{f"air_{part}": percent for part, percent in parts.items()},
    }


# -- plans: simulations, and what is made of their outcomes -------------------------------------------------


@dataclass(frozen=True)
class Plan:
    """A part of the command: the simulations it needs, and the results it makes of their outcomes."""

    jobs: list[Job] | list[slow.SlowJob]
    conclude: Callable[[Outcomes], list[Result]]


def _plan(part: str, case: Case, grid: slow.Grid = slow.SHORT) -> Plan:
    """part: in SWEEPS, "point", "slow" or "targets"."""
    if part == "slow":
        jobs = slow.jobs(grid, case.radio, case.size, case.window)
        return Plan(jobs, lambda outcomes: [slow.conclude({job: outcomes[job] for job in jobs})])
    if part == "targets":
        return Plan(targets.jobs(), lambda outcomes: [targets.conclude(outcomes)])
    if part == "point":
        return _plan_point(case)
    return _plan_sweep(part, case)


def _plan_sweep(name: str, case: Case) -> Plan:
    sweep = SWEEPS[name]
    changed = {value: change(case) for value, change in sweep.values.items()}
    cases = {value: each for value, each in changed.items() if each.possible}

    def conclude(outcomes: Outcomes) -> list[Result]:
        rows = [
            {"value": value} | each
            for value, varied in cases.items()
            for each in _rows(varied, _SWEPT_WAYS, sweep.seconds, outcomes)
        ]
        columns = {"value": sweep.heading} | _COLUMNS
        return [_result(name, f"Two boards, by {sweep.title}", columns, rows, case, _NOTES)]

    return Plan(
        [job for varied in cases.values() for job in _jobs(varied, _SWEPT_WAYS, sweep.seconds)], conclude
    )


def _plan_point(case: Case) -> Plan:
    def conclude(outcomes: Outcomes) -> list[Result]:
        rows = _rows(case, WAYS, _SECONDS, outcomes)
        more = {"p99": "p99", "max": "max"}
        air = {"engine": "engine", "way": "way"} | {f"air_{part}": name for part, name in AIR.items()}
        return [
            _result("point", "What two boards do", _COLUMNS | more, rows, case, _NOTES),
            _result("air", "What the air is used for, in % of the time", air, rows, case, _AIR_NOTES),
        ]

    return Plan(_jobs(case, WAYS, _SECONDS), conclude)


def _idle(case: Case, engine: str) -> Job:
    return Job(case, engine, None, _IDLE_SECONDS)


def _jobs(case: Case, ways: Iterable[str], seconds: float) -> list[Job]:
    full = [Job(case, engine, way, seconds) for engine in ENGINES for way in ways]
    return full + [_idle(case, engine) for engine in ENGINES]


def _rows(case: Case, ways: Iterable[str], seconds: float, outcomes: Outcomes) -> list[Row]:
    return [
        {"engine": engine}
        | row(way, case, outcomes[Job(case, engine, way, seconds)], outcomes[_idle(case, engine)])
        for engine in ENGINES
        for way in ways
    ]


def _result(
    name: str, title: str, columns: dict[str, str], rows: list[Row], case: Case, notes: Iterable[str]
) -> Result:
    radio = case.radio
    parameters = {
        "message_bytes": case.size,
        "interval_ms": radio.interval_ms,
        "phy": radio.phy,
        "data_length": radio.data_length,
        "mtu": radio.mtu,
        "peripheral_latency": radio.latency,
        "pdus_per_event": radio.pdus_per_event,
        "loss": radio.loss,
        "lost_packets": case.lost_packets,
        "window": case.window,
        "rings": case.ring,
        "seed": radio.seed,
    }
    return Result(f"sweep-{name}", title, parameters, columns, rows, list(notes))


# -- the command ------------------------------------------------------------------------------------------

_PARTS = ("point", *SWEEPS, "slow", "targets")


@click.command()
@click.argument("parts", nargs=-1, type=click.Choice(_PARTS), metavar="[PART]...")
@radio_options
@click.option(
    "--size",
    type=click.IntRange(LEAST_BYTES, 4000),
    default=Case.size,
    show_default=True,
    metavar="BYTES",
    help="Size of a message: 6 to 4000.",
)
@click.option(
    "--window",
    type=click.IntRange(256, 65535),
    default=Case.window,
    show_default=True,
    metavar="BYTES",
    help="What may be on its way, unacknowledged: 256 to 65535.",
)
@click.option(
    "--ring",
    type=click.Choice(_RINGS),
    default=Case.ring,
    show_default=True,
    metavar="BYTES",
    help="Transmit and receive ring (tx_size, rx_size): a power of two, 256 to 32768.",
)
@click.option(
    "--lost-packets",
    type=click.FloatRange(0, 0.5),
    default=Case.lost_packets,
    show_default=True,
    metavar="SHARE",
    help="Share of packets lost above the radio, and a tenth as many damaged: 0 to 0.5.",
)
@click.option(
    "--whole",
    is_flag=True,
    help="slow: all its cells, 3 seeds, up to 300 s of virtual time each, for some minutes.",
)
@report_options
def sweep(
    parts: tuple[str, ...],
    settings: RadioSettings,
    size: int,
    window: int,
    ring: int,
    lost_packets: float,
    whole: bool,
    plot: bool,
    out: Path | None,
) -> None:
    """What would two boards do? Simulated in virtual time.

    \b
    picolink bench sweep                           all parts: a minute
    picolink bench sweep point --interval 30       all about one case
    picolink bench sweep interval size --plot      these two, with pictures
    picolink bench sweep window --data-length 251  the window, with long PDUs

    \b
    PART is one of these, all by default:
    point     nothing varies: rates, latency, CPU, use of the air
    interval  connection interval     size          bytes of a message
    mtu       ATT MTU                 pdu           length of PDUs, and PHY
    loss      PDUs lost in the air    lost-packets  lost above the radio
    window    bytes on their way      ring          size of the rings
    slow      slow and lossy radios: interval, loss, pairs of PDUs an event,
              both host stacks, beside a sender that is always ready
    targets   what the project wants to reach, and reaches; without options

    The options set what does not vary; by default a Pico W as it is.  The engines are the real ones, in C
    and in Python; radio and Bluetooth stack are models; the engines' CPU time is that of an RP2040 (cycles
    counted on an emulated one).  The same command always gives the same figures.
    """
    case = Case(settings, size, window, ring, lost_packets)
    if not case.possible:
        raise click.UsageError(f"a message of {size} bytes needs a larger --ring than {ring}")
    parts = tuple(dict.fromkeys(parts or _PARTS))
    if whole and "slow" not in parts:
        raise click.UsageError("--whole is for the part slow")
    try:
        c_engine.engine_class()
    except c_engine.CompileError as error:
        raise click.ClickException(str(error)) from None
    plans = [_plan(part, case, slow.WHOLE if whole else slow.SHORT) for part in parts]
    console = new_console()
    outcomes = _simulate({job for each in plans for job in each.jobs}, console)
    results = [result for each in plans for result in each.conclude(outcomes)]
    pictures = {}
    if plot:
        from .plots import draw_air, draw_slow, draw_sweep

        pictures = {f"sweep-{name}": draw_sweep for name in SWEEPS}
        pictures |= {"sweep-air": draw_air, "sweep-slow": draw_slow}
    publish(console, results, out, pictures)


def _run(job: Job | slow.SlowJob) -> Outcome | slow.SlowOutcome:
    return slow.simulate(job) if isinstance(job, slow.SlowJob) else simulate(job)


def _simulate(jobs: set[Job | slow.SlowJob], console: Console) -> Outcomes:
    """All of them, on all processors of this PC."""
    outcomes = {}
    columns = (TextColumn("simulations"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=len(jobs))
        for job, outcome in in_processes(_run, jobs):
            outcomes[job] = outcome
            progress.advance(task)
    return outcomes
