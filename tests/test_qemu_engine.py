"""The native modules that no emulated Pico can load, and the Python engine beside them, on boards in QEMU."""

import engine_suite
import pytest
from board_suite import VECTORS, assert_engines_do_the_same, failures, package_files, suite_files
from picolink_pc import products
from qemu_board import ARM, RISCV, QemuBoard

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # seconds, but much more on a PC that is busy

# Module: the board that loads it, and its number in the module's header (MicroPython, py/persistentcode.h).
MODULES = {"armv6m": (ARM, 4), "armv7m": (ARM, 5), "armv7emsp": (ARM, 7), "rv32imc": (RISCV, 11)}


@pytest.fixture(scope="module", params=MODULES)
def board(request):
    """A board with picolink and the native module for one architecture."""
    machine, number = MODULES[request.param]
    module = products.native_module(request.param).read_bytes()
    assert module[2] >> 2 == number
    files = suite_files() | package_files() | {"lib/_picolink.mpy": module}
    with QemuBoard(machine, files) as board:
        yield board


def test_the_board_picks_the_native_engine(board):
    assert board.run("import picolink.engine\nprint(picolink.engine.load()[1])") == "native\n"


def test_native_engine_passes_the_suite(board):
    assert failures(board.run, "_picolink.Engine", engine_suite.names(native=True) + VECTORS) == []


def test_native_and_python_engine_do_the_same(board):
    assert_engines_do_the_same(board.run)


def test_a_broken_vector_fails(board):
    (line,) = failures(board.run, "_picolink.Engine", ["vectors/broken.json"])
    assert line.startswith("FAILED vectors/broken.json: AssertionError")


@pytest.mark.parametrize("machine", [ARM, RISCV], ids=["arm", "riscv"])
def test_python_engine_passes_the_suite(machine):
    with QemuBoard(machine, suite_files() | package_files()) as board:
        assert board.run("import picolink.engine\nprint(picolink.engine.load()[1])") == "python\n"
        names = engine_suite.names(native=False) + VECTORS
        assert failures(board.run, "picolink.pyengine.Engine", names) == []
