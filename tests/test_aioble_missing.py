"""Boards whose aioble is missing, incomplete or too old: said once, with what to do."""

import os
import subprocess
from pathlib import Path

import pytest
from picolink_pc import products

PACKAGES = Path(__file__).parents[1] / "py"

# What these modules hold does not matter: it is looked at before anything of it is used.
WHOLE = """
class Device:
    async def connect(self, timeout_ms, scan_duration_ms, min_interval_us, max_interval_us):
        pass
advertise = scan = Service = Characteristic = register_services = None
"""
OLD = WHOLE.replace(", scan_duration_ms, min_interval_us, max_interval_us", "")


@pytest.mark.parametrize(
    ("modules", "way", "said"),
    [
        ({}, "advertise", "no Bluetooth: install MicroPython for the Pico W"),
        (
            {"bluetooth": ""},
            "advertise",
            "aioble is missing (no module named 'aioble'): mpremote mip install",
        ),
        ({"bluetooth": ""}, "connect", "aioble is missing"),
        (
            {"bluetooth": "", "aioble": WHOLE + "del Service"},
            "advertise",
            "aioble has no Service, parts of it are missing: mpremote mip install aioble",
        ),
        ({"bluetooth": "", "aioble": WHOLE + "del scan"}, "connect", "aioble has no scan"),
        ({"bluetooth": "", "aioble": OLD}, "connect", "aioble is too old: picolink needs 0.6, which Micro"),
    ],
)
def test_what_is_missing_is_said_once(tmp_path, modules, way, said):
    for name, text in modules.items():
        (tmp_path / f"{name}.py").write_text(text)
    program = f"""
import asyncio, picolink
async def main():
    async with picolink.{way}("PicoA") as link:
        print("open")
asyncio.run(main())
"""
    done = subprocess.run(
        [products.MICROPYTHON, "-c", program],
        check=False,
        capture_output=True,
        text=True,
        timeout=20,
        env=os.environ | {"MICROPYPATH": os.pathsep.join(map(str, (tmp_path, PACKAGES, ".frozen")))},
    )
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ImportError: ")
    assert said in last
    assert "picolink:" not in done.stdout
