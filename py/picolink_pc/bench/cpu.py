"""`picolink bench cpu`: how busy picolink keeps a board's CPU at the radio's full rate."""

import contextlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from .. import products
from ..boards import BoardError
from ..emulator import CYCLE_COUNTER, Emulator, EmulatorError, write_files
from ..emulator.firmware import installed_files
from ..radio.air import RadioSettings, ceiling, value_rate_in_events
from ..run import firmware_options, pdus_per_event_option, radio_settings
from ..uf2 import make_rp2040
from .cycles import RP2040_HZ
from .report import Result, Row, new_console, publish, report_options

if TYPE_CHECKING:
    from ..emulator.firmware import Firmware

_PROGRAM = Path(__file__).parent / "programs" / "cpu_load.py"
_BOARD = "RPI_PICO"
_FLASH_BASE = 0x10000000
_ON_FILES = "native .mpy"
_PACKET = 236  # bytes: a full one
_MS = 2000

WAYS = (("send", "async for"), ("send", "recv"), ("send_nowait", "drain"))
"""How a program sends and reads."""

CASE_COLUMNS = {
    "engine": "engine",
    "sender": "sends with",
    "reader": "reads with",
    "rate": "messages/s each way",
    "share": "% of air",
}
"""The first ones of a table of CPU."""


def case_names(engine: str, sender: str | None, reader: str | None) -> Row:
    """Of a row: what was measured, see measure()."""
    return {"engine": engine, "sender": sender or "nothing", "reader": reader or "nothing"}


def kind(settings: RadioSettings, keyed: bool) -> tuple[str, str]:
    """What sets a result apart from the usual one: at the ends of its name and of its title."""
    octets = settings.data_length
    long_pdus = octets != RadioSettings.data_length
    name = f"-{octets}-octets" * long_pdus + "-key" * keyed
    return name, f", {octets}-octet PDUs" * long_pdus + ", with a key" * keyed


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


@contextlib.contextmanager
def with_files() -> Iterator[Emulator]:
    """A Pico with MicroPython alone, where picolink is what `picolink install` puts there."""
    image = products.firmware_without(_BOARD)
    if not image.exists():
        raise EmulatorError(
            f"MicroPython without picolink is missing: {products.how_to_get(f'firmware BOARD={_BOARD}')}"
        )
    with tempfile.TemporaryDirectory() as folder:
        firmware, flash = Path(folder, "firmware.uf2"), Path(folder, "flash.bin")
        firmware.write_bytes(make_rp2040([(_FLASH_BASE, image.read_bytes())]))
        write_files(flash, installed_files())
        with Emulator(firmware, flash=flash) as pico:
            yield pico


def _publish(console: Console, results: list[Result], out: Path | None, plot: bool) -> None:
    """With pictures of profiles."""
    draw = {}
    if plot:
        from .plots import draw_profile

        draw = {result.name: draw_profile for result in results}
    publish(console, results, out, draw)


