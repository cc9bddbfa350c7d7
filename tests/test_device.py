"""A board's serial port: which one, and what comes of a board that fails or is unplugged."""

import os
import pty
import threading
from types import SimpleNamespace

import pytest
import serial.tools.list_ports
from pico_firmware import write_plain_firmware
from picolink_pc import device
from picolink_pc.device import DeviceError, ProgramError
from picolink_pc.emulator import Emulator


@pytest.mark.parametrize(
    ("connected", "found"),
    [
        ([("ttyS0", None, None)], []),
        ([("ttyUSB0", 0x1A86, 0x7523), ("ttyS0", None, None)], ["ttyUSB0"]),
        ([("ttyACM0", 0x2E8A, 0x0005), ("ttyUSB0", 0x1A86, 0x7523)], ["ttyACM0"]),
        ([("ttyACM0", 0x2E8A, 0x000C), ("ttyACM1", 0x2E8A, 0x0005)], ["ttyACM1"]),
        ([("ttyACM0", 0x2E8A, 0x000C)], []),
    ],
)
def test_ports_of_boards_are_told_from_others(monkeypatch, connected, found):
    ports = [SimpleNamespace(device=name, vid=vid, pid=pid) for name, vid, pid in connected]
    monkeypatch.setattr(serial.tools.list_ports, "comports", lambda: ports)
    assert device.list_ports() == found


def test_a_port_that_is_unplugged_is_gone(tmp_path):
    """A terminal stands for it: once its other end is closed, asking it for waiting bytes is an error."""
    board, terminal = pty.openpty()
    port = tmp_path / "ttyACM0"
    port.symlink_to(os.ttyname(terminal))

    def unplug():
        os.read(board, 1)
        os.close(board)

    unplugging = threading.Thread(target=unplug)
    unplugging.start()
    with pytest.raises(DeviceError, match="is gone: check its cable"), device.connect(str(port)):
        pass
    unplugging.join()
    os.close(terminal)


def test_a_ctrl_c_that_a_starting_board_loses_is_sent_again(tmp_path, monkeypatch):
    board, terminal = pty.openpty()
    port = tmp_path / "ttyACM0"
    port.symlink_to(os.ttyname(terminal))
    answers = [
        (b"\r\x01", b""),
        (b"\x03\x01", b"\r\n>>> \r\nraw REPL; CTRL-B to exit\r\n>"),
        (b"\r\x01", b"raw REPL; CTRL-B to exit\r\n>"),
        (b"\x04", b"soft reboot\r\nraw REPL; CTRL-B to exit\r\n>"),
        (b"\x05A\x01", b"R\x00"),
        (b"\x04", b"OK\x04\x04>"),
    ]

    def answer():
        received = b""
        for request, reply in answers:
            while request not in received:
                received += os.read(board, 100)
            received = received.partition(request)[2]
            os.write(board, reply)

    answering = threading.Thread(target=answer)
    answering.start()
    monkeypatch.setattr(device, "_FIRST_TRY_S", 0.5)
    with device.connect(str(port)):
        answering.join()
    os.close(board)
    os.close(terminal)


@pytest.mark.slow
def test_what_fails_on_a_board_is_said_in_one_line(tmp_path):
    with Emulator(write_plain_firmware(tmp_path)) as pico:
        divided = pytest.raises(ProgramError, match=r"failed: ZeroDivisionError: .*zero$")
        with divided, device.connect(pico.port) as board:
            device.run(board, "1 / 0")
        silent = pytest.raises(DeviceError, match="stopped answering: reset it")
        with silent, device.connect(pico.port) as board:
            device.run(board, "while True: pass", silence_s=1)
        with device.connect(pico.port) as board:
            assert device.run(board, "print(1)") == "1\n"
