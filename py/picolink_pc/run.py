"""`picolink run`: programs on virtual boards, one each."""

import contextlib
import dataclasses
import functools
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.text import Text

from . import board_parts
from .boards import ENGINES, INTERPRETERS, BoardError, Room, play
from .radio.air import RadioSettings
from .run_session import Session, help_lines, somebody_types

if TYPE_CHECKING:
    from .emulator.firmware import Firmware

_COLOURS = ("cyan", "magenta", "green", "yellow")
_DEFAULTS = RadioSettings()


def _flag(field: str) -> str:
    """The option for a field of RadioSettings."""
    return "--" + field.removesuffix("_ms").replace("_", "-")


def _option(field: str, metavar: str, text: str, **more: object) -> Callable:
    default = getattr(_DEFAULTS, field)
    return click.option(
        _flag(field), field, default=default, show_default=True, metavar=metavar, help=text, **more
    )


pdus_per_event_option = click.option(
    _flag("pdus_per_event"),
    type=int,
    metavar="PAIRS",
    help="PDUs each way in a connection event, at most: many controllers, phones and PCs allow 1 to 6. "
    "[default: as many as fit]",
)


def intervals_option(*default: float) -> Callable:
    """Connection intervals (ms) that a benchmark goes through."""
    return click.option(
        "--interval",
        "intervals",
        type=float,
        multiple=True,
        metavar="MS",
        default=default,
        show_default=True,
        help="Connection interval; can be given again.",
    )


_RADIO_OPTIONS = (
    _option("interval_ms", "MS", "Connection interval: 7.5 to 4000 ms in steps of 1.25."),
    _option("data_length", "OCTETS", "Link-layer payload: 27, up to 251 with data length extension."),
    _option("phy", "1M|2M", "Megabits per second in the air.", type=click.Choice(("1M", "2M"))),
    _option("mtu", "OCTETS", "Largest ATT MTU that hosts agree on: 23 to 517."),
    _option("latency", "EVENTS", "Connection events that an idle peripheral sleeps through."),
    pdus_per_event_option,
    _option("loss", "SHARE", "Share of PDUs lost in the air (and sent again): 0 to below 1."),
    _option("seed", "NUMBER", "Seed for all that is random in the radio."),
)


def radio_settings(**fields: object) -> RadioSettings:
    """The radio of a command's options.  Raises click.UsageError that names the wrong option."""
    try:
        return RadioSettings(**fields)
    except ValueError as error:
        field, problem = str(error).split(" ", 1)
        raise click.UsageError(f"{_flag(field)} {problem}") from None


def radio_options(command: Callable) -> Callable:
    """Adds the options that describe a radio; the command gets one argument for them, `settings`."""

    @functools.wraps(command)
    def with_settings(**arguments: object) -> object:
        fields = {field.name for field in dataclasses.fields(RadioSettings)}
        given = {name: arguments.pop(name) for name in list(arguments) if name in fields}
        return command(settings=radio_settings(**given), **arguments)

    for option in reversed(_RADIO_OPTIONS):
        with_settings = option(with_settings)
    return with_settings


_file = click.Path(exists=True, dir_okay=False, path_type=Path)
_folder = click.Path(exists=True, file_okay=False, path_type=Path)


def _read_firmware(_context: click.Context, _parameter: click.Parameter, path: Path | None) -> object:
    if path is None:
        return None
    from .emulator.firmware import read_firmware, with_picolink

    try:
        return with_picolink(read_firmware(path))
    except BoardError as error:
        raise click.ClickException(str(error)) from None


firmware_option = click.option(
    "--firmware",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=_read_firmware,
    help="Emulated Pico Ws that run this UF2 or ELF file, instead of virtual boards.",
)
"""The command gets what emulator.firmware.with_picolink returns, or None."""


