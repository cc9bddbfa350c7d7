"""Numbers in messages, as `picolink monitor --plot` and `--png` find and draw them."""

import pytest
from picolink_pc.terminal import plot
from picolink_pc.terminal.plot import History, numbers


@pytest.mark.parametrize(
    ("message", "found"),
    [
        (b"n 12", {"n": 12}),
        (b"temperature: -21.5 C, humidity=40%", {"temperature": -21.5, "humidity": 40}),
        (b"21.5", {"value": 21.5}),
        (b"1 2 3", {"value": 1, "value 2": 2, "value 3": 3}),
        (b"1e3 and .5.6", {"value": 1000}),
        (b"sensor7 is on, led2=0", {"led2": 0}),
        (b"Hello from the Pico!", {}),
        (b"\xff\x00", {}),
        (b"", {}),
        (b'{"temperature": 21.5, "led": true, "name": "7"}', {"temperature": 21.5}),
        (b'{"bmp": {"hPa": 1013, "raw": [1, 2]}}', {"bmp.hPa": 1013, "bmp.raw.0": 1, "bmp.raw.1": 2}),
        (b"[1, null, 2.5]", {"0": 1, "2": 2.5}),
        (b'{"a": NaN, "b": Infinity, "c": 1' + b"0" * 400 + b"}", {}),
        (b"[" * 100_000, {}),
    ],
)
def test_numbers_in_messages(message, found):
    assert numbers(message) == found


def text_of(panels):
    return "\n".join(panel.plain for panel in panels)


def test_the_newest_value_and_its_curve():
    history = History()
    assert text_of(history.draw(80, 24, 0)) == "no number has come yet"
    for second in range(100):
        history.add(0, b"up %d" % second, second)
        history.add(3, b'{"down": %d}' % -second, second)
    panels = history.draw(80, 24, 100)
    text = text_of(panels)
    assert "up: 99" in text and "[3] down: -99" in text
    assert " 99" in text and "39" not in text and "40" in text  # a minute is left
    assert len(text.splitlines()) <= 24
    assert max(len(line) for line in text.splitlines()) <= 80
    # What rises goes up from left to right.
    rows = [line.partition("┤")[2] or line.partition("│")[2] for line in panels[0].plain.splitlines()]
    starts = [len(row) - len(row.lstrip()) for row in rows if any("⠀" < mark <= "⣿" for mark in row)]
    assert starts == sorted(starts, reverse=True) and len(starts) > 3


def test_what_has_no_room_is_told():
    history = History()
    history.add(0, b"[1, 2, 3, 4, 5]", 0)
    assert text_of(history.draw(80, 20, 1)).endswith("3 more: a taller window has room for them")


def test_names_of_a_board_do_not_reach_the_terminal_as_commands():
    history = History()
    history.add(0, b'{"\\u001b[2J": 1}', 0)
    assert "\x1b" not in text_of(history.draw(80, 20, 1))


def test_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(plot, "_POINTS", 100)
    history = History()
    for number in range(1000):
        history.add(0, b'{"x": %d, "y%d": 1}' % (number, number), number)
    assert len(history.fields) == plot._FIELDS
    points = history.fields["x"].points
    assert 50 <= len(points) <= 100
    assert points == [(number, number) for number in range(0, 1000, history.fields["x"].every)]
    assert history.fields["x"].latest == 999


def test_a_picture(tmp_path):
    history = History()
    for second in range(10):
        history.add(0, b'{"a": %d, "b": %d, "$^_$": %d}' % (second, -second, second), second)
    history.save(tmp_path / "numbers.png")
    assert (tmp_path / "numbers.png").read_bytes().startswith(b"\x89PNG")
