"""A short run of the fuzz targets: the corpus, and a fixed number of changes of it. Long: make fuzz."""

from itertools import islice

import engines
import host_engine
import pytest
from fuzz import differential, inputs, object_differential
from picolink import objects
from picolink_pc import c_engine

pytestmark = pytest.mark.slow

COMPARED = 500  # changed inputs
CHECKED = 5000

# A fault is in one file. The others are compiled once, into a library that its library needs.
REST = differential.FOLDER / "rest"
QUICKLY = (*host_engine.SANITIZERS, "-O0")

CHECK = """
import sys
from itertools import chain, islice
from fuzz import differential, inputs

target, library, changed = sys.argv[1], differential.load(sys.argv[2]), int(sys.argv[3])
corpus = inputs.corpus(target)
for data in chain(corpus, islice(inputs.mutants(corpus, 1), changed)):
    library.LLVMFuzzerTestOneInput(data, len(data))
"""

# Faults of the C engine that the corpus alone must show: the target, what stands there, what instead. From
# "a forged credit" on they are what version 1 did, or had not.
FAULTS = {
    "short packets": ("feed", "size < OVERHEAD || ", ""),
    "more than the ring holds": (
        "structured",
        "uint32_t room = ring_size(&engine->rx) - unread(engine);",
        "uint32_t room = ring_size(&engine->rx);",
    ),
    "a step over the ring's end": (
        "structured",
        "uint32_t straight = ring_straight(ring, offset, size);",
        "uint32_t straight = size;",
    ),
    "any acknowledgement": (
        "structured",
        "if (distance(engine->una, pos) > distance(engine->una, engine->high)) {\n        return false;",
        "if (false) {\n        return false;",
    ),
    "a second gap is taken": ("structured", "if (pos != engine->kept_end) {", "if (false) {"),
    "a gap that never was": (
        "structured",
        "most_credit = most(distance(pos, engine->high), 1) - 1;",
        "most_credit = BEHIND;",
    ),
    "a forged credit": (
        "structured",
        "engine->extra |= FLAG_OVERRUN;\n        engine->ack_now = true;\n        if (ahead || !room) {",
        "if (true) {",
    ),
    "a forged acknowledgement": (
        "structured",
        "} else if (!left_since(DOUBT_MS, now, engine->doubt_at)) {",
        "} else if (false) {",
    ),
    "a tag far ahead": ("structured", "(uint8_t)(hello[3] - engine->tag) <= 0x80)", "false)"),
    "a packet of an earlier session": (
        "structured",
        "picolink_crc32(0, sides, sizeof(sides));",
        "picolink_crc32(0, sides + 8, 4);",
    ),
    "forged gaps": ("structured", "        if (engine->gap_known) {\n", "        if (false) {\n"),
    "no credit while there is a gap": (
        "structured",
        "if (credit > distance(pos, engine->edge)) {",
        "if (!(flags & FLAG_GAP) && credit > distance(pos, engine->edge)) {",
    ),
    "the same session id": (
        "structured",
        "if (is_nonsense(engine, packet, size)) {",
        "if (is_nonsense(engine, packet, size) || get32(packet + 4) == engine->session) {",
    ),
    "a stranger": ("structured", "if (is_stranger(engine, identity)) {", "if (false) {"),
    "the stream that made no sense": ("structured", "if (engine->broken) {", "if (false) {"),
    "a tag is not checked": (
        inputs.KEYED,
        "if (picolink_same_tag(tag, packet + size - PICOLINK_CCM_TAG)) {",
        "if (true) {",
    ),
    "what is not committed": ("structured", "if (!engine->peer_commits) {", "if (true) {"),
}


OBJECT_FAULTS = {
    "announced items are not counted": ("msgpack.c", "return owed <= left;", "return true;"),
    "announced bytes are not there": ("msgpack.c", "if (low > left) {", "if (false) {"),
    "a number that is cut off": ("msgpack.c", " || width > left", ""),
    "no end of depth": ("objects.c", "unpack_next(reader, depth - 1)", "unpack_next(reader, depth)"),
    "a dict with room for fewer": ("objects.c", "mp_obj_new_dict(left)", "mp_obj_new_dict(left / 2)"),
    "more than there is room for": (
        "objects.c",
        "out->room >= size && out->size <= out->room - size",
        "true",
    ),
}


def check(target, library, changed=0):
    """Run a target with sanitizers in a process of its own, which ends at a finding."""
    return engines.python_with_sanitizers("-c", CHECK, target, library, changed)


@pytest.mark.parametrize("target", (*inputs.TARGETS, inputs.KEYED))
def test_no_finding(target):
    process = check(target, differential.build(target, sanitized=True), CHECKED)
    assert process.returncode == 0, process.stderr


def test_no_finding_in_objects():
    process = check(inputs.OBJECTS, object_differential.build(sanitized=True), CHECKED)
    assert process.returncode == 0, process.stderr


def test_objects_in_c_and_python_are_the_same():
    corpus = inputs.corpus(inputs.OBJECTS)
    for data in (*corpus, *islice(inputs.mutants(corpus, 3), CHECKED)):
        object_differential.compare(data)


@pytest.mark.parametrize("target", inputs.TARGETS)
def test_both_engines_do_the_same(target):
    corpus = inputs.corpus(target)
    assert corpus
    for data in corpus:
        differential.compare(target, data)
    for _, data in zip(range(COMPARED), inputs.mutants(corpus, 2), strict=False):
        differential.compare(target, data)


def check_changed(target, right, wrong, folder):
    """check() with a change in the engine's largest file."""
    core, *others = c_engine.CORE
    text = core.read_text()
    assert right in text
    (folder / core.name).write_text(text.replace(right, wrong))
    rest = differential.build(target, True, REST, others)
    library = c_engine.shared_library(folder / "libchanged.so", (folder / core.name, rest), QUICKLY)
    return check(target, library)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found(fault, tmp_path):
    process = check_changed(*FAULTS[fault], tmp_path)
    assert process.returncode != 0
    assert "failed check" in process.stderr or "Sanitizer" in process.stderr


@pytest.mark.parametrize("target", (*inputs.TARGETS, inputs.KEYED))
def test_without_a_fault_nothing_is_found(target, tmp_path):
    process = check_changed(target, "", "", tmp_path)
    assert process.returncode == 0, process.stderr


@pytest.mark.parametrize("fault", OBJECT_FAULTS)
def test_a_fault_in_objects_is_found(fault, tmp_path):
    name, right, wrong = OBJECT_FAULTS[fault]
    sources = []
    for path in object_differential.SOURCES:
        text = path.read_text()
        assert path.name != name or right in text
        sources.append(tmp_path / path.name)
        sources[-1].write_text(text.replace(right, wrong) if path.name == name else text)
    process = check(inputs.OBJECTS, object_differential.build(True, tmp_path, sources), CHECKED)
    assert process.returncode != 0
    assert "failed check" in process.stderr or "Sanitizer" in process.stderr


def test_a_difference_in_objects_is_found(monkeypatch):
    monkeypatch.setattr(objects, "_DEPTH", 17)
    with pytest.raises(AssertionError, match="C gives -1"):
        object_differential.compare(b"\x91" * 16 + b"\x90")


def test_a_difference_is_found():
    class Slower(engines.IN_PROCESS["python"]):
        def wait(self, now):
            wait = super().wait(now)
            return 31 if wait == 30 else wait

    with pytest.raises(AssertionError, match="of fuzz_structured, call"):
        for data in inputs.corpus("structured"):
            differential.compare("structured", data, Slower)
