"""The figures of a report: what each is, and which say that something works."""

from dataclasses import dataclass

FIGURES = {
    "full_native_rate": ("native engine, as fast as it goes", "messages/s each way"),
    "full_python_rate": ("Python engine, as fast as it goes", "messages/s each way"),
    "full_native_idle_peripheral": ("CPU idle at the full rate, native engine, peripheral", "%"),
    "full_native_idle_central": ("CPU idle at the full rate, native engine, central", "%"),
    "full_python_idle_peripheral": ("CPU idle at the full rate, Python engine, peripheral", "%"),
    "full_python_idle_central": ("CPU idle at the full rate, Python engine, central", "%"),
    "load_50_rate": ("50 messages/s each way are offered", "messages/s each way"),
    "load_50_idle_peripheral": ("CPU idle at 50 messages/s, peripheral", "%"),
    "load_50_idle_central": ("CPU idle at 50 messages/s, central", "%"),
    "load_1_idle_peripheral": ("CPU idle at a message a second, peripheral", "%"),
    "load_1_idle_central": ("CPU idle at a message a second, central", "%"),
    "trip_p50": ("there and back on an idle link, p50", "ms"),
    "trip_p99": ("there and back on an idle link, p99", "ms"),
    "open_ms_peripheral": ("advertise() to the connection", "ms"),
    "open_ms_central": ("connect() to the connection", "ms"),
    "free_peripheral": ("heap free with the link open, peripheral", "bytes"),
    "free_central": ("heap free with the link open, central", "bytes"),
    "radio_off_s": ("no message after the radio was switched off, at most", "s"),
    "soft_reset_s": ("no message after a soft reset, at most; this PC's share included", "s"),
    "hard_reset_s": ("no message after a hard reset, at most; this PC's share included", "s"),
    "soak_rate": ("soak", "messages/s each way"),
    "soak_grown_peripheral": ("soak: the heap has grown by, peripheral", "bytes"),
    "soak_grown_central": ("soak: the heap has grown by, central", "bytes"),
}
"""Figure -> what it is, unit; in the order of the page."""


@dataclass(frozen=True)
class Claim:
    """figures: that have to be there.   what: works then, if nothing is broken under these names."""

    what: str
    figures: tuple[str, ...]
    names: tuple[str, ...]


CLAIMS = (
    Claim(
        "native engine in firmware or as .mpy: messages both ways",
        ("full_native_rate",),
        ("full rate, native",),
    ),
    Claim("Python engine: messages both ways", ("full_python_rate",), ("full rate, python",)),
    Claim(
        "drops: the radio off, soft and hard reset of both boards, and the link again",
        ("radio_off_s", "soft_reset_s", "hard_reset_s"),
        ("faults",),
    ),
    Claim("a soak at the full rate", ("soak_rate",), ("soak",)),
)
"""What a report of real boards would turn into "yes" in "What has run where" (README.md)."""


def shown(values: dict[str, float | None], broken: list[str]) -> list[tuple[str, bool]]:
    """Each claim, and whether the report shows it."""
    return [
        (
            claim.what,
            all(values.get(figure) is not None for figure in claim.figures)
            and not any(line.startswith(claim.names) for line in broken),
        )
        for claim in CLAIMS
    ]
