"""The timing model of one connection: what arrives, when, and how much air it takes."""

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import settings as run
from hypothesis import strategies as st
from picolink_pc.radio.air import (
    INTER_FRAME_SPACE_US,
    RadioSettings,
    exchange_us,
    pdu_octets,
    value_rate_in_events,
)
from picolink_pc.radio.link_layer import CENTRAL, PERIPHERAL, Kind, LinkLayer

SIDES = (CENTRAL, PERIPHERAL)


def tokens(outcomes, kind, side):
    return [outcome.token for outcome in outcomes if (outcome.kind, outcome.side) == (kind, side)]


def play_events(link, events):
    return link.play(link.anchor_us + events * link.settings.interval_us - 1)


packets = st.lists(
    st.tuples(st.sampled_from(SIDES), st.integers(1, 255), st.integers(0, 60_000), st.booleans()), max_size=30
)
radios = st.builds(
    RadioSettings,
    interval_ms=st.sampled_from([7.5, 15.0, 30.0, 100.0]),
    phy=st.sampled_from(["1M", "2M"]),
    data_length=st.sampled_from([27, 251]),
    latency=st.sampled_from([0, 1, 4]),
    pdus_per_event=st.sampled_from([None, 1, 4, 6]),
    loss=st.sampled_from([0.0, 0.05, 0.3, 0.6]),
    seed=st.integers(0, 1000),
)


@run(deadline=None, max_examples=60)  # a busy machine is no failure
@given(radios, packets, st.integers(250, 50_000))
def test_everything_arrives_once_and_in_order(settings, packets, step_us):
    link = LinkLayer(settings, supervision_timeout_ms=1_000_000)
    queued_us = {}
    sent = {(side, control): [] for side in SIDES for control in (False, True)}
    for token, (side, octets, now_us, control) in enumerate(sorted(packets, key=lambda packet: packet[2])):
        link.send(side, (token, control), min(octets, 27) if control else octets, now_us, control)
        queued_us[token] = now_us
        sent[side, control].append((token, control))
    outcomes = []
    until_us = 0
    while sum(outcome.kind == Kind.COMPLETED for outcome in outcomes) < len(packets):
        until_us += step_us
        outcomes += link.play(until_us)
        assert until_us < 1_000_000_000
    for side in SIDES:
        for control in (False, True):
            for kind, where in ((Kind.DELIVERED, 1 - side), (Kind.COMPLETED, side)):
                arrived = [token for token in tokens(outcomes, kind, where) if token[1] == control]
                assert arrived == sent[side, control]
    for kind in (Kind.DELIVERED, Kind.COMPLETED):
        for outcome in outcomes:
            if outcome.kind == kind:
                assert outcome.time_us > queued_us[outcome.token[0]]
    assert all(first.time_us <= second.time_us for first, second in pairwise(outcomes))


@run(deadline=None, max_examples=60)
@given(radios, packets)
@example(
    RadioSettings(phy="2M", data_length=251, interval_ms=7.5, latency=0),
    [(0, 177, 12373, False), *((1, octets, 1, False) for octets in (185, 203, 221, 221, 248, 1))],
)
def test_an_event_ends_before_the_next(settings, packets):
    link = LinkLayer(settings, supervision_timeout_ms=1_000_000)
    for side, octets, now_us, _ in packets:
        link.send(side, None, octets, now_us)
    air_us = 0
    for _ in range(20):
        begun_us = link.anchor_us
        for outcome in play_events(link, 1):
            assert begun_us < outcome.time_us <= begun_us + settings.interval_us - 2 * INTER_FRAME_SPACE_US
        assert link.anchor_us == link.next_us == begun_us + settings.interval_us
        assert sum(link.statistics.air_us) - air_us < settings.interval_us - INTER_FRAME_SPACE_US
        air_us = sum(link.statistics.air_us)
    assert link.statistics.events == 20


