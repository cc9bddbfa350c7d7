"""`picolink flash` against an emulated board, whose bootloader drive is a folder."""

import contextlib
import errno
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from pico_firmware import RP2350_ARM, RP2350_RISC_V, WITH_PICOLINK, uf2_blocks, write_plain_firmware
from picolink_pc import bootsel, device, products
from picolink_pc import flash as flash_module
from picolink_pc.bootsel import Drive, find_drives, read_drive
from picolink_pc.device import DeviceError
from picolink_pc.emulator import Emulator
from picolink_pc.uf2 import read_uf2
from test_install import READY, error_line

pytestmark = pytest.mark.slow

INFO = "UF2 Bootloader v3.0\nModel: Raspberry Pi RP2\nBoard-ID: {}\n"


def flash(*arguments):
    return CliRunner().invoke(flash_module.flash, [str(argument) for argument in arguments])


@pytest.fixture(autouse=True)
def usb(tmp_path, monkeypatch):
    """Stands for Linux's folder of USB devices: no board in BOOTSEL mode is on this PC."""
    folder = tmp_path / "usb"
    folder.mkdir()
    monkeypatch.setattr(bootsel, "_USB", folder)
    monkeypatch.setattr(flash_module, "find_drives", list)
    return folder


@pytest.fixture(scope="module")
def plain_firmware(tmp_path_factory):
    return write_plain_firmware(tmp_path_factory.mktemp("firmware"))


@pytest.fixture
def drive(tmp_path):
    folder = tmp_path / "RPI-RP2"
    folder.mkdir()
    return folder


@pytest.fixture
def pico(plain_firmware, drive):
    with Emulator(plain_firmware, drive=drive) as pico:
        yield pico


@pytest.fixture
def in_bootsel(pico, drive):
    """The board after somebody has held its BOOTSEL button; None when it has left BOOTSEL mode."""
    with device.connect(pico.port) as board:
        board.exec_raw_no_follow("import machine, time\ntime.sleep_ms(100)\nmachine.bootloader()")
    pico.wait_for("bootloader")
    assert flash_module._wait(lambda: read_drive(drive), flash_module._LIMIT_S)
    return pico


@pytest.fixture
def new_port_appears(monkeypatch, pico, drive):
    """The board's port is there when its drive is not, as with a real board."""
    monkeypatch.setattr(device, "list_ports", lambda: [] if read_drive(drive) else [pico.port])


def test_a_running_board_gets_picolinks_firmware_and_keeps_its_files(pico, drive):
    pico.run("with open('mine.txt', 'w') as file:\n    file.write('kept')")
    result = flash("--port", pico.port, "--drive", drive)
    assert result.exit_code == 0, result.output
    assert f"{WITH_PICOLINK.name} is on the board, which read it back" in result.stdout
    assert pico.run("import _picolink\nprint(open('mine.txt').read())") == "kept\n"


@pytest.mark.usefixtures("new_port_appears")
def test_a_board_in_bootsel_mode_is_found_by_its_drive(in_bootsel, drive):
    result = flash(WITH_PICOLINK, "--drive", drive)
    assert result.exit_code == 0, result.output
    assert in_bootsel.run("import picolink\nprint(picolink.__version__)") == "0.1.0\n"


@pytest.mark.usefixtures("in_bootsel")
def test_ctrl_c_says_what_is_left(drive, monkeypatch):
    def interrupt(*_arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(flash_module, "_verify", interrupt)
    assert "interrupted" in error_line(flash(WITH_PICOLINK, "--drive", drive))


@pytest.mark.usefixtures("in_bootsel")
def test_a_board_in_bootsel_mode_needs_the_name_of_a_firmware(drive):
    assert "name the firmware" in error_line(flash("--drive", drive))
    assert read_drive(drive)


@pytest.mark.usefixtures("in_bootsel", "new_port_appears")
def test_picotool_does_it_where_no_drive_is_mounted(drive, tmp_path, monkeypatch):
    install_picotool(tmp_path, monkeypatch, f'cp "$4" {drive}/firmware.uf2')
    result = flash(WITH_PICOLINK)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "calls").read_text().splitlines()[-1] == f"load --verify --execute {WITH_PICOLINK}"


