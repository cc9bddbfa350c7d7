"""What a board declares of itself in one object: its panel on the page, its entities in Home Assistant.

    {"panel": [{"name": "temperature", "type": "sensor", "unit": "°C"}, {"name": "led", "type": "switch"}]}

docs/panel.md has the whole of it. web/page/panel.js reads the same: tests/panels.json has what both must say.
"""

import json

KEY = "panel"

_ITEMS = 32
_NAME = 40  # characters
_TEXT = 12
_OPTIONS = 32
_MOST = 1e9
_CHANNELS = 15  # 15 itself is for files

_FIELDS = {
    "sensor": ("unit", "plot"),
    "binary_sensor": (),
    "switch": (),
    "number": ("unit", "min", "max", "step", "channel"),
    "select": ("options",),
    "text": (),
    "button": (),
    "joystick": ("channel",),
}
_ALWAYS = ("name", "type", "homeassistant")
_DEFAULTS = {"unit": "", "plot": False, "min": 0, "max": 100, "step": 1, "channel": None}


class PanelError(ValueError):
    """The board declares what cannot be: the text says what."""


def read(declared: object) -> list[dict[str, object]]:
    """The items of a panel: name, type, and each field that its type has.  Raises PanelError."""
    if not isinstance(declared, list):
        raise PanelError(f"a panel is an array of items; not {_shown(declared)}")
    if len(declared) > _ITEMS:
        raise PanelError(f"a panel has {_ITEMS} items at most, not {len(declared)}")
    items = [_item(item) for item in declared]
    channels: dict[object, str] = {}
    names = set()
    for item in items:
        name, channel = item["name"], item.get("channel")
        if name in names:
            raise PanelError(f"two items have the name {_shown(name)}")
        names.add(name)
        if channel is not None and channel in channels:
            raise PanelError(
                f"{_shown(channels[channel])} and {_shown(name)} have the same channel, {channel}"
            )
        channels[channel] = name
    return items


def _item(declared: object) -> dict[str, object]:
    if not isinstance(declared, dict):
        raise PanelError(f"an item is an object with name and type; not {_shown(declared)}")
    name, kind = declared.get("name"), declared.get("type")
    if not _is_name(name):
        raise PanelError(f"a name is 1 to {_NAME} characters, no number, without / + #; not {_shown(name)}")
    if not isinstance(kind, str) or kind not in _FIELDS:
        raise PanelError(f"{_shown(name)} needs a type: {', '.join(_FIELDS)}; not {_shown(kind)}")
    fields = _FIELDS[kind]
    for field in declared:
        if field not in (*_ALWAYS, *fields):
            has = ", ".join((*_ALWAYS, *fields))
            raise PanelError(f"{_shown(name)}: a {kind} has no {_shown(field)}, only {has}")
    item = {"name": name, "type": kind}
    for field in (*fields, "homeassistant"):
        value = declared.get(field, _DEFAULTS.get(field))
        if (value is not None or field in declared or (kind, field) in _NEEDED) and not _CHECKS[field][0](
            value
        ):
            raise PanelError(f"{_shown(name)}: {field} is {_CHECKS[field][1]}; not {_shown(value)}")
        item[field] = int(value) if field == "channel" and value is not None else value
    if kind == "number" and not item["min"] < item["max"]:
        raise PanelError(
            f"{_shown(name)}: min is less than max; not {_shown(item['min'])} and {_shown(item['max'])}"
        )
    return item


def _is_name(name: object) -> bool:
    plain = _is_text(name, _NAME, 1) and not any(letter in "/+#\x7f" for letter in name)
    return plain and not (name.isascii() and name.isdigit())


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -_MOST <= value <= _MOST


def _is_text(value: object, most: int, least: int = 0) -> bool:
    return isinstance(value, str) and least <= len(value) <= most and all(letter >= " " for letter in value)


def _are_options(value: object) -> bool:
    return (
        isinstance(value, list)
        and 0 < len(value) <= _OPTIONS
        and all(_is_text(option, _NAME, 1) for option in value)
    )


_NUMBER = (_is_number, "a number from -1e9 to 1e9")
_CHECKS = {
    "unit": (lambda value: _is_text(value, _TEXT), f"a text of {_TEXT} characters at most"),
    "plot": (lambda value: isinstance(value, bool), "true or false"),
    "min": _NUMBER,
    "max": _NUMBER,
    "step": (lambda value: _is_number(value) and value > 0, "a number above 0, up to 1e9"),
    "channel": (lambda value: _is_number(value) and value in range(_CHANNELS), "a channel, 0 to 14"),
    "options": (_are_options, f"an array of 1 to {_OPTIONS} texts, each of 1 to {_NAME} characters"),
    "homeassistant": (lambda value: isinstance(value, dict), "an object"),
}
_NEEDED = (("joystick", "channel"), ("select", "options"))


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text if len(text) <= _NAME else text[: _NAME - 1] + "…"
