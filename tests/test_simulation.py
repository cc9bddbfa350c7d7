"""The simulation in virtual time: what it measures, and that its oracle notices a faulty engine."""

import pytest
from host_engine import HostEngine
from picolink.pyengine import Engine
from picolink_pc.radio.air import RadioSettings
from picolink_pc.simulation import chaos
from picolink_pc.simulation.board import NO_TRAFFIC, CallCosts, Traffic
from picolink_pc.simulation.faults import PacketFaults
from picolink_pc.simulation.host_stack import BtstackCentral, HostStack, Nimble
from picolink_pc.simulation.scheduler import Scheduler
from picolink_pc.simulation.simulation import Setup, Simulation

BOTH = (Traffic(), Traffic())
ONE_WAY = (Traffic(), NO_TRAFFIC)


def measured(setup, engines=(HostEngine, HostEngine), faults=None, seconds=2.0):
    """The flows of a run that has settled, both directions."""
    simulation = Simulation(engines, setup)
    simulation.connect()
    simulation.run(0.5)
    if faults:
        simulation.faults = faults
    simulation.run(0.5)
    simulation.measure()
    simulation.run(seconds)
    flows = simulation.flow(0), simulation.flow(1)
    simulation.faults = PacketFaults()
    assert simulation.drain(10)
    assert simulation.broken_promises() == []
    return flows


def test_actions_come_in_order_of_time_then_of_asking():
    scheduler = Scheduler()
    done = []
    scheduler.at(20, lambda: done.append((scheduler.now_us, "late")))
    scheduler.at(10, lambda: done.append((scheduler.now_us, "first")))
    scheduler.at(10, lambda: scheduler.at(0, lambda: done.append((scheduler.now_us, "at once"))))
    scheduler.at(10, lambda: done.append((scheduler.now_us, "second")))
    scheduler.run(19)
    assert done == [(10, "first"), (10, "second"), (10, "at once")]
    assert scheduler.now_us == 19


@pytest.mark.parametrize(
    ("stack", "size", "taken"),
    [(HostStack, 200, 100), (BtstackCentral, 200, 8 + 1), (Nimble, 200, 6), (Nimble, 20, 12)],
)
def test_host_stack_takes_what_the_real_one_takes(stack, size, taken):
    sent = []
    stack = stack(lambda value, _: sent.append(value))
    assert sum(stack.take(bytes(size), 0) for _ in range(100)) == taken
    assert len(sent) == min(taken, 8)
    stack.completed(1)
    stack.completed(1)
    assert stack.take(bytes(size), 1)


@pytest.mark.parametrize("interval_ms", [7.5, 15, 30])
@pytest.mark.parametrize("traffic", [ONE_WAY, BOTH], ids=["one way", "both ways"])
def test_stock_radio_is_used_to_95_percent(interval_ms, traffic):
    flows = measured(Setup(radio=RadioSettings(interval_ms=interval_ms), traffic=traffic))
    assert all(flow.share >= 0.95 for flow in flows if flow.messages)


@pytest.mark.parametrize("interval_ms", [7.5, 15, 30])
@pytest.mark.parametrize("traffic", [ONE_WAY, BOTH], ids=["one way", "both ways"])
def test_more_than_half_of_the_rate_with_losses_above_the_radio(interval_ms, traffic):
    setup = Setup(radio=RadioSettings(interval_ms=interval_ms), traffic=traffic)
    flows = measured(setup, faults=PacketFaults(lost=0.1, corrupted=0.01), seconds=10)
    assert all(flow.share >= 0.5 for flow in flows if flow.messages)


def test_engines_of_both_kinds_at_once():
    flows = measured(Setup(traffic=BOTH), engines=(HostEngine, Engine), seconds=1.0)
    assert all(flow.share >= 0.95 for flow in flows)


def test_a_run_repeats_with_its_seed():
    faults = PacketFaults(lost=0.1, corrupted=0.01, delayed=0.05)
    setup = Setup(radio=RadioSettings(loss=0.05), traffic=BOTH, seed=3)
    first, second = (measured(setup, faults=faults, seconds=1.0) for _ in range(2))
    assert first == second
    assert first != measured(
        Setup(radio=RadioSettings(loss=0.05), traffic=BOTH, seed=4), faults=faults, seconds=1.0
    )


@pytest.mark.parametrize("traffic", [ONE_WAY, BOTH], ids=["one way", "both ways"])
def test_latency_of_single_messages(traffic):
    paced = tuple(Traffic(per_second=5) if side.per_second is None else side for side in traffic)
    flows = measured(Setup(radio=RadioSettings(latency=0), traffic=paced), seconds=20)
    for flow in flows:
        if flow.messages:
            p50, _, p99, _ = flow.latency_ms
            assert p50 <= 15 + 5
            assert p99 <= 2 * 15 + 10


def test_peripheral_latency_delays_the_central_only():
    paced = Traffic(per_second=5)
    flows = measured(Setup(radio=RadioSettings(latency=4), traffic=(paced, paced)), seconds=60)
    to_peripheral, to_central = (flow.latency_ms[0] for flow in flows)
    assert to_peripheral > 1.5 * 15
    assert to_central <= 15 + 5


def test_cpu_time_limits_the_rate():
    costs = CallCosts(send=1000)
    flow = measured(Setup(traffic=ONE_WAY, costs=(costs, CallCosts())))[0]
    assert 900 <= flow.per_second <= 1006  # a packet brings a dozen, and may come early in the 2 s


def test_small_controller_costs_the_rest_of_the_event():
    flow = measured(Setup(traffic=ONE_WAY, controller_buffers=1))[0]
    assert flow.share < 0.5


def test_slow_reader_slows_the_sender():
    flow = measured(Setup(traffic=ONE_WAY, read_every_us=(0, 10_000)), seconds=10)[0]
    assert 95 <= flow.per_second <= 100


@pytest.mark.parametrize("seed", range(40))
def test_every_promise_is_kept_under_faults(seed):
    assert chaos.play((HostEngine, HostEngine), seed).errors == []


def test_chaos_of_both_kinds():
    outcome = chaos.play((HostEngine, Engine), 7)
    assert outcome.errors == []


class Loses(Engine):
    """Loses the 5th message."""

    read = 0

    def recv(self, raw=False):
        message = super().recv(raw)
        if message:
            self.read += 1
            if self.read == 5:
                return super().recv(raw)
        return message


class Doubles(Engine):
    """Gives the 5th message twice."""

    read = 0
    again = None

    def recv(self, raw=False):
        message, self.again = self.again or super().recv(raw), None
        if message:
            self.read += 1
            if self.read == 5:
                self.again = message
        return message


class Damages(Engine):
    """Takes packets without looking at their CRC."""

    def _take(self, packet, now):
        packet = bytearray(packet)
        if len(packet) > 11:
            self._seal(packet, len(packet) - 4, 0 if packet[0] & 1 else self._crc_in)
        super()._take(packet, now)


class Forgets(Engine):
    """Does not send again."""

    def _rewind(self):
        self._flight = 0


@pytest.mark.parametrize("faulty", [Loses, Doubles, Damages, Forgets])
def test_oracle_notices(faulty):
    simulation = Simulation((faulty, faulty), Setup(traffic=(Traffic(count=200), Traffic(count=200))))
    simulation.faults = PacketFaults(lost=0.1, corrupted=0.1)
    simulation.connect()
    simulation.run(3)
    simulation.drain(1)
    assert simulation.broken_promises()
