"""`picolink bench cpu --firmware`: all that keeps the CPUs of two Pico Ws busy, and the heap that is left."""

import asyncio
import dataclasses
import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from .. import emulated_time
from ..boards import Room, play
from ..emulator.symbols import Symbols
from ..radio.air import RadioSettings, ceiling
from .cpu import CASE_COLUMNS, case_names, kind
from .cycles import RP2040_HZ
from .report import Result, Row
from .traffic import ROLES

if TYPE_CHECKING:
    from ..emulated_boards import EmulatedBoard
    from ..emulator.firmware import Firmware

_PROGRAM = Path(__file__).parent / "programs" / "whole_cpu.py"
_PEERS = Path(__file__).parent / "programs" / "peers.py"
_MS = 2000
_BOOT_S = 30
"""Far more than connecting takes, of the boards' time."""

_SAMPLE_CYCLES = 2003
"""A prime: what repeats is not always seen at the same place."""

_FUNCTIONS = 25
"""Rows of a profile."""

_CASE_S = 6
"""Of the boards' time: they start, connect, warm up and are measured."""

THROUGH = {
    "native": "picolink, native engine",
    "python": "picolink, Python engine",
    "aioble": "aioble alone",
    "frame": "a frame by hand on aioble",
}
"""What messages can go through, for peers.py and for people."""

_PERIODS_MS = (0, 20, 4)
"""From one message to the next, 0: none.  With 20 no two of them are in one connection event of 15 ms."""

_LOST = 0.02
"""Of the messages sent: what may be on its way when the time begins and ends."""


def measure(
    console: Console,
    firmware: "Firmware",
    settings: RadioSettings,
    cases: list[tuple[str, str | None, str | None]],
    keyed: bool = False,
) -> list[Result]:
    """Tables of CPU, and of heap and start.

    cases: engine, sender, reader, as cpu.measure takes them.  keyed: the link has a key.
    Raises BoardError.
    """
    return play(_measure(console, firmware, settings, cases, keyed), firmware)


