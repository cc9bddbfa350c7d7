"""picolink bench sweep: that it simulates what it says, repeats, and tells it right."""

import dataclasses

import pytest
from click.testing import CliRunner
from picolink_pc.bench import cases, cycles, report, slow, sweep, targets
from picolink_pc.bench.cases import ENGINES, WAYS, Case, Job, simulate
from picolink_pc.radio.air import RadioSettings, ceiling
from picolink_pc.simulation.always_ready import always_ready, full_packet
from picolink_pc.simulation.board import CallCosts

SECONDS = 0.5


def full(way="both at once", engine="native", seconds=SECONDS, **case):
    return simulate(Job(Case(**case), engine, way, seconds))


def test_a_simulation_repeats():
    lossy = {"radio": RadioSettings(loss=0.02), "lost_packets": 0.05}
    assert full(**lossy) == full(**lossy)
    assert full(**lossy) != full(radio=RadioSettings(loss=0.02, seed=1), lost_packets=0.05)


def test_engines_differ_in_nothing_but_cpu_time(monkeypatch):
    monkeypatch.setattr(cycles, "calls", lambda *_: CallCosts())
    native, python = (full(engine=engine, lost_packets=0.05) for engine in ENGINES)
    assert native == python
    assert native.cpu == (0, 0)


def test_messages_go_the_way_that_was_asked_for():
    for way, directions in WAYS.items():
        flows = full(way).flows
        assert [direction for direction in (0, 1) if flows[direction].messages] == sorted(directions)


def test_now_and_then_means_both_ways_and_little():
    flows = full(way=None, seconds=10).flows
    assert all(30 < flow.messages < 70 for flow in flows)


def test_cpu_time_is_that_of_the_calls():
    outcome = full("to peripheral", seconds=2)
    calls = cycles.calls(cycles.load()["native"], 18)
    messages = outcome.flows[0].per_second
    packets = messages * 20 / 224  # full ones
    sender, receiver = outcome.cpu
    assert sender * 1e6 == pytest.approx(
        messages * calls.send + packets * (calls.pull + 236 * calls.pull_octet), rel=0.1
    )
    assert receiver * 1e6 == pytest.approx(
        messages * calls.recv + packets * (calls.feed + 236 * calls.feed_octet), rel=0.1
    )


def test_the_python_engine_takes_more_cpu_time():
    native, python = (full(engine=engine).cpu for engine in ENGINES)
    assert all(more > 5 * less for more, less in zip(python, native, strict=True))


TABLE = {
    "send": {"10": 1250.0, "20": 2250.0, "100": 2250.0},
    "recv": {"10": 100.0, "20": 100.0, "100": 100.0},
    "packet": {"pull": 125.0, "pull_octet": 12.5, "feed": 250.0, "feed_octet": 0.0},
    "message": {"feed": 25.0, "acknowledged": 0.0},
}


@pytest.mark.parametrize(("size", "us"), [(10, 10), (15, 14), (20, 18), (60, 18), (200, 18), (5, 6)])
def test_cycles_become_time_at_any_size(size, us):
    assert cycles.calls(TABLE, size).send == pytest.approx(us)


def test_cycles_of_a_message_in_a_packet_are_counted_with_recv():
    assert cycles.calls(TABLE, 20) == CallCosts(send=18, recv=1, pull=1, pull_octet=0.1, feed=2)


def test_the_parts_of_the_air_are_all_of_the_time():
    parts = cases.air_parts(full(), 18)
    assert list(parts) == list(cases.AIR)
    assert sum(parts.values()) == pytest.approx(100)
    assert parts["records"] / parts["messages"] == pytest.approx(2 / 18)


def invoke(*arguments):
    return CliRunner().invoke(sweep.sweep, [str(argument) for argument in arguments])


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(sweep, "_SECONDS", SECONDS)
    monkeypatch.setattr(sweep, "_IDLE_SECONDS", 5)


