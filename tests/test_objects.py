"""Objects as MessagePack: shared vectors, PyPI's msgpack, C beside Python, and what hostile bytes cost."""

import json
import random
import runpy
import subprocess
import tracemalloc

import engines
import msgpack
import objects_suite
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from picolink import objects

FOLDER = engines.TESTS / "vectors/objects"
VECTORS = FOLDER / "messagepack.json"

FLOATS = st.floats(width=32) | st.integers(-(2**20), 2**20).map(float)
KEYS = st.text(max_size=40) | st.integers(-(2**63), 2**64 - 1)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | FLOATS
    | st.text()
    | st.binary(max_size=300),
    lambda inside: st.lists(inside, max_size=20) | st.dictionaries(KEYS, inside, max_size=20),
    max_leaves=30,
)


def test_the_file_is_what_its_script_writes():
    assert runpy.run_path(str(FOLDER / "make.py"))["text"]() == VECTORS.read_text()


@pytest.mark.parametrize("module", ["picolink.objects", "_picolink"])
def test_vectors_on_micropython(module):
    process = engines.micropython("objects_suite.py", module, str(VECTORS))
    assert (process.returncode, process.stdout.split()[0]) == (0, "ok"), process.stderr


def test_vectors_on_cpython():
    assert objects_suite.play(objects, VECTORS) > 150


def on_javascript(*files):
    node = ["node", "objects.mjs", *map(str, files)]
    done = subprocess.run(
        node, cwd=engines.TESTS / "web", capture_output=True, text=True, check=False, timeout=300
    )
    return done.stdout.splitlines()


def test_vectors_in_javascript():
    assert on_javascript(VECTORS) == [f"ok {VECTORS}"]


def test_a_wrong_vector_is_found(tmp_path):
    data = json.loads(VECTORS.read_text())
    last = data["steps"][-1]
    last[-1] += 1
    path = tmp_path / "wrong.json"
    path.write_text(json.dumps(data))
    assert "step" in on_javascript(path)[0]
    with pytest.raises(AssertionError, match="step"):
        objects_suite.play(objects, path)


def without_fraction(value):
    """Whether JavaScript takes a float in it for an int."""
    if isinstance(value, dict):
        return any(map(without_fraction, value.values()))
    if isinstance(value, list):
        return any(map(without_fraction, value))
    return isinstance(value, float) and (value != value or value.is_integer())


def is_packed(value):
    """Whether no float in it is too large."""
    try:
        objects.pack(value)
    except ValueError:
        return False
    return True


def refused(data):
    return objects_suite.step(objects, "refuse", data.hex(), None)


@settings(max_examples=300, deadline=None)
@given(VALUES)
def test_the_bytes_are_those_of_msgpack(value):
    data = msgpack.packb(value, use_single_float=True)
    assert objects.pack(value) == data
    assert objects_suite.same(objects.unpack(data), value)
    double = msgpack.packb(value)
    assert objects_suite.same(objects.unpack(double), value)


def changed(data, at, byte):
    at = int(at * len(data))
    return data[:at] + byte + data[at + 1 :]


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=20), VALUES.map(objects.pack), st.floats(0, 1), st.binary(min_size=1, max_size=1))
def test_what_is_taken_is_what_msgpack_makes_of_it(noise, data, at, byte):
    for bad in noise, changed(data, at, byte):
        compare(bad)


def compare(data):
    try:
        value = objects.unpack(data)
    except ValueError as error:
        assert "at byte" in str(error)
        return
    assert objects_suite.same(value, msgpack.unpackb(data, strict_map_key=False))


def test_javascript_does_the_same_with_anything(tmp_path):
    numbers = random.Random(1)
    steps = []
    packed = [
        bytes.fromhex(step[2][0]) for step in json.loads(VECTORS.read_text())["steps"] if step[1] != "pack"
    ]
    for _ in range(5000):
        data = bytearray(numbers.choice(packed)[:60])
        for _ in range(numbers.randrange(4)):
            data.insert(
                numbers.randrange(len(data) + 1), numbers.choice((0x92, 0x82, 0xCA, *numbers.randbytes(2)))
            )
            del data[numbers.randrange(len(data))]
        at = refused(data)
        if at is not None:
            steps.append(["", "refuse", [data.hex()], at])
            continue
        value = objects.unpack(data)
        steps.append(["", "unpack", [data.hex()], objects_suite.tagged(value)])
        if not without_fraction(value) and is_packed(value):
            steps.append(["", "pack", [objects_suite.tagged(value)], objects.pack(value).hex()])
    assert len({step[1] for step in steps}) == 3
    path = tmp_path / "steps.json"
    path.write_text(json.dumps({"steps": steps}))
    assert on_javascript(path) == [f"ok {path}"]


@pytest.mark.parametrize("seed", range(3))
def test_c_and_python_do_the_same_on_micropython(seed):
    process = engines.micropython("objects_differential.py", str(seed), "1000")
    assert process.returncode == 0, process.stderr
    counts = [int(word) for word in process.stdout.split()[1::2]]
    assert all(count > 50 for count in counts)


CLAIMS = [
    *(bytes([code]) + b"\xff" * 4 for code in (0xDB, 0xC6, 0xDD, 0xDF)),
    b"\xdd\xff\xff\xff\xff" * 3000,
    b"\xdc\x27\x10" + b"\xdc\x27\x10" * 3333 + b"\0",
    b"\x91" * 10_000,
]


@pytest.mark.parametrize("data", CLAIMS, ids=range(len(CLAIMS)))
def test_claims_cost_nothing(data):
    tracemalloc.start()
    try:
        assert refused(data) is not None
        assert tracemalloc.get_traced_memory()[1] < 10_000 + 4 * len(data)
    finally:
        tracemalloc.stop()


CLAIMED = """
import gc
import _picolink
import picolink.objects
from binascii import unhexlify

data = unhexlify({!r})
gc.collect()
gc.disable()
before = gc.mem_alloc()
try:
    _picolink.unpack(data)
except ValueError:
    pass
print(gc.mem_alloc() - before)
"""


def test_claims_cost_nothing_on_a_board():
    for data in CLAIMS:
        process = engines.micropython("-c", CLAIMED.format(data.hex()))
        assert int(process.stdout) < 5000 + 9 * len(
            data
        )  # a word for each item that may come, process.stderr
