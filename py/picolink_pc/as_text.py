"""Messages as text: objects as JSON, for terminals, files and brokers."""

import json
import math
import struct


def as_bytes(message: object) -> bytes:
    """bytes as they are, text as UTF-8, an object as JSON."""
    if isinstance(message, bytes):
        return message
    return (message if isinstance(message, str) else as_json(message)).encode()


def as_json(value: object) -> str:
    """An object as JSON in one line: bytes in hexadecimal; None for what is no number, or infinite."""
    return json.dumps(plain(value), ensure_ascii=False, allow_nan=False)


def plain(value: object) -> object:
    """An object as json takes it."""
    if isinstance(value, float):
        return _shortest(value) if math.isfinite(value) else None
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list):
        return [plain(each) for each in value]
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    return value


def _shortest(value: float) -> float:
    """21.7 for what 32 bits keep of it, and 64 bits show as 21.700000762939453."""
    bits = struct.pack(">d", value)
    for digits in range(6, 10):
        shorter = float(f"{value:.{digits}g}")
        try:
            if struct.pack(">d", struct.unpack(">f", struct.pack(">f", shorter))[0]) == bits:
                return shorter
        except OverflowError:
            break
    return value
