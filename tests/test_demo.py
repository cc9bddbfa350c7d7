"""`picolink demo`: its waits are as long as the user asks for."""

import asyncio
import io

import pytest
import virtual_time
from click.testing import CliRunner
from picolink_pc import demo
from picolink_pc.boards import Board
from rich.console import Console

pytestmark = pytest.mark.slow


class Blasting(Board):
    """Plays blast.py: prints the score when the time is over."""

    async def start(self, *arguments):
        self.running = True
        self._print("connected")
        asyncio.get_running_loop().call_later(float(arguments[-1]) + 1, self._print, "score {}")


class Room:
    def __init__(self, *_, **__):
        pass

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        pass

    def board(self, name, *_):
        return Blasting(name, None)


@pytest.mark.parametrize("seconds", [1, 30, 300])
def test_the_score_is_waited_for_as_long_as_the_demo_takes(seconds):
    work = demo._blast(Console(quiet=True), "native", seconds, Room)
    scores, _ = virtual_time.run(work)
    assert len(scores) == 2


def test_a_picture_of_the_output(tmp_path):
    picture = tmp_path / "demo.svg"
    result = CliRunner().invoke(demo.demo, ["--seconds", "1", "--svg", str(picture)])
    assert result.exit_code == 0, result.output
    svg = picture.read_text().replace("&#160;", " ")
    assert "Hello from Pico B!" in svg
    assert "messages both ways at once" in svg
    assert "url(http" not in svg.replace('"', "")


def test_a_narrow_terminal_shows_every_figure():
    way = {
        "sent": 1234567,
        "received": 1234567,
        "lost": 0,
        "duplicated": 0,
        "reordered": 0,
        "per_second": 1300.0,
    }
    result = demo._result([{"engine": "native", "seconds": 3} | way] * 2, demo.RadioSettings(), "stand-in")
    shown = {}
    for width in (40, 100):
        console = Console(width=width, record=True, quiet=False, file=io.StringIO())
        demo._print(console, demo._table(result))
        shown[width] = " ".join(console.export_text().split())
    for text in shown.values():
        assert "1,234,567" in text
        assert "…" not in text
    assert "A to B: 1,234,567 sent, 1,234,567 received, 0 lost" in shown[40]
    assert "sent received lost" in shown[100]