@pytest.mark.usefixtures("short")
def test_a_point_tells_everything_about_one_case(tmp_path):
    outcome = invoke("point", "--interval", 30, "--size", 100, "--out", tmp_path)
    assert outcome.exit_code == 0, outcome.output
    point, air = (report.load(tmp_path / f"sweep-{name}.json") for name in ("point", "air"))
    assert point.parameters["interval_ms"] == 30
    assert point.parameters["message_bytes"] == 100
    assert [(row["engine"], row["way"]) for row in point.rows] == [(e, w) for e in ENGINES for w in WAYS]
    for row in point.rows:
        assert 90 < row["share"] < 110
        assert 0 < row["p50"] <= row["p95"] <= row["max"]
        assert 0 < row["cpu_central"] <= 100
    for row in air.rows:
        assert sum(row[f"air_{part}"] for part in cases.AIR) == pytest.approx(100)


@pytest.mark.usefixtures("short")
def test_nothing_comes_at_the_slowest_settings(tmp_path):
    outcome = invoke("point", "--interval", 4000, "--out", tmp_path)
    assert outcome.exit_code == 0, outcome.output
    rows = report.load(tmp_path / "sweep-point.json").rows
    assert all(row["per_second"] == 0 and row["p50"] is None for row in rows)


@pytest.mark.slow
@pytest.mark.usefixtures("short")
def test_a_sweep_varies_one_thing_and_draws_it(tmp_path, monkeypatch):
    some = sweep.Sweep("ATT MTU", "the ATT MTU", sweep._radio("mtu", (23, 247)), SECONDS)
    monkeypatch.setitem(sweep.SWEEPS, "mtu", some)
    outcome = invoke("mtu", "--interval", 7.5, "--plot", "--out", tmp_path)
    assert outcome.exit_code == 0, outcome.output
    result = report.load(tmp_path / "sweep-mtu.json")
    assert [row["value"] for row in result.rows] == [23] * 4 + [247] * 4
    native = [row for row in result.rows if row["engine"] == "native" and row["way"] == "to central"]
    assert native[0]["packets"] > 4 * native[1]["packets"]
    assert (tmp_path / "sweep-mtu.png").read_bytes().startswith(b"\x89PNG")
    assert "sweep-mtu.png" in (tmp_path / "index.html").read_text()


@pytest.mark.parametrize("name", sweep.SWEEPS)
def test_every_value_of_a_sweep_is_a_case_of_its_own(name):
    cases_of_it = [change(Case()) for change in sweep.SWEEPS[name].values.values()]
    assert len(set(cases_of_it)) == len(cases_of_it)
    assert Case() in cases_of_it


def test_rings_that_cannot_hold_the_message_are_left_out():
    jobs = sweep._plan("ring", Case(size=1000)).jobs
    assert min(job.case.ring for job in jobs) == 1024


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("point", "--size", 300, "--ring", 256), "needs a larger --ring than 256"),
        (("point", "--interval", 7), "from 7.5 to 4000 ms"),
        (("point", "--ring", 1000), "'1000' is not one of"),
        (("weather",), "'weather' is not one of"),
    ],
)
def test_what_cannot_be_is_explained(arguments, told):
    outcome = invoke(*arguments)
    assert outcome.exit_code == 2
    assert told in outcome.output


@pytest.fixture(scope="module")
def outcomes():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(targets, "INTERVALS", (15.0,))
        patch.setattr(targets, "_SECONDS", 1)
        patch.setattr(targets, "_IDLE_SECONDS", 20)
        jobs = targets.jobs()
        yield {job: simulate(job) for job in jobs}


