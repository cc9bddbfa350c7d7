"""picolink bench newest: the goal is held, and the planted faults are found."""

import asyncio

import click
import pytest
from picolink.newest import Values
from picolink_pc.bench import newest


def test_values_are_young_beside_a_full_channel():
    row = newest.simulate(15.0, 0.2, 3, load=True, seconds=5, seed=1)
    assert row["trips"] <= 2
    assert row["last"]
    assert row["late_p95"] > 2 * row["age_p95"]
    assert row["after"] < 5000
    assert row["rate"] > 0.85 * row["rate_alone"]


@pytest.mark.slow
@pytest.mark.parametrize(("beside", "outage"), [("file", 0), ("messages", 3)])
def test_values_on_virtual_boards(beside, outage):
    row = asyncio.run(newest.on_boards(beside, 15.0, 0.0, outage, 1, 0))
    assert row["last"]
    assert 0 < row["age_p50"] <= row["age_p95"]
    assert row["late_p50"] > 0
    assert (row["after"] is None) == (not outage)


def test_a_value_that_is_lost_is_found(monkeypatch):
    def lose_the_last(self):
        for channel in self.channels:
            channel._waits = False
        self._policy.values_wait = False

    monkeypatch.setattr(Values, "hand_over", lose_the_last)
    assert not newest.simulate(15.0, 0.0, 0, load=True, seconds=1, seed=1)["last"]


def test_messages_that_do_not_come_are_told(monkeypatch):
    monkeypatch.setattr(newest.Simulation, "drain", lambda *_: False)
    with pytest.raises(click.ClickException, match="messages were lost"):
        newest.simulate(15.0, 0.0, 0, load=True, seconds=1, seed=1)
