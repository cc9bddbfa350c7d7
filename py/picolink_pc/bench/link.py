"""`picolink bench link`: what two boards carry, and how late; picolink beside aioble alone."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from .. import emulated_time, extras
from ..boards import BoardError, play
from ..percentile import percentile
from ..radio import air
from ..run import intervals_option, pdus_per_event_option, radio_settings, stack_or_firmware_options
from .report import Result, Row, new_console, publish, report_options
from .targets import STOCK_LATENCY, idle_ms
from .traffic import LEAST_BYTES, Run, Stack, Step, Way, run

if TYPE_CHECKING:
    from ..emulator.firmware import Firmware

_DEFAULTS = air.RadioSettings()
_PACKET = 236
_IDLE_GAP_MS = (60, 140)
_IDLE_SECONDS = 15
_LOADS = (1, 20, 50, 100, 200, 1000, 0)  # messages/s; 0: as fast as it goes
_LOAD_SECONDS = 1.5
_LOAD_LIMIT = 2000  # messages: BTstack keeps notifications that wait on the heap, without bound
_LOAD_BYTES = 18  # aioble's values have 20 bytes unless a program asks for more
_ASKED_INTERVAL_MS = 15.0
"""The greatest that picolink asks for when it connects."""

_LATE = "late events: connection events that this PC played too late; with many of them, repeat the run."
_ON_BOARDS = (
    "Real boards: clocks compared over USB, to 1 ms or so. % of air: if the interval is what the table says "
    "and no PDU is lost."
)
_EMULATED = (
    "Emulated host, modelled controller: firmware with its own Bluetooth stack, in virtual time; "
    "{} cycles for a miss of the flash cache."
)
_SETUP_S = 4
"""What a run on emulated boards takes beside its steps: they start, connect and say goodbye."""

_SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}

_SENDERS = {"to central": "peripheral", "to peripheral": "central", "both at once": "both"}


@dataclass(frozen=True)
class _Contestant:
    name: str
    program: str
    how: str
    sender: str


_PICOLINK = (
    _Contestant("picolink, native", "with_picolink.py", "native", "peripheral"),
    _Contestant("picolink, Python", "with_picolink.py", "python", "peripheral"),
)
_AIOBLE = (
    _Contestant("aioble notify / notified", "with_aioble.py", "notify", "peripheral"),
    _Contestant("aioble write / written", "with_aioble.py", "write", "central"),
    _Contestant("aioble write / capture", "with_aioble.py", "capture", "central"),
    _Contestant("tutorial, both ways", "with_aioble.py", "tutorial", "both"),
)


def _name(part: str, stack: Stack, radio: air.RadioSettings) -> str:
    """Of a result: those of a real host stack or of longer PDUs stand beside the usual ones."""
    boards = {"-real": stack.micropython, "-boards": stack.ports, "-firmware": stack.firmware}
    return (
        f"link-{part}"
        + next((name for name, there in boards.items() if there), "")
        + (f"-{radio.data_length}-octets" if radio.data_length != _DEFAULTS.data_length else "")
    )


class _Plan:
    """Runs one after another, with a bar that knows how many are left."""

    def __init__(self, progress: Progress, name: str, total: int) -> None:
        self._progress = progress
        self._task = progress.add_task(name, total=total)

    async def run(self, *arguments: object) -> Run:
        result = await run(*arguments)
        self._progress.advance(self._task)
        return result


def arithmetic(settings: air.RadioSettings, message: int, both_ways: bool) -> str:
    """How many messages/s the air allows, with the sum that says so."""
    pdus = air.pdu_octets(_PACKET + air.ATT_L2CAP_OCTETS, settings.data_length)
    back = pdus[0] if both_ways else 0
    exchange = air.exchange_us(pdus[0], back, settings.phy)
    exchanges = air.exchanges_per_event(settings, exchange)
    stream = _PACKET - air.PACKET_OVERHEAD
    most = air.ceiling(settings, _PACKET, message, both_ways)
    return (
        f"{settings.interval_ms:g} ms, {'both ways' if both_ways else 'one way'}: an exchange of PDUs with "
        f"{pdus[0]} and {back} octets takes {exchange} us: {exchanges} in an event; {len(pdus)} for a packet "
        f"of {_PACKET} bytes, {stream} of them records of {air.record_octets(message)} bytes: "
        f"{most:,.0f} messages/s" + (" each way" if both_ways else "")
    )


async def _rates(
    radios: list[air.RadioSettings],
    stack: Stack,
    seconds: int,
    message: int,
    plan: _Plan,
    engines: tuple[str, ...],
) -> list[Result]:
    rows, notes = [], []
    for settings in radios:
        notes += [arithmetic(settings, message, both_ways) for both_ways in (False, True)]
        for engine in engines:
            for way, sender in _SENDERS.items():
                most = air.ceiling(settings, _PACKET, message, both_ways=sender == "both")
                steps = [Step(sender, seconds / 2, rate=most / 2), Step(sender, seconds)]
                result = await plan.run(settings, stack, "with_picolink.py", engine, message, steps)
                rows.append(_rate_row(settings, engine, way, message, most, result))
    parameters = {"message_bytes": message, "seconds": seconds, "boards": str(stack)}
    parameters |= _air(radios[0])
    late = _note(stack) or _LATE
    rate = Result(
        name=_name("rate", stack, radios[0]),
        title=f"Messages of {message} bytes through picolink, as fast as the boards can send",
        parameters=parameters,
        columns={
            "interval": "interval ms",
            "engine": "engine",
            "way": "way",
            "per_second": "messages/s",
            "goodput": "kB/s",
            "share": "% of air",
            "lost": "lost",
            "retransmitted": "sent again",
            "acks_alone": "acks alone",
            "packets": "packets",
            "late": "late events",
        },
        rows=rows,
        notes=["Both at once: messages/s each way, of the slower way.", late, "What the air allows:", *notes],
    )
    busy = Result(
        name=_name("busy", stack, radios[0]),
        title=f"Latency of a message of {message} bytes under load, in ms",
        parameters=parameters,
        columns={
            "interval": "interval ms",
            "engine": "engine",
            "way": "way",
            **{f"half_{key}": f"half load: {key}" if key == "p50" else key for key in _SHARES},
            **{f"full_{key}": f"full: {key}" if key == "p50" else key for key in _SHARES},
            "late": "late events",
        },
        rows=rows,
        notes=[
            "From send() to the receiving program. Half load: half of what the air allows.",
            "At full load messages wait in the transmit ring of 8192 bytes: that is most of their latency.",
            late,
        ],
    )
    return [rate, busy]


def _rate_row(
    settings: air.RadioSettings, engine: str, way: str, message: int, most: float, result: Run
) -> Row:
    half, full = result.steps
    slower = min(full, key=lambda each: each.delivered)
    return {
        "interval": settings.interval_ms,
        "engine": engine,
        "way": way,
        "per_second": slower.delivered,
        "goodput": slower.delivered * message / 1000,
        "share": 100 * slower.delivered / most,
        "ceiling": most,
        "lost": result.lost,
        "retransmitted": result.total("retransmitted"),
        "acks_alone": result.total("acks_alone"),
        "packets": result.total("packets_sent"),
        **_latency("half", half),
        **_latency("full", full),
        "late": result.late_events,
    }


def _latency(name: str, ways: list[Way]) -> Row:
    every = sorted(ms for way in ways for ms in way.latencies_ms)
    return {f"{name}_{key}": percentile(every, share) for key, share in _SHARES.items()}


async def _idle(radios: list[air.RadioSettings], stack: Stack, message: int, plan: _Plan) -> Result:
    steps = [Step(sender, _IDLE_SECONDS, gap_ms=_IDLE_GAP_MS) for sender in ("peripheral", "central")]
    cases = [replace(radio, latency=latency) for radio in radios for latency in _latencies(stack)]
    rows = []
    for case in cases:
        result = await plan.run(case, stack, "with_picolink.py", "native", message, steps)
        for way, (only,) in zip(_SENDERS, result.steps, strict=False):
            every = only.latencies_ms
            told = {key: percentile(every, share) for key, share in _SHARES.items()}
            interval = case.interval_ms
            met = all(told[key] <= most for key, most in idle_ms(interval).items())
            rows.append(
                {
                    "latency": case.latency,
                    "interval": interval,
                    "way": way,
                    "messages": len(every),
                    **told,
                    "met": met if case.latency == 0 else None,
                    **{f"q{q}": percentile(every, q / 100) for q in range(0, 101, 5)},
                }
            )
    return Result(
        name=_name("latency", stack, radios[0]),
        title="Latency of a message on an idle link, in ms",
        parameters={
            "message_bytes": message,
            "gap_ms": _IDLE_GAP_MS,
            "boards": str(stack),
        }
        | _air(radios[0]),
        columns={
            "interval": "interval ms",
            "latency": "peripheral latency",
            "way": "way",
            "messages": "messages",
            **{key: key for key in _SHARES},
            "met": "target met",
        },
        rows=rows,
        notes=[
            "One message at a time, at random moments, from send() to the receiving program.",
            "Target, for peripheral latency 0: p50 at most the interval + 5 ms, p99 at most twice + 10 ms.",
            "Peripheral latency 4 is fixed in MicroPython's BTstack: what comes from the central waits.",
            *([_note(stack)] if _note(stack) else []),
        ],
    )


def _note(stack: Stack) -> str | None:
    """What to know of figures that are not virtual boards'."""
    if stack.firmware:
        return _EMULATED.format(stack.firmware.miss_cycles)
    return _ON_BOARDS if stack.ports else None


