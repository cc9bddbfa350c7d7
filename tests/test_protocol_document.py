"""docs/protocol.md against the vectors and the engine."""

import json
import re
import zlib
from pathlib import Path

from picolink import flags, pyengine

ROOT = Path(__file__).parent.parent
DOCUMENT = (ROOT / "docs/protocol.md").read_text()


def test_worked_example_is_the_hello_vector():
    steps = json.loads((ROOT / "tests/vectors/hello.json").read_text())["steps"]
    packets = [step[3] for step in steps if step[1] == "pull_into" and step[3]]
    example = DOCUMENT[DOCUMENT.index("## Worked example") :]
    shown = [
        text.replace(" ", "")
        for text in re.findall(r"^\| \d+ \| [AB] \| `([0-9a-f ]+)` \|", example, re.MULTILINE)
    ]
    assert shown == packets


def test_every_counter_is_explained():
    for name in pyengine.Engine(1, b"identity").stats():
        assert re.search(rf"\b{name}\b", DOCUMENT), name


def test_worked_example_has_right_crcs():
    example = DOCUMENT[DOCUMENT.index("## Worked example") :]
    start, packet, again, crc = re.search(
        r'fromhex\("([0-9a-f ]+)"\)\) == (0x\w+)`.*?fromhex\("([0-9a-f]+)"\), (0x\w+)\) == (0x\w+)',
        example,
        re.DOTALL,
    ).group(1, 3, 4, 5)
    assert zlib.crc32(bytes.fromhex(start)) == int(again, 16)
    assert zlib.crc32(bytes.fromhex(packet), int(again, 16)) == int(crc, 16)
    assert packet + int(crc, 16).to_bytes(4, "little").hex() in example.replace(" ", "")


def test_every_counter_has_its_row():
    rows = re.findall(r"^\| ([a-z_, ]+) \|", DOCUMENT, re.MULTILINE)
    named = [
        name for row in rows for name in row.split(", ") if name in pyengine.Engine(1, b"identity").stats()
    ]
    assert sorted(named) == sorted(pyengine.Engine(1, b"identity").stats())


def test_flags_and_reasons_are_those_of_the_code():
    for name, value in vars(flags).items():
        if (
            name in ("IDLE", "GREETING", "OPEN", "CLOSED", "BYTES", "TEXT", "OBJECT", "NEWEST")
            or not name.isupper()
            or not isinstance(value, int)
        ):
            continue
        known = (
            f"{name} 0x{value:02X}".lower(),
            f"{name} 0x{value:03x}".lower(),
            f"| {value} | {name} |".lower(),
        )
        assert any(text in DOCUMENT.lower() for text in known), name
