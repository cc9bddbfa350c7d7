"""Benchmarks: that they count and compute what they say; never how fast this PC is."""

import asyncio
import json
import re
import socket
from pathlib import Path

import pytest
from click.testing import CliRunner
from picolink_pc.bench import docs, engine, heap, link, meet, report, traffic
from picolink_pc.boards import BoardError, Room
from picolink_pc.percentile import percentile
from picolink_pc.radio.air import RadioSettings
from rich.console import Console

STAND_IN = traffic.Stack()
RAW_REPL = Path(__file__).parent / "programs/raw_repl.py"


def play(program, how, *steps, stack=STAND_IN, **radio):
    return asyncio.run(traffic.run(RadioSettings(**radio), stack, program, how, 18, list(steps)))


@pytest.fixture
def home(monkeypatch, tmp_path):
    """Nothing is kept for the user who tests."""
    for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))


@pytest.mark.slow
@pytest.mark.usefixtures("home")
def test_a_pc_as_the_other_end_is_counted_like_a_board():
    steps = [traffic.Step("both", 1, rate=50), traffic.Step("central", 60, limit=30)]
    found, cpu_s = asyncio.run(traffic.run_with_pc(RadioSettings(interval_ms=7.5), "native", 18, steps))
    to_central, to_peripheral = found.steps[0]
    for way in (to_central, to_peripheral):
        assert 40 <= way.sent <= 51
        assert (way.received, way.wrong) == (way.sent, 0)
    assert [(way.sent, way.received) for way in found.steps[1]] == [(30, 30)]
    assert [stats["messages_received"] for stats in found.stats] == [
        to_peripheral.sent + 30 + 1,  # the last one is the end
        to_central.sent + 1,
    ]
    assert 0 < cpu_s < 60
    with pytest.raises(BoardError, match=r"(?s)the PC's side failed; it printed:.*no such engine"):
        asyncio.run(traffic.run_with_pc(RadioSettings(), "no such engine", 18, steps))


@pytest.mark.slow
@pytest.mark.usefixtures("home")
def test_bleak_alone_is_counted():
    steps = [traffic.Step("peripheral", 1, rate=100), traffic.Step("peripheral", 2, rate=100, limit=30)]
    found, cpu_s = asyncio.run(traffic.run_bleak_alone(RadioSettings(interval_ms=7.5), 18, steps))
    (first,), (second,) = found.steps
    assert 80 <= first.sent <= 101
    assert (first.received, first.wrong) == (first.sent, 0)
    assert (second.sent, second.received) == (30, 30)
    assert 0 < cpu_s < 60


@pytest.mark.slow
@pytest.mark.usefixtures("home")
def test_two_boards_at_full_speed_at_one_pc():
    """Both ways at once on each link, in order."""
    steps = [traffic.Step("both", 3), traffic.Step("both", 1, rate=20)]
    runs, cpu_s = asyncio.run(
        traffic.run_links_with_pc(RadioSettings(interval_ms=15), 2, "native", 18, steps)
    )
    assert len(runs) == 2
    for run in runs:
        assert all(0 < way.sent == way.received and not way.wrong for step in run.steps for way in step)
        assert all(way.delivered > 100 for way in run.steps[0])  # of 1,300, on a PC that does other things
    assert 0 < cpu_s < 60


@pytest.fixture
def real_aioble(stack):
    return traffic.Stack(**stack)


def result(name="a-result"):
    return report.Result(
        name=name,
        title="Title & more",
        parameters={"message_bytes": 18},
        columns={"who": "who", "rate": "rate/s", "lost": "lost"},
        rows=[{"who": "one", "rate": 1742.4, "lost": 0}, {"who": "two", "rate": None, "lost": 7}],
        notes=["A note."],
    )


def test_a_result_comes_back_from_its_file(tmp_path):
    report.publish(Console(quiet=True), [result()], tmp_path, {})
    assert report.load(tmp_path / "a-result.json") == result_with_the_same_run(tmp_path)
    assert not (tmp_path / "index.html").exists()


