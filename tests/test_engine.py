"""engine_suite and the scripted exchanges, on every engine."""

import json
import runpy

import engine_suite
import engines
import pytest
from picolink import flags


def cases(kinds):
    return [
        pytest.param(kind, name, id=f"{kind}-{name}") for kind in kinds for name in engines.tests_for(kind)
    ]


@pytest.mark.parametrize(("kind", "name"), cases(engines.IN_PROCESS))
def test_engine(kind, name):
    engine = engines.IN_PROCESS[kind]
    if name.endswith(".json"):
        engine_suite.play(engine, engines.TESTS / name)
    else:
        getattr(engine_suite, name)(engine)


@pytest.mark.parametrize(("kind", "name"), cases(engines.IN_OTHER_PROCESSES))
def test_engine_in_another_process(kind, name):
    lines, output = engines.results(kind)
    assert lines.get(name) == f"ok {name}", lines.get(name, f"no result, the process ended with {output}")


def test_suite_fails_when_an_engine_is_wrong():
    wrong = """
from picolink import pyengine
import engine_suite
pyengine.Engine.take_flags = lambda self: 0
engine_suite.main(["picolink.pyengine.Engine", "test_channels", "test_flags_are_cleared_when_taken"])
"""
    process = engines.micropython("-c", wrong)
    assert process.returncode == 1
    first, second = process.stdout.splitlines()
    assert first == "ok test_channels"
    assert second.startswith("FAILED test_flags_are_cleared_when_taken: AssertionError: 0")


def test_exchanges_are_what_their_script_writes():
    make = runpy.run_path(str(engines.TESTS / "vectors/make.py"))
    written = {path.name: path.read_text() for path in (engines.TESTS / "vectors").glob("*.json")}
    assert make["texts"]() == written, "run 'python tests/vectors/make.py' and look at the difference"


@pytest.mark.parametrize("kind", engines.IN_PROCESS)
@pytest.mark.parametrize("name", ["hostile", "busy"])
def test_recorded_exchanges_can_be_played(kind, name, tmp_path):
    record = runpy.run_path(str(engines.TESTS / "vectors/record.py"))
    exchange = {"engines": {}, "steps": []}
    record[name](exchange, 7)
    file = tmp_path / "exchange.json"
    file.write_text(json.dumps(exchange))
    engine_suite.play(engines.IN_PROCESS[kind], file)
    packets = [step for step in exchange["steps"] if step[1] == "pull_into" and step[3]]
    assert len(packets) > 50
    packets[-1][3] = "00"
    file.write_text(json.dumps(exchange))
    with pytest.raises(AssertionError, match="pull_into"):
        engine_suite.play(engines.IN_PROCESS[kind], file)


def test_constants_are_those_of_the_suite():
    names = [name for name, value in vars(flags).items() if name.isupper() and isinstance(value, int)]
    assert len(names) == 28
    assert [getattr(engine_suite, name) for name in names] == [getattr(flags, name) for name in names]
