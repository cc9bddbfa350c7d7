"""What a board declares: Python and JavaScript read the same; the gateway tells Home Assistant."""

import json
import random
from pathlib import Path

import engines
import pytest
from picolink import pack, unpack
from picolink_pc import panel
from picolink_pc.as_text import as_bytes
from picolink_pc.gateway import discovery

TESTS = Path(__file__).parent
PANELS = TESTS / "panels.json"
CASES = json.loads(PANELS.read_text())


def read(declared):
    try:
        return {"items": panel.read(declared)}
    except panel.PanelError as error:
        return {"error": str(error)}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_python_reads_a_panel(case):
    assert read(case["panel"]) == {key: case[key] for key in case if key in ("items", "error")}


def read_in_javascript(file):
    """What came of each panel in a file, by its name; all that was printed."""
    engines.product(TESTS.parent / "build/out/web/panel.js", "web")
    done = engines.run(["node", TESTS / "web/panels.mjs", file], None)
    lines = done.stdout.rstrip("\n").split("\n")
    return {
        name: json.loads(found) for name, _, found in (line.partition("\t") for line in lines)
    }, done.stderr


@pytest.fixture(scope="module")
def in_javascript():
    return read_in_javascript(PANELS)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_javascript_reads_the_same(in_javascript, case):
    found, errors = in_javascript
    assert found.get(case["name"]) == {key: case[key] for key in case if key in ("items", "error")}, errors


WORDS = (
    "",
    "x",
    "sensor",
    "joystick",
    "°C",
    "🚗" * 13,
    "a" * 41,
    "7",
    "a/b",
    "\n",
    "\u2028",
    '"\\',
    "__proto__",
)
NUMBERS = (0, 1, -1, 14, 15, 10**9, 10**9 + 1, 2**40, 0.5, -2.5)


def anything(rng, depth=2):
    kind = rng.randrange(6 if depth else 4)
    if kind == 4:
        return [anything(rng, depth - 1) for _ in range(rng.randrange(3))]
    if kind == 5:
        return {rng.choice(WORDS[:6]): anything(rng, depth - 1) for _ in range(rng.randrange(3))}
    return rng.choice((WORDS, NUMBERS, (True, False), (None,))[kind])


def test_both_read_panels_with_random_mistakes_alike(tmp_path):
    rng = random.Random(19)
    right = CASES[0]["panel"]
    cases = []
    for number in range(3000):
        items = [dict(item) for item in rng.sample(right, rng.randrange(4))]
        for item in items:
            if rng.random() < 0.3:
                field = rng.choice([*item, "channel", "unit", "min", "zz", "__proto__"])
                item[field] = anything(rng)
        cases.append({"name": str(number), "panel": items if rng.random() < 0.95 else anything(rng)})
    (tmp_path / "panels.json").write_text(json.dumps(cases))
    found, errors = read_in_javascript(tmp_path / "panels.json")
    expected = {case["name"]: read(case["panel"]) for case in cases}
    assert found == expected, errors
    assert 1000 < sum("items" in each for each in expected.values()) < 2500


def test_a_panel_goes_through_the_air_and_a_broker_unchanged():
    for case in CASES:
        if "items" in case:
            came = unpack(pack({"panel": case["panel"]}))
            assert read(json.loads(as_bytes(came))["panel"]) == {"items": case["items"]}


def configs(declared):
    found = discovery.configs(declared, "homeassistant", "p", "PicoA", "0011", "attic")
    assert all(message.retain for message in found)
    return {message.topic: json.loads(message.payload) for message in found}


def test_home_assistant_gets_all_but_the_joystick():
    found = configs(CASES[0]["panel"])
    assert [topic.split("/")[1:4:2] for topic in found] == [
        ["sensor", "temperature"],
        ["binary_sensor", "door"],
        ["switch", "led"],
        ["number", "speed"],
        ["select", "mode"],
        ["text", "say"],
        ["button", "horn"],
    ]
    sensor = found["homeassistant/sensor/picolink_0011/temperature/config"]
    assert (sensor["unit_of_measurement"], sensor["device_class"]) == ("°C", "temperature")
    assert (sensor["state_topic"], "command_topic" in sensor) == ("p/PicoA/value/temperature", False)
    switch = found["homeassistant/switch/picolink_0011/led/config"]
    assert (switch["state_topic"], switch["command_topic"]) == ("p/PicoA/value/led", "p/PicoA/set/led")
    assert (switch["payload_on"], switch["payload_off"]) == ("true", "false")
    number = found["homeassistant/number/picolink_0011/speed/config"]
    assert (number["command_topic"], number["min"], number["max"], number["step"]) == (
        "p/PicoA/set/2",
        -5,
        5.5,
        0.5,
    )
    assert found["homeassistant/select/picolink_0011/mode/config"]["options"] == ["slow", "fast"]
    assert "state_topic" not in found["homeassistant/button/picolink_0011/horn/config"]


@pytest.mark.parametrize(
    "key", ["state_topic", "json_attributes_topic", "unique_id", "device", "payload_on", "qos"]
)
def test_a_board_cannot_set_what_is_the_gateways(key):
    declared = [{"name": "led", "type": "switch", "homeassistant": {key: "x"}}]
    with pytest.raises(panel.PanelError, match=f'"led": homeassistant cannot set {key}: the gateway does'):
        configs(declared)