def result_with_the_same_run(folder):
    told = json.loads((folder / "a-result.json").read_text())
    expected = result()
    expected.date, expected.machine, expected.command = told["date"], told["machine"], told["command"]
    assert set(told["machine"]) == {"cpu", "cores", "system", "python", "load"}
    return expected


@pytest.mark.parametrize("width", [40, 80, 200])
def test_tables_show_every_figure_whole_however_narrow_the_terminal(width, capsys):
    figures = {f"the {number}th": 7 * 10**number for number in range(10)}
    wide = result()
    wide.columns = {"who": "who", **{key: key for key in figures}}
    wide.rows = [{"who": name, **figures} for name in ("one", "two")]
    console = Console(width=width)
    for table in wide.tables(console):
        console.print(table)
    printed = capsys.readouterr().out
    for figure in figures.values():
        assert printed.split().count(f"{figure:,}") == 2
    assert max(map(len, printed.splitlines())) <= width
    assert (len(wide.tables(console)) == 1) == (width == 200)


def test_the_page_collects_results_and_pictures(tmp_path):
    report.publish(Console(quiet=True), [result("earlier")], tmp_path, {})
    draw = {"a-result": lambda _, path: path.write_bytes(b"png")}
    report.publish(Console(quiet=True), [result()], tmp_path, draw)
    page = (tmp_path / "index.html").read_text()
    assert page.count("Title &amp; more</h2>") == 2
    assert page.count("<img") == 1
    assert 'src="a-result.png"' in page
    assert "<td>1,742</td>" in page
    assert "A note." in page


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (True, "yes"), (1742.4, "1,742"), (0.51234, "0.512"), (12345, "12,345"), ("x", "x")],
)
def test_cells_show_digits_that_count(value, text):
    assert report.cell(value) == text


def test_the_recorded_command_names_no_folders(monkeypatch, tmp_path):
    words = ["bench", "link", "--out", "here", "--aioble", str(tmp_path)]
    monkeypatch.setattr("sys.argv", [str(tmp_path / "picolink"), *words])
    assert report.command_line() == f"picolink bench link --aioble {tmp_path.name}"


@pytest.mark.parametrize(("share", "expected"), [(0.5, 50), (0.95, 95), (0.99, 99), (1.0, 100)])
def test_percentiles(share, expected):
    assert percentile(list(range(1, 101)), share) == expected


def test_percentile_of_few():
    assert percentile([7.0], 0.99) == 7.0
    assert percentile([1.0, 2.0, 3.0], 0.5) == 2.0


def test_the_sum_of_what_the_air_allows():
    # Computed by hand: 676 us one way, 892 us both ways, 9 PDUs a packet, 224 stream bytes, records of 20.
    settings = RadioSettings(interval_ms=15)
    assert link.arithmetic(settings, 18, both_ways=False).endswith(": 1,742 messages/s")
    assert "takes 676 us: 21 in an event" in link.arithmetic(settings, 18, both_ways=False)
    assert link.arithmetic(settings, 18, both_ways=True).endswith(": 1,327 messages/s each way")
    few = RadioSettings(interval_ms=15, pdus_per_event=4)
    assert "takes 892 us: 4 in an event" in link.arithmetic(few, 18, both_ways=True)
    assert link.arithmetic(few, 18, both_ways=True).endswith(": 332 messages/s each way")


@pytest.mark.slow
def test_a_run_over_a_lossy_radio_loses_nothing_with_picolink():
    run = play(
        "with_picolink.py",
        "native",
        traffic.Step("both", 1, rate=100),
        traffic.Step("peripheral", 1),
        loss=0.1,
    )
    both, one = run.steps
    assert [len(both), len(one)] == [2, 1]
    for way in both + one:
        assert way.received == way.sent > 0
        assert way.wrong == 0
        assert len(way.latencies_ms) == way.received
        assert 0 < way.latencies_ms[0] <= way.latencies_ms[-1]
    assert [way.sent for way in both] == [100, 100]
    assert run.total("messages_sent") == run.total("messages_received")


