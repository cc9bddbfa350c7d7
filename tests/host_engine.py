"""The engine in C on this PC, for tests: plain, or with AddressSanitizer and UndefinedBehaviorSanitizer.

With sanitizers it runs in a process of its own, which stops at the first finding:

    subprocess.run([sys.executable, ...], env=sanitizer_environment(), check=True)
"""

import os
import subprocess
from array import array
from pathlib import Path

from picolink_pc import c_engine

FOLDER = c_engine.FOLDER / "sanitized"
SANITIZERS = ("-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer")
SANITIZED = "PICOLINK_SANITIZED"  # in the environment: the path of the module with sanitizers


def sanitizer_environment(folder=FOLDER, module=c_engine.MODULE):
    """The environment for a Python process in which HostEngine runs with sanitizers.

    folder: where it is compiled to.   module: C source of the module.
    """
    runtime = subprocess.run(
        ["gcc", "-print-file-name=libasan.so"], check=True, capture_output=True, text=True
    ).stdout.strip()
    return {
        **os.environ,
        SANITIZED: str(c_engine.extension(folder, flags=SANITIZERS, module=module)),
        "LD_PRELOAD": runtime,
        "PYTHONMALLOC": "malloc",  # so that the sanitizer sees each block
        "ASAN_OPTIONS": "detect_leaks=0",  # CPython itself keeps memory to the end
        "UBSAN_OPTIONS": "print_stacktrace=1",
    }


def _in_exact_blocks(engine):
    """The engine, given nothing but arrays: only their heap blocks end where their bytes do."""

    class Exact(engine):
        def send(self, data, *args, **kwargs):
            return super().send(array("B", data) if isinstance(data, bytes) else data, *args, **kwargs)

        def feed(self, packet, now):
            return super().feed(array("B", packet), now)

        def pull_into(self, buf, now):
            block = array("B", buf)
            size = super().pull_into(block, now)
            buf[:size] = block[:size].tobytes()
            return size

        def recv_into(self, buf):
            block = array("B", buf)
            result = super().recv_into(block)
            buf[:] = block.tobytes()
            return result

    return Exact


if SANITIZED in os.environ:
    BareEngine = c_engine.load(Path(os.environ[SANITIZED])).Engine
    HostEngine = _in_exact_blocks(BareEngine)
else:
    BareEngine = HostEngine = c_engine.engine_class()