def stack_options(command: Callable) -> Callable:
    """Adds the options of real stack mode, `micropython` and `aioble`."""
    with_aioble = click.option(
        "--aioble",
        type=_folder,
        help="The real aioble (from micropython-lib): its folder, or the one that holds it.",
    )(command)
    return click.option(
        "--micropython",
        type=_file,
        help="A MicroPython for this PC with a Bluetooth stack (NimBLE or BTstack) inside, instead of "
        "picolink's stand-in; needs --aioble. The MTU is up to that stack.",
    )(with_aioble)


def firmware_options(command: Callable) -> Callable:
    """Adds the options that describe firmware; the command gets one argument for them, `firmware`."""

    @functools.wraps(command)
    def with_firmware(miss_cycles: int, **arguments: object) -> object:
        if arguments["firmware"]:
            arguments["firmware"] = dataclasses.replace(arguments["firmware"], miss_cycles=miss_cycles)
        return command(**arguments)

    with_miss_cycles = click.option(
        "--miss-cycles",
        type=click.IntRange(0, 1000),
        default=50,
        show_default=True,
        metavar="CYCLES",
        help="With --firmware: what a miss of the flash cache costs the CPU; 0: as if there were none.",
    )(with_firmware)
    return firmware_option(with_miss_cycles)


def stack_or_firmware_options(command: Callable) -> Callable:
    """Adds the options of real stack mode, and those of firmware."""

    @functools.wraps(command)
    def with_stack(**arguments: object) -> object:
        if arguments["firmware"] and (arguments["micropython"] or arguments["aioble"]):
            raise click.UsageError("--firmware has a Bluetooth stack and aioble inside")
        return command(**arguments)

    return stack_options(firmware_options(with_stack))


capture_option = click.option(
    "--capture",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    metavar="FILE",
    help="Write the HCI packets of each board to a file of its own, for Wireshark: FILE.btsnoop gives "
    "FILE-PicoA.btsnoop and so on.",
)


def boards_option(command: Callable) -> Callable:
    """Adds the options `interpreter` and `engine`."""
    command = click.option(
        "--engine",
        type=click.Choice(ENGINES),
        help="python: boards without the native module, which they have by default (but not in CPython).",
    )(command)
    return click.option(
        "--boards",
        "interpreter",
        type=click.Choice(INTERPRETERS),
        help="What runs the programs of virtual boards: MicroPython (the default where there is one), or "
        "this PC's CPython (on every system).",
    )(command)


def tell_interpreter(console: Console, room: Room) -> None:
    """Boards in CPython are not quite what people think of: said before they start."""
    if room.in_cpython:
        console.print("Boards run in CPython, with picolink's Python engine.", style="dim")


async def offer_radio(room: Room, doors: contextlib.AsyncExitStack) -> None:
    """Let other programs of this user onto the radio until `doors` closes, and say how on stderr."""
    from .radio_door import RadioDoor

    told = (
        "In another terminal, this PC can connect to a board that runs alone: picolink scan --radio virtual"
    )
    try:
        await doors.enter_async_context(RadioDoor(room.radio))
    except OSError as error:
        told = f"Other programs cannot use this radio: {error}"
    Console(stderr=True, highlight=False).print(told, style="dim", soft_wrap=True)


