"""What must not grow: CPU cycles of a message on the emulated Pico, against tests/budgets.json.

Cycles repeat exactly for the same code and compiler. After a change that is worth its price, or makes things
better, put the figures that this test prints into the file.
"""

import json
from pathlib import Path

import pytest
from picolink_pc.bench import engine

BUDGETS = json.loads(Path(__file__).with_name("budgets.json").read_text())
MAY_GROW = 1.05
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


@pytest.mark.parametrize("name", BUDGETS["cycles"])
def test_cycles_of_the_whole_way_of_a_message(cycles, name):
    budget = BUDGETS["cycles"][name]
    assert cycles[name] <= budget * MAY_GROW, f"{cycles[name]:.0f} cycles, the budget is {budget}"


def test_the_native_engine_is_as_fast_as_it_has_to_be(cycles):
    assert cycles["native"] <= TARGET_CYCLES


@pytest.mark.parametrize("module", ["_picolink", engine.MPY_ON_BOARD])
def test_the_native_engine_allocates_nothing(pico, module):
    assert pico.heap(module, MESSAGE) == 0


def test_the_figures_repeat_exactly(pico, cycles):
    assert engine.whole_way(pico.costs("_picolink", MESSAGE)) == cycles["native"]
