"""What the simulation says of the use of the air, against sums by hand."""

import pytest
from picolink.pyengine import Engine
from picolink_pc.radio.air import RadioSettings
from picolink_pc.simulation import air_time
from picolink_pc.simulation.air_time import AirTime
from picolink_pc.simulation.board import NO_TRAFFIC, Traffic
from picolink_pc.simulation.faults import PacketFaults
from picolink_pc.simulation.simulation import Setup, Simulation

ONE_WAY = (Traffic(), NO_TRAFFIC)


def packet(offset, stream, flags=0):
    return bytes((flags, 1, offset & 0xFF, offset >> 8)) + bytes(4 + stream + 4)


def use(traffic=ONE_WAY, faults=None, seconds=2, **radio):
    simulation = Simulation((Engine, Engine), Setup(radio=RadioSettings(**radio), traffic=traffic))
    simulation.connect()
    simulation.run(1)
    if faults:
        simulation.faults = faults
    simulation.measure()
    simulation.run(seconds)
    shares = simulation.air_use()
    assert sum(shares.values()) == pytest.approx(1)
    return simulation, shares


def test_a_packet_is_counted_by_what_it_carries():
    time = AirTime(RadioSettings())
    time.count(0, packet(0xFFF0, 20))
    assert time.us == {"stream": 20 * 8, "packets": 12 * 8, "att": 7 * 8, "alone": 0, "again": 0}
    time.count(0, packet(0xFFF0, 26))  # 20 of them again; the offsets go round
    assert (time.us["stream"], time.us["again"]) == (26 * 8, 20 * 8)
    time.count(1, packet(7, 20))  # the other side has a stream of its own
    assert time.us["stream"] == 46 * 8


@pytest.mark.parametrize(("flags", "stream", "purpose"), [(0, 0, "alone"), (1, 8, "alone")])
def test_a_packet_without_stream_takes_its_pdu_with_all_around_it(flags, stream, purpose):
    time = AirTime(RadioSettings())
    time.count(0, packet(0, stream, flags))
    assert time.us[purpose] == (12 + stream + 7 + 10) * 8 + 150


def test_a_packet_that_brings_nothing_new_is_wholly_sent_again():
    time = AirTime(RadioSettings())
    for _ in range(2):
        time.count(0, packet(0, 224))
    assert time.us["again"] == (236 + 7) * 8 + 9 * (80 + 150)


def test_an_idle_connection_sends_empty_pdus():
    _, shares = use((NO_TRAFFIC, NO_TRAFFIC), interval_ms=15, latency=0)
    # Signs of life take the place of a few of them.
    assert shares["empty"] == pytest.approx(2 * (80 + 150) / 15_000, rel=0.02)
    assert shares["unused"] == pytest.approx(1 - 2 * (80 + 150) / 15_000, rel=0.01)


def test_the_stream_is_what_arrives():
    simulation, shares = use(interval_ms=15)
    assert shares["stream"] == pytest.approx(simulation.flow(0).per_second * 20 * 8 / 1e6, rel=0.02)
    # In each packet 224 bytes of stream, 12 and 7 of headers, 9 PDUs.
    assert shares["packets"] / shares["stream"] == pytest.approx(12 / 224, rel=0.01)
    assert shares["att"] / shares["stream"] == pytest.approx(7 / 224, rel=0.01)
    assert shares["pdus"] / shares["stream"] == pytest.approx(9 * (80 + 150) / (224 * 8), rel=0.02)
    assert shares["again"] == shares["repeated"] == 0


def test_what_the_radio_loses_is_repeated_and_what_is_lost_above_it_sent_again():
    _, lossy = use(loss=0.02)
    assert lossy[air_time.REPEATED] > 0 == lossy[air_time.AGAIN]
    _, faulty = use(faults=PacketFaults(lost=0.1))
    assert faulty[air_time.AGAIN] > 0.02
    assert faulty[air_time.REPEATED] < 0.005  # a connection event may end before an acknowledgement