@run(deadline=None, max_examples=60)
@given(radios, packets, st.integers(250, 30_000))
def test_the_pace_of_playing_changes_nothing(settings, packets, step_us):
    """Played late or in small steps: the same outcomes at the same times, also from the same seed."""
    links = [LinkLayer(settings), LinkLayer(settings)]
    for link in links:
        for token, (side, octets, now_us, _) in enumerate(sorted(packets, key=lambda packet: packet[2])):
            link.send(side, token, octets, now_us)
    at_once = links[0].play(300_000)
    in_steps = []
    for until_us in [*range(0, 300_000, step_us), 300_000]:
        in_steps += links[1].play(until_us)
    assert in_steps == at_once
    assert links[0].statistics == links[1].statistics


@pytest.mark.parametrize("interval_ms", [7.5, 15, 30])
@pytest.mark.parametrize("data_length", [27, 251])
@pytest.mark.parametrize("both_ways", [False, True])
def test_a_busy_connection_reaches_the_ceiling(interval_ms, data_length, both_ways):
    settings = RadioSettings(interval_ms=interval_ms, data_length=data_length, latency=0)
    link = LinkLayer(settings)
    for _ in range(2000):
        link.send(CENTRAL, None, 243, 0)
        if both_ways:
            link.send(PERIPHERAL, None, 243, 0)
    outcomes = link.play(3_600_000 - 1)
    for side in (PERIPHERAL, CENTRAL) if both_ways else (PERIPHERAL,):
        expected = value_rate_in_events(settings, 236, both_ways) * 3.6
        assert len(tokens(outcomes, Kind.DELIVERED, side)) == pytest.approx(expected, abs=1)


class Draws:
    """A random number each time: those given, then 1.0, with which a PDU arrives."""

    def __init__(self, *draws):
        self.left = list(draws)

    def random(self):
        return self.left.pop(0) if self.left else 1.0


@pytest.mark.parametrize("pairs", [1, 4, 6])
@pytest.mark.parametrize("both_ways", [False, True])
def test_an_event_has_no_more_pairs_of_pdus_than_the_settings_say(pairs, both_ways):
    settings = RadioSettings(interval_ms=30, pdus_per_event=pairs, latency=0)
    link = LinkLayer(settings)
    for _ in range(200):
        link.send(CENTRAL, None, 243, 0)
        if both_ways:
            link.send(PERIPHERAL, None, 243, 0)
    outcomes = []
    for event in range(1, 31):
        outcomes += play_events(link, 1)
        assert link.statistics.pdus == [pairs * event] * 2
    for side in (PERIPHERAL, CENTRAL) if both_ways else (PERIPHERAL,):
        expected = value_rate_in_events(settings, 236, both_ways) * 30 * 0.030
        assert len(tokens(outcomes, Kind.DELIVERED, side)) == pytest.approx(expected, abs=1)


def test_a_lost_pdu_ends_an_event_before_it_has_all_its_pairs():
    settings = RadioSettings(interval_ms=30, pdus_per_event=4, latency=0, loss=0.5)
    link = LinkLayer(settings, rng=Draws(1.0, 1.0, 1.0, 1.0, 0.0))
    for _ in range(20):
        link.send(CENTRAL, None, 27, 0)
    play_events(link, 1)
    assert link.statistics.pdus[CENTRAL] == 3
    play_events(link, 1)
    assert link.statistics.pdus[CENTRAL] == 3 + 4


def test_times_of_one_exchange():
    link = LinkLayer(RadioSettings(), start_us=1000)
    link.send(CENTRAL, "command", 27, 0)
    link.send(PERIPHERAL, "notification", 20, 0)
    outcomes = play_events(link, 2)
    assert [(outcome.time_us, outcome.kind, outcome.token) for outcome in outcomes] == [
        (1000 + 296, Kind.DELIVERED, "command"),
        (1000 + 296 + 150 + 240, Kind.COMPLETED, "command"),
        (1000 + 296 + 150 + 240, Kind.DELIVERED, "notification"),
        (1000 + 15000 + 80, Kind.COMPLETED, "notification"),  # acknowledged by the central's next PDU
    ]