@click.command()
@click.option("--interval", "interval_ms", type=float, default=15.0, show_default=True, help="In ms.")
@click.option("--data-length", type=int, default=27, show_default=True, help="27 to 251, link-layer payload.")
@pdus_per_event_option
@click.option("--key", "keyed", is_flag=True, help="Of a link with a key.")
@firmware_options
@click.option(
    "--profile",
    is_flag=True,
    help="Where the CPU is, by function, with the native engine. With --firmware it needs FILE.elf.",
)
@click.option(
    "--peers",
    is_flag=True,
    help="With --firmware: a message through picolink, through aioble alone and in a frame by hand.",
)
@report_options
def cpu(
    interval_ms: float,
    data_length: int,
    pdus_per_event: int | None,
    keyed: bool,
    firmware: "Firmware | None",
    profile: bool,
    peers: bool,
    plot: bool,
    out: Path | None,
) -> None:
    """How busy picolink keeps a Pico's CPU at the radio's full rate.

    \b
    picolink bench cpu    both engines, and each way to send and to read
    picolink bench cpu --interval 30
    picolink bench cpu --key             the same with encryption
    picolink bench cpu --profile --plot  where the CPU is, by function, with pictures
    picolink bench cpu --firmware FILE.uf2
                                         all of the CPU, on two emulated Pico Ws with this firmware
    picolink bench cpu --peers --firmware FILE.uf2
                                         beside aioble alone, and beside a frame by hand

    Without --firmware, an emulated Pico runs the whole of picolink, link and asyncio included, with messages
    both ways at once. A timer's handler takes the place of radio, aioble and Bluetooth stack; its work is not
    counted, nor is theirs. With --firmware all of that is real and counted, and so are misses of the flash
    cache.
    """
    settings = radio_settings(interval_ms=interval_ms, data_length=data_length, pdus_per_event=pdus_per_event)
    if peers and (profile or keyed or not firmware):
        raise click.UsageError("--peers goes with --firmware, and without --profile and --key")
    engines = ("native", "python") if firmware else ("native", _ON_FILES, "python")
    cases = [("native", None, None)] + [(engine, *way) for engine in engines for way in WAYS]
    if firmware:
        from . import cpu_firmware

        console = new_console()
        if profile and not firmware.elf:
            raise click.UsageError("--profile needs the ELF file of the firmware: a UF2 file has no names")
        try:
            if peers:
                results = [cpu_firmware.measure_peers(console, firmware, settings)]
            elif profile:
                results = cpu_firmware.profile(console, firmware, settings, keyed)
            else:
                results = cpu_firmware.measure(console, firmware, settings, cases, keyed)
        except BoardError as error:
            raise click.ClickException(str(error)) from None
        _publish(console, results, out, plot and profile)
        return
    plain_pico = products.firmware(_BOARD)
    if not plain_pico.exists():
        raise click.ClickException(
            f"the emulated Pico needs picolink's firmware: {products.how_to_get('firmware BOARD=RPI_PICO')}"
        )
    console = new_console()
    if profile:
        from . import cpu_profile

        if not cpu_profile.elf():
            raise click.UsageError(
                "--profile needs a firmware that was built here: run make firmware BOARD=RPI_PICO"
            )
        try:
            _publish(console, cpu_profile.profile(settings, keyed), out, plot)
        except EmulatorError as error:
            raise click.ClickException(str(error)) from None
        return
    most = ceiling(settings, both_ways=True)
    columns = (TextColumn("measuring"), BarColumn(), MofNCompleteColumn())
    rows = []
    try:
        with (
            Progress(*columns, console=console) as progress,
            Emulator(plain_pico) as pico,
            with_files() as stock_pico,
        ):
            for engine, sender, reader in progress.track(cases):
                board, module = (stock_pico, "native") if engine == _ON_FILES else (pico, engine)
                found = measure(board, module, sender, reader, settings, keyed)
                rows.append(
                    case_names(engine, sender, reader) | found | {"share": 100 * found["rate"] / most}
                )
    except EmulatorError as error:
        raise click.ClickException(str(error)) from None
    suffix, of = kind(settings, keyed)
    result = Result(
        name=f"cpu-emulated{suffix}",
        title=f"picolink on an emulated Pico: CPU at full rate both ways, {interval_ms:g} ms interval{of}",
        parameters={
            "interval_ms": interval_ms,
            "data_length": data_length,
            "pdus_per_event": pdus_per_event,
            "message_bytes": 18,
            "ceiling": most,
        },
        columns={
            **CASE_COLUMNS,
            "cpu": "% of CPU",
            "cycles": "cycles for a message sent and one read",
        },
        rows=rows,
        notes=[
            "Of the central: link, asyncio, engine and garbage collection.",
            f"{_ON_FILES}: on MicroPython's own firmware, with the files of `picolink install`.",
            "What stands in for the host stack is full after 9 packets, as BTstack and its controller are.",
            "The real firmware on an emulated RP2040, without misses of the flash cache: a lower bound.",
            "Not in it: aioble, the Bluetooth stack, the radio's driver, and what your program does.",
        ],
    )
    publish(console, [result], out, {})
