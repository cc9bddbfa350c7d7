"""Fixtures for tests on virtual boards, and the options that put them on a real Bluetooth stack."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

_LIMIT_S = 120
"""Generous: a test waits for what it expects, and fails by this only if that never comes."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("picolink")
    text = "real stack mode for the tests of the link, as in picolink run --help"
    group.addoption("--micropython", type=Path, help=text)
    group.addoption("--aioble", type=Path, help=text)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests of the real aioble belong to the run only when there is one: pytest --aioble FOLDER."""
    if config.getoption("aioble"):
        return
    needy = [item for item in items if "real_aioble" in item.fixturenames]
    config.hook.pytest_deselected(items=needy)
    items[:] = [item for item in items if item not in needy]


@pytest.fixture
def stack(pytestconfig: pytest.Config) -> dict[str, Path | None]:
    """Arguments for Room: the Bluetooth stack that pytest was given, or the stand-in."""
    return {name: pytestconfig.getoption(name) for name in ("micropython", "aioble")}


@pytest.fixture
def ctrl_c() -> None:
    """For tests that press it: a run in a shell's background ignores it, and so does what that starts."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def run() -> Callable[[Awaitable[object]], object]:
    """run(coroutine): its result."""

    def to_the_end(work: Awaitable[object]) -> object:
        return asyncio.run(asyncio.wait_for(work, _LIMIT_S))

    return to_the_end