async def _measure(
    console: Console, firmware: "Firmware", settings: RadioSettings, cases: list[tuple], keyed: bool
) -> list[Result]:
    most = ceiling(settings, both_ways=True)
    columns = (TextColumn("measuring"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    rows, links = [], []
    with (
        emulated_time.told(console, firmware, _CASE_S * len(cases)),
        Progress(*columns, console=console) as progress,
    ):
        for engine, sender, reader in progress.track(cases):
            found = await _run(firmware, settings, _PROGRAM, *_arguments(engine, sender, reader, keyed))
            rate = min(board["received"] for board in found.values())
            both = {role: board["cpu"] for role, board in found.items()}
            central = found["central"]
            rows.append(
                case_names(engine, sender, reader)
                | {
                    "rate": rate,
                    "share": 100 * rate / most,
                    **both,
                    "misses": central["misses"],
                    "cycles": central["cpu"] / 100 * RP2040_HZ / rate if rate else None,
                }
            )
            if engine not in [row["engine"] for row in links]:
                links.append({"engine": engine, **central["link"]})
    suffix, of = _kind(firmware, settings, keyed)
    parameters = _parameters(firmware, settings) | {"ceiling": most}
    notes = _notes(firmware)
    interval = f"{settings.interval_ms:g} ms"
    return [
        Result(
            name=f"cpu-firmware{suffix}",
            title=f"CPUs of emulated Pico Ws at full rate both ways, {interval} interval{of}",
            parameters=parameters,
            columns={
                **CASE_COLUMNS,
                **{role: f"% of CPU, {role}" for role in ROLES},
                "misses": "of it waiting for flash",
                "cycles": "cycles for a message sent and one read",
            },
            rows=rows,
            notes=["Waiting for flash, and cycles: of the central.", *notes],
        ),
        Result(
            name=f"cpu-firmware-link{suffix}",
            title=f"A link on an emulated Pico W: heap left, and time to connect{of}",
            parameters=parameters,
            columns={
                "engine": "engine",
                "free": "heap free before import, bytes",
                "free_open": "with the link open",
                "ms": "connect() to connected, ms",
                "up_ms": "power on to connected, ms",
            },
            rows=links,
            notes=["Of the central; both boards get their power at the same moment.", *notes],
        ),
    ]


def measure_peers(console: Console, firmware: "Firmware", settings: RadioSettings) -> Result:
    """What a message costs through picolink, aioble alone and a frame by hand.  Raises BoardError."""
    return play(_measure_peers(console, firmware, settings), firmware)


async def _measure_peers(console: Console, firmware: "Firmware", settings: RadioSettings) -> Result:
    cases = [(through, period) for through in THROUGH for period in _PERIODS_MS]
    columns = (TextColumn("measuring"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    rows = []
    with (
        emulated_time.told(console, firmware, _CASE_S * len(cases)),
        Progress(*columns, console=console) as progress,
    ):
        for through, period_ms in progress.track(cases):
            found = await _run(firmware, settings, _PEERS, through, str(period_ms), str(_MS))
            if not period_ms:
                idle = {role: board["cpu"] for role, board in found.items()}
            rows.append(_peer_row(through, found, idle))
    suffix, of = _kind(firmware, settings, keyed=False)
    return Result(
        name=f"cpu-firmware-peers{suffix}",
        title=f"Messages at an even rate on emulated Pico Ws, {settings.interval_ms:g} ms interval{of}",
        parameters=_parameters(firmware, settings),
        columns={
            "through": "through",
            "sent": "messages/s sent each way",
            "received": "read",
            **{role: f"% of CPU, {role}" for role in ROLES},
            **{f"{role}_cycles": f"cycles for one sent and one read, {role}" for role in ROLES},
        },
        rows=rows,
        notes=[
            "Read: of the slower way. Cycles: beyond the idle connection's, where at most 2 % are missing.",
            "aioble alone: notify() to notified(), write() to written() and read(); it keeps one value.",
            "A frame by hand: struct and binascii.crc32, a number and a CRC-32; nothing is acknowledged.",
            *_notes(firmware),
        ],
    )


def _peer_row(through: str, found: dict[str, Row], idle: dict[str, float]) -> Row:
    sent = min(board["sent"] for board in found.values())
    received = min(board["received"] for board in found.values())
    all_came = sent and received >= sent * (1 - _LOST)
    return {
        "through": THROUGH[through],
        "sent": sent,
        "received": received,
        **{role: board["cpu"] for role, board in found.items()},
        **{
            f"{role}_cycles": (board["cpu"] - idle[role]) / 100 * RP2040_HZ / received if all_came else None
            for role, board in found.items()
        },
    }


def _kind(firmware: "Firmware", settings: RadioSettings, keyed: bool) -> tuple[str, str]:
    name, title = kind(settings, keyed)
    return name + ("" if firmware.miss_cycles else "-without-misses"), title


def _parameters(firmware: "Firmware", settings: RadioSettings) -> dict[str, object]:
    return {
        "firmware": firmware.path.name,
        "miss_cycles": firmware.miss_cycles,
        "interval_ms": settings.interval_ms,
        "data_length": settings.data_length,
        "message_bytes": 18,
    }


def _notes(firmware: "Firmware") -> list[str]:
    return [
        "All that runs on a Pico W: program, picolink, asyncio, aioble, Bluetooth stack, driver, interrupts.",
        f"Emulated host, modelled controller; {firmware.miss_cycles} cycles for a miss of the flash cache.",
        "--miss-cycles 0: as if there were no misses, a lower bound. Nothing here ran on hardware.",
    ]


def profile(
    console: Console, firmware: "Firmware", settings: RadioSettings, keyed: bool = False
) -> list[Result]:
    """A table of where the CPU of the central is at full speed.

    firmware: has its ELF file.  keyed: the link has a key.
    """
    sampled = dataclasses.replace(firmware, sample_cycles=_SAMPLE_CYCLES)

    async def run() -> dict[str, Row]:
        with emulated_time.told(console, firmware, _CASE_S):
            return await _run(sampled, settings, _PROGRAM, *_arguments("native", "send", "async for", keyed))

    central = play(run(), sampled)["central"]
    symbols = Symbols(firmware.elf)
    functions: Counter[str] = Counter()
    for address, count in central["samples"].items():
        functions[symbols.function(address)] += count
    total = functions.total()
    suffix, of = _kind(firmware, settings, keyed)
    return [
        Result(
            name=f"cpu-firmware-profile{suffix}",
            title=f"Where the CPU of an emulated Pico W is at full rate both ways, by function{of}",
            parameters=_parameters(firmware, settings) | {"samples": total},
            columns={"function": "function", "share": "% of the busy time"},
            rows=[
                {"function": name, "share": 100 * count / total}
                for name, count in functions.most_common(_FUNCTIONS)
            ],
            notes=[
                f"A look every {_SAMPLE_CYCLES:,} cycles, {total:,} in all; the most frequent functions.",
                "The central; native engine, send and async for.",
                f"{central['received']:,.0f} messages/s received, {central['cpu']:.0f} % of the CPU.",
                "Waiting for flash counts where it happens. Functions of the boot ROM count as the last one.",
            ],
        )
    ]


def _arguments(engine: str, sender: str | None, reader: str | None, keyed: bool) -> tuple[str, ...]:
    """Of whole_cpu.py."""
    return engine, sender or "-", reader or "-", str(_MS), *("key",) * keyed


async def _run(
    firmware: "Firmware", settings: RadioSettings, program: Path, *arguments: str
) -> dict[str, Row]:
    """What each board has shown."""
    async with Room(settings, firmware=firmware) as room:
        boards = [room.board(role) for role in ROLES]
        for board in boards:
            await board.start(program, board.name, *arguments)
        shown = await asyncio.gather(*(_watch(board, firmware.miss_cycles) for board in boards))
        return dict(zip(ROLES, shown, strict=True))


async def _watch(board: "EmulatedBoard", miss_cycles: int) -> Row:
    opened = await _told(board, "open")
    await _told(board, "start")
    busy_s, misses, samples = board.busy_s, board.process.misses, board.process.samples.copy()
    await asyncio.sleep(_MS / 1000)
    seconds = _MS / 1000
    cpu = 100 * (board.busy_s - busy_s) / seconds
    waited = 100 * (board.process.misses - misses) * miss_cycles / RP2040_HZ / seconds
    samples = board.process.samples - samples
    end = await _told(board, "end")
    rates = {what: count / end["us"] * 1e6 for what, count in end.items()}
    return {"link": opened, "cpu": cpu, "misses": waited, "samples": samples} | rates


async def _told(board: "EmulatedBoard", kind: str) -> dict:
    return json.loads((await board.line(f"^{kind} ", _BOOT_S)).removeprefix(f"{kind} "))
