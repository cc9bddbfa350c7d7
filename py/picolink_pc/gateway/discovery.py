"""Home Assistant's discovery: a board declares its sensors and switches in one object, and they appear there.

    {"homeassistant": {"temperature": {"component": "sensor", "unit_of_measurement": "°C"},
                       "led": {"component": "switch"}}}

The rest of each declaration is Home Assistant's own; the topics are filled in here.
"""

import importlib.metadata
import json

from . import topics
from .store import Outgoing

KEY = "homeassistant"

_STATE, _COMMAND = 1, 2
_COMPONENTS = {
    "sensor": _STATE,
    "binary_sensor": _STATE,
    "switch": _STATE | _COMMAND,
    "number": _STATE | _COMMAND,
    "select": _STATE | _COMMAND,
    "text": _STATE | _COMMAND,
    "button": _COMMAND,
}
_PAYLOADS = {
    "binary_sensor": {"payload_on": "true", "payload_off": "false"},
    "switch": {"payload_on": "true", "payload_off": "false"},
    "button": {"payload_press": "true"},
}


class DeclarationError(ValueError):
    """The board declares what cannot be: the text says what."""


def configs(
    declared: object, home: str, prefix: str, board: str, identity: str, gateway: str
) -> list[Outgoing]:
    """The discovery messages for what a board has declared.

    home: Home Assistant's prefix.   identity: of the board.  Raises DeclarationError.
    """
    if not isinstance(declared, dict):
        raise DeclarationError(f"{KEY!r} is an object: name -> what it is")
    return [
        _config(name, entity, home, prefix, board, identity, gateway) for name, entity in declared.items()
    ]


def _config(
    name: str, entity: object, home: str, prefix: str, board: str, identity: str, gateway: str
) -> Outgoing:
    if not isinstance(entity, dict) or entity.get("component") not in _COMPONENTS:
        raise DeclarationError(f"{name!r} needs a component: one of {', '.join(_COMPONENTS)}")
    component = entity["component"]
    ways = _COMPONENTS[component]
    node = f"picolink_{identity}"
    entity_id = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in name)
    config = {
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
        **{key: member for key, member in entity.items() if key != "component"},
    }
    if ways & _STATE:
        config["state_topic"] = topics.value(prefix, board, name)
    if ways & _COMMAND:
        config["command_topic"] = topics.command(prefix, board, name)
    topic = f"{home}/{component}/{node}/{entity_id}/config"
    return Outgoing(topic, json.dumps(config, ensure_ascii=False).encode(), retain=True)
