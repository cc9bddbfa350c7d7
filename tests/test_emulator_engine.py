"""The engine on an emulated Pico: in its firmware, as a native module, and the fallback without either."""

import functools

import engine_suite
import pytest
from board_suite import VECTORS, assert_engine_does_as_python, failures, package_files, suite_files
from pico_firmware import WITH_PICOLINK, write_plain_firmware
from picolink_pc import products
from picolink_pc.emulator import Emulator, write_files

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
]  # half a minute, but much more on a PC that is busy

SILENCE_S = 600

# The one that needs most memory goes first: later the heap is in pieces.
_LARGEST = "test_sizes_around_the_varint_steps"
NATIVE_TESTS = sorted(engine_suite.names(native=True), key=lambda name: name != _LARGEST) + VECTORS
# Two fifths of the time are theirs. Not on the board with a module: the same code passes them in the
# firmware, and this very module in QEMU (test_qemu_engine.py).
_LONG = {
    "test_bytes_later_than_32_kib_heal",
    "test_bytes_that_only_a_forger_has_sent_heal",
    "test_commit_over_a_restart_of_the_peer",
    "test_drop_at_any_point",
    "test_every_largest_packet",
    "test_every_mtu",
    "test_forged_gaps_are_bounded",
    "test_forged_tags_heal",
    "test_handshake_with_lost_hellos",
}
assert set(NATIVE_TESTS) > _LONG
# In parts: pytest-xdist has more to share out.
SUITE = [("in_firmware", NATIVE_TESTS[part::4]) for part in range(4)]
SUITE.append(("as_module", [name for name in NATIVE_TESTS if name not in _LONG]))
# The Python engine would take minutes for the whole suite at this speed.
PYTHON_TESTS = ["test_channels", *VECTORS]

# send, feed, pull_into, recv_into and wait between micropython.heap_lock() and heap_unlock().
HEAP_LOCKED = ["test_native_calls_do_not_allocate", "test_native_calls_with_a_key_do_not_allocate"]


@pytest.fixture(scope="module")
def in_firmware(tmp_path_factory):
    """A board whose firmware has picolink and its C engine inside."""
    flash = tmp_path_factory.mktemp("in-firmware") / "flash.bin"
    write_files(flash, suite_files())
    with Emulator(WITH_PICOLINK, flash=flash) as pico:
        yield pico


@pytest.fixture(scope="module")
def as_module(tmp_path_factory):
    """A board with stock MicroPython, and picolink with its native module on its filesystem."""
    folder = tmp_path_factory.mktemp("as-module")
    native = {"lib/_picolink.mpy": products.native_module("armv6m").read_bytes()}
    write_files(folder / "flash.bin", suite_files() | package_files() | native)
    with Emulator(write_plain_firmware(folder), flash=folder / "flash.bin") as pico:
        yield pico


@pytest.fixture(scope="module")
def fallback(tmp_path_factory):
    """A board with stock MicroPython, and picolink without a native engine."""
    folder = tmp_path_factory.mktemp("fallback")
    write_files(folder / "flash.bin", suite_files() | package_files())
    with Emulator(write_plain_firmware(folder), flash=folder / "flash.bin") as pico:
        yield pico


def run(pico):
    return functools.partial(pico.run, timeout_s=SILENCE_S)


@pytest.mark.parametrize(
    ("board", "engine"),
    [("in_firmware", "native"), ("as_module", "native"), ("fallback", "python")],
)
def test_the_board_picks_its_engine(request, board, engine):
    pico = request.getfixturevalue(board)
    assert pico.run("import picolink.engine\nprint(picolink.engine.load()[1])") == f"{engine}\n"


@pytest.mark.parametrize(("board", "names"), SUITE)
def test_native_engine_passes_the_suite(request, board, names):
    assert failures(run(request.getfixturevalue(board)), "_picolink.Engine", names) == []


@pytest.mark.parametrize("board", ["in_firmware", "as_module"])
def test_native_engine_runs_with_the_heap_locked(request, board):
    assert failures(run(request.getfixturevalue(board)), "_picolink.Engine", HEAP_LOCKED) == []


def test_an_engine_that_allocates_fails_with_the_heap_locked(fallback):
    (line,) = failures(run(fallback), "picolink.pyengine.Engine", HEAP_LOCKED[:1])
    assert "MemoryError" in line


def test_python_engine_passes_a_part_of_the_suite(fallback):
    assert failures(run(fallback), "picolink.pyengine.Engine", PYTHON_TESTS) == []


@pytest.mark.parametrize("board", ["in_firmware", "as_module"])
def test_native_and_python_engine_do_the_same(request, board):
    assert_engine_does_as_python(run(request.getfixturevalue(board)), "_picolink.Engine")


@pytest.mark.parametrize("board", ["in_firmware", "as_module"])
def test_native_and_python_objects_are_the_same(request, board):
    program = """
import _picolink
from picolink import objects

sent = {"t": 21.5, "n": [0, -1, 1 << 40], "on": True, "b": b"x", "s": "\u20ac" * 50, "none": None}
for one, other in (_picolink, objects), (objects, _picolink):
    print(other.unpack(one.pack(sent)) == sent)
"""
    assert run(request.getfixturevalue(board))(program) == "True\n" * 2


def test_a_broken_vector_fails(in_firmware):
    (line,) = failures(run(in_firmware), "_picolink.Engine", ["vectors/broken.json"])
    assert line.startswith("FAILED vectors/broken.json: AssertionError")
