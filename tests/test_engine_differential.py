"""The Python engine and the C engine get the same random calls and must do the same."""

import engine_differential
import engine_suite
import engines
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

BOTH = [engines.IN_PROCESS["python"], engines.IN_PROCESS["c"]]
NAMES = "picolink.pyengine.Engine", "host_engine.HostEngine"
number = st.integers(0, 0xFFFF)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(number, st.lists(st.tuples(number, number, number), min_size=60, max_size=120))
def test_the_same_calls_give_the_same(seed, steps):
    same_calls(seed, steps, False)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(number, st.lists(st.tuples(number, number, number), min_size=60, max_size=120))
def test_the_same_calls_give_the_same_with_keys(seed, steps):
    same_calls(seed, steps, True)


def same_calls(seed, steps, keyed):
    link = engine_differential.Link(BOTH, seed, keyed)
    link.start_both(0, seed, 0)
    for step in steps:
        link.step(*step)
    link.compare_stats()


# "dropped": packets held during another call, test_engine_reentrancy. With keys nobody contradicts.
@pytest.mark.parametrize(
    ("keyed", "unreached"),
    [(False, ["dropped", "replayed", "unproven"]), (True, ["contradictions", "dropped", "overruns"])],
)
def test_many_steps_reach_every_counter(keyed, unreached):
    total = engine_differential.run(BOTH, 2, 100, keyed)
    assert sorted(name for name in engine_suite.COUNTERS if not total[name]) == unreached


@pytest.mark.parametrize("keyed", [(), ("keyed",)])
def test_many_steps_with_sanitizers(keyed):
    process = engines.python_with_sanitizers("engine_differential.py", *NAMES, 2, 60, *keyed)
    assert process.returncode == 0, process.stderr


def test_many_steps_on_micropython():
    process = engines.micropython("engine_differential.py", NAMES[0], "_picolink.Engine", 3, 60)
    assert process.returncode == 0, process.stderr


class Slower(engines.IN_PROCESS["python"]):
    def wait(self, now):
        wait = super().wait(now)
        return 31 if wait == 30 else wait


def test_a_difference_is_found():
    try:
        engine_differential.run([BOTH[1], Slower], 4, 20)
    except AssertionError as error:
        assert "('wait', (" in str(error)
        assert str(error).endswith(": 30 and 31")
    else:
        raise AssertionError("not found")


def test_a_difference_changes_the_checksum(capsys):
    printed = []
    for kind in (*BOTH, Slower):
        engine_differential.note(kind, 4, 20)
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1] != printed[2]
