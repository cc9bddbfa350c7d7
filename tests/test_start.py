"""`picolink` without arguments: what it says is what is there, and names what works next."""

import itertools
from types import SimpleNamespace

import pytest
import serial.tools.list_ports
from click.testing import CliRunner
from picolink_pc import bootsel, cli, extras


@pytest.fixture
def said(monkeypatch):
    """said(ports, drives, extra): the lines for a PC on which these are."""

    def run(ports=(), drives=(), extra=True):
        found = [SimpleNamespace(device=port, vid=0x2E8A, pid=5) for port in ports]
        monkeypatch.setattr(serial.tools.list_ports, "comports", lambda: found)
        monkeypatch.setattr(bootsel, "find_drives", lambda: list(drives))
        monkeypatch.setattr(bootsel, "count_on_usb", lambda: 0)
        monkeypatch.setattr(bootsel, "usb_devices", list)
        package = "click" if extra else "nothing_of_that_name"
        monkeypatch.setattr(extras, "_PACKAGES", {"virtual": package, "pc": package})
        result = CliRunner().invoke(cli.main, [])
        assert result.exit_code == 0, result.output
        return result.stdout.splitlines()

    return run


def test_boards_lead_to_doctor(said):
    assert said(ports=["/dev/ttyACM0", "COM3"]) == [
        "Boards: /dev/ttyACM0, COM3",
        "What is on them, and what to do next: picolink doctor",
        "This PC as the other end of a board: picolink scan",
        "Without a board, two virtual ones: picolink demo",
        "All commands: picolink --help",
    ]


def test_a_board_in_bootsel_mode_leads_to_flash(said):
    assert "picolink flash FIRMWARE.uf2" in said(ports=["/dev/ttyACM0"], drives=["/media/RPI-RP2"])[1]
    (first, *_) = said(drives=["/media/RPI-RP2"])
    assert first.startswith("No board found that runs a program, but one in BOOTSEL mode: picolink flash")


def test_no_board_says_how_to_connect_one(said):
    assert said()[0].startswith("No board found: connect one with a USB data cable")


def test_without_their_packages_commands_name_them_first(said):
    assert said(extra=False)[1].endswith('pip install "picolink[pc]", then picolink scan')
    assert said(extra=False)[2].endswith('pip install "picolink[virtual]", then picolink demo')


def test_commands_are_named_that_there_are(said):
    said_words = " ".join(said(ports=["COM3"], drives=["D:"])).split()
    named = {after for word, after in itertools.pairwise(said_words) if word == "picolink"}
    assert named - {"--help"} == {"doctor", "flash", "scan", "demo"} <= set(cli.main.modules)
