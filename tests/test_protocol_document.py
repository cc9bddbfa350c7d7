"""docs/protocol.md against the vectors and the engine."""

import json
import re
from pathlib import Path

from picolink import pyengine

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
    for name in pyengine.Engine(1).stats():
        assert re.search(rf"\b{name}\b", DOCUMENT), name
