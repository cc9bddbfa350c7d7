"""Builds picolink's firmware for each board of docs/boards.md from MicroPython checkouts; starts what it can.

test_firmware.py CHECKOUT...
    Each with its submodules. Name at least the oldest and the newest version that docs/boards.md has for
    each board. All is made in build/out/test-firmware/VERSION/; build/out/test-firmware/table.md gets what
    came of it. BOARDS="RPI_PICO_W RPI_PICO_W-tuned" in the environment: only these.

Images for the RP2040 start on the emulated Pico, which has no radio: they must find the native engine, and on
boards with Bluetooth aioble. Stock MicroPython for the Pico gets picolink there by `picolink install`.
"""

import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from click.testing import CliRunner
from mpremote.transport import TransportExecError
from picolink_pc.emulator import Emulator, EmulatorError
from picolink_pc.install import install
from picolink_pc.products import TUNED
from picolink_pc.supported import BOARDS, NEWEST_MICROPYTHON, Board

ROOT = Path(__file__).parents[1]
OUT = ROOT / "build" / "out" / "test-firmware"

_ENGINE_IN_USE = """
import picolink, picolink.engine
engine, name = picolink.engine.load()
print(picolink.__version__, name)
"""


@dataclass
class Row:
    """What came of one firmware.  flash, heap: bytes.  started: in words; None where nothing can start it."""

    build: str
    micropython: str
    flash: int
    heap: int
    started: str | None


def main(*checkouts: str) -> None:
    """Raises SystemExit when a build fails, or a board does not do what is expected."""
    if not checkouts:
        raise SystemExit(
            'make test-firmware wants MicroPython checkouts: MPY_DIR="../micropython-1.24 ../micropython"'
        )
    found = {version(Path(checkout)): Path(checkout).resolve() for checkout in checkouts}
    rows, failures = [], []
    for release in sorted(found, key=number):
        prepare(release, found[release])
        for board, tuned in firmwares(found[release]):
            try:
                rows.append(build(release, found[release], board, tuned))
            except RuntimeError as error:
                failures.append(f"{board.build}{TUNED * tuned} with MicroPython {release}: {error}")
                print(f"failed: {error}", flush=True)
    table = markdown(rows)
    (OUT / "table.md").write_text(table)
    print(f"\n{table}")
    for line in untested(found):
        print(f"Not built here: {line}")
    if failures:
        raise SystemExit("\n".join(failures))


def firmwares(checkout: Path) -> list[tuple[Board, bool]]:
    """Board, and whether tuned, of each that this MicroPython has; BOARDS in the environment names some."""
    chosen = os.environ.get("BOARDS", "").split()
    folder = checkout / "ports" / "rp2" / "boards"
    boards = [board for board in BOARDS if (folder / board.build.removesuffix("-RISCV")).is_dir()]
    both = [(board, tuned) for tuned in (False, True) for board in boards if board.tuned or not tuned]
    return [(board, tuned) for board, tuned in both if not chosen or board.build + TUNED * tuned in chosen]


def version(checkout: Path) -> str:
    """Of its MicroPython, such as "1.28.0" or "1.29.0-preview".  Raises SystemExit."""
    file = checkout / "py" / "mpconfig.h"
    if not file.exists():
        raise SystemExit(f"{checkout} is not a MicroPython checkout (no py/mpconfig.h in it)")
    parts = dict(re.findall(r"^#define MICROPY_VERSION_(\w+) (\d+)$", file.read_text(), re.MULTILINE))
    text = ".".join(parts[name] for name in ("MAJOR", "MINOR", "MICRO"))
    return text + "-preview" * int(parts.get("PRERELEASE", "0"))


def number(release: str) -> tuple[int, int]:
    """Of a release: major and minor, to compare with what boards need."""
    major, minor, _ = release.split(".", 2)
    return int(major), int(minor)


def untested(releases: dict) -> list[str]:
    """Each board's oldest and newest MicroPython that is not among `releases`."""
    there = {number(release) for release in releases}
    return [
        f"{board.build} with MicroPython {major}.{minor}"
        for board in BOARDS
        for major, minor in sorted({board.oldest, NEWEST_MICROPYTHON} - there)
    ]