def test_picotools_error_is_passed_on(tmp_path, monkeypatch):
    load = "echo Loading into Flash; echo ERROR: no access to the USB device; echo; exit 1"
    install_picotool(tmp_path, monkeypatch, load)
    assert "picotool failed: no access to the USB device" in error_line(flash(WITH_PICOLINK))


@pytest.mark.parametrize(
    ("info", "message"),
    [
        (
            "Device Information\n type:                   RP2350\n",
            "is for the RP2040, the board has an RP2350",
        ),
        ("Multiple RP-series devices in BOOTSEL mode found:\n\n type:  RP2040\n", "disconnect all but one"),
    ],
)
def test_picotool_is_asked_which_board_it_sees(tmp_path, monkeypatch, info, message):
    install_picotool(tmp_path, monkeypatch, "exit 1", info)
    assert message in error_line(flash(WITH_PICOLINK))
    assert "load" not in (tmp_path / "calls").read_text()


def install_picotool(folder, monkeypatch, load, info="Device Information\n type:  RP2040\n"):
    """A picotool that sees a board, and runs the shell command `load` for "picotool load"."""
    tool = folder / "picotool"
    tool.write_text(
        f'#!/bin/sh\necho "$@" >>{folder}/calls\nif [ "$1" = load ]; then {load}; else echo "{info}"; fi\n'
    )
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.usefixtures("in_bootsel", "new_port_appears")
def test_what_the_board_reads_back_must_be_the_firmware(drive, plain_firmware, tmp_path, monkeypatch):
    install_picotool(tmp_path, monkeypatch, f"cp {plain_firmware} {drive}/other.uf2")
    assert "reads back is not the firmware" in error_line(flash(WITH_PICOLINK))


def test_firmware_for_another_chip_is_refused_before_anything_happens(pico, tmp_path):
    file = tmp_path / "pico2.uf2"
    file.write_bytes(b"".join(uf2_blocks(bytes(1000), RP2350_ARM)))
    line = error_line(flash(file, "--port", pico.port))
    assert "pico2.uf2 is for the RP2350, the board has an RP2040" in line
    assert pico.run("print('still running')") == "still running\n"


def test_a_damaged_file_is_refused_before_anything_happens(pico, tmp_path):
    file = tmp_path / "half.uf2"
    file.write_bytes(WITH_PICOLINK.read_bytes()[: 512 * 100])
    assert "blocks are missing" in error_line(flash(file, "--port", pico.port))
    assert "cannot read" in error_line(flash(tmp_path / "nowhere.uf2", "--port", pico.port))
    assert pico.run("print('still running')") == "still running\n"


def test_firmware_that_is_not_built_is_named_with_how_to_build_it(pico, tmp_path, monkeypatch):
    monkeypatch.setattr(products, "firmware", lambda board: tmp_path / board)
    assert "run make firmware BOARD=RPI_PICO" in error_line(flash("--port", pico.port))


class Running:
    """Stands for a board that runs MicroPython, at /dev/ttyACM0.  restarted: into its bootloader."""

    restarted = False

    def exec_raw_no_follow(self, _program):
        self.restarted = True


@pytest.fixture
def running(monkeypatch):
    """running(field=value...): a board that these Findings are of; it comes to its bootloader in no time."""

    def make(**fields):
        board = Running()
        monkeypatch.setattr(device, "connect", lambda _port: contextlib.nullcontext(board))
        monkeypatch.setattr(flash_module, "look", lambda _board: replace(READY, **fields))
        monkeypatch.setattr(flash_module, "_put", lambda *_arguments: None)
        return board

    return make


@pytest.fixture
def firmwares(tmp_path, monkeypatch):
    """firmwares(build...): what `make firmware` has made."""
    monkeypatch.setattr(products, "firmware", lambda build: tmp_path / f"picolink-0.1.0-{build}.uf2")

    def make(*builds):
        for build in builds:
            products.firmware(build).write_bytes(b"".join(uf2_blocks(bytes(1000))))

    return make


PICO_W = {"machine": "Raspberry Pi Pico W with RP2040", "build": "RPI_PICO_W", "package": "firmware"}


