"""Fixtures for tests on virtual boards, and the options that put them on a real Bluetooth stack."""

import asyncio
import os
import re
import signal
import time
from collections.abc import Awaitable, Callable, Generator
from pathlib import Path

import pytest
from picolink_pc.boards import INTERPRETERS, play
from picolink_pc.emulator.firmware import read_firmware, with_picolink

_LIMIT_S = 120
"""Generous: a test waits for what it expects, and fails by this only if that never comes."""

_FAST_S = 10
"""`make check` leaves out the tests that are marked slow. One that takes longer than this needs the mark."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("picolink")
    text = "real stack mode for the tests of the link, as in picolink run --help"
    group.addoption("--micropython", type=Path, help=text)
    group.addoption("--aioble", type=Path, help=text)
    text = "emulated Pico Ws with this UF2 or ELF file for the tests of the link, as in picolink run --help"
    group.addoption("--firmware", type=Path, help=text)
    text = "what runs the programs of virtual boards in the tests of the link, as in picolink run --help"
    group.addoption("--boards", choices=INTERPRETERS, help=text)
    text = "what connects in the tests of the link; a PC by bleak and a virtual adapter"
    group.addoption("--central", choices=("board", "pc"), default="board", help=text)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Some tests belong to the run only with what they need.

    Those of the real aioble when there is one: pytest --aioble FOLDER. Those of links with the native engine
    and of MicroPython's heap where MicroPython runs the boards. Those marked board_central where a
    board connects, and not a PC.
    """
    needy = []
    if not config.getoption("aioble"):
        needy += [item for item in items if "real_aioble" in item.fixturenames]
    if config.getoption("boards") == "cpython":
        needy += [item for item in items if "micropython_heap" in item.fixturenames]
        needy += [item for item in items if "pair" in item.fixturenames and "native" in _names(item)]
    if config.getoption("central") == "pc":
        needy += [item for item in items if item.get_closest_marker("board_central")]
    config.hook.pytest_deselected(items=needy)
    items[:] = [item for item in items if item not in needy]


def _names(item: pytest.Item) -> set[str]:
    """The strings among a test's parameters."""
    names = set()
    for value in item.callspec.params.values() if hasattr(item, "callspec") else ():
        names.update(value if isinstance(value, tuple) else (value,))
    return names


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """Fails a test that is slow and not marked so: `make check` stays fast. Whoever runs all has the time."""
    clock = SlownessClock()
    yield
    if "not slow" in item.config.getoption("markexpr") and clock.seconds() > _FAST_S:
        why = f"took {clock.seconds():.0f} s by itself: mark it slow (pytest.mark.slow)"
        pytest.fail(why, pytrace=False)


class SlownessClock:
    """How long something takes by itself, since this was made: a busy machine makes it no longer.

    That is the CPU time of this process and its children, or the time in which nothing on this machine had to
    wait for a CPU (Linux tells), whichever is more.
    """

    def __init__(self) -> None:
        self._began = self._cpu_s(), self._quiet_s()

    def seconds(self) -> float:
        cpu_s, quiet_s = self._began
        return max(self._cpu_s() - cpu_s, self._quiet_s() - quiet_s)

    @staticmethod
    def _cpu_s() -> float:
        return sum(os.times()[:4])

    @staticmethod
    def _quiet_s() -> float:
        try:
            pressure = Path("/proc/pressure/cpu").read_text()
        except OSError:
            return 0
        return time.monotonic() - int(re.search(r"^some .*total=(\d+)", pressure)[1]) / 1e6


@pytest.fixture(scope="session")
def browser() -> Generator[tuple, None, None]:
    """Chromium, and what runs work in the event loop that it lives in: (browser, run)."""
    from browser import Browser

    with asyncio.Runner() as runner:

        def run(work: Awaitable) -> object:
            return runner.run(asyncio.wait_for(work, _LIMIT_S))

        browser = run(Browser().__aenter__())
        yield browser, run
        run(browser.__aexit__())


@pytest.fixture
def stack(pytestconfig: pytest.Config) -> dict[str, object]:
    """Arguments for Room: the Bluetooth stack or firmware that pytest was given, or the stand-in."""
    stack = {name: pytestconfig.getoption(name) for name in ("micropython", "aioble")}
    if pytestconfig.getoption("firmware"):
        stack["firmware"] = with_picolink(read_firmware(pytestconfig.getoption("firmware")))
    return stack | {"interpreter": pytestconfig.getoption("boards")}


@pytest.fixture
def ctrl_c() -> None:
    """For tests that press it: a run in a shell's background ignores it, and so does what that starts."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def run(stack: dict[str, object]) -> Callable[[Awaitable[object]], object]:
    """run(coroutine): its result."""

    def to_the_end(work: Awaitable[object]) -> object:
        return play(asyncio.wait_for(work, _LIMIT_S), stack.get("firmware"))

    return to_the_end
