"""`picolink prove` on two virtual boards behind serial ports: the whole of it, and what its folder tells.

pytest --firmware IMAGE: on emulated Pico Ws, as `make test-picow` does.
"""

import asyncio
import dataclasses
import getpass
import json
import re
import socket
from pathlib import Path

import pytest
from click.testing import CliRunner
from picolink_pc import advice, products
from picolink_pc.boards import Room
from picolink_pc.emulator import Emulator
from picolink_pc.emulator.firmware import MISS_CYCLES
from picolink_pc.prove import figures, folder, measure, prove
from picolink_pc.prove.measure import QUICK, Figures
from picolink_pc.prove.session import PortBoard
from picolink_pc.radio_door import RadioDoor
from virtual_port import VirtualPort

FIGURES = {
    name
    for name in figures.FIGURES
    if not name.startswith(("free", "soak_grown"))  # of another heap
}


@pytest.fixture
def on_ports(monkeypatch, pytestconfig):
    """on_ports(arguments): the ports, and what the command has said.

    On virtual boards, or with pytest's option --firmware on emulated Pico Ws.
    """
    firmware = pytestconfig.getoption("firmware")

    def invoke(arguments, ports):
        return CliRunner().invoke(prove, [*arguments, *(word for port in ports for word in ("--port", port))])

    async def on_virtual_boards(arguments, boards):
        async with Room() as room, RadioDoor(room.radio):
            ports = [await VirtualPort(room.board(f"board {n}")).offer() for n in range(boards)]
            return ports, await asyncio.to_thread(invoke, arguments, ports)

    def on_boards(*arguments, boards=2):
        if firmware:
            with Emulator(firmware, radio=True, pair=boards == 2, miss_cycles=MISS_CYCLES) as emulated:
                return emulated.ports, invoke(arguments, emulated.ports)
        # Of a virtual board the stand-in hides MicroPython's own module bluetooth.
        monkeypatch.setattr(advice, "next_step", lambda _port, _found: None)
        return asyncio.run(on_virtual_boards(arguments, boards))

    return on_boards


@pytest.mark.slow
def test_two_boards_at_ports_are_proven(on_ports, tmp_path):
    ports, outcome = on_ports("--quick", "--out", str(tmp_path / "report"))
    assert outcome.exit_code == 0, outcome.output
    files = {path.name: path for path in (tmp_path / "report").iterdir()}
    assert set(files) == {"report.json", "index.html", "rates.png", "idle.png", "soak.png"}
    told = json.loads(files["report.json"].read_text())
    assert set(told["figures"]) >= FIGURES
    assert told["broken"] == []
    assert [fault["what"] for fault in told["faults"]] == ["radio off"] * 2 + ["soft reset"] * 2 + [
        "hard reset"
    ] * 2
    assert told["kind"] == folder.BEHIND_TCP  # and so no proof of hardware
    # Of one second in real time, in which messages of a busy PC come in bunches.
    assert told["figures"]["load_50_rate"] > 0
    page = files["index.html"].read_text()
    assert "What this would show, of real boards" in page
    for name in set(files) - {"report.json", "index.html"}:
        assert f'src="{name}"' in page
    private = [str(Path.home()), str(tmp_path), socket.gethostname(), getpass.getuser(), *ports]
    for text in (page, files["report.json"].read_text()):
        assert [word for word in private if re.search(rf"\b{re.escape(word)}\b", text)] == []


@pytest.mark.slow
def test_a_message_that_is_lost_is_told(on_ports, tmp_path, monkeypatch):
    program = tmp_path / "steady.py"
    source = measure._STEADY.read_text()
    assert "score.sent += 1\n" in source
    program.write_text(source.replace("score.sent += 1\n", "score.sent += 2 if score.sent == 20 else 1\n"))
    monkeypatch.setattr(measure, "_STEADY", program)
    monkeypatch.setattr(measure, "QUICK", dataclasses.replace(QUICK, full_s=1, load_s=1, trips=5, soak_s=0))
    _, outcome = on_ports("--quick", "--out", str(tmp_path / "report"))
    assert outcome.exit_code == 1
    assert "full rate, native engine, to the central: 0 lost, 1 wrong" in outcome.output
    told = json.loads((tmp_path / "report" / "report.json").read_text())
    shown = dict(figures.shown(told["figures"], told["broken"]))
    assert [there for what, there in shown.items() if "messages both ways" in what] == [False, False]
    assert [there for what, there in shown.items() if what.startswith("drops")] == [True]