def test_data_queued_after_the_event_waits_for_the_next():
    link = LinkLayer(RadioSettings(latency=0))
    link.send(CENTRAL, "late", 20, now_us=700)
    assert tokens(play_events(link, 1), Kind.DELIVERED, PERIPHERAL) == []
    assert tokens(play_events(link, 1), Kind.DELIVERED, PERIPHERAL) == ["late"]


def test_data_queued_while_an_event_goes_on_joins_it():
    link = LinkLayer(RadioSettings())
    link.send(CENTRAL, "long", 27 * 5, 0)
    link.send(PERIPHERAL, "joins", 20, now_us=exchange_us(27, 0))
    outcomes = play_events(link, 1)
    assert tokens(outcomes, Kind.DELIVERED, CENTRAL) == ["joins"]
    assert outcomes[0].time_us == exchange_us(27, 0) + 296 + 150 + 240


def test_control_goes_between_the_pdus_of_a_packet():
    link = LinkLayer(RadioSettings())
    link.send(CENTRAL, "data", 27 * 3, 0)
    link.send(CENTRAL, "control", 9, 100, control=True)
    assert tokens(play_events(link, 1), Kind.DELIVERED, PERIPHERAL) == ["control", "data"]


def test_a_sleeping_peripheral_hears_every_fifth_event():
    link = LinkLayer(RadioSettings(latency=4))
    play_events(link, 1)  # the first one finds it awake
    play_events(link, 50)
    assert link.statistics.unheard == 40
    assert link.statistics.pdus == [51, 11]


