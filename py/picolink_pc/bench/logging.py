"""`picolink bench logging`: a board that logs to its file system while it is linked."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .. import emulated_time
from ..boards import BoardError, play
from ..percentile import percentile
from ..radio.air import RadioSettings
from ..run import firmware_options
from .report import Result, Row, new_console, out_option, publish
from .traffic import Stack, Step, run

if TYPE_CHECKING:
    from ..emulator.firmware import Firmware

_SECONDS = 3
_RATE = 20
"""Messages/s each way when the link is not full."""

_EVERY_MS = (0, 1000, 100)
"""Between two lines that go to a file; 0: none do."""


@click.command("logging")
@firmware_options
@out_option
def logging(firmware: "Firmware | None", out: Path | None) -> None:
    """What becomes of a link while a board logs to its file system.

    \b
    picolink bench logging --firmware FILE.uf2

    Two emulated Pico Ws. The peripheral opens a file, adds a line and closes it, again and again: MicroPython
    erases and programs flash then, with interrupts off.
    """
    if not firmware:
        raise click.UsageError("--firmware is needed: virtual boards have no flash")
    console = new_console()
    settings = RadioSettings()
    rows: list[Row] = []

    async def measure() -> None:
        with emulated_time.told(console, firmware, len(_EVERY_MS) * (2 * _SECONDS + 4)):
            for every_ms in _EVERY_MS:
                how = f"native+log{every_ms}" if every_ms else "native"
                steps = [Step("both", _SECONDS, rate=_RATE), Step("both", _SECONDS)]
                found = await run(settings, Stack(firmware=firmware), "with_picolink.py", how, 18, steps)
                idle, full = found.steps
                late = sorted(ms for way in idle for ms in way.latencies_ms)
                rows.append(
                    {
                        "every": every_ms or None,
                        "p50": percentile(late, 0.5),
                        "p99": percentile(late, 0.99),
                        "most": late[-1],
                        "rate": min(way.delivered for way in full),
                        "lost": found.lost,
                        "drops": found.total("connections") - len(found.stats),
                    }
                )

    try:
        play(measure(), firmware)
    except BoardError as error:
        raise click.ClickException(str(error)) from None
    result = Result(
        name="logging-firmware",
        title="A peripheral that logs to its file system while it is linked",
        parameters={"interval_ms": settings.interval_ms, "seconds": _SECONDS, "messages_s": _RATE},
        columns={
            "every": "a line each ms",
            "p50": f"latency at {_RATE} messages/s: p50, ms",
            "p99": "p99",
            "most": "most",
            "rate": "messages/s, full",
            "lost": "lost",
            "drops": "drops",
        },
        rows=rows,
        notes=[
            "Emulated host, modelled controller.",
            "45 ms to erase a sector, 0.4 ms to program a page (typical, W25Q16JV's data sheet).",
            "Interrupts are off meanwhile.",
            "A line of 32 bytes; the file is closed after each, as it has to be for the line to last.",
        ],
    )
    publish(console, [result], out, {})
