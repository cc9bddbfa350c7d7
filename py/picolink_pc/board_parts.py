"""What a program uses of a Pico that a virtual board has not: told before it runs."""

import ast

HAS = ("Pin", "Signal", "Timer", "WDT", "deepsleep")
"""Of `machine`, for programs."""

_ELSEWHERE = {"mem8", "mem16", "mem32", "idle", "time_pulse_us", "PinBase"}
"""In MicroPython on a PC, too."""

_NO_MODULES = {"cyw43", "dht", "ds18x20", "lwip", "neopixel", "network", "onewire", "rp2"}


def missing(source: str) -> list[str]:
    """Names such as "machine.PWM" or "network" that `source` uses, in order; none if it cannot tell."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):  # MicroPython will say what it thinks of it
        return []
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= dict.fromkeys(alias.name for alias in node.names if alias.name in _NO_MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module in _NO_MODULES:
            names[node.module] = None
        elif isinstance(node, ast.ImportFrom) and node.module == "machine":
            names |= dict.fromkeys(f"machine.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            names |= {f"machine.{node.attr}": None} if node.value.id == "machine" else {}
    return [name for name in names if not _there(name)]


def _there(name: str) -> bool:
    module, _, part = name.partition(".")
    return module == "machine" and (part in HAS or part in _ELSEWHERE or part == "*")