def test_latency_delays_the_central_and_not_the_peripheral():
    link = LinkLayer(RadioSettings(latency=4))
    play_events(link, 1)
    link.send(CENTRAL, "waits", 20, link.anchor_us)
    outcomes = play_events(link, 10)
    assert [outcome.time_us // 15000 for outcome in outcomes if outcome.kind == Kind.DELIVERED] == [5]
    link = LinkLayer(RadioSettings(latency=4))
    play_events(link, 1)
    link.send(PERIPHERAL, "at once", 20, link.anchor_us)
    outcomes = play_events(link, 10)
    assert [outcome.time_us // 15000 for outcome in outcomes if outcome.kind == Kind.DELIVERED] == [1]


def test_a_peripheral_stays_awake_while_there_is_data():
    link = LinkLayer(RadioSettings(latency=4))
    for event in range(20):
        link.send(CENTRAL, event, 20, event * 15000 - 1000)
    assert tokens(play_events(link, 20), Kind.DELIVERED, PERIPHERAL) == list(range(20))
    assert link.statistics.unheard == 0


@pytest.mark.parametrize("draws", [(0.0, 1.0), (1.0, 0.0, 1.0)])  # the central's PDU is lost, or the answer
def test_a_peripheral_stays_awake_after_a_loss(draws):
    link = LinkLayer(RadioSettings(latency=4, loss=0.5), rng=Draws(*draws))
    play_events(link, 3)
    assert link.statistics.lost in ([1, 0], [0, 1])
    assert link.statistics.unheard == 1  # in the third event, after a whole second one


def test_loss_is_paid_with_air_and_counted():
    link = LinkLayer(RadioSettings(loss=0.2, latency=0), supervision_timeout_ms=1_000_000)
    for token in range(100):
        link.send(CENTRAL, token, 243, 0)
    outcomes = play_events(link, 1000)
    assert tokens(outcomes, Kind.DELIVERED, PERIPHERAL) == list(range(100))
    statistics = link.statistics
    assert statistics.data_pdus[CENTRAL] == 900 + statistics.retransmissions[CENTRAL]
    assert 0.15 < statistics.lost[CENTRAL] / statistics.pdus[CENTRAL] < 0.25
    assert 0.15 < statistics.lost[PERIPHERAL] / statistics.pdus[PERIPHERAL] < 0.25


def test_a_side_without_room_delays_its_peer():
    link = LinkLayer(RadioSettings(latency=0))
    link.sides[PERIPHERAL].accepting = False
    link.send(CENTRAL, "waits", 20, 0)
    link.send(PERIPHERAL, "goes", 20, 0)
    outcomes = play_events(link, 100)
    assert [(outcome.kind, outcome.token) for outcome in outcomes] == [
        (Kind.DELIVERED, "goes"),
        (Kind.COMPLETED, "goes"),
    ]
    link.sides[PERIPHERAL].accepting = True
    assert [outcome.token for outcome in play_events(link, 1)] == ["waits", "waits"]


def test_a_side_without_room_for_data_takes_control():
    link = LinkLayer(RadioSettings(latency=0))
    link.sides[PERIPHERAL].accepting = False
    link.send(CENTRAL, "goes", 2, 0, control=True)
    assert [outcome.token for outcome in play_events(link, 1)] == ["goes", "goes"]


def test_an_end_that_is_not_acknowledged_comes_after_the_supervision_timeout():
    link = LinkLayer(RadioSettings(latency=0), supervision_timeout_ms=1000)
    link.sides[PERIPHERAL].accepting = False
    link.send(CENTRAL, "waits", 20, 0)  # and the end behind it
    play_events(link, 10)
    link.terminate(CENTRAL, "end", 2, link.anchor_us)
    began_us = link.anchor_us
    outcomes = link.play(10_000_000)
    assert [(outcome.kind, outcome.side) for outcome in outcomes] == [
        (Kind.LOST, CENTRAL),
        (Kind.LOST, PERIPHERAL),
    ]
    assert 1_000_000 <= outcomes[0].time_us - began_us < 1_015_000


def test_out_of_range_ends_the_connection_for_both_after_the_supervision_timeout():
    link = LinkLayer(RadioSettings(latency=0), supervision_timeout_ms=1000)
    play_events(link, 10)
    link.in_range = False
    link.send(CENTRAL, "never", 20, link.anchor_us)
    outcomes = link.play(10_000_000)
    assert [(outcome.kind, outcome.side) for outcome in outcomes] == [
        (Kind.LOST, CENTRAL),
        (Kind.LOST, PERIPHERAL),
    ]
    assert all(1_000_000 <= outcome.time_us - 9 * 15000 < 1_015_000 + 1000 for outcome in outcomes)
    assert link.next_us == float("inf")


def test_a_short_absence_ends_nothing():
    link = LinkLayer(RadioSettings(latency=0), supervision_timeout_ms=1000)
    play_events(link, 10)
    link.send(PERIPHERAL, "survives", 200, link.anchor_us)
    link.in_range = False
    assert play_events(link, 60) == []
    link.in_range = True
    assert tokens(play_events(link, 2), Kind.DELIVERED, CENTRAL) == ["survives"]


@pytest.mark.parametrize("gone", SIDES)
def test_a_side_that_vanishes_is_noticed_by_the_other(gone):
    link = LinkLayer(RadioSettings(), supervision_timeout_ms=1000)
    link.send(CENTRAL, None, 243, 0)
    link.play(3000)  # in the middle of an event
    link.leave(gone)
    sent = link.statistics.pdus[gone]
    outcomes = link.play(5_000_000)
    assert [(outcome.kind, outcome.side) for outcome in outcomes] == [(Kind.LOST, 1 - gone)]
    assert link.statistics.pdus[gone] == sent


def test_the_settings_decide_the_supervision_timeout():
    settings = RadioSettings(latency=0, supervision_timeout_ms=500)
    assert LinkLayer(settings, supervision_timeout_ms=4000).supervision_timeout_us == 500_000


def test_packets_that_cannot_be_sent():
    link = LinkLayer(RadioSettings())
    with pytest.raises(ValueError, match="octets is 0: at least 1"):
        link.send(CENTRAL, None, 0, 0)
    with pytest.raises(ValueError, match="octets is 28: at most 27"):
        link.send(CENTRAL, None, 28, 0, control=True)


def test_pdu_octets():
    assert pdu_octets(243, 27) == [27] * 9
    assert pdu_octets(28, 27) == [27, 1]
