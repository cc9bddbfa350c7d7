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
    demo = "picolink demo"
    if not extras.is_there("virtual"):
        demo = f"{extras.how_to_install('virtual')}, then {demo}"
    click.echo(f"Without a board, two virtual ones: {demo}")
    click.echo("All commands: picolink --help")