@pytest.mark.parametrize("variant", ["", "-tuned"])
def test_a_board_with_picolinks_firmware_keeps_its_variant(running, firmwares, variant):
    firmwares("RPI_PICO_W", "RPI_PICO_W-tuned")
    board = running(**PICO_W, own_build=f"RPI_PICO_W{variant}")
    result = flash("--port", "/dev/ttyACM0")
    assert result.exit_code == 0, result.output
    assert f"Putting picolink-0.1.0-RPI_PICO_W{variant}.uf2 onto the RP2040.\n" in result.stdout
    assert board.restarted


def test_a_variant_that_is_not_built_is_not_replaced_by_another(running, firmwares):
    firmwares("RPI_PICO_W")
    board = running(**PICO_W, own_build="RPI_PICO_W-tuned")
    assert "run make firmware BOARD=RPI_PICO_W TUNED=1" in error_line(flash("--port", "/dev/ttyACM0"))
    assert not board.restarted


def test_a_variant_that_the_board_does_not_tell_is_asked_for(running, firmwares):
    board = running(**PICO_W, own_build=None)
    firmwares("RPI_PICO_W")
    assert flash("--port", "/dev/ttyACM0").exit_code == 0
    assert board.restarted
    board.restarted = False
    firmwares("RPI_PICO_W-tuned")
    line = error_line(flash("--port", "/dev/ttyACM0"))
    assert "(picolink-0.1.0-RPI_PICO_W.uf2 or picolink-0.1.0-RPI_PICO_W-tuned.uf2)" in line
    assert not board.restarted


def test_stock_micropython_gets_picolinks_stock_firmware(running, firmwares):
    firmwares("RPI_PICO_W", "RPI_PICO_W-tuned")
    running(**PICO_W | {"package": "/lib/picolink"}, own_build=None)
    assert "Putting picolink-0.1.0-RPI_PICO_W.uf2 onto" in flash("--port", "/dev/ttyACM0").stdout


def test_picolinks_firmware_says_which_board_it_is_on_where_micropython_does_not(running, firmwares):
    firmwares("RPI_PICO_W")
    running(**PICO_W | {"build": "", "version": (1, 24, 1)}, own_build="RPI_PICO_W")
    assert "Putting picolink-0.1.0-RPI_PICO_W.uf2 onto" in flash("--port", "/dev/ttyACM0").stdout


def test_a_board_tells_which_firmware_of_picolinks_it_has(plain_firmware):
    with Emulator(WITH_PICOLINK) as pico, device.connect(pico.port) as board:
        board.fs_writefile("_picolink_firmware.py", b"BUILD = 'other'")
        assert flash_module.look(board).own_build == "RPI_PICO"
    with Emulator(plain_firmware) as pico, device.connect(pico.port) as board:
        assert flash_module.look(board).own_build is None


PICO_2_W = {"machine": "Raspberry Pi Pico 2 W with RP2350", "build": "RPI_PICO2_W"}
PICO_2_W_RISC_V = {"machine": "Raspberry Pi Pico 2 W with RP2350-RISCV", "build": "RPI_PICO2_W-RISCV"}


@pytest.mark.parametrize(
    ("found", "family", "image", "board"),
    [
        (PICO_2_W, RP2350_RISC_V, "RISC-V", "ARM"),
        (PICO_2_W_RISC_V, RP2350_ARM, "ARM", "RISC-V"),
    ],
)
def test_firmware_for_the_other_cores_is_told_before_it_is_written(
    running, tmp_path, found, family, image, board
):
    file = tmp_path / "pico2.uf2"
    file.write_bytes(b"".join(uf2_blocks(bytes(1000), family)))
    pico = running(**found)
    line = error_line(flash(file, "--port", "/dev/ttyACM0"))
    assert f"pico2.uf2 is for the RP2350's {image} cores, the board runs its {board} cores: nothing" in line
    assert not pico.restarted
    result = flash(file, "--port", "/dev/ttyACM0", "--switch-cores")
    assert f"Putting pico2.uf2 onto the RP2350, for its {image} cores.\n" in result.stdout
    assert pico.restarted


@pytest.mark.parametrize(("found", "family"), [(PICO_2_W, RP2350_ARM), (PICO_2_W_RISC_V, RP2350_RISC_V)])
def test_firmware_for_the_cores_that_run_is_taken(running, tmp_path, found, family):
    file = tmp_path / "pico2.uf2"
    file.write_bytes(b"".join(uf2_blocks(bytes(1000), family)))
    pico = running(**found)
    assert flash(file, "--port", "/dev/ttyACM0").exit_code == 0
    assert pico.restarted


