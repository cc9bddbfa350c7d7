"""The command `picolink`."""

import importlib

import click

# Command: the module that has it. Imported when needed: some take a while.
_COMMANDS = {
    "demo": ".demo",
    "run": ".run",
    "install": ".install",
    "flash": ".flash",
    "doctor": ".doctor",
    "emulate": ".emulate",
    "bench": ".bench",
    "chaos": ".chaos",
    "soak": ".chaos.soak",
}


class Commands(click.Group):
    """A group whose commands are imported when needed.

    modules: command -> module that has it, relative to this package.
    """

    def __init__(self, *args: object, modules: dict[str, str], **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self._modules = modules

    def list_commands(self, _context: click.Context) -> list[str]:
        return list(self._modules)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        if name not in self._modules:
            return None
        return getattr(importlib.import_module(self._modules[name], __package__), name)


@click.group(cls=Commands, modules=_COMMANDS)
@click.version_option(package_name="picolink")
def main() -> None:
    """Messages between two MicroPython boards over Bluetooth LE: virtual boards, benchmarks, real boards.

    \b
    picolink run examples/pico_a.py examples/pico_b.py     two virtual boards greet each other
    picolink COMMAND --help                                what a command does, with examples
    """
