"""What Windows and macOS users run assumes nothing of Linux; nothing ran there yet.

.github/workflows/test.yml runs the commands themselves on all three systems.
"""

import os
import subprocess
import sys
from pathlib import Path, PureWindowsPath
from types import SimpleNamespace

import pytest
import serial.tools.list_ports
from picolink_pc import bootsel, bytecode, device, pc, products
from picolink_pc.bootsel import Drive

INFO = "UF2 Bootloader v3.0\r\nModel: Raspberry Pi RP2\r\nBoard-ID: RPI-RP2\r\n"

WITHOUT_UNIX = """
import asyncio, os, signal, socket, subprocess, sys
import click, mpremote.transport_serial, rich.console, rich.live, rich.progress, serial.tools.list_ports
# What others do about systems is theirs.
import bumble.controller, bumble.host, platformdirs, prompt_toolkit, tempfile
for name in ("fcntl", "grp", "pty", "pwd", "readline", "resource", "termios", "tty"):
    sys.modules[name] = None
for name in ("SIGALRM", "SIGCONT", "SIGHUP", "SIGSTOP", "SIGUSR1"):
    delattr(signal, name)
for name in ("fork", "getuid", "geteuid", "killpg", "mkfifo", "openpty"):
    delattr(os, name)
del socket.SOCK_SEQPACKET
from picolink_pc.cli import main
for command in ("demo", "run", "scan", "chat", "send", "monitor", "install", "flash", "doctor"):
    main.get_command(None, command)
main(sys.argv[1:])
"""


def listed(monkeypatch, *ports):
    found = [SimpleNamespace(device=name, vid=vid, pid=pid) for name, vid, pid in ports]
    monkeypatch.setattr(serial.tools.list_ports, "comports", lambda: found)


@pytest.mark.parametrize(
    ("connected", "boards"),
    [
        ([("COM1", None, None), ("COM3", 0x2E8A, 0x0005), ("COM12", 0x2E8A, 0x000C)], ["COM3"]),
        (
            [("/dev/cu.Bluetooth-Incoming-Port", None, None), ("/dev/cu.usbmodem14101", 0x2E8A, 5)],
            ["/dev/cu.usbmodem14101"],
        ),
    ],
)
def test_ports_of_windows_and_macos(monkeypatch, connected, boards):
    listed(monkeypatch, *connected)
    assert device.list_ports() == boards
    assert device.find_port(None) == boards[0]
    assert device.find_port("COM7") == "COM7"


@pytest.mark.parametrize("port", ["COM3", "/dev/cu.usbmodem14101"])
def test_a_port_in_use_there(monkeypatch, port):
    listed(monkeypatch, (port, 0x2E8A, 5))
    assert pc.why_not_opened(port).startswith(f"cannot open {port}: another program uses it.")
    assert f"there is no such port; found: {port}" in pc.why_not_opened("COM99")


def test_without_linux_nothing_is_said_of_its_drivers(monkeypatch, tmp_path):
    monkeypatch.setattr(bootsel, "_USB", tmp_path / "not there")
    monkeypatch.setattr(bootsel, "find_drives", list)
    assert bootsel.count_on_usb() is None
    assert pc.why_no_board().startswith("no board found: connect one with a USB data cable")


def test_a_boards_drive_is_found_where_each_system_mounts_it(tmp_path):
    mounts = ["Volumes/RPI-RP2", "Volumes/RPI-RP2 1", "media/ann/RPI-RP2", "run/media/ann/RPI-RP2"]
    for mount in mounts:
        folder = tmp_path / mount
        folder.mkdir(parents=True)
        (folder / "INFO_UF2.TXT").write_bytes(INFO.encode())
    (tmp_path / "Volumes" / "Macintosh HD").mkdir()
    drives = [bootsel.read_drive(folder) for folder in bootsel.mounted(tmp_path)]
    assert {drive for drive in drives if drive} == {Drive(tmp_path / mount, "RP2040") for mount in mounts}


def test_on_windows_every_letter_is_looked_at(monkeypatch, tmp_path):
    letters = bootsel.windows_drives()
    assert all(PureWindowsPath(letter) == PureWindowsPath(letter).parent for letter in letters)  # roots
    assert {"C:\\", "D:\\", "Z:\\"} <= set(letters)
    board = tmp_path / "E"
    board.mkdir()
    (board / "INFO_UF2.TXT").write_bytes(INFO.encode())
    monkeypatch.setattr(bootsel, "os", SimpleNamespace(name="nt"))
    monkeypatch.setattr(bootsel, "windows_drives", lambda: [str(tmp_path / "D"), str(board)])
    assert bootsel.find_drives() == [Drive(board, "RP2040")]


def test_an_empty_card_reader_is_no_drive(monkeypatch):
    def not_ready(*_arguments, **_options):
        raise PermissionError(21, "The device is not ready")

    monkeypatch.setattr(Path, "read_text", not_ready)
    assert bootsel.read_drive(Path("E:/")) is None


def test_names_on_a_board_have_slashes(monkeypatch):
    monkeypatch.setattr(products, "PACKAGE", PureWindowsPath("C:\\picolink"))
    assert bytecode._path(PureWindowsPath("C:\\picolink\\radio\\aioble\\role.py"), products.PACKAGE) == (
        "radio/aioble/role.py"
    )


@pytest.mark.slow
def test_commands_do_without_what_only_unix_has(tmp_path):
    (tmp_path / "hello.py").write_text("import picolink\nprint('hello from', picolink.__name__)\n")
    command = [sys.executable, "-c", WITHOUT_UNIX, "run", "--boards", "cpython", tmp_path / "hello.py"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.endswith("hello  hello from picolink\n"), done.stderr
    assert done.returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("boards", ["micropython", "cpython"])
def test_a_board_prints_letters_that_the_terminal_has_not(tmp_path, boards):
    """Windows gives a pipe the encoding cp1252."""
    program = tmp_path / "letters.py"
    program.write_text("print('23 \u00b0C \u2192 \u4f60')\n", encoding="utf-8")
    command = [Path(sys.executable).with_name("picolink"), "run", "--boards", boards, program]
    environment = os.environ | {"PYTHONIOENCODING": "cp1252"}
    done = subprocess.run(command, capture_output=True, timeout=60, check=False, env=environment)
    assert done.stdout.decode("cp1252").splitlines()[-1] == "letters  23 \u00b0C ? ?", done.stderr
    assert done.returncode == 0