def test_without_the_real_aioble_only_picolink_runs():
    assert {each.program for each in link.contestants(STAND_IN)} == {"with_picolink.py"}


@pytest.mark.parametrize(("how", "sender"), [("notify", "peripheral"), ("write", "central")])
def test_aioble_alone_is_counted_with_its_losses(real_aioble, how, sender):
    steps = traffic.Step(sender, 1, rate=4), traffic.Step(sender, 2, limit=300)
    run = play("with_aioble.py", how, *steps, stack=real_aioble, interval_ms=30)
    (slow,), (fast,) = run.steps
    assert slow.received == slow.sent == 4
    assert 0 < fast.received < fast.sent


def test_the_tutorial_goes_both_ways(real_aioble):
    run = play("with_aioble.py", "tutorial", traffic.Step("both", 2, rate=2), stack=real_aioble)
    (ways,) = run.steps
    assert [way.sent for way in ways] == [4, 4]
    assert all(0 < way.received <= 4 for way in ways)


def test_a_board_that_fails_is_told_with_what_it_printed():
    with pytest.raises(BoardError, match="no-such-engine"):
        play("with_picolink.py", "no-such-engine", traffic.Step("both", 1))


def test_engine_costs_on_a_virtual_board(tmp_path):
    command = ["--on", "virtual", "--size", "20", "--out", str(tmp_path)]
    outcome = CliRunner().invoke(engine.engine, command)
    assert outcome.exit_code == 0, outcome.output
    rows = {row["engine"]: row for row in report.load(tmp_path / "engine-virtual.json").rows}
    assert list(rows) == ["native", "Python", "JSON, C CRC", "JSON, Python CRC"]
    assert rows["native"]["heap_into"] == 0 < rows["Python"]["heap_into"]
    for row in rows.values():
        assert row["whole"] > 0
    native, python, by_json = report.load(tmp_path / "objects-virtual.json").rows
    assert [native["module"], python["module"], by_json["module"]] == ["native", "Python", "json"]
    assert native["bytes"] == python["bytes"] < by_json["bytes"]
    assert native["both"] > 0
    assert native["pack_heap"] < by_json["pack_heap"]


def test_engine_costs_with_a_key_on_a_virtual_board(tmp_path):
    command = ["--on", "virtual", "--size", "236", "--out", str(tmp_path)]
    outcome = CliRunner().invoke(engine.engine, [*command, "--key"])
    assert outcome.exit_code == 0, outcome.output
    keyed = report.load(tmp_path / "engine-virtual-key.json").rows
    assert [row["engine"] for row in keyed] == ["native"]  # MicroPython for PCs has no cryptolib
    assert keyed[0]["heap_into"] == 0


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--interval", "7", "from 7.5 to 4000 ms"),
        ("--pdus-per-event", "0", "--pdus-per-event is 0: 1 or more"),
    ],
)
def test_a_radio_that_cannot_be_is_explained(option, value, told):
    outcome = CliRunner().invoke(link.link, ["rate", option, value])
    assert outcome.exit_code == 2
    assert told in outcome.output


@pytest.mark.slow
def test_a_short_run_looks_at_the_heap_of_both_boards(tmp_path):
    outcome = CliRunner().invoke(heap.heap, ["--messages", "4000", "--out", str(tmp_path)])
    assert outcome.exit_code == 0, outcome.output
    rows = report.load(tmp_path / "heap.json").rows
    assert [row["messages"] for row in rows] == list(range(200, 4001, 200))
    assert all(row[role] > 0 for row in rows for role in traffic.ROLES)