def _latencies(stack: Stack) -> tuple[int, ...]:
    """The peripheral latencies to look at."""
    return (STOCK_LATENCY,) if stack.ports else (0, STOCK_LATENCY)


async def _loads(radios: list[air.RadioSettings], stack: Stack, plan: _Plan) -> Result:
    rows = []
    for settings in radios:
        for contestant in contestants(stack):
            steps = [
                Step(contestant.sender, 2 * _LOAD_SECONDS if rate == 1 else _LOAD_SECONDS, rate, _LOAD_LIMIT)
                for rate in _LOADS
            ]
            result = await plan.run(settings, stack, contestant.program, contestant.how, _LOAD_BYTES, steps)
            for rate, ways in zip(_LOADS, result.steps, strict=True):
                rows.append(_load_row(settings, contestant.name, rate, ways))
    notes = [
        "picolink, notify: to the central; write: to the peripheral; tutorial: mean of both ways.",
        "tutorial: one board notifies, the other writes with response=True, as its programs mean to.",
        "A sender whose host stack is full tries again. What is lost was overwritten before it was read.",
    ]
    if stack.has_aioble:
        notes += _ratios(rows)
    else:
        notes.append("aioble alone needs the real aioble: --aioble, best with --micropython (see --help).")
    if stack.firmware:
        notes.append(_note(stack))
    return Result(
        name=_name("load", stack, radios[0]),
        title=f"Delivered against offered load, messages of {_LOAD_BYTES} bytes",
        parameters={"message_bytes": _LOAD_BYTES, "boards": str(stack)} | _air(radios[0]),
        columns={
            "interval": "interval ms",
            "who": "",
            "load": "load",
            "offered": "offered/s",
            "delivered": "delivered/s",
            "lost": "lost %",
        },
        rows=rows,
        notes=notes,
    )


