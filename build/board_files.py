"""Gathers what a wheel brings for boards in a folder: bytecode, native modules, examples; and the page.

board_files.py FOLDER
"""

import sys
from pathlib import Path

from picolink_pc import bytecode, products

ARCHITECTURES = ("x64", "armv6m", "armv7m", "armv7emsp", "rv32imc")


def gather(folder: Path) -> None:
    """Raises FileNotFoundError when a native module or the page was not built."""

    def write(path: str, content: bytes) -> None:
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)

    for name, content in bytecode.package().items():
        write(f"picolink/{name}", content)
    for architecture in ARCHITECTURES:
        module = products.native_module(architecture)
        write(f"native/{architecture}/{module.name}", module.read_bytes())
    for example in products.EXAMPLES.glob("*.py"):
        write(f"examples/{example.name}", example.read_bytes())
    for file in (products.WEB / "picolink.wasm", *sorted(products.WEB.iterdir())):
        if file.name != "LICENSE":  # a package has it already
            write(f"web/{file.name}", file.read_bytes())


if __name__ == "__main__":
    gather(Path(sys.argv[1]))