def prepare(release: str, checkout: Path) -> None:
    """Links the source and builds its mpy-cross, once."""
    mpy_cross = OUT / release / "bin" / "mpy-cross"
    if (OUT / release / "micropython").resolve() != checkout:
        mpy_cross.unlink(missing_ok=True)
    script(release, checkout, "micropython_source.sh")
    if not mpy_cross.exists():
        script(release, checkout, "mpy_cross.sh")


def build(release: str, checkout: Path, board: Board, tuned: bool) -> Row:
    """One firmware, started where that can be.  Raises RuntimeError."""
    name = board.build + TUNED * tuned
    began = time.monotonic()
    print(f"MicroPython {release}, {name} ... ", end="", flush=True)
    # The quickest build shows what `picolink install` does with stock firmware.
    stock = not board.tuned
    variables = {"TUNED": "1" if tuned else "", "COMPARE": "1" if stock else "0"}
    script(release, checkout, "firmware.sh", board.build, **variables)
    folder = OUT / release / "firmware"
    report = (folder / name / "size.txt").read_text()
    flash = int(re.search(r"^firmware with picolink +(\d+)", report, re.MULTILINE)[1])
    heap = int(re.search(r"heap: (\d+)", report)[1])
    started = None
    if "PICO2" not in name:
        (image,) = folder.glob(f"picolink-*-{name}.uf2")
        started = start(image, bluetooth=board.tuned)
        if stock:
            started += "; " + start_stock(checkout, folder / name / "without_picolink" / "firmware.bin")
    seconds = time.monotonic() - began
    print(f"{flash:,} bytes, heap {heap:,}, {started or 'not started'} ({seconds:.0f} s)", flush=True)
    return Row(name, release, flash, heap, started)


def script(release: str, checkout: Path, name: str, *arguments: str, **variables: str) -> None:
    """Runs one of our scripts on that source.  Raises RuntimeError with the last thing that it said."""
    environment = os.environ | {"PICOLINK_OUT": str(OUT / release), "MPY_DIR": str(checkout)} | variables
    command = [ROOT / "build" / name, *arguments]
    done = subprocess.run(command, check=False, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError((done.stdout + done.stderr).strip())


def start(image: Path, bluetooth: bool) -> str:
    """What picolink's firmware does on the emulated Pico.  Raises RuntimeError."""
    try:
        with Emulator(image) as pico:
            said = pico.run(_ENGINE_IN_USE + ("import aioble\n" if bluetooth else ""))
    except (EmulatorError, TransportExecError) as error:
        raise RuntimeError(f"{image.name} on the emulated Pico: {error}") from None
    if not said.endswith(" native\n"):
        raise RuntimeError(f"{image.name} does not use the native engine: {said}")
    return "starts, native engine" + ", aioble" * bluetooth


def start_stock(checkout: Path, image: Path) -> str:
    """What stock MicroPython does on the emulated Pico after `picolink install`.  Raises RuntimeError."""
    uf2 = image.with_suffix(".uf2")
    convert = ["-c", "-f", "RP2040", "-b", "0x10000000", "-o", uf2, image]
    subprocess.run(
        [sys.executable, checkout / "tools" / "uf2conv.py", *convert], check=True, capture_output=True
    )
    with Emulator(uf2) as pico:
        installed = CliRunner().invoke(install, ["--port", pico.port])
        if installed.exit_code or "with the native engine" not in installed.output:
            raise RuntimeError(f"picolink install on stock MicroPython: {installed.output}")
    return "stock: installed, native engine"


def markdown(rows: list[Row]) -> str:
    """A table of them."""
    lines = [
        "| firmware | MicroPython | flash | left for Python's heap | on the emulated Pico |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        started = row.started or "not started: no emulator has this chip"
        lines.append(f"| {row.build} | {row.micropython} | {row.flash:,} | {row.heap:,} | {started} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main(*sys.argv[1:])