def test_for_a_board_in_bootsel_mode_the_cores_are_said_before_anything_is_written(
    drive, tmp_path, monkeypatch
):
    def refuse(*_arguments):
        raise DeviceError("not written")

    monkeypatch.setattr(flash_module, "_put", refuse)
    (drive / "INFO_UF2.TXT").write_text(INFO.format("RP2350"))
    file = tmp_path / "pico2.uf2"
    file.write_bytes(b"".join(uf2_blocks(bytes(1000), RP2350_RISC_V)))
    assert "for its RISC-V cores" in flash(file, "--drive", drive).stdout


def test_a_board_at_a_port_is_not_mixed_up_with_one_in_bootsel_mode(drive):
    (drive / "INFO_UF2.TXT").write_text(INFO.format("RPI-RP2"))
    line = error_line(flash(WITH_PICOLINK, "--port", "/dev/ttyACM0", "--drive", drive))
    assert "a board other than the one at /dev/ttyACM0 is in BOOTSEL mode" in line
    assert [path.name for path in drive.iterdir()] == ["INFO_UF2.TXT"]


def test_a_drive_of_another_chip_is_refused(drive):
    (drive / "INFO_UF2.TXT").write_text(INFO.format("RP2350"))
    line = error_line(flash(WITH_PICOLINK, "--drive", drive))
    assert "is for the RP2040, the board has an RP2350" in line
    assert [path.name for path in drive.iterdir()] == ["INFO_UF2.TXT"]


def test_several_boards_in_bootsel_mode_are_refused(monkeypatch):
    drives = [Drive(Path("/media/a"), "RP2040"), Drive(Path("/media/b"), "RP2350")]
    monkeypatch.setattr(flash_module, "find_drives", lambda: drives)
    assert "choose one with --drive (/media/a, /media/b)" in error_line(flash(WITH_PICOLINK))


def connect_in_bootsel_mode(usb):
    for name, text in (("idVendor", "2e8a\n"), ("idProduct", "000f\n")):
        (usb / "1-1").mkdir(exist_ok=True)
        (usb / "1-1" / name).write_text(text)


def test_a_board_in_bootsel_mode_is_waited_for_before_another_is_touched(usb, drive, monkeypatch):
    connect_in_bootsel_mode(usb)
    monkeypatch.setattr(device, "list_ports", lambda: ["/dev/ttyACM0"])
    mounted = iter([[], [], [Drive(drive, "RP2350")]])
    monkeypatch.setattr(flash_module, "find_drives", lambda: next(mounted, [Drive(drive, "RP2350")]))
    assert "is for the RP2040, the board has an RP2350" in error_line(flash(WITH_PICOLINK))
    monkeypatch.setattr(flash_module, "find_drives", list)
    monkeypatch.setattr(flash_module, "_MOUNT_LIMIT_S", 0.3)
    assert "its drive did not appear: mount it" in error_line(flash(WITH_PICOLINK))
    line = error_line(flash(WITH_PICOLINK, "--port", "/dev/ttyACM0"))
    assert "a board other than the one at /dev/ttyACM0 is in BOOTSEL mode" in line
    (usb / "1-1").rename(usb / "1-2")
    connect_in_bootsel_mode(usb)
    assert "several boards in BOOTSEL mode" in error_line(flash(WITH_PICOLINK))


def test_where_usb_cannot_be_asked_a_drive_gets_some_time_if_no_other_board_is_there(usb, drive, monkeypatch):
    usb.rmdir()
    mounted = iter([[]])
    monkeypatch.setattr(flash_module, "find_drives", lambda: next(mounted, [Drive(drive, "RP2350")]))
    monkeypatch.setattr(device, "list_ports", list)
    assert "is for the RP2040, the board has an RP2350" in error_line(flash(WITH_PICOLINK))
    monkeypatch.setattr(flash_module, "find_drives", list)
    monkeypatch.setattr(flash_module, "_MOUNT_LIMIT_S", 0.3)
    assert "no board found: connect one that runs MicroPython, or any other with its BOOTSEL" in error_line(
        flash(WITH_PICOLINK)
    )