def contestants(stack: Stack) -> tuple[_Contestant, ...]:
    """Those that this stack can run: picolink's stand-in for aioble has only what picolink uses."""
    return _PICOLINK + _AIOBLE if stack.has_aioble else _PICOLINK


def _load_row(settings: air.RadioSettings, name: str, rate: int, ways: list[Way]) -> Row:
    sent, received = sum(way.sent for way in ways), sum(way.received for way in ways)
    return {
        "interval": settings.interval_ms,
        "who": name,
        "load": f"{rate:,}/s" if rate else "full",
        "offered": sum(way.offered for way in ways) / len(ways),
        "delivered": sum(way.delivered for way in ways) / len(ways),
        "lost": 100 * (1 - received / sent),
    }


def _ratios(rows: list[Row]) -> list[str]:
    """picolink against notify / notified: at full load, and against the most that arrives whole."""
    ours, theirs = _PICOLINK[0].name, _AIOBLE[0].name
    told = []
    for interval in dict.fromkeys(row["interval"] for row in rows):
        here = [row for row in rows if row["interval"] == interval]
        most = next(row["delivered"] for row in here if row["who"] == ours and row["load"] == "full")
        notified = [row for row in here if row["who"] == theirs]
        full = next(row["delivered"] for row in notified if row["load"] == "full")
        whole = max((row["offered"] for row in notified if not row["lost"]), default=0)
        if whole and full:
            told.append(
                f"{interval:g} ms: picolink carries {most / whole:.0f} times the load at which notify / "
                f"notified loses nothing ({whole:.0f}/s); at full load it delivers {most / full:.1f} times "
                "as much."
            )
    return told


def _air(radio: air.RadioSettings) -> dict[str, object]:
    return {
        "phy": radio.phy,
        "data_length": radio.data_length,
        "mtu": radio.mtu,
        "pdus_per_event": radio.pdus_per_event,
        "loss": radio.loss,
        "peripheral_latency": radio.latency,
        "seed": radio.seed,
    }


_PARTS = ("rate", "latency", "load")


