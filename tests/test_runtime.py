"""What picolink.runtime adds to asyncio, on each interpreter."""

import pytest
from test_memory_radio import run_program


@pytest.mark.parametrize("interpreter", ["CPython", "MicroPython, Python"])
def test_a_flag(interpreter):
    assert run_program(interpreter, "flag.py") == "ok\n"
