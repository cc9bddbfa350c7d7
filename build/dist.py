"""Makes a release in build/out/dist, the same bytes each time: what CONTRIBUTING.md says how to publish.

    picolink-VERSION-py3-none-any.whl           for every system
    picolink-VERSION-cp311-abi3-manylinux*.whl  for Linux on one architecture: with MicroPython for virtual
                                                boards, and the engine in C for the PC
    picolink-VERSION.tar.gz                     the source; pip makes the same wheel of it, without a compiler
    picolink-VERSION-files-ARCHITECTURE.zip     for a board's /lib, copied with Thonny or mpremote
    mip/ARCHITECTURE/package.json               the same for mip, from any web server or this folder
    *.uf2                                       firmware for boards with a radio, as named
    NOTES.md, SHA256SUMS                        what is new, of CHANGELOG.md; checksums of all of this

dist.py [--out FOLDER] [UF2...]
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import board_files
from picolink_pc import products

ROOT = Path(__file__).parents[1]
DATE = (2020, 2, 2, 0, 0, 0)
"""Of files in archives, as hatchling has it."""

PLATFORMS = ("x86_64", "aarch64")
"""Architectures of Linux that get a wheel of their own (build/platform.sh)."""

PURE_PYTHON = "python"
"""Stands for an architecture: a tree without a native module, for boards that we cannot build one for."""


def main() -> None:
    """Raises SystemExit with one line when something is missing."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=products.OUT / "dist")
    parser.add_argument("firmware", type=Path, nargs="*")
    arguments = parser.parse_args()
    out = arguments.out
    version = _version()
    notes = _notes(version)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder)
        board_files.gather(files)
        _build_python_packages(out, files)
        for architecture in (*board_files.ARCHITECTURES, PURE_PYTHON):
            tree = out / "mip" / architecture
            _make_mip_tree(tree, files, architecture, version)
            _zip(tree, out / f"picolink-{version}-files-{architecture}.zip")
    for file in arguments.firmware:
        shutil.copyfile(file, out / file.name)
    (out / "NOTES.md").write_text(notes)
    _write_checksums(out)
    _check(out)


def _version() -> str:
    return re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[1]


def _notes(version: str) -> str:
    """The part of CHANGELOG.md about this version."""
    changes = ROOT / "CHANGELOG.md"
    text = changes.read_text() if changes.exists() else ""
    found = re.search(rf"^## \[?{re.escape(version)}\b.*\n((?:(?!## ).*\n?)*)", text, re.MULTILINE)
    if found is None:
        raise SystemExit(f"CHANGELOG.md says nothing about {version}: give it a section '## {version}'")
    return found[1].strip() + "\n"


def _build_python_packages(out: Path, files: Path) -> None:
    # Permissions go into archives.
    command = [sys.executable, "-m", "hatchling", "build", "-d", out]
    environment = {name: text for name, text in os.environ.items() if name != "SOURCE_DATE_EPOCH"}
    environment["PICOLINK_BOARD_FILES"] = str(files)
    for target in ("wheel", "sdist"):
        subprocess.run([*command, "-t", target], check=True, cwd=ROOT, env=environment, umask=0o022)
    for platform in PLATFORMS:
        more = environment | {"PICOLINK_PLATFORM": str(products.OUT / "platform" / platform)}
        subprocess.run([*command, "-t", "wheel"], check=True, cwd=ROOT, env=more, umask=0o022)


def _make_mip_tree(tree: Path, files: Path, architecture: str, version: str) -> None:
    """package.json and the files that it names, beside it."""
    shutil.copytree(files / "picolink", tree / "picolink", copy_function=shutil.copyfile)
    if architecture != PURE_PYTHON:
        shutil.copyfile(files / "native" / architecture / "_picolink.mpy", tree / "_picolink.mpy")
    names = sorted(path.relative_to(tree).as_posix() for path in tree.rglob("*.mpy"))
    package = {"urls": [[name, name] for name in names], "deps": [["aioble", "latest"]], "version": version}
    (tree / "package.json").write_text(json.dumps(package, indent=2) + "\n")


def _zip(folder: Path, target: Path) -> None:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*.mpy")):
            entry = zipfile.ZipInfo(file.relative_to(folder).as_posix(), DATE)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, file.read_bytes(), zipfile.ZIP_DEFLATED)


def _write_checksums(out: Path) -> None:
    files = sorted(path for path in out.rglob("*") if path.is_file())
    lines = [
        f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.relative_to(out).as_posix()}\n"
        for file in files
    ]
    (out / "SHA256SUMS").write_text("".join(lines))


def _check(out: Path) -> None:
    """What PyPI would refuse, or should have."""
    wheels, source = sorted(out.glob("*.whl")), sorted(out.glob("*.tar.gz"))
    subprocess.run([sys.executable, "-m", "twine", "check", "--strict", *wheels, *source], check=True)
    for wheel in wheels:
        packages = "picolink,picolink_pc" + ("" if wheel.name.endswith("-any.whl") else ",_picolink.abi3.so")
        command = [sys.executable, "-m", "check_wheel_contents", "--toplevel", packages, wheel]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
