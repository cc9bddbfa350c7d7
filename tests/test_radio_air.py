"""The arithmetic of the air, against figures computed by hand."""

import pytest
from picolink_pc.radio import air
from picolink_pc.radio.air import RadioSettings


@pytest.mark.parametrize(
    ("octets", "phy", "us"),
    [(0, "1M", 80), (27, "1M", 296), (251, "1M", 2088), (0, "2M", 44), (251, "2M", 1048)],
)
def test_air_time_of_a_pdu(octets, phy, us):
    assert air.pdu_us(octets, phy) == us


def test_exchange():
    assert air.exchange_us(27, 0) == 676
    assert air.exchange_us(27, 27) == 892


@pytest.mark.parametrize(
    ("value", "data_length", "pdus"), [(20, 27, 1), (21, 27, 2), (236, 27, 9), (244, 27, 10), (244, 251, 1)]
)
def test_pdus_per_value(value, data_length, pdus):
    assert air.pdus_per_value(value, data_length) == pdus


@pytest.mark.parametrize(
    ("value", "data_length", "phy", "both_ways", "kilobytes_per_second"),
    [
        (20, 27, "1M", False, 29.6),
        (21, 27, "1M", False, 18.4),
        (128, 27, "1M", False, 37.9),
        (128, 27, "1M", True, 28.7),
        (236, 27, "1M", False, 38.8),
        (244, 27, "1M", False, 36.9),
        (244, 251, "1M", False, 98.9),
        (244, 251, "2M", False, 175.3),
        (244, 251, "1M", True, 54.5),
    ],
)
def test_continuous_rate(value, data_length, phy, both_ways, kilobytes_per_second):
    settings = RadioSettings(data_length=data_length, phy=phy)
    rate = air.value_rate(settings, value, both_ways) * value / 1000
    assert rate == pytest.approx(kilobytes_per_second, abs=0.05)


@pytest.mark.parametrize(
    ("interval_ms", "one_way", "each_of_both"), [(7.5, 1660, 1330), (15, 1740, 1330), (30, 1825, 1370)]
)
def test_ceiling_of_the_stock_radio(interval_ms, one_way, each_of_both):
    settings = RadioSettings(interval_ms=interval_ms)
    assert air.ceiling(settings) == pytest.approx(one_way, rel=0.004)
    assert air.ceiling(settings, both_ways=True) == pytest.approx(each_of_both, rel=0.004)


@pytest.mark.parametrize("interval_ms", [7.5, 15, 30])
@pytest.mark.parametrize("both_ways", [False, True])
def test_whole_events_of_equal_pdus_are_the_closed_formula(interval_ms, both_ways):
    settings = RadioSettings(interval_ms=interval_ms)
    one_exchange_us = air.exchange_us(27, 27 if both_ways else 0)
    pdus = air.exchanges_per_event(settings, one_exchange_us) * 1e6 / settings.interval_us
    assert air.value_rate_in_events(settings, 236, both_ways) == pytest.approx(pdus / 9)


@pytest.mark.parametrize(
    ("pairs", "rate"), [(1, 1 / 9), (4, 4 / 9), (33, 33 / 9), (34, 33 / 9), (None, 33 / 9)]
)
def test_events_with_a_number_of_pairs_at_most(pairs, rate):
    settings = RadioSettings(interval_ms=30, pdus_per_event=pairs)
    assert air.exchanges_per_event(settings, 892) == round(9 * rate)
    assert air.value_rate_in_events(settings, 236, both_ways=True) == pytest.approx(rate / 0.030)
    assert air.ceiling(settings, both_ways=True) == pytest.approx(rate / 0.030 * 224 / 20)


def test_whole_events_of_unequal_pdus():
    # 244 octets are 9 PDUs of 676 us and one of 524 us: 7350 us hold 10 of them (6608 us), a second value's
    # first PDU (7284 us), and no more; so the second event has 9 left, and so on.
    settings = RadioSettings(interval_ms=7.5)
    rate = air.value_rate_in_events(settings, 244)
    assert 1 < rate * 0.0075 < 1.15
    # 2468 us each: two in 7350 us, the third would end 54 us too late (66 % of the air used).
    extended = RadioSettings(interval_ms=7.5, data_length=251)
    assert air.value_rate_in_events(extended, 244) == pytest.approx(2 / 0.0075)


def test_ceiling_at_the_smallest_mtu():
    # 20-octet packets carry 8 stream octets in one PDU each: 21 exchanges of 676 us per 15 ms.
    assert air.ceiling(RadioSettings(mtu=23)) == pytest.approx(21 / 0.015 * 8 / 20)


def test_record_octets():
    assert [air.record_octets(n) for n in (0, 18, 127, 128, 16383, 16384)] == [2, 20, 129, 131, 16386, 16388]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"interval_ms": 6.25}, r"interval_ms is 6\.25: from 7\.5 to 4000 ms"),
        ({"interval_ms": 4001.25}, "4000 ms"),
        ({"interval_ms": 8}, r"interval_ms is 8: a multiple of 1\.25 ms"),
        ({"phy": "coded"}, "phy is 'coded'"),
        ({"data_length": 26}, "data_length is 26: from 27 to 251"),
        ({"data_length": 252}, "251"),
        ({"mtu": 22}, "mtu is 22: from 23 to 517"),
        ({"mtu": 518}, "517"),
        ({"latency": -1}, "latency is -1"),
        ({"latency": 500}, "499"),
        ({"pdus_per_event": 0}, "pdus_per_event is 0: 1 or more"),
        ({"loss": 1}, "loss is 1"),
        ({"loss": -0.1}, "loss is -0.1"),
        ({"supervision_timeout_ms": 99}, "from 100 to 32000 ms"),
        ({"supervision_timeout_ms": 150}, "more than 150 ms at 15 ms with latency 4"),
    ],
)
def test_settings_that_no_radio_has(values, message):
    with pytest.raises(ValueError, match=message):
        RadioSettings(**values)


def test_packet_without_room_for_data():
    with pytest.raises(ValueError, match="packet is 12"):
        air.ceiling(RadioSettings(), packet=12)
