"""What must not grow, against tests/budgets.json: CPU cycles on the emulated Pico, packets in the simulation.

Cycles repeat exactly for the same code and compiler, packets for the same protocol. After a change that is
worth its price, or makes things better, put the new figures into the file; this prints them:

    pytest -rP tests/test_bench_budgets.py

Cycles have budgets for the compilers of Debian 12 and of Debian 13. Any other may need what the dearer of
them does.
"""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from picolink_pc import products
from picolink_pc.bench import costs, cpu, engine
from picolink_pc.bench import cycles as table
from picolink_pc.bench.report import load
from picolink_pc.emulator import Emulator
from picolink_pc.radio.air import RadioSettings, ceiling
from picolink_pc.simulation.board import NO_TRAFFIC, Traffic
from picolink_pc.simulation.engines import engines
from picolink_pc.simulation.faults import PacketFaults
from picolink_pc.simulation.simulation import Setup, Simulation

pytestmark = pytest.mark.slow

BUDGETS = json.loads(Path(__file__).with_name("budgets.json").read_text())
MAY_GROW = 1.05
ANOTHER_COMPILER = 0.15  # GCC 14.2.1 makes recv() of 236 bytes 9 % quicker than GCC 12.2.1, the others 1 %
BOARD = "RPI_PICO"
MESSAGE = 20  # bytes, in full packets of 236

TARGET_CYCLES = 3500  # for the native engine, with recv_into


@pytest.fixture(scope="module")
def pico():
    with engine.emulated_board() as board:
        yield board


@pytest.fixture(scope="module")
def cycles(pico):
    return {
        name: engine.whole_way(pico.costs(module, MESSAGE))
        for module, name in engine.ENGINES.items()
        if not module.endswith("-crc")
    }


def names(part):
    return next(iter(BUDGETS[part].values()))


def budget(part, name):
    """Cycles, for the compiler of this firmware."""
    compiler = products.compiler(BOARD)
    by_compiler = {each: budgets[name] for each, budgets in BUDGETS[part].items()}
    return by_compiler.get(compiler, max(by_compiler.values()))


def within(found, most, growth=MAY_GROW):
    """Whether the budget is kept, and both figures, for people."""
    print(f"{found:.0f} cycles with {products.compiler(BOARD)}, the budget is {most}")
    return found <= most * growth


@pytest.mark.parametrize("name", names("cycles"))
def test_cycles_of_the_whole_way_of_a_message(cycles, name):
    assert within(cycles[name], budget("cycles", name))


def test_the_native_engine_is_as_fast_as_it_has_to_be(cycles):
    assert cycles["native"] <= TARGET_CYCLES


@pytest.mark.parametrize("way", names("link"))
def test_cycles_of_a_message_through_the_link(way):
    sender, reader = way.split(", ")
    with Emulator(products.firmware(BOARD)) as pico:
        found = cpu.measure(pico, "native", sender, reader, RadioSettings(interval_ms=15))
    assert found["rate"] == pytest.approx(ceiling(RadioSettings(interval_ms=15), both_ways=True), rel=0.02)
    # A name more in the link shifts MicroPython's tables, and what each look into them takes.
    assert within(found["cycles"], budget("link", way), growth=1.15)


def test_installed_on_micropythons_own_firmware_a_message_costs_little_more():
    with cpu.with_files() as pico:
        found = cpu.measure(pico, "native", "send", "async for", RadioSettings(interval_ms=15))
    assert within(found["cycles"], budget("link", "send, async for"), growth=1.15)


def test_a_link_with_a_key_is_measured_too():
    with Emulator(products.firmware(BOARD)) as pico:
        found = cpu.measure(pico, "native", "send", "async for", RadioSettings(interval_ms=15), True)
    # A full packet with a key has 218 bytes of the stream, not 224.
    assert found["rate"] == pytest.approx(
        ceiling(RadioSettings(interval_ms=15), both_ways=True) * 218 / 224, rel=0.02
    )