@click.command()
@click.argument("programs", nargs=-1, required=True, type=_file)
@radio_options
@boards_option
@click.option(
    "--seconds",
    type=click.FloatRange(0, min_open=True),
    metavar="S",
    help="Switch the boards off after this time.",
)
@click.option("--watch", is_flag=True, help="Restart a board when the file of its program changes.")
@click.option(
    "--stdin",
    "from_script",
    is_flag=True,
    help="Take lines and commands from standard input even if it is not a terminal.",
)
@capture_option
@stack_or_firmware_options
def run(
    programs: tuple[Path, ...],
    settings: RadioSettings,
    engine: str | None,
    interpreter: str | None,
    seconds: float | None,
    watch: bool,
    from_script: bool,
    capture: Path | None,
    micropython: Path | None,
    aioble: Path | None,
    firmware: "Firmware | None",
) -> None:
    """Run PROGRAMS on virtual boards, one board each.

    \b
    picolink run examples/pico_a.py examples/pico_b.py
    picolink run --loss 0.1 --engine python examples/pico_a.py examples/pico_b.py
    picolink run --watch examples/pico_a.py examples/pico_b.py
    picolink run --firmware picolink-0.1.0-RPI_PICO_W.uf2 examples/pico_a.py examples/pico_b.py

    Meanwhile, in another terminal, this PC can connect to a board that runs alone, as with
    `picolink run main.py`:

    \b
    picolink scan --radio virtual
    picolink chat PicoA --radio virtual

    Shows what they print.  If a program fails, the others keep running; the exit code is the highest of all.
    Lines that you type go to a program's input().  Those that begin with a colon are commands:

    \b
    :restart  :off  :away  :back [BOARD]   power off and on, off, out of range, in range
    :BOARD                                 lines go to this board from now on; at first to the first one
    :quit                                  all off

    With --watch a board restarts when the file of its program changes, as if its power was cut; the others
    keep running, and see what they would see of a real board.  It goes on until Ctrl-C, also when programs
    have ended.  What a program imports is not watched.

    Pins and the LED of a virtual board (machine.Pin) print their changes; Timer and WDT work.
    A board is a MicroPython process that finds picolink; its program is the same as for a real board.
    The radio is that of a Pico W unless options say otherwise.  Ctrl-C switches the boards off.
    """
    if from_script and firmware:
        raise click.UsageError("--stdin is for virtual boards: emulated ones have a time of their own")
    if watch and firmware:
        raise click.UsageError("--watch is for virtual boards: emulated ones have a time of their own")
    console = Console(highlight=False)
    names = _board_names(programs)
    width = max(map(len, names))
    colours = dict(zip(names, itertools.cycle(_COLOURS), strict=False))
    typed = not firmware and (from_script or somebody_types())

    def show(name: str, line: str) -> None:
        console.print(Text.assemble((name.rjust(width), colours[name]), "  ", line), soft_wrap=True)

    def tell(line: str) -> None:
        Console(stderr=True, highlight=False).print(Text(line, style="dim"), soft_wrap=True)

    exit_codes = [0]

    async def run_in_room() -> None:
        async with (
            Room(settings, micropython, aioble, show, firmware, interpreter, capture) as room,
            contextlib.AsyncExitStack() as doors,
        ):
            tell_interpreter(console, room)
            if not firmware:  # which has a time of its own
                await offer_radio(room, doors)
                _tell_missing_parts(names, programs, tell)
            for line in help_lines(names) if typed else ():
                tell(line)
            boards = [room.board(name, engine) for name in names]
            async with Session(room, boards, programs, tell) as session:
                try:
                    await session.start(typed, watch)
                    await session.wait(seconds)
                finally:
                    exit_codes.append(session.exit_code)

    try:
        play(run_in_room(), firmware)
    except BoardError as error:
        raise click.ClickException(str(error)) from None
    except KeyboardInterrupt:
        console.print("The boards are off.")
    raise SystemExit(max(exit_codes))


def _tell_missing_parts(names: list[str], programs: tuple[Path, ...], tell: Callable[[str], None]) -> None:
    for name, program in zip(names, programs, strict=True):
        parts = board_parts.missing(program.read_text(encoding="utf-8", errors="replace"))
        if parts:
            there = ", ".join(board_parts.HAS)
            tell(f"{name} uses what virtual boards lack: {', '.join(parts)}. Of machine they have {there}.")


def _board_names(programs: tuple[Path, ...]) -> list[str]:
    """A name for each board: its program's, with a number where that is not enough."""
    stems = [program.stem for program in programs]
    numbers = {stem: itertools.count(1) for stem in stems}
    return [stem if stems.count(stem) == 1 else f"{stem} {next(numbers[stem])}" for stem in stems]
