"""Every engine under test, and the processes in which the engines run that this one cannot hold."""

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import engine_suite
import host_engine
from picolink import pyengine

TESTS = Path(__file__).parent
ROOT = TESTS.parent
MICROPYTHON = ROOT / "build/out/bin/micropython"
NATIVE = ROOT / "build/out/native/x64"
SECONDS = 240  # for one process, far more than it needs

IN_PROCESS = {"python": pyengine.Engine, "c": host_engine.HostEngine}
IN_OTHER_PROCESSES = {
    "python-on-micropython": "picolink.pyengine.Engine",
    "native-on-micropython": "_picolink.Engine",
    "c-with-sanitizers": "host_engine.HostEngine",
}


def product(path, target):
    """A path that make gives; FileNotFoundError says how."""
    if not path.exists():
        raise FileNotFoundError(f"{path.relative_to(ROOT)} is missing: run 'make {target}'")
    return path


def micropython(*args, native=NATIVE):
    """Run the unix MicroPython with picolink, the native module and this folder on its path."""
    product(MICROPYTHON, "native")
    product(NATIVE / "_picolink.mpy", "native")
    path = f"{native}:{ROOT / 'py'}:{TESTS}:.frozen"
    return run([MICROPYTHON, "-X", "heapsize=1M", *args], {**os.environ, "MICROPYPATH": path})


def python_with_sanitizers(*args):
    """Run this Python with the C engine compiled with sanitizers, which end the process at a finding."""
    return run([sys.executable, *args], host_engine.sanitizer_environment())


def run(command, environment):
    return subprocess.run(
        [str(part) for part in command],
        check=False,
        env=environment,
        cwd=TESTS,
        capture_output=True,
        text=True,
        errors="backslashreplace",
        timeout=SECONDS,
    )


def exchanges():
    """The scripted exchanges, as paths from this folder."""
    return sorted(str(path.relative_to(TESTS)) for path in (TESTS / "vectors").glob("*.json"))


def tests_for(engine):
    """Names for engine_suite of what this engine must pass."""
    return engine_suite.names(engine == "native-on-micropython") + exchanges()


@cache
def results(engine):
    """Run the whole suite in one process. Returns each test's line by its name, and the end of the output."""
    python = python_with_sanitizers if engine == "c-with-sanitizers" else micropython
    try:
        process = python("engine_suite.py", IN_OTHER_PROCESSES[engine], *tests_for(engine))
    except subprocess.TimeoutExpired as error:  # kept as a result: once is enough
        return {}, f"{error}\n{error.stdout}"
    lines = {}
    for line in process.stdout.splitlines():
        word, _, rest = line.partition(" ")
        if word in ("ok", "FAILED"):
            lines[rest.partition(":")[0]] = line
    return lines, f"status {process.returncode}\n{process.stdout[-500:]}{process.stderr[-4000:]}"
