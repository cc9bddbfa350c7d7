"""`picolink bench newest`: how old the newest value is at the reader, while a channel runs at full rate."""

import asyncio
from pathlib import Path

import click

from .. import c_engine, extras
from ..boards import Board, BoardError, Room
from ..percentile import percentile
from ..radio.air import RadioSettings
from ..simulation.board import NO_TRAFFIC, Traffic
from ..simulation.engines import engines
from ..simulation.simulation import Setup, Simulation
from ..simulation.values import ValuesBoard
from . import cycles
from .report import Result, Row, new_console, out_option, publish
from .traffic import ROLES

_WAYS = ((15.0, 0.0, 0), (15.0, 0.2, 0), (100.0, 0.0, 0), (15.0, 0.0, 3), (15.0, 0.2, 3))
"""Interval (ms), share of PDUs lost, s out of range in the middle."""
_SETTLE_S = 5
_SECONDS = 30
_AGAIN_S = 20  # to connect again after an outage, and to settle
_BYTES = 18
_EVERY_MS = 1
_SENDER, _READER = 1, 0
_PROGRAM = Path(__file__).parent / "programs" / "newest.py"
_LIMIT_S = 120

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


_BOARDS_COLUMNS = {
    "load": "beside it",
    **{
        key: _COLUMNS[key]
        for key in ("interval", "loss", "outage", "rtt", "age_p50", "age_p95", "trips", "after", "late_p50")
    },
    "late_p95": _COLUMNS["late_p95"],
    "last": _COLUMNS["last"],
}

_BOARDS_NOTES = [
    "Virtual boards in real time: values of 16 bytes set every 5 ms, native engine.",
    "age: of the value that the reader sees, looked at every 5 ms, without the outage.",
    "ordinary: messages of 18 bytes from send() until they were read: 20 a second beside a file, else all.",
    *_NOTES[3:],
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


async def on_boards(beside: str, interval: float, loss: float, outage: int, seconds: int, seed: int) -> Row:
    """One row: values from the peripheral, beside a "file" or "messages" at full rate."""
    async with Room(RadioSettings(interval_ms=interval, loss=loss, seed=seed)) as room:
        sender, reader = (room.board(role) for role in ROLES)
        for board in (sender, reader):
            await board.start(_PROGRAM, board.name, beside, str(seconds), str(outage))

        async def figures(board: Board, what: str) -> list[int]:
            return [int(word) for word in (await board.line(f"^{what} ", _LIMIT_S + seconds)).split()[1:]]

        (trip,) = await figures(sender, "rtt")
        ages = await figures(reader, "ages")
        late = await figures(reader, "late")
        after = None
        if outage:
            room.radio.in_range = False
            await asyncio.sleep(outage)
            room.radio.in_range = True
            (after,) = await figures(reader, "young")
        (last,) = await figures(reader, "last")
    return {
        "load": "a file" if beside == "file" else "messages at full rate",
        "interval": interval,
        "loss": round(100 * loss, 6),
        "outage": outage,
        "rtt": trip,
        "age_p50": ages[0],
        "age_p95": ages[1],
        "trips": ages[1] / trip if trip else None,
        "after": after,
        "late_p50": late[0],
        "late_p95": late[1],
        "last": bool(last),
    }


def _publish_boards(seconds: int, seed: int, out: Path | None) -> None:
    extras.require("virtual", "virtual boards")
    console = new_console()
    try:
        with console.status("measuring"):
            rows = [
                asyncio.run(on_boards(beside, *way, seconds, seed))
                for beside in ("file", "messages")
                for way in _WAYS
            ]
    except BoardError as error:
        raise click.ClickException(str(error)) from None
    parameters = {"seconds": seconds, "seed": seed, "value_bytes": 16}
    title = "Age of the newest value on virtual boards"
    publish(
        console, [Result("newest-boards", title, parameters, _BOARDS_COLUMNS, rows, _BOARDS_NOTES)], out, {}
    )


@click.command()
@click.option(
    "--seconds", type=click.IntRange(5, 3600), default=_SECONDS, show_default=True, help="Of each row."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of all that is random.")
@click.option("--boards", is_flag=True, help="Virtual boards in real time, beside a file and messages.")
@out_option
def newest(seconds: int, seed: int, boards: bool, out: Path | None) -> None:
    """How old the newest value is at its reader, beside a channel at full rate.

    \b
    picolink bench newest              a value set 200 times a second, beside a
                                       channel at full rate, and alone
    picolink bench newest --boards     virtual boards: beside a file, and beside
                                       a channel at full rate

    Without --boards simulated in virtual time: the same command always gives the same figures.  The engines
    are the real ones, and so are the decisions; radio and Bluetooth stack are models of a Pico W's.
    """
    if boards:
        _publish_boards(seconds, seed, out)
        return
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
