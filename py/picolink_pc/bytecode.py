"""MicroPython bytecode (.mpy) of Python files: a board then needs neither time nor memory to compile them."""

import subprocess
import tempfile
from pathlib import Path

import click

from . import products


def compile_file(source: Path, name: str) -> bytes:
    """The bytecode of a file, for any board.  name: what tracebacks on the board call the file.

    Raises click.ClickException without a compiler for it.
    """
    if not products.MPY_CROSS.exists():
        raise click.ClickException(f"mpy-cross is missing: {products.how_to_get('native')}")
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "out.mpy")
        subprocess.run([products.MPY_CROSS, "-s", name, "-o", target, source], check=True)
        return target.read_bytes()


def package() -> dict[str, bytes]:
    """The package picolink as bytecode, by path inside it, such as "link.mpy".

    Raises click.ClickException in a checkout where it cannot be compiled.
    """
    if products.BYTECODE is not None:
        return {
            _path(file, products.BYTECODE): file.read_bytes()
            for file in sorted(products.BYTECODE.rglob("*.mpy"))
        }
    return {
        _path(source.with_suffix(".mpy"), products.PACKAGE): compile_file(
            source, f"picolink/{_path(source, products.PACKAGE)}"
        )
        for source in products.board_sources()
    }


def _path(file: Path, folder: Path) -> str:
    return file.relative_to(folder).as_posix()
