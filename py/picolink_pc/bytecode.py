"""MicroPython bytecode (.mpy) of Python files: a board then needs neither time nor memory to compile them."""

import subprocess
import tempfile
from pathlib import Path

import click

from . import products


def compile_file(source: Path, name: str) -> bytes:
    """The bytecode of a file, for any board.  name: what tracebacks on the board call the file."""
    if not products.MPY_CROSS.exists():
        raise click.ClickException("mpy-cross is not built yet: run make native")
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "out.mpy")
        subprocess.run([products.MPY_CROSS, "-s", name, "-o", target, source], check=True)
        return target.read_bytes()


def compile_package() -> dict[str, bytes]:
    """The package picolink: bytecode by file name, such as "link.mpy"."""
    return {
        source.with_suffix(".mpy").name: compile_file(source, f"picolink/{source.name}")
        for source in sorted(products.PACKAGE.glob("*.py"))
    }