def test_a_wrong_drive_restarts_no_board(tmp_path, monkeypatch):
    monkeypatch.setattr(device, "list_ports", lambda: ["/dev/ttyACM0"])
    drive = tmp_path / "nowhere" / "RPI-RP2"
    assert f"no board in BOOTSEL mode at {drive}" in error_line(flash(WITH_PICOLINK, "--drive", drive))
    line = error_line(flash(WITH_PICOLINK, "--drive", drive, "--port", "/dev/ttyACM0"))
    assert f"no drive can appear at {drive}: there is no folder {drive.parent}" in line


def test_an_error_with_the_last_block_is_none(drive, tmp_path, monkeypatch):
    """The board is off before the operating system has finished with it."""
    (drive / "INFO_UF2.TXT").write_text(INFO.format("RPI-RP2"))
    (drive / "firmware.uf2").symlink_to("/dev/full")
    monkeypatch.setattr(flash_module, "_LIMIT_S", 0.3)
    small = tmp_path / "small.uf2"
    small.write_bytes(b"".join(uf2_blocks(bytes(1000))))
    assert "did not take the firmware" in error_line(flash(small, "--drive", drive))
    assert "failed (No space left on device)" in error_line(flash(WITH_PICOLINK, "--drive", drive))


def test_a_drive_that_may_not_be_written_is_told_from_one_that_fails(drive, monkeypatch):
    def refuse(path, mode="r", *arguments, **options):
        if "w" in mode:
            raise PermissionError(errno.EACCES, "Permission denied")
        return path_open(path, mode, *arguments, **options)

    path_open = Path.open
    (drive / "INFO_UF2.TXT").write_text(INFO.format("RPI-RP2"))
    monkeypatch.setattr(Path, "open", refuse)
    line = error_line(flash(WITH_PICOLINK, "--drive", drive))
    assert f"{drive} cannot be written (Permission denied): mount it so that you can write to it" in line


def test_a_board_may_come_back_at_another_port(pico, plain_firmware, tmp_path, monkeypatch):
    old = str(tmp_path / "ttyACM0")
    image = read_uf2(plain_firmware)
    monkeypatch.setattr(device, "list_ports", lambda: [pico.port])
    flash_module._verify(image, old, {old})
    monkeypatch.setattr(flash_module, "_LIMIT_S", 0.3)
    with pytest.raises(DeviceError, match=r"could not be read back.*fine if the firmware is not MicroPython"):
        flash_module._verify(image, old, {old, pico.port})


def test_a_drive_that_goes_away_while_copying_is_reported(drive, monkeypatch):
    def unplugged(_file):
        shutil.rmtree(drive)
        raise OSError(5, "Input/output error")

    (drive / "INFO_UF2.TXT").write_text(INFO.format("RPI-RP2"))
    monkeypatch.setattr(flash_module.os, "fsync", unplugged)
    line = error_line(flash(WITH_PICOLINK, "--drive", drive))
    assert re.search(r"copying to .* failed \(Input/output error\): connect the board", line)


def test_a_board_that_does_not_take_the_firmware_is_reported(drive, monkeypatch):
    (drive / "INFO_UF2.TXT").write_text(INFO.format("RPI-RP2"))
    monkeypatch.setattr(flash_module, "_LIMIT_S", 1)
    assert "did not take the firmware" in error_line(flash(WITH_PICOLINK, "--drive", drive))


def test_a_drive_that_does_not_appear_is_reported(plain_firmware, drive, monkeypatch):
    monkeypatch.setattr(flash_module, "_LIMIT_S", 1)
    with Emulator(plain_firmware) as pico:  # this one restarts instead of showing a drive
        line = error_line(flash("--port", pico.port, "--drive", drive))
    assert "drive did not appear: mount it" in line


def test_drives_are_told_from_other_folders(drive):
    assert read_drive(drive) is None
    (drive / "INFO_UF2.TXT").write_text(INFO.format("nRF52840-Feather"))
    assert read_drive(drive) is None
    (drive / "INFO_UF2.TXT").write_text(INFO.format("RPI-RP2"))
    assert read_drive(drive) == Drive(drive, "RP2040")
    assert drive not in [found.folder for found in find_drives()]
