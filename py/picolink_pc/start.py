"""`picolink` without arguments: what to do next, by what is there."""

import click

from . import bootsel, device, extras, pc


def tell_next_steps() -> None:
    """Looks at ports and drives only: no board's program is interrupted for this."""
    ports = device.list_ports()
    if ports:
        click.echo(f"Boards: {', '.join(ports)}")
        if bootsel.find_drives():
            click.echo("One more is in BOOTSEL mode: picolink flash FIRMWARE.uf2")
        click.echo("What is on them, and what to do next: picolink doctor")
    else:
        why = pc.why_no_board()
        click.echo(f"{why[0].upper()}{why[1:]}")
    click.echo(f"This PC as the other end of a board: {_with('pc', 'picolink scan')}")
    click.echo(f"Without a board, two virtual ones: {_with('virtual', 'picolink demo')}")
    click.echo("All commands: picolink --help")


def _with(extra: str, command: str) -> str:
    """The command, and before it what brings the packages that it needs."""
    return command if extras.is_there(extra) else f"{extras.how_to_install(extra)}, then {command}"
