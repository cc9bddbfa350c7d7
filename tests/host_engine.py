"""The C engine on this PC, with the interface of picolink.pyengine.Engine: compiled with gcc, run by ctypes.

It runs beside the Python engine in one process. With AddressSanitizer and UndefinedBehaviorSanitizer it runs
in a process of its own, which stops at the first finding:

    subprocess.run([sys.executable, ...], env=sanitizer_environment(), check=True)
"""

import ctypes
import os
import subprocess
import tempfile
from array import array
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
CORE = [ROOT / "native/picolink.c", ROOT / "native/crc32.c"]
ENGINE = [ROOT / "tests/c/host_engine.c"]
HEADERS = [ROOT / "native/picolink.h", ROOT / "native/crc32.h"]
OUT = ROOT / "build/out/native/host"
COMPILE = ["gcc", "-std=c99", "-O2", "-g", "-shared", "-fPIC", f"-I{ROOT / 'native'}"]
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror"]
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"]
SANITIZED = "PICOLINK_SANITIZED"  # set in the environment: use the library with sanitizers

PULL_MAX = 236  # bytes: the largest packet that is made


def build(sanitized=False, name="picolink", sources=ENGINE, headers=()):
    """Compile a shared library of the core and these sources where one is newer. Returns its path."""
    library = OUT / f"lib{name}{'-sanitized' if sanitized else ''}.so"
    sources = [*CORE, *sources]
    newest = max(file.stat().st_mtime for file in [*sources, *HEADERS, *headers])
    if library.exists() and library.stat().st_mtime > newest:
        return library
    OUT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=OUT) as folder:
        made = Path(folder) / library.name
        extra = SANITIZERS if sanitized else []
        subprocess.run([*COMPILE, *WARNINGS, *extra, *sources, "-o", made], check=True)
        made.replace(library)  # in one move: another process may be loading it
    return library


def sanitizer_environment():
    """The environment for a Python process in which HostEngine runs with sanitizers."""
    build(sanitized=True)
    runtime = subprocess.run(
        ["gcc", "-print-file-name=libasan.so"], check=True, capture_output=True, text=True
    ).stdout.strip()
    return {
        **os.environ,
        SANITIZED: "1",
        "LD_PRELOAD": runtime,
        "ASAN_OPTIONS": "detect_leaks=0",  # CPython itself keeps memory to the end
        "UBSAN_OPTIONS": "print_stacktrace=1",
    }


@cache
def _library():
    library = ctypes.CDLL(str(build(sanitized=SANITIZED in os.environ)))
    engine, size, u32, i32 = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint32, ctypes.c_int32
    data = ctypes.c_void_p
    signatures = {
        "host_new": (engine, u32, size, size, size),
        "host_free": (None, engine),
        "host_send": (ctypes.c_int, engine, u32, ctypes.c_char_p, size),
        "host_feed": (u32, engine, ctypes.c_char_p, size, u32),
        "host_pull": (size, engine, data, size, u32),
        "host_next_size": (i32, engine),
        "host_recv": (u32, engine, data),
        "host_state": (ctypes.c_int, engine),
        "host_ended": (ctypes.c_int, engine),
        "host_peer_version": (ctypes.c_int, engine),
        "host_stat_names": (ctypes.c_char_p,),
        "picolink_start": (None, engine, size, u32),
        "picolink_end": (ctypes.c_bool, engine),
        "picolink_record_limit": (size, engine),
        "picolink_take_flags": (u32, engine),
        "picolink_wait": (i32, engine, u32),
        "picolink_pending": (size, engine),
        "picolink_acknowledged": (ctypes.c_uint16, engine),
        "picolink_stats": (ctypes.POINTER(u32), engine),
    }
    for name, (result, *arguments) in signatures.items():
        function = getattr(library, name)
        function.restype = result
        function.argtypes = arguments
    return library


def _checked(name, value, low, high):
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be an int, not {value!r}")
    if not low <= value <= high:
        raise ValueError(f"{name} must be {low} to {high}, not {value}")
    return value


def _ring_size(name, value):
    _checked(name, value, 256, 32768)
    if value & (value - 1):
        raise ValueError(f"{name} must be a power of two from 256 to 32768, not {value}")
    return value


class HostEngine:
    """picolink.pyengine.Engine, done by native/picolink.c."""

    def __init__(self, session, tx_size=8192, rx_size=8192, window=4096):
        _checked("session", session, 1, 0xFFFFFFFF)
        _ring_size("tx_size", tx_size)
        _ring_size("rx_size", rx_size)
        _checked("window", window, 256, 65535)
        self._c = _library()
        self._engine = self._c.host_new(session, tx_size, rx_size, window)

    def __del__(self):
        if getattr(self, "_engine", None):
            self._c.host_free(self._engine)

    def start(self, mtu, now):
        self._c.picolink_start(self._engine, _checked("mtu", mtu, 23, 517), now)

    def send(self, data, channel=0):
        if isinstance(data, str):
            data = data.encode()
        if not isinstance(data, bytes | bytearray | memoryview | array) or memoryview(data).itemsize != 1:
            raise TypeError(f"a message must be bytes, bytearray, memoryview or str, not {data!r}")
        _checked("channel", channel, 0, 15)
        sent = self._c.host_send(self._engine, channel, bytes(data), len(data))
        if sent == 2:
            limit = self._c.picolink_record_limit(self._engine)
            raise ValueError(f"a message of {len(data)} bytes never fits: {limit} with its header at most")
        return sent == 0

    def end(self):
        return self._c.picolink_end(self._engine)

    def readable(self):
        return self._c.host_next_size(self._engine) >= 0

    def recv(self):
        size = self._c.host_next_size(self._engine)
        if size < 0:
            return None
        buf = (ctypes.c_uint8 * size)()
        channel = self._c.host_recv(self._engine, buf)
        return channel, bytes(buf)

    def recv_into(self, buf):
        size = self._c.host_next_size(self._engine)
        if size < 0:
            return -1
        if len(buf) < size:
            raise ValueError(f"the next message has {size} bytes, the buffer only {len(buf)}")
        channel = self._c.host_recv(self._engine, (ctypes.c_uint8 * size).from_buffer(buf))
        return channel << 16 | size

    def pull_into(self, buf, now):
        if len(buf) < PULL_MAX:
            raise ValueError(f"the packet buffer must have {PULL_MAX} bytes, not {len(buf)}")
        return self._c.host_pull(self._engine, (ctypes.c_uint8 * PULL_MAX).from_buffer(buf), PULL_MAX, now)

    def feed(self, packet, now):
        return self._c.host_feed(self._engine, bytes(packet), len(packet), now)

    def take_flags(self):
        return self._c.picolink_take_flags(self._engine)

    def wait(self, now):
        return self._c.picolink_wait(self._engine, now)

    @property
    def state(self):
        return self._c.host_state(self._engine)

    @property
    def ended(self):
        return bool(self._c.host_ended(self._engine))

    @property
    def peer_version(self):
        return self._c.host_peer_version(self._engine)

    def pending(self):
        return self._c.picolink_pending(self._engine)

    def acknowledged(self):
        return self._c.picolink_acknowledged(self._engine)

    def stats(self):
        names = self._c.host_stat_names().decode().split()
        return dict(zip(names, self._c.picolink_stats(self._engine)[: len(names)], strict=True))
