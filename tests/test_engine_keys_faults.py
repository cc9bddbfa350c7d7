"""Faults put into the C engine's keys: the tests of test_engine_keys.py must find each of them."""

import importlib.util
import inspect
import struct

import engines
import pytest
import test_engine_keys
from cryptography.exceptions import InvalidTag
from picolink_pc import c_engine

# In the C engine: what to find, and what to put there.
FAULTS = {
    "a nonce is used again": ("put16(packet + HEADER, keys->sent++);", "put16(packet + HEADER, keys->sent);"),
    "the tag of empty packets is not checked": (
        "if (picolink_same_tag(tag, packet + size - PICOLINK_CCM_TAG)) {",
        "if (size == KEYED_OVERHEAD || picolink_same_tag(tag, packet + size - PICOLINK_CCM_TAG)) {",
    ),
    "the header is not authenticated": ("nonce, packet, KEYED_HEADER,", "nonce, packet, 0,"),
    "half of the tag is compared": (
        "i < PICOLINK_CCM_TAG; i++) {\n        differs",
        "i < 4; i++) {\n        differs",
    ),
    "a side without a key is served": (
        "(packet[0] & KIND) == (is_keyed(engine) ? KIND_KEYED : KIND_HELLO)",
        "(packet[0] & KIND) == KIND_KEYED || (packet[0] & KIND) == KIND_HELLO",
    ),
    "a packet may come twice": ("if (counter < keys->next) {", "if (counter + 1 < keys->next) {"),
    "a proof is not looked at": ("(!is_keyed(engine) || is_proven(", "(true || is_proven("),
    "BYE needs no proof": ("(open && is_keyed(engine) &&", "(open && false &&"),
    "both directions have one key": (
        "derive(keys->key, &peer, &own, keys->in);",
        "derive(keys->key, &own, &peer, keys->in);",
    ),
    "the random stays": ("put32(message + 1, keys->handshakes++);", "put32(message + 1, keys->handshakes);"),
    "a key lasts for ever": ("if (keys->sent == COUNTERS) {", "if (false) {"),
    "the identity is not proved": (
        "memcpy(message + RANDOM_AT + 2 * PICOLINK_RANDOM_BYTES, self, sizeof(*self));",
        "memset(message + RANDOM_AT + 2 * PICOLINK_RANDOM_BYTES, 0, sizeof(*self));",
    ),
    "an echo is the partner": (
        "!same_identity(engine->heard_self.identity, engine->self.identity))",
        "true)",
    ),
    "another link of this device is the partner": (
        "(session != engine->session && !is_keyed(engine))",
        "session != engine->session",
    ),
    "a later IDENTITY counts for BYE": ("&engine->keys->peer_self, bye", "&engine->heard_self, bye"),
    "anybody can begin anew": (
        "if (is_keyed(engine) && !proven &&\n            (session",
        "if (false &&\n            (session",
    ),
    "small packets": ("engine->self.largest < KEYED_LARGEST_MIN", "engine->self.largest < 46"),
}


def checks():
    """(function, arguments besides the engine) of each test there."""
    for name, function in vars(test_engine_keys).items():
        if not name.startswith("test_"):
            continue
        values = [()]
        for mark in getattr(function, "pytestmark", ()):
            values = [value if isinstance(value, tuple) else (value,) for value in mark.args[1]]
        for value in values:
            yield function, value


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found(fault, tmp_path, monkeypatch):
    right, wrong = FAULTS[fault]
    sources = []
    for source in c_engine.CORE:
        text = source.read_text()
        copy = tmp_path / source.name
        copy.write_text(text.replace(right, wrong))
        sources.append(copy)
    changed = [
        copy.name
        for copy, source in zip(sources, c_engine.CORE, strict=True)
        if copy.read_text() != source.read_text()
    ]
    assert len(changed) == 1, "the code that it is put into has changed"
    library = c_engine.extension(tmp_path / "made", sources, ["-O0"])
    spec = importlib.util.spec_from_file_location("_picolink", library)
    faulty = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(faulty)
    monkeypatch.setitem(engines.IN_PROCESS, "faulty", faulty.Engine)
    found = []
    for function, value in checks():
        assert next(iter(inspect.signature(function).parameters)) == "engine"
        try:
            function("faulty", *value)
        except (AssertionError, InvalidTag, struct.error, pytest.fail.Exception):
            found.append(function.__name__)
    assert found
