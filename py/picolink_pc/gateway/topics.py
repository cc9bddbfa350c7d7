"""How messages of a board become topics and payloads, and back.

picolink/PicoA/message/0        each message of channel 0, as it is
picolink/PicoA/value/NAME       retained: the newest value of that name, from messages that are JSON objects
picolink/PicoA/value/0          retained: the newest message of channel 0 that is none
picolink/PicoA/availability     retained: online or offline
picolink/PicoA/send/0           to the board: a message for channel 0
picolink/PicoA/set/NAME         to the board: the object {"NAME": payload}, on channel 0
picolink/PicoA/set/2            to the board: the payload as an object, on channel 2
picolink/gateway/NAME           retained: online, and offline by last will
"""

import json
import re

ONLINE, OFFLINE = b"online", b"offline"


def message(prefix: str, board: str, channel: int) -> str:
    return f"{prefix}/{board}/message/{channel}"


def value(prefix: str, board: str, name: str) -> str:
    return f"{prefix}/{board}/value/{level(name)}"


def availability(prefix: str, board: str) -> str:
    return f"{prefix}/{board}/availability"


def command(prefix: str, board: str, name: str) -> str:
    return f"{prefix}/{board}/set/{level(name)}"


def gateway(prefix: str, name: str) -> str:
    return f"{prefix}/gateway/{name}"


def level(name: str) -> str:
    """One level of a topic."""
    return re.sub(r"[/+#\0]", "_", name) or "_"


def json_object(data: bytes) -> dict[str, object] | None:
    """What a message says, if it is a JSON object."""
    if not data.startswith(b"{"):
        return None
    try:
        decoded = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return decoded if isinstance(decoded, dict) else None


def newest(prefix: str, board: str, channel: int, data: bytes) -> dict[str, bytes]:
    """topic -> payload of the values in a message."""
    members = json_object(data)
    if members is None:
        return {value(prefix, board, str(channel)): data}
    return {value(prefix, board, name): payload(member) for name, member in members.items()}


def payload(member: object) -> bytes:
    """Text as it is, anything else as JSON."""
    return (member if isinstance(member, str) else json.dumps(member)).encode()


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def for_board(prefix: str, topic: str, data: bytes) -> tuple[str, int, bytes, bool] | None:
    """(board, channel, message, whether it is an object as JSON), or None for a topic that means nothing."""
    if not topic.startswith(prefix + "/"):
        return None
    board, _, rest = topic[len(prefix) + 1 :].partition("/")
    kind, _, name = rest.partition("/")
    channel = int(name) if name.isascii() and name.isdigit() and len(name) < 3 else -1
    if kind == "send" and 0 <= channel < 16:
        return board, channel, data, False
    if kind == "set" and name:
        text = data.decode(errors="replace")
        try:
            member = json.loads(text, parse_constant=_refuse)
        except (ValueError, RecursionError):
            member = text
        numbered = 0 <= channel < 16
        message = member if numbered else {name: member}
        return board, channel if numbered else 0, json.dumps(message, ensure_ascii=False).encode(), True
    return None
