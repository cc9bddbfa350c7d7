"""`picolink bench cpu`: how busy picolink keeps a board's CPU at the radio's full rate."""

import json
from pathlib import Path

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from .. import products
from ..emulator import CYCLE_COUNTER, Emulator, EmulatorError
from ..radio.air import RadioSettings, ceiling, value_rate_in_events
from ..run import pdus_per_event_option, radio_settings
from .cycles import RP2040_HZ
from .report import Result, Row, new_console, out_option, publish

_PROGRAM = Path(__file__).parent / "programs" / "cpu_load.py"
_PACKET = 236  # bytes: a full one
_MS = 2000

WAYS = (("send", "async for"), ("send", "recv"), ("send_nowait", "drain"))
"""How a program sends and reads."""


def measure(
    pico: Emulator,
    engine: str,
    sender: str | None,
    reader: str | None,
    settings: RadioSettings,
    keyed: bool = False,
) -> Row:
    """What a program costs that sends and reads like this (see WAYS; None: it does not), both ways at once.

    engine: "native" or "python".   pico: with picolink's firmware.   keyed: the link has a key.
    Returns rate (messages/s, the lesser way), cpu (% of the CPU), cycles (per message sent and one received).
    """
    packet_us = round(1e6 / value_rate_in_events(settings, _PACKET, both_ways=True))
    arguments = (CYCLE_COUNTER, engine, sender, reader, packet_us, _MS, keyed)
    found = json.loads(pico.run(f"{_PROGRAM.read_text()}\nmeasure(*{arguments!r})"))
    seconds = found["us"] / 1e6
    messages = min(found["sent"], found["received"])
    return {
        "rate": messages / seconds,
        "cpu": 100 * found["cycles"] / seconds / RP2040_HZ,
        "cycles": found["cycles"] / messages if messages else None,
    }


@click.command()
@click.option("--interval", "interval_ms", type=float, default=15.0, show_default=True, help="In ms.")
@pdus_per_event_option
@click.option("--key", "keyed", is_flag=True, help="Of a link with a key.")
@out_option
def cpu(interval_ms: float, pdus_per_event: int | None, keyed: bool, out: Path | None) -> None:
    """How busy picolink keeps a Pico's CPU at the radio's full rate.

    \b
    picolink bench cpu    both engines, and each way to send and to read
    picolink bench cpu --interval 30
    picolink bench cpu --key             the same with encryption

    The emulated Pico runs the whole of picolink, link and asyncio included, with messages both ways at once.
    A task takes the place of radio, aioble and Bluetooth stack; its work is not counted, nor is theirs.
    What asyncio needs to wake it is.
    """
    firmware = products.firmware("RPI_PICO")
    if not firmware.exists():
        raise click.ClickException(
            f"the emulated Pico needs picolink's firmware: {products.how_to_get('firmware BOARD=RPI_PICO')}"
        )
    console = new_console()
    settings = radio_settings(interval_ms=interval_ms, pdus_per_event=pdus_per_event)
    most = ceiling(settings, both_ways=True)
    cases = [("native", None, None)] + [(engine, *way) for engine in ("native", "python") for way in WAYS]
    columns = (TextColumn("measuring"), BarColumn(), MofNCompleteColumn())
    rows = []
    try:
        with Progress(*columns, console=console) as progress, Emulator(firmware) as pico:
            for engine, sender, reader in progress.track(cases):
                found = measure(pico, engine, sender, reader, settings, keyed)
                names = {"engine": engine, "sender": sender or "nothing", "reader": reader or "nothing"}
                rows.append(names | found | {"share": 100 * found["rate"] / most})
    except EmulatorError as error:
        raise click.ClickException(str(error)) from None
    result = Result(
        name="cpu-emulated-key" if keyed else "cpu-emulated",
        title=f"picolink on an emulated Pico: CPU at full rate both ways, {interval_ms:g} ms interval"
        + (", with a key" if keyed else ""),
        parameters={
            "interval_ms": interval_ms,
            "pdus_per_event": pdus_per_event,
            "message_bytes": 18,
            "ceiling": most,
        },
        columns={
            "engine": "engine",
            "sender": "sends with",
            "reader": "reads with",
            "rate": "messages/s each way",
            "share": "% of air",
            "cpu": "% of CPU",
            "cycles": "cycles for a message sent and one read",
        },
        rows=rows,
        notes=[
            "Of the central: link, asyncio, engine and garbage collection.",
            "What stands in for the host stack is full after 9 packets, as BTstack and its controller are.",
            "The real firmware on an emulated RP2040, without misses of the flash cache: a lower bound.",
            "Not in it: aioble, the Bluetooth stack, the radio's driver, and what your program does.",
        ],
    )
    publish(console, [result], out, {})
