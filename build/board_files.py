"""Gathers what a wheel brings for boards in build/out/wheel/files: bytecode, native modules, examples."""

import shutil
from pathlib import Path

from picolink_pc import bytecode, products

_TARGET = products.OUT / "wheel" / "files"
ARCHITECTURES = ("x64", "armv6m", "armv7m", "armv7emsp", "rv32imc")


def main() -> None:
    """Makes the folder anew.  Raises FileNotFoundError when a native module was not built."""
    shutil.rmtree(_TARGET, ignore_errors=True)
    for name, content in bytecode.package().items():
        _write(f"picolink/{name}", content)
    for architecture in ARCHITECTURES:
        module = products.native_module(architecture)
        _write(f"native/{architecture}/{module.name}", module.read_bytes())
    for example in products.EXAMPLES.glob("*.py"):
        _write(f"examples/{example.name}", example.read_bytes())


def _write(path: str, content: bytes) -> None:
    file = Path(_TARGET, path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)


if __name__ == "__main__":
    main()
