"""The dissector for Wireshark: its numbers are the engine's, and tshark shows with it what was sent."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from picolink import pyengine
from picolink_pc import products
from picolink_pc.boards import Room

EXAMPLES = Path(__file__).parents[1] / "examples"
SOURCE = products.DISSECTOR.read_text()


def numbers():
    """The constants at the top of the script."""
    found = {}
    for names, values in re.findall(r"^local ([A-Z_, ]+) = ([0-9A-Fx, ]+)$", SOURCE, re.MULTILINE):
        found |= zip(names.split(", "), (int(value, 0) for value in values.split(", ")), strict=True)
    return found


def test_its_numbers_are_those_of_the_engine():
    found = numbers()
    others = {"CRC": pyengine._OVERHEAD - pyengine._HEADER}
    assert len(found) > 12
    for name, value in found.items():
        assert value == others.get(name, getattr(pyengine, f"_{name}", None)), name


def test_its_reasons_are_those_of_the_document():
    document = (EXAMPLES.parent / "docs" / "protocol.md").read_text()
    table = re.findall(r"^\| ([1-9]) \| ([A-Z_]+) \| ", document, re.MULTILINE)
    listed = re.search(r"REASONS = \{(.*?)\}", SOURCE, re.DOTALL)[1]
    assert re.findall(r'"([A-Z_]+)"', listed) == [name for _, name in table]
    assert [int(number) for number, _ in table] == list(range(1, len(table) + 1))


def tshark(capture, fields):
    """Of picolink's packets.   fields: of the dissector, in columns."""
    # From Wireshark 4.4 on, root's loads no scripts. Another user may not be able to enter our folders,
    # but can read files that are open.
    another = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}
    with capture.open() as packets, products.DISSECTOR.open() as script:
        command = ["tshark", "-X", f"lua_script:/dev/fd/{script.fileno()}", "-r", "-"]
        command += ["-Y", "picolink", "-T", "fields"]
        for field in fields:
            command += ["-e", f"picolink.{field}"]
        options = {"stdin": packets, "pass_fds": [script.fileno()], **another}
        return subprocess.run(command, check=True, capture_output=True, text=True, **options)


@pytest.mark.slow
def test_tshark_shows_greeting_and_data(tmp_path, run):
    async def scenario():
        async with Room(capture=tmp_path / "air.btsnoop") as room:
            boards = [room.board("pico_a"), room.board("pico_b")]
            for board in boards:
                await board.start(EXAMPLES / f"{board.name}.py")
            for board in boards * 3:
                await board.line("received: Hello from")

    run(scenario())
    fields = ("kind", "session", "answered_session", "identity", "offset", "stream")
    shown = tshark(tmp_path / "air-pico_a.btsnoop", fields)
    assert "Lua: Error" not in shown.stdout + shown.stderr
    rows = [dict(zip(fields, line.split("\t"), strict=True)) for line in shown.stdout.splitlines()]
    kinds = [row["kind"] for row in rows]
    assert kinds[0] in ("HELLO", "IDENTITY")
    assert {"HELLO", "IDENTITY", "data"} == set(kinds)
    sessions = {row["session"] for row in rows if row["session"]}
    assert len(sessions) == 2
    assert {row["answered_session"] for row in rows if row["answered_session"]} - {"0x00000000"} == sessions
    assert len({row["identity"] for row in rows if row["identity"]}) == 2
    streams = [bytes.fromhex(row["stream"].replace(":", "")) for row in rows if row["stream"]]
    assert any(b"Hello from Pico A!" in stream for stream in streams)
    assert any(b"Hello from Pico B!" in stream for stream in streams)
    assert {row["offset"] for row in rows if row["stream"]} > {"0", "20"}
