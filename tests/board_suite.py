"""engine_suite and engine_differential on emulated boards: the files, and how to run them."""

from collections.abc import Callable
from pathlib import Path

import engines
from picolink_pc import bytecode

_TESTS = Path(__file__).parent
VECTORS = engines.exchanges()
_NOTED_LINKS = 2


def suite_files() -> dict[str, bytes]:
    """The tests by path on the board, with one more exchange, vectors/broken.json, that no engine passes."""
    modules = ("engine_suite", "engine_differential")
    files = {f"{name}.mpy": bytecode.compile_file(_TESTS / f"{name}.py", f"{name}.py") for name in modules}
    files |= {name: (_TESTS / name).read_bytes() for name in VECTORS}
    good = files["vectors/hello.json"]
    files["vectors/broken.json"] = good.replace(b'"pending", [], 7', b'"pending", [], 8')
    assert files["vectors/broken.json"] != good
    return files


def package_files() -> dict[str, bytes]:
    """picolink without a native module, by path on the board."""
    return {f"lib/picolink/{name}": content for name, content in bytecode.package().items()}


def failures(run: Callable[[str], str], engine: str, names: list[str]) -> list[str]:
    """Runs tests of engine_suite on a board.  Returns the lines of those that failed; all must have run.

    run: gives what a program prints on the board.
    """
    program = f"import engine_suite\nengine_suite.run(engine_suite.engine_named({engine!r}), {names!r})"
    lines = run(program).splitlines()
    ran = [line.split()[1].rstrip(":") for line in lines]
    assert ran == names
    return [line for line in lines if not line.startswith("ok ")]


def assert_engines_do_the_same(run: Callable[[str], str]) -> None:
    """The native and the Python engine get the same random calls on a board."""
    program = """
from engine_differential import engine_named, run
total = run([engine_named("_picolink.Engine"), engine_named("picolink.pyengine.Engine")], 1, 1)
print(total["packets_received"] > 20)
"""
    assert run(program).splitlines()[-1] == "True"


def assert_engine_does_as_python(run: Callable[[str], str], engine: str) -> None:
    """An engine gets random calls on a board, and the Python engine the same on this PC's MicroPython.

    For emulated boards, where the Python engine takes minutes for them.
    """
    program = """
import engine_differential
engine_differential.note(engine_differential.engine_named({!r}), 1, {})
"""
    python = engines.micropython("engine_differential.py", "picolink.pyengine.Engine", 1, _NOTED_LINKS)
    assert python.returncode == 0, python.stderr
    *expected, received = python.stdout.splitlines()
    assert len(expected) == 200 * _NOTED_LINKS
    assert int(received) > 20
    *steps, _ = run(program.format(engine, _NOTED_LINKS)).splitlines()
    same = [step == other for step, other in zip(steps, expected, strict=True)]
    assert all(same), f"another value or other bytes at step {same.index(False)} of seed 1"
