"""The scripts in build/ on PCs and for boards that are not the usual ones."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def tree(tmp_path):
    """A copy of the scripts, with nothing built."""
    (tmp_path / "build").mkdir()
    for script in (ROOT / "build").glob("*.sh"):
        shutil.copy(script, tmp_path / "build")
    for name in ("native", "pyproject.toml"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


def run(tree, script, *arguments, path="", **variables):
    environment = os.environ | {"PATH": f"{path}{os.pathsep}{os.environ['PATH']}"} | variables
    command = [tree / "build" / script, *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, env=environment)


def test_a_pc_that_cannot_run_the_module_for_x64_skips_it(tree):
    gcc = tree / "gcc"
    gcc.write_text("#!/bin/sh\necho aarch64-linux-gnu\n")
    gcc.chmod(0o755)
    result = run(tree, "native.sh", "[5/5]", "x64", path=tree)
    assert (result.returncode, result.stderr) == (0, "")
    assert "Native module for x64 ... skipped: gcc here is for aarch64-linux-gnu" in result.stdout


@pytest.mark.parametrize(
    ("board", "complaint"),
    [
        ("RPI_PICO_X", "no board called 'RPI_PICO_X'. It has:\nRPI_PICO\nRPI_PICO_W\n"),
        ("", "no board called ''"),
        ("RPI_PICO", "TUNED=1 is for boards with Bluetooth. RPI_PICO has none."),
    ],
)
def test_a_board_that_cannot_be_built_for_is_named_at_once(tree, board, complaint):
    boards = tree / "build" / "out" / "micropython" / "ports" / "rp2" / "boards"
    for name, settings in (("RPI_PICO", ""), ("RPI_PICO_W", "set(MICROPY_PY_BLUETOOTH ON)\n")):
        (boards / name).mkdir(parents=True)
        (boards / name / "mpconfigboard.cmake").write_text(settings)
    result = run(tree, "firmware.sh", board, TUNED="1")
    assert result.returncode == 1
    assert complaint in result.stderr


@pytest.mark.parametrize(
    ("settings", "library"),
    [
        ("set(MICROPY_PY_BLUETOOTH ON)\nset(MICROPY_BLUETOOTH_BTSTACK ON)\n", "lib/btstack"),
        ("set(MICROPY_PY_BLUETOOTH  1)\nset(MICROPY_BLUETOOTH_NIMBLE  1)\n", "lib/mynewt-nimble"),
        ("", None),
    ],
)
def test_what_a_board_switches_on_needs_its_libraries(tree, settings, library):
    micropython = tree / "build" / "out" / "micropython"
    board = micropython / "ports" / "rp2" / "boards" / "BOARD"
    board.mkdir(parents=True)
    (board / "mpconfigboard.cmake").write_text(settings)
    for name in ("pico-sdk", "tinyusb", "mbedtls"):
        (micropython / "lib" / name / "there").mkdir(parents=True)
    result = run(tree, "firmware_source.sh", "BOARD-RISCV")
    if library is None:
        assert (result.returncode, result.stderr) == (0, "")
    else:
        assert "The firmware of BOARD-RISCV needs a full MicroPython checkout" in result.stderr
        assert f" {library} " in result.stderr