@click.command()
@click.argument("parts", nargs=-1, type=click.Choice(_PARTS))
@intervals_option(7.5, 15.0, 30.0)
@click.option("--data-length", type=int, default=27, show_default=True, help="27 to 251, link-layer payload.")
@click.option("--phy", type=click.Choice(("1M", "2M")), default="1M", show_default=True)
@pdus_per_event_option
@click.option("--loss", type=float, default=0.0, show_default=True, help="Share of PDUs lost in the air.")
@click.option("--seconds", type=click.IntRange(1, 60), default=2, show_default=True, help="At full speed.")
@click.option(
    "--message",
    type=click.IntRange(LEAST_BYTES, 4000),
    default=18,
    show_default=True,
    metavar="BYTES",
    help="Size of a message (rate and latency).",
)
@click.option(
    "--port",
    "ports",
    multiple=True,
    metavar="PORT",
    help="Serial port of a real board with picolink; give two, instead of virtual boards.",
)
@click.option("--key", "keyed", is_flag=True, help="Rates of the native engine with a key, too.")
@stack_or_firmware_options
@report_options
def link(
    parts: tuple[str, ...],
    intervals: tuple[float, ...],
    data_length: int,
    phy: str,
    pdus_per_event: int | None,
    loss: float,
    seconds: int,
    message: int,
    ports: tuple[str, ...],
    keyed: bool,
    micropython: Path | None,
    aioble: Path | None,
    firmware: "Firmware | None",
    plot: bool,
    out: Path | None,
) -> None:
    """What two boards carry, how late, and what aioble alone loses.

    \b
    picolink bench link                          all parts: about six minutes
    picolink bench link rate --interval 15       messages/s and latency at full speed
    picolink bench link latency                  one message at a time
    picolink bench link load --aioble FOLDER     delivered against offered load, aioble alone beside it
    picolink bench link load --micropython M --aioble FOLDER
                                                 the same on a real host stack
    picolink bench link rate --interval 15 --firmware FILE.uf2
                                                 two emulated Pico Ws with this firmware: slow
    picolink bench link --port /dev/ttyACM0 --port /dev/ttyACM1
                                                 two real boards (never run on hardware yet)

    Virtual boards are MicroPython processes; the radio is a model of a Pico W's that runs in real time. So
    this PC has to keep up: look at "late events", and repeat when something else was running. Real boards
    settle the interval themselves, at most the 15 ms that picolink asks for: --interval says which it is.
    """
    console = new_console()
    if ports:
        if len(ports) != 2 or ports[0] == ports[1]:
            raise click.UsageError("--port is needed twice: a link has two boards")
        if micropython or aioble or firmware:
            raise click.UsageError(
                "--port is for real boards: --micropython, --aioble and --firmware are for others"
            )
        if len(intervals) > 1:
            if click.get_current_context().get_parameter_source("intervals") != ParameterSource.DEFAULT:
                raise click.UsageError("real boards have one connection interval: give --interval once")
            intervals = (_ASKED_INTERVAL_MS,)
    else:
        extras.require("virtual", "virtual boards")
    air_of_all = {"phy": phy, "data_length": data_length, "pdus_per_event": pdus_per_event, "loss": loss}
    radios = [radio_settings(interval_ms=ms, **air_of_all) for ms in intervals]
    stack = Stack(micropython, aioble, ports, firmware)
    parts = parts or _PARTS
    engines = ("native", "python", *(("native+key",) if keyed else ()))
    draw = {}
    if plot:
        from . import plots

        pictures = {"rate": plots.draw_rate, "latency": plots.draw_latency, "load": plots.draw_load}
        draw = {_name(part, stack, radios[0]): drawing for part, drawing in pictures.items()}
    try:
        results = play(_parts(console, parts, radios, stack, seconds, message, engines), firmware)
    except BoardError as error:
        raise click.ClickException(str(error)) from None
    publish(console, results, out, draw)


async def _parts(
    console: Console,
    parts: tuple[str, ...],
    radios: list[air.RadioSettings],
    stack: Stack,
    seconds: int,
    message: int,
    engines: tuple[str, ...],
) -> list[Result]:
    runs = {
        "rate": len(radios) * len(engines) * len(_SENDERS),
        "latency": len(radios) * len(_latencies(stack)),
        "load": len(radios) * len(contestants(stack)),
    }
    results = []
    columns = (
        TextColumn("{task.description:8}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn() if stack.firmware else TextColumn(""),
    )
    seconds_of = {
        "rate": 1.5 * seconds,
        "latency": 2 * _IDLE_SECONDS,
        "load": (len(_LOADS) + 1) * _LOAD_SECONDS,
    }
    boards_s = sum(runs[part] * (seconds_of[part] + _SETUP_S) for part in parts)
    with (
        emulated_time.told(console, stack.firmware, boards_s),
        Progress(*columns, console=console) as progress,
    ):
        for part in parts:
            plan = _Plan(progress, part, runs[part])
            if part == "rate":
                results += await _rates(radios, stack, seconds, message, plan, engines)
            elif part == "latency":
                results.append(await _idle(radios, stack, message, plan))
            else:
                results.append(await _loads(radios, stack, plan))
    return results
