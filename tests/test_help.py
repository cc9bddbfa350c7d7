"""picolink.help(): ten lines for a terminal, which name nothing that is not there."""

import re
import subprocess

import picolink
from picolink.radio import memory
from picolink_pc import cli, products


def test_the_calls_that_help_names_are_there(capsys):
    picolink.help()
    text = capsys.readouterr().out
    link = picolink.connect("x", radio=memory.Air(), engine="python")
    named = set(re.findall(r"\blink\.(\w+)", text))
    assert named == {"send", "send_nowait", "recv", "drain", "flush", "connected", "stats", "engine"}
    assert all(hasattr(link, name) for name in named)
    assert {name for name in re.findall(r"picolink\.(\w+)", text) if hasattr(picolink, name)} == {
        "advertise",
        "connect",
        "meet",
    }
    assert re.findall(r"picolink (\w+)$", text, re.MULTILINE) == ["doctor"] and "doctor" in cli.main.modules


def test_a_board_prints_it_and_it_fits_a_terminal():
    command = [products.MICROPYTHON, "-c", "import picolink; picolink.help()"]
    environment = {"MICROPYPATH": f"{products.ON_BOARDS}:.frozen"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    lines = done.stdout.splitlines()
    assert len(lines) == 10
    assert max(map(len, lines)) < 80