def test_a_profile_adds_up_and_names_functions_of_both_languages(tmp_path):
    result = CliRunner().invoke(cpu.cpu, ["--profile", "--plot", "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    for name, function in (
        ("cpu-profile", "mp_execute_bytecode"),
        ("cpu-profile-python", "picolink_link_Link__receive"),
    ):
        profile = load(tmp_path / f"{name}.json")
        cycles = {row["function"]: row for row in profile.rows}
        assert function in cycles
        for way in names("link"):
            whole = sum(row[way] for row in profile.rows)
            assert budget("link", way) * 0.75 < whole < budget("link", way) * 1.15
        assert (tmp_path / f"{name}.png").stat().st_size > 10_000


@pytest.mark.parametrize("module", ["_picolink", engine.MPY_ON_BOARD])
def test_the_native_engine_allocates_nothing(pico, module):
    assert pico.heap(module, MESSAGE) == 0


def test_the_figures_repeat_exactly(pico, cycles):
    assert engine.whole_way(pico.costs("_picolink", MESSAGE)) == cycles["native"]


@pytest.fixture(scope="module")
def measured():
    """As picolink bench costs does it: on a board that has done nothing else, for recv() allocates."""
    with engine.emulated_board() as board:
        return costs.measure(board)


# The Python engine looks names up, and how long that takes changes with their numbers in each firmware.
@pytest.mark.parametrize(("name", "tolerance"), [("native", 0.01), ("python", 0.1)])
@pytest.mark.parametrize("size", [18, 236])
def test_the_sweep_computes_with_the_cycles_of_this_firmware(measured, name, tolerance, size):
    if products.compiler(BOARD) != table.compiler():
        tolerance = ANOTHER_COMPILER
    now, known = full_packet(measured[name], size), full_packet(table.load()[name], size)
    assert now == pytest.approx(known, rel=tolerance), "run make firmware, then picolink bench costs"


# Python's calls depend on which names collide in MicroPython's tables, and other programs have other names.
@pytest.mark.parametrize(
    ("module", "name", "tolerance"), [("_picolink", "native", 0.15), ("picolink.pyengine", "python", 0.25)]
)
def test_the_calls_of_the_sweep_add_up_to_the_whole_way(pico, measured, module, name, tolerance):
    whole = engine.whole_way(pico.costs(module, MESSAGE, into=False))
    us = sum(full_packet(measured[name], MESSAGE))
    assert us * table.RP2040_HZ / 1e6 == pytest.approx(whole, rel=tolerance)  # without acknowledgements


def full_packet(cycles_of_calls, size):
    """us of send, pull, feed, recv, for each message in a full packet."""
    calls = table.calls(cycles_of_calls, size)
    packets = (size + (2 if size < 128 else 3)) / 224
    pull, feed = calls.pull + 236 * calls.pull_octet, calls.feed + 236 * calls.feed_octet
    return calls.send, pull * packets, feed * packets, calls.recv


CASES = {
    "one way": ((Traffic(count=3000), NO_TRAFFIC), PacketFaults()),
    "both ways": ((Traffic(count=3000), Traffic(count=3000)), PacketFaults()),
    "both ways, 5 % of packets lost": (
        (Traffic(count=3000), Traffic(count=3000)),
        PacketFaults(lost=0.05, corrupted=0.005),
    ),
}
COUNTERS = ("packets_sent", "acks_alone", "retransmitted")


def packets(case, engine_name):
    """Packets that it takes to bring all messages across, of both boards."""
    traffic, faults = CASES[case]
    simulation = Simulation(engines(engine_name, 0), Setup(RadioSettings(interval_ms=15), traffic=traffic))
    simulation.faults = faults
    simulation.connect()
    simulation.run(1)
    while not all(board.idle for board in simulation.boards):
        simulation.run(0.05)
    assert simulation.broken_promises() == []
    stats = {board.name: board.engine.stats() for board in simulation.boards}
    return {board: {counter: counts[counter] for counter in COUNTERS} for board, counts in stats.items()}


@pytest.mark.parametrize("engine_name", ["native", "python"])
@pytest.mark.parametrize("case", CASES)
def test_packets_of_a_case(case, engine_name):
    found, budget = packets(case, engine_name), BUDGETS["packets"][case]
    for board, counters in budget.items():
        for counter, most in counters.items():
            assert found[board][counter] <= most * MAY_GROW, f"{case}: {json.dumps(found)}"


def test_packets_are_the_same_for_both_engines_and_every_time():
    case = "both ways, 5 % of packets lost"
    assert packets(case, "native") == packets(case, "python") == packets(case, "native")
