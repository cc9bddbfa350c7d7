"""Builds the firmware for the Pico W from MicroPython checkouts, and runs it on two emulated Pico Ws.

test_picow.py CHECKOUT...
    Each with its submodules, as for test_firmware.py; what that has built is not built again. What each step
    has said and found is in build/out/test-picow/VERSION/; build/out/test-picow/table.md says what came of
    it. In the environment: STEPS="demo chaos": only these; TUNED=1: the tuned firmware.

The boards' time passes several times slower than time here: an hour or more for each checkout.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

import test_firmware
from picolink_pc.products import TUNED

OUT = test_firmware.ROOT / "build" / "out" / "test-picow"
_BOARD = "RPI_PICO_W"
_PICOLINK = (sys.executable, "-m", "picolink_pc")
_AT_15_MS = ("--interval", "15", "--seconds", "1")

STEPS = {
    "demo": (*_PICOLINK, "demo", "--seconds", "2", "--json", "OUT/demo.json"),
    "link": (sys.executable, "-m", "pytest", "-q", "tests/test_link.py"),
    "chaos": (*_PICOLINK, "chaos", "--boards", "--drops", "10", "--restarts", "2", "--out", "OUT"),
    "soak": (*_PICOLINK, "soak", "--duration", "1m", "--out", "OUT"),
    "bench-link": (*_PICOLINK, "bench", "link", "rate", "latency", *_AT_15_MS, "--out", "OUT"),
    "logging": (*_PICOLINK, "bench", "logging", "--out", "OUT"),
    "prove": (sys.executable, "-m", "pytest", "-q", "tests/test_prove.py", "-k", "proven"),
    "bench-cpu": (*_PICOLINK, "bench", "cpu", "--out", "OUT"),
}
"""What is run, with --firmware IMAGE behind it; OUT is the folder for what it finds."""


def main(*checkouts: str) -> None:
    """Raises SystemExit when a build or a step fails."""
    if not checkouts:
        raise SystemExit(
            'make test-picow wants MicroPython checkouts: MPY_DIR="../micropython-1.24 ../micropython"'
        )
    wanted = os.environ.get("STEPS", "").split() or list(STEPS)
    if unknown := set(wanted) - set(STEPS):
        raise SystemExit(f"STEPS: no {', '.join(sorted(unknown))} there, only {', '.join(STEPS)}")
    found = {test_firmware.version(Path(path)): Path(path).resolve() for path in checkouts}
    rows, failed = [], []
    for release in sorted(found, key=test_firmware.number):
        print(f"MicroPython {release}: building the firmware", flush=True)
        image = build(release, found[release])
        folder = OUT / f"{release}{image.stem.partition(_BOARD)[2]}"
        folder.mkdir(parents=True, exist_ok=True)
        for name in wanted:
            print(f"MicroPython {release}, {name} ... ", end="", flush=True)
            began = time.monotonic()
            passed = run(name, image, folder)
            seconds = time.monotonic() - began
            print(f"{'ok' if passed else 'FAILED'} ({seconds:.0f} s): {folder / name}.log", flush=True)
            rows.append(f"| {folder.name} | {name} | {'ok' if passed else 'failed'} | {seconds:.0f} s |")
            if not passed:
                failed.append(f"{folder / name}.log")
    OUT.mkdir(parents=True, exist_ok=True)
    table = "\n".join(("| MicroPython | step | | took |", "|---|---|---|---|", *rows)) + "\n"
    (OUT / "table.md").write_text(table)
    print(f"\n{table}")
    if failed:
        raise SystemExit("failed, see " + " ".join(failed))


def build(release: str, checkout: Path) -> Path:
    """The firmware, as a UF2 file.  Raises SystemExit."""
    tuned = TUNED * bool(os.environ.get("TUNED"))
    try:
        test_firmware.prepare(release, checkout)
        test_firmware.script(release, checkout, "firmware.sh", _BOARD, COMPARE="0")
    except RuntimeError as error:
        raise SystemExit(f"MicroPython {release}: {error}") from None
    (image,) = (test_firmware.OUT / release / "firmware").glob(f"picolink-*-{_BOARD}{tuned}.uf2")
    return image


def run(name: str, image: Path, folder: Path) -> bool:
    """One step: did it pass?  What it has said is in a file of that name."""
    words = [word.replace("OUT", str(folder), 1) if word.startswith("OUT") else word for word in STEPS[name]]
    with (folder / f"{name}.log").open("w") as log:
        command = [*words, "--firmware", str(image)]
        done = subprocess.run(
            command, check=False, cwd=test_firmware.ROOT, stdout=log, stderr=subprocess.STDOUT
        )
    return done.returncode == 0


if __name__ == "__main__":
    main(*sys.argv[1:])