@pytest.mark.slow
def test_boards_meet_and_are_timed(tmp_path):
    outcome = CliRunner().invoke(meet.meet, ["--meetings", "2", "--pairs", "2", "--out", str(tmp_path)])
    assert outcome.exit_code == 0, outcome.output
    rows = report.load(tmp_path / "meet.json").rows
    assert [row["meetings"] for row in rows] == [2, 2, 2]
    assert all(0 < row["p50"] <= row["most"] for row in rows)


def test_results_get_into_the_pages_with_or_without_their_table_and_notes(tmp_path, monkeypatch):
    draw = {"a-result": lambda _, path: path.write_bytes(b"png")}
    report.publish(Console(quiet=True), [result()], tmp_path, draw)
    kinds = ("result", "notes", "picture")
    for page in docs._PAGES:
        text = "".join(f"<!-- {kind}: a-result -->\nold\n<!-- end -->\n" for kind in kinds)
        (tmp_path / page).write_text(text)
    monkeypatch.setattr(docs, "_DOCS", tmp_path)
    outcome = CliRunner().invoke(docs.docs, [str(tmp_path)])
    assert outcome.exit_code == 0, outcome.output
    (text,) = {(tmp_path / page).read_text() for page in docs._PAGES}
    places = re.findall("<!-- .*?<!-- end -->", text, re.DOTALL)
    assert ["| one | 1,742 | 0 |" in place for place in places] == [True, False, False]
    assert [f"- {result().notes[0]}\n" in place for place in places] == [True, True, False]
    for place in places:
        assert "images/bench-a-result.png" in place
        assert "old" not in place
    assert (tmp_path / "images" / "bench-a-result.png").exists()


@pytest.mark.parametrize(("name", "count"), [("benchmarks.md", 5), ("reliability.md", 4)])
def test_a_page_has_a_result_in_every_place_and_every_picture(name, count):
    docs = Path(__file__).parents[1] / "docs"
    page = (docs / name).read_text()
    places = re.findall(r"<!-- (?:result|notes|picture): (\S+) -->\n(.*?)<!-- end -->", page, re.DOTALL)
    assert len(places) >= count
    assert [name for name, result in places if not result.strip()] == []
    pictures = re.findall(r"\]\((images/\S+)\)", page)
    assert pictures
    assert [picture for picture in pictures if not (docs / picture).exists()] == []


async def on_ports(*steps):
    """A run on two virtual boards that are reached as real ones are: mpremote, at a port each."""
    async with Room(RadioSettings()) as room:
        ports = []
        for role in traffic.ROLES:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                number = free.getsockname()[1]
            board = room.board(role)
            await board.start(RAW_REPL, str(number))
            await board.line("listening")
            ports.append(f"socket://127.0.0.1:{number}")
        stack = traffic.Stack(ports=tuple(ports))
        return await traffic.run(RadioSettings(), stack, "with_picolink.py", "native", 18, list(steps))


@pytest.mark.slow
def test_boards_at_ports_are_measured_as_virtual_ones_are():
    run = asyncio.run(on_ports(traffic.Step("both", 1, rate=50), traffic.Step("central", 0.5)))
    both, one = run.steps
    assert [way.sent for way in both] == [50, 50]
    for way in both + one:
        assert way.received == way.sent > 0
        assert way.wrong == 0
        assert len(way.latencies_ms) == way.received
    assert run.total("messages_sent") == run.total("messages_received")
    assert run.late_events is None


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--port", "A"], "needed twice"),
        (["--port", "A", "--port", "A"], "needed twice"),
        (["--port", "A", "--port", "B", "--aioble", "."], "are for others"),
        (["--port", "A", "--port", "B", "--interval", "15", "--interval", "30"], "give --interval once"),
        (["--port", "/no/such", "--port", "/neither"], "cannot open /no/such"),
    ],
)
def test_ports_that_cannot_be_are_explained(arguments, complaint):
    outcome = CliRunner().invoke(link.link, ["rate", *arguments])
    assert outcome.exit_code
    assert complaint in outcome.output
