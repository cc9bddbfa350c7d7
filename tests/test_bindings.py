"""The bindings of the engine in C: arguments whose conversion runs code of the program's."""

import re
import shutil
import subprocess
import sys

import engines
import host_engine
import pytest
from picolink_pc import c_engine

NATIVE = c_engine.NATIVE
# The buffer first, and not held: what a binding does wrong that knows where a buffer stands too early.
FAULTS = {
    ("cpython/_picolink.c", "feed"): (
        """!get_milliseconds(args[1], &now) ||
        !get_buffer(args[0], &packet, PyBUF_SIMPLE, "a packet must be bytes, bytearray or memoryview")) {""",
        """!get_buffer(args[0], &packet, PyBUF_SIMPLE, "a packet must be bytes, bytearray or memoryview") ||
        (PyBuffer_Release(&packet), !get_milliseconds(args[1], &now))) {""",
    ),
    ("cpython/_picolink.c", "pull_into"): (
        """!get_milliseconds(args[1], &now) ||
        !get_buffer(args[0], &room, PyBUF_WRITABLE, "a packet needs a bytearray or memoryview")) {""",
        """!get_buffer(args[0], &room, PyBUF_WRITABLE, "a packet needs a bytearray or memoryview") ||
        (PyBuffer_Release(&room), !get_milliseconds(args[1], &now))) {""",
    ),
    ("modpicolink.c", "feed"): (
        """    uint32_t now_ms = milliseconds(now);
    mp_buffer_info_t bytes;
    get_buffer(packet, &bytes, MP_BUFFER_READ);
""",
        """    mp_buffer_info_t bytes;
    get_buffer(packet, &bytes, MP_BUFFER_READ);
    uint32_t now_ms = milliseconds(now);
""",
    ),
    ("modpicolink.c", "pull_into"): (
        """    uint32_t now_ms = milliseconds(now);
    mp_buffer_info_t room;
    get_buffer(buf, &room, MP_BUFFER_WRITE);
""",
        """    mp_buffer_info_t room;
    get_buffer(buf, &room, MP_BUFFER_WRITE);
    uint32_t now_ms = milliseconds(now);
""",
    ),
}


def on_cpython(*environment):
    """With sanitizers.   environment: arguments of host_engine.sanitizer_environment()."""
    environment = host_engine.sanitizer_environment(*environment)
    return engines.run([sys.executable, "hostile_arguments.py", "host_engine.BareEngine"], environment)


def on_micropython(native=engines.NATIVE):
    return engines.micropython("hostile_arguments.py", "_picolink.Engine", native=native)


def native_module(folder, sources):
    """The native module for virtual boards, of other sources."""
    engines.product(engines.NATIVE / "_picolink.mpy", "native")
    arguments = {
        "ARCH": "x64",
        "ROOT": sources,
        "NEWLIB": "",
        "MPY_DIR": engines.ROOT / "build/out/micropython",
        "PYTHON": sys.executable,
    }
    (folder / "Makefile").symlink_to(engines.ROOT / "build/natmod.mk")  # MicroPython's rules name it so
    command = ["make", "-C", folder, *(f"{name}={value}" for name, value in arguments.items())]
    subprocess.run(command, check=True, capture_output=True)
    return folder


@pytest.mark.parametrize("run", [on_cpython, on_micropython])
def test_what_an_argument_does_is_done_before_the_call(run):
    process = run()
    assert process.returncode == 0, process.stdout[-2000:] + process.stderr[-2000:]
    _, running, wrong = map(int, re.search(r"(\d+) calls, (\d+) .*, (\d+) wrong", process.stdout).groups())
    assert running > 1500
    assert wrong == 0


@pytest.mark.slow
@pytest.mark.parametrize(("file", "function"), FAULTS)
def test_a_binding_that_looks_for_the_buffer_too_early_is_noticed(file, function, tmp_path):
    native = tmp_path / "native"
    shutil.copytree(NATIVE, native)
    right, wrong = FAULTS[file, function]
    text = (native / file).read_text()
    assert right in text
    (native / file).write_text(text.replace(right, wrong))
    if file == "modpicolink.c":
        made = tmp_path / "made"
        made.mkdir()
        process = on_micropython(native_module(made, tmp_path))
        assert f"{function} now" in process.stdout
    else:
        process = on_cpython(tmp_path, native / file)
        assert "heap-use-after-free" in process.stderr
    assert process.returncode != 0


def test_a_native_path_takes_packets_as_the_policy_does():
    process = engines.micropython("native_path.py", *map(str, range(60)))
    assert (process.returncode, process.stdout) == (0, ""), process.stdout[:2000] + process.stderr[-2000:]
