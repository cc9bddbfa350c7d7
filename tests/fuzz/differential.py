"""The C engine and the Python engine, on whatever the fuzz targets make of an input: same values, same bytes.

    python tests/fuzz/differential.py TARGET INPUT...

A fuzz target (fuzz_feed.c, fuzz_structured.c) turns the bytes of an input into calls on C engines, and writes
down each call with its result. Here the Python engine gets the same calls. For each INPUT this prints the
calls, up to the first difference.
"""

import ctypes
import struct
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
if str(HERE.parent) not in sys.path:
    sys.path.insert(0, str(HERE.parent))

import host_engine  # noqa: E402
from picolink import pyengine  # noqa: E402
from picolink_pc import c_engine  # noqa: E402

FOLDER = c_engine.OUT / "fuzz" / "compared"
_HEAD = struct.Struct("<BcIIiI")
_NEVER = 2  # picolink_send_t


class _Notes(ctypes.Structure):
    _fields_ = (("bytes", ctypes.c_void_p), ("size", ctypes.c_size_t), ("capacity", ctypes.c_size_t))


def build(
    target: str, sanitized: bool = False, folder: Path = FOLDER, core: Iterable[Path] = c_engine.CORE
) -> Path:
    """Compile the shared library of a fuzz target into a folder. Returns its path."""
    name = f"{target}-sanitized" if sanitized else target
    sources = (HERE / f"fuzz_{target}.c", HERE / "side.c", *core)
    flags = host_engine.SANITIZERS if sanitized else ()
    included = [HERE / "check.h", HERE / "side.h", HERE / "fuzz_structured.c"]
    return c_engine.shared_library(folder / f"lib{name}.so", sources, flags, included)


def load(path: Path) -> ctypes.CDLL:
    """The library of a fuzz target. A check that fails in it ends the process."""
    library = ctypes.CDLL(str(path))
    library.LLVMFuzzerTestOneInput.argtypes = (ctypes.c_char_p, ctypes.c_size_t)
    return library


@cache
def _library(target: str) -> ctypes.CDLL:
    return load(build(target))


def calls(target: str, data: bytes) -> Iterator[tuple]:
    """What the fuzz target does with this input: (side, call, a, b, result, bytes) of each call."""
    notes = _Notes()
    pointer = ctypes.c_void_p.in_dll(_library(target), "notes")
    pointer.value = ctypes.addressof(notes)
    _library(target).LLVMFuzzerTestOneInput(data, len(data))
    pointer.value = None
    written = ctypes.string_at(notes.bytes, notes.size)
    ctypes.CDLL(None).free(ctypes.c_void_p(notes.bytes))
    at = 0
    while at < len(written):
        side, call, a, b, result, size = _HEAD.unpack_from(written, at)
        at += _HEAD.size
        yield side, call.decode(), a, b, result, written[at : at + size]
        at += size


class Repeater:
    """Python engines that get the calls of a fuzz target."""

    def __init__(self, kind=pyengine.Engine):
        self.kind = kind
        self.engines = {}
        self.buf = bytearray(236)

    def repeat(self, side, call, a, b, data):
        """One call. Returns (result, bytes), as the C engine would."""
        engine = self.engines.get(side)
        if call == "N":
            tx_size, rx_size, commit, identity = struct.unpack("<III8s", data)
            self.engines[side] = self.kind(a, identity, tx_size, rx_size, b, bool(commit))
        elif call == "A":
            _age(engine, *struct.unpack("<IIII", data))
        elif call == "S":
            engine.start(a, b)
        elif call == "s":
            return _sent(engine, data, a), data
        elif call == "P":
            engine.set_partner(data or None)
        elif call == "b":
            engine.bye(a)
        elif call == "m":
            return _committed(engine), data
        elif call == "e":
            return int(engine.end()), data
        elif call == "p":
            size = engine.pull_into(self.buf, a)
            return size, bytes(self.buf[:size])
        elif call == "f":
            return engine.feed(data, a), data
        elif call == "t":
            return engine.take_flags(), data
        elif call == "r":
            first, message = engine.recv(True) or (0, None)
            return (-1, b"") if message is None else (len(message), message) if first == a else (-2, b"")
        elif call == "w":
            levels = engine.state, int(engine.ended), engine.peer_version, engine.pending(), engine.reason
            return engine.wait(a), struct.pack("<6I", *levels, (engine.partner or b"\0")[0])
        elif call == "c":
            counters = engine.stats().values()
            return 0, struct.pack(f"<{len(counters)}I", *counters)
        else:
            raise ValueError(f"no such call: {call}")
        return 0, data


def _sent(engine, data, first):
    try:
        return 0 if engine.send(data, first & 15, first >> 4) else 1
    except ValueError:
        return _NEVER


def _committed(engine):
    try:
        engine.commit()
    except ValueError:
        return 0
    return 1


def _age(engine, tx_by, rx_by, sent, taken):
    """side_age() of side.h."""
    for name in ("_tail", "_una", "_nxt", "_high", "_head", "_edge", "_peer_committed"):
        setattr(engine, name, getattr(engine, name) + tx_by & 0xFFFF)
    if engine._gap_end >= 0:
        engine._gap_end = engine._gap_end + tx_by & 0xFFFF
    for name in ("_read", "_whole", "_rcv", "_kept", "_kept_end", "_edge_sent", "_committed"):
        setattr(engine, name, getattr(engine, name) + rx_by & 0xFFFF)
    engine._tx_base = engine._tx_base + tx_by - sent & 0xFFFF
    engine._rx_base = engine._rx_base + rx_by - taken & 0xFFFF


def compare(
    target: str, data: bytes, kind: type = pyengine.Engine, show: Callable[[str], object] | None = None
) -> int:
    """Raise AssertionError at the first call that does not give the same. Returns the number of calls.

    show: called with a line for each call.
    """
    repeater = Repeater(kind)
    count = 0
    for side, call, a, b, result, written in calls(target, data):
        given = repeater.repeat(side, call, a, b, written)
        if show:
            show(f"{side} {call} {a} {b} {result} {written.hex()}")
        if given != (result, written):
            raise AssertionError(
                f"input {data.hex()} of fuzz_{target}, call {count}: {call} {a} {b} on side {side}\n"
                f"C:      {result} {written.hex()}\nPython: {given[0]} {given[1].hex()}"
            )
        count += 1
    return count


if __name__ == "__main__":
    for path in sys.argv[2:]:
        print(path)
        compare(sys.argv[1], Path(path).read_bytes(), show=print)
