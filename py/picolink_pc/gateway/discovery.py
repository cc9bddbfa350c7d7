"""Home Assistant's discovery: what a board declares in its panel (picolink_pc.panel) appears there."""

import importlib.metadata
import json

from .. import panel
from . import topics
from .store import Outgoing

_STATE, _COMMAND = 1, 2
_WAYS = {
    "sensor": _STATE,
    "binary_sensor": _STATE,
    "switch": _STATE | _COMMAND,
    "number": _STATE | _COMMAND,
    "select": _STATE | _COMMAND,
    "text": _STATE | _COMMAND,
    "button": _COMMAND,
}
"""What Home Assistant has: no joystick."""

_PAYLOADS = {
    "binary_sensor": {"payload_on": "true", "payload_off": "false"},
    "switch": {"payload_on": "true", "payload_off": "false"},
    "button": {"payload_press": "true"},
}
_FIELDS = {"unit": "unit_of_measurement", "min": "min", "max": "max", "step": "step", "options": "options"}


def configs(
    declared: object, home: str, prefix: str, board: str, identity: str, gateway: str
) -> list[Outgoing]:
    """The discovery messages for a panel.

    home: Home Assistant's prefix.   identity: of the board.  Raises panel.PanelError.
    """
    return [
        _config(item, home, prefix, board, identity, gateway)
        for item in panel.read(declared)
        if item["type"] in _WAYS
    ]


def _config(
    item: dict[str, object], home: str, prefix: str, board: str, identity: str, gateway: str
) -> Outgoing:
    name, component = item["name"], item["type"]
    ways = _WAYS[component]
    node = f"picolink_{identity}"
    entity_id = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in name)
    filled = {
        "name": name,
        "unique_id": f"{node}_{entity_id}",
        "availability": [
            {"topic": topics.availability(prefix, board)},
            {"topic": topics.gateway(prefix, gateway)},
        ],
        "availability_mode": "all",
        "qos": 1,
        "device": {"identifiers": [node], "name": board},
        "origin": {"name": "picolink", "sw_version": importlib.metadata.version("picolink")},
        **_PAYLOADS.get(component, {}),
        **{theirs: item[ours] for ours, theirs in _FIELDS.items() if item.get(ours) not in (None, "")},
    }
    if ways & _STATE:
        filled["state_topic"] = topics.value(prefix, board, name)
    if ways & _COMMAND:
        channel = item.get("channel")
        filled["command_topic"] = topics.command(prefix, board, name if channel is None else str(channel))
    more = item["homeassistant"] or {}
    for key in more:
        if key in filled or key.endswith("topic"):
            raise panel.PanelError(f'"{name}": homeassistant cannot set {key}: the gateway does')
    topic = f"{home}/{component}/{node}/{entity_id}/config"
    return Outgoing(topic, json.dumps(more | filled, ensure_ascii=False).encode(), retain=True)
