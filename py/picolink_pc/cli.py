"""The command `picolink`."""

import importlib

import click

# Command: the module that has it. Imported when needed: some take a while.
_COMMANDS = {
    "demo": ".demo",
    "run": ".run",
    "emulate": ".emulate",
}


class _Commands(click.Group):
    def list_commands(self, _context: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        return getattr(importlib.import_module(_COMMANDS[name], __package__), name)


@click.group(cls=_Commands)
@click.version_option(package_name="picolink")
def main() -> None:
    """Messages between two MicroPython boards over Bluetooth LE: virtual boards, benchmarks, real boards.

    \b
    picolink run examples/pico_a.py examples/pico_b.py     two virtual boards greet each other
    picolink COMMAND --help                                what a command does, with examples
    """