@pytest.mark.slow
def test_a_board_and_this_pc_are_proven(on_ports, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # where an open radio is found: no other one
    quick = dataclasses.replace(QUICK, full_s=1, load_s=1, trips=5, soak_s=2)
    monkeypatch.setattr(measure, "QUICK", quick)
    words = ("--quick", "--radio", "virtual", "--out", str(tmp_path / "report"))
    _, outcome = on_ports(*words, boards=1)
    assert outcome.exit_code == 0, outcome.output
    told = json.loads((tmp_path / "report" / "report.json").read_text())
    assert told["boards"][1]["machine"] == "this PC"
    assert {fault["board"] for fault in told["faults"]} == {"peripheral"}
    there = {name for name in figures.FIGURES if told["figures"].get(name) is not None}
    assert there == {name for name in figures.FIGURES if not re.search("(idle|free|grown)_central", name)}
    assert all(works for _, works in figures.shown(told["figures"], told["broken"]))


LISTENS = """
import sys, beside
print("says", sys.argv[1], beside.WORD)
while True:
    print("typed", sys.stdin.read(1))
"""


@pytest.mark.slow
def test_a_board_at_an_emulated_usb_port_is_watched_interrupted_and_reset(tmp_path):
    # A plain Pico: firmware of a Pico W cannot be built from what is packaged.
    program, module = tmp_path / "listens.py", tmp_path / "beside.py"
    program.write_text(LISTENS)
    module.write_text("WORD = 'word'\n")
    with Emulator(products.firmware("RPI_PICO")) as pico:
        board = PortBoard(pico.port, "central")
        board.connect()
        for life, reset in enumerate((board.soft_reset, board.hard_reset, board.interrupt)):
            board.start(program, (str(life),), (module,))
            assert board.wait_line("says") == f"{life} word"
            board.type("x")
            assert board.wait_line("typed") == "x"
            reset()
            assert not board.running
            if reset == board.hard_reset:
                pico.wait_for("reset")
        board.close()
        assert pico.run("print(1 + 1)") == "2\n"


def test_boards_at_usb_are_named_by_the_end_of_their_number(tmp_path):
    board = {
        "identity": "...2f0a",
        "machine": "Raspberry Pi Pico W with RP2040",
        "MicroPython": "1.28.0",
        "picolink": "0.1.0",
        "engine": "native",
    }
    values = dict.fromkeys(figures.FIGURES, 1.0)
    told = folder.report([board, board], ("/dev/ttyACM0", "/dev/ttyACM1"), QUICK, Figures(values))
    folder.write(tmp_path, told)
    assert told["kind"] == folder.AT_USB
    page = (tmp_path / "index.html").read_text()
    assert "What this shows" in page
    assert "ttyACM" not in page + (tmp_path / "report.json").read_text()


def test_a_number_is_shortened():
    from picolink_pc.findings import Findings

    class Found(Findings):
        def __init__(self):
            self.__dict__.update(dict.fromkeys(Findings.__dataclass_fields__), mpy=0, clock=125_000_000)

        version_text = "1.28.0"

    assert folder.about_board(Found(), "e6614103e7172f0a")["identity"] == "...2f0a"


def test_what_was_predicted_has_every_figure():
    predicted = folder.predicted()
    assert set(predicted["figures"]) >= set(figures.FIGURES)
    assert predicted["kind"] == folder.BEHIND_TCP
    assert predicted["broken"] == []


@pytest.mark.parametrize("ports", [(), ("A", "A"), ("A", "B", "C")])
def test_a_link_has_two_ends(ports):
    outcome = CliRunner().invoke(prove, [word for port in ports for word in ("--port", port)])
    assert outcome.exit_code == 2
    assert "--port is needed once" in outcome.output
