"""The command `picolink`."""

import importlib
import io
import sys

import click

# Command: the module that has it, and the first sentence of its help. They are imported when needed.
_COMMANDS = {
    "demo": (".demo", "Two virtual boards greet each other, then send at full speed."),
    "run": (".run", "Run PROGRAMS on virtual boards, one board each."),
    "scan": (
        ".terminal.scan",
        "The picolink boards in sight: name, signal, address, part of the identity, version.",
    ),
    "chat": (
        ".terminal.chat",
        "Talk to the board NAME: each line that you type is a message, each message a line.",
    ),
    "send": (".terminal.send", "Send each MESSAGE to the board NAME, or each line of the input."),
    "copy": (".terminal.copy", "Copy each FILE to a board, or from it."),
    "monitor": (
        ".terminal.monitor",
        "What the board NAME sends, as it comes: channels, rates, the link and its events.",
    ),
    "web": (".web", "Serve the page that talks to boards, on this PC only."),
    "gateway": (".gateway", "Join boards to an MQTT broker, as the file CONFIG says."),
    "install": (".install", "Put picolink onto a board with stock MicroPython."),
    "key": (".keys", "Keys for links: a board without the same key is kept out."),
    "flash": (".flash", "Put firmware (UF2) onto a Pico board, and read it back."),
    "doctor": (".doctor", "Show what is on a board, and what to do next."),
    "emulate": (".emulate", "A REPL on an emulated Pico, or the output of one program."),
    "bench": (".bench", "Benchmarks: tables, JSON and, with --plot, pictures on a page."),
    "chaos": (
        ".chaos",
        "Break what can be broken around two boards, or a board and a PC: is a message lost?",
    ),
    "prove": (".prove", "Two real boards: rates, latency, CPU, heap, faults, a soak."),
    "soak": (".chaos.soak", "Two virtual boards for a long time, with faults: heap, latency."),
}


class Commands(click.Group):
    """A group whose commands are imported when needed, not for a list of them.

    modules: command -> the module that has it, relative to this package, and what it does.
    """

    def __init__(self, *args: object, modules: dict[str, tuple[str, str]], **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.modules = modules

    def list_commands(self, _context: click.Context) -> list[str]:
        return list(self.modules)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        if name not in self.modules:
            return None
        return getattr(importlib.import_module(self.modules[name][0], __package__), name)

    def format_commands(self, _context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self.modules.items()])


@click.group(cls=Commands, modules=_COMMANDS, invoke_without_command=True)
@click.version_option(package_name="picolink")
@click.pass_context
def main(context: click.Context) -> None:
    """Messages between MicroPython boards, or a board and a PC, over Bluetooth LE: real and virtual boards.

    \b
    picolink run examples/pico_a.py examples/pico_b.py     two virtual boards greet each other
    picolink                                               what to do next
    picolink COMMAND --help                                what a command does, with examples
    """
    for stream in (sys.stdout, sys.stderr):
        # Boards print any letter. Windows gives a pipe an encoding that has few of them.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    if context.invoked_subcommand is None:
        from .start import tell_next_steps

        tell_next_steps()
