"""Percentiles by the nearest-rank method: always one of the values."""

import math
from collections.abc import Sequence


def percentile(ordered: Sequence[float], share: float) -> float:
    """The least of the `ordered` values that is not exceeded by `share` (0 to 1) of them; 0 of none."""
    # Rounded: 0.95 * 60 is a little more than 57 in floating point.
    rank = math.ceil(round(len(ordered) * share, 6))
    return ordered[max(0, rank - 1)] if ordered else 0.0
