"""A short run of the fuzz targets: the corpus, and a fixed number of changes of it. Long: make fuzz."""

import engines
import host_engine
import pytest
from fuzz import differential, inputs

COMPARED = 500  # changed inputs
CHECKED = 5000

CHECK = """
import sys
from itertools import chain, islice
from fuzz import differential, inputs

target, library, changed = sys.argv[1], differential.load(sys.argv[2]), int(sys.argv[3])
corpus = inputs.corpus(target)
for data in chain(corpus, islice(inputs.mutants(corpus, 1), changed)):
    library.LLVMFuzzerTestOneInput(data, len(data))
"""

# Faults of the C engine that the corpus alone must show: the target, what stands there, what instead.
FAULTS = {
    "short packets": ("feed", "size < OVERHEAD || ", ""),
    "more than the ring holds": (
        "structured",
        "ahead + size > ring_size(&engine->rx) - unread(engine)",
        "ahead + size > ring_size(&engine->rx)",
    ),
    "a step over the ring's end": (
        "structured",
        "uint32_t straight = ring_straight(ring, offset, size);",
        "uint32_t straight = size;",
    ),
    "any acknowledgement": (
        "structured",
        "if (distance(engine->una, pos) > distance(engine->una, engine->high)) {",
        "if (false) {",
    ),
    "a second gap is taken": ("structured", "if (pos != engine->kept_end) {", "if (false) {"),
    "a gap that never was": ("structured", "!credit || credit >= distance(pos, engine->high)", "!credit"),
}


def check(target, library, changed=0):
    """Run a target with sanitizers in a process of its own, which ends at a finding."""
    return engines.python_with_sanitizers("-c", CHECK, target, library, changed)


@pytest.mark.parametrize("target", inputs.TARGETS)
def test_no_finding(target):
    process = check(target, differential.build(target, sanitized=True), CHECKED)
    assert process.returncode == 0, process.stderr


@pytest.mark.parametrize("target", inputs.TARGETS)
def test_both_engines_do_the_same(target):
    corpus = inputs.corpus(target)
    assert corpus
    for data in corpus:
        differential.compare(target, data)
    for _, data in zip(range(COMPARED), inputs.mutants(corpus, 2), strict=False):
        differential.compare(target, data)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found(fault, tmp_path, monkeypatch):
    core = (host_engine.ROOT / "native/picolink.c").read_text()
    target, right, wrong = FAULTS[fault]
    assert right in core
    (tmp_path / "picolink.c").write_text(core.replace(right, wrong))
    monkeypatch.setattr(host_engine, "CORE", [tmp_path / "picolink.c", host_engine.ROOT / "native/crc32.c"])
    monkeypatch.setattr(host_engine, "OUT", tmp_path)
    process = check(target, differential.build(target, sanitized=True))
    assert process.returncode != 0
    assert "failed check" in process.stderr or "Sanitizer" in process.stderr


def test_a_difference_is_found():
    class Slower(engines.IN_PROCESS["python"]):
        def wait(self, now):
            wait = super().wait(now)
            return 31 if wait == 30 else wait

    with pytest.raises(AssertionError, match="of fuzz_structured, call"):
        for data in inputs.corpus("structured"):
            differential.compare("structured", data, Slower)