@pytest.mark.slow
def test_targets_are_met_or_not(outcomes):
    rows = targets.conclude(outcomes).rows
    assert len(rows) == 2 * len(WAYS) + len(WAYS) + 2 * 2
    assert all(row["met"] for row in rows)
    slow = {
        job: dataclasses.replace(
            outcome,
            flows=tuple(
                dataclasses.replace(flow, per_second=flow.per_second / 4, latency_ms=(99.0,) * 4)
                for flow in outcome.flows
            ),
        )
        if job.case.lost_packets or job.case.radio.data_length == 251 or job.way is None
        else outcome
        for job, outcome in outcomes.items()
    }
    met = {row["what"].split(",")[0]: row["met"] for row in targets.conclude(slow).rows}
    assert met == {
        "PDUs of 27 octets": True,
        "PDUs of 251 octets": False,
        "10% of packets lost": False,
        "idle latency p50": False,
        "idle latency p99": False,
    }


def test_the_table_of_cycles_has_both_engines():
    assert list(cycles.load()) == list(ENGINES)


@pytest.mark.parametrize(("mtu", "packet"), [(23, 20), (50, 47), (100, 74), (247, 236), (517, 236)])
def test_an_always_ready_sender_fills_the_air(mtu, packet):
    assert full_packet(mtu) == packet
    radio = RadioSettings(mtu=mtu)
    rates = always_ready(radio, 18, 10, 1)
    assert rates == pytest.approx((ceiling(radio, message=18, both_ways=True),) * 2, rel=0.05)


def test_an_always_ready_sender_has_losses_and_few_pairs_too():
    radios = RadioSettings(), RadioSettings(loss=0.2), RadioSettings(pdus_per_event=1)
    clean, lossy, one = (always_ready(radio, 18, 60)[0] for radio in radios)
    assert one == pytest.approx(200 / 3 / 9 * 224 / 20, rel=0.01)  # 9 PDUs of 15 ms a packet
    assert one < lossy < clean / 5


# 0.1.0 carried 45 to 121 messages/s, 25 and 100 of 106, and 63 and 32 of 102.
@pytest.mark.parametrize(
    "radio",
    [
        {"interval_ms": 15, "loss": 0.2},
        {"interval_ms": 50, "loss": 0.1},
        {"interval_ms": 48.75, "pdus_per_event": 4},
        {"interval_ms": 7.5, "pdus_per_event": 1, "loss": 0.1},
    ],
    ids=str,
)
@pytest.mark.parametrize("stack", ["btstack", "nimble"])
def test_slow_and_lossy_radios_are_used(radio, stack):
    outcome = slow.simulate(slow.SlowJob(RadioSettings(**radio), stack, 18, 4096, (60, 60)))
    assert min(outcome.rates) >= 0.8 * max(outcome.ready)
    assert min(outcome.rates) >= 0.75 * max(outcome.rates)


@pytest.mark.slow
def test_the_slow_part_names_the_worst_cell_and_draws(tmp_path, monkeypatch):
    monkeypatch.setattr(slow, "SHORT", slow.Grid((15.0, 100.0), (0.0, 0.2), (4, None), 2, (3, 5)))
    outcome = invoke("slow", "--seed", 5, "--plot", "--out", tmp_path)
    assert outcome.exit_code == 0, outcome.output
    result = report.load(tmp_path / "sweep-slow.json")
    assert len(result.rows) == 2 * 2 * 2 * 2
    worst = min(result.rows, key=lambda row: row["share"])
    assert f"{worst['share']:.0f} %" in result.notes[0]
    assert result.parameters["seeds"] == 2
    for row in result.rows:
        assert (
            0
            < row["share"]
            == pytest.approx(100 * min(row["to_peripheral"], row["to_central"]) / row["ready"], rel=0.05)
        )
        assert row["met"] == (row["share"] >= 80 and row["balance"] >= 75)
    assert (tmp_path / "sweep-slow.png").read_bytes().startswith(b"\x89PNG")


def test_the_whole_of_the_slow_part():
    assert len(sweep._plan("slow", Case(), slow.WHOLE).jobs) == 5 * 6 * 3 * 2 * 3
    outcome = invoke("point", "--whole")
    assert outcome.exit_code == 2
    assert "--whole is for the part slow" in outcome.output
