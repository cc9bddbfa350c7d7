"""`picolink install` and `picolink doctor` against an emulated board, as a user types them."""

import argparse
import errno
import json
import re
import shutil
import socket
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from mpremote.commands import CommandError
from pico_firmware import WITH_PICOLINK, write_plain_firmware
from picolink_pc import device, products
from picolink_pc import doctor as doctor_module
from picolink_pc import install as install_module
from picolink_pc.device import DeviceError
from picolink_pc.emulator import Emulator
from picolink_pc.findings import Findings
from picolink_pc.flash import flash
from serial import SerialException

COMMANDS = {"install": install_module.install, "flash": flash, "doctor": doctor_module.doctor}
ROOT = Path(__file__).parents[1]

READY = Findings(
    version=(1, 25, 0),
    machine="Raspberry Pi Pico W with RP2040",
    build="RPI_PICO_W",
    mpy=4 << 10 | 3 << 8 | 6,
    memory_free=190_000,
    lib="/lib",
    block_size=4096,
    files_free=800_000,
    bluetooth="firmware",
    aioble="firmware",
    native="/lib/_picolink.mpy",
    package="/lib/picolink/__init__.mpy",
    package_version="0.1.0",
    engine="native",
)
EMPTY = replace(READY, aioble=None, native=None, package=None, package_version=None, engine=None)


def picolink(command, *arguments):
    return CliRunner().invoke(COMMANDS[command], arguments)


def error_line(result):
    """The message of a command that failed as it should: with one line."""
    assert result.exit_code == 1, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    (line,) = result.stderr.splitlines()
    return line


@pytest.fixture(scope="module")
def plain_firmware(tmp_path_factory):
    return write_plain_firmware(tmp_path_factory.mktemp("firmware"))


@pytest.fixture(scope="module")
def installed_flash(plain_firmware, tmp_path_factory):
    """Flash of a board on which picolink was installed; and what the commands printed."""
    flash = tmp_path_factory.mktemp("installed") / "flash.bin"
    with Emulator(plain_firmware, flash=flash) as pico:
        outputs = [picolink(command, "--port", pico.port) for command in ("doctor", "install", "doctor")]
    return flash, outputs


@pytest.fixture
def installed(plain_firmware, installed_flash, tmp_path):
    """A board of its own on which picolink is installed."""
    flash = tmp_path / "flash.bin"
    shutil.copy(installed_flash[0], flash)
    with Emulator(plain_firmware, flash=flash) as pico:
        yield pico


def test_install_puts_picolink_with_the_native_engine_onto_a_board(installed_flash):
    before, install, after = installed_flash[1]
    assert re.search(r"picolink +not there", before.stdout)
    assert before.stdout.endswith("To do: picolink install\n")
    assert install.exit_code == 0, install.output
    assert "picolink 0.1.0 with the native engine is on Raspberry Pi Pico with RP2040" in install.stdout
    assert re.search(r"engine in use +native", after.stdout)
    assert re.search(r"loads native modules for armv6m, format 6\.3", after.stdout)


def test_engine_python_leaves_the_native_module_out(installed):
    install = picolink("install", "--engine", "python", "--port", installed.port)
    assert "picolink 0.1.0 with the python engine" in install.stdout
    doctor = picolink("doctor", "--port", installed.port)
    assert re.search(r"native engine +not there", doctor.stdout)
    assert re.search(r"engine in use +python", doctor.stdout)


def test_an_interrupted_install_leaves_the_old_version_working(installed, monkeypatch):
    copied = []

    def copy_two(*arguments):
        if len(copied) == 2:
            raise SerialException("unplugged")
        copied.append(arguments[1])
        copy(*arguments)

    copy = install_module._copy
    monkeypatch.setattr(install_module, "_copy", copy_two)
    assert "is gone: check its cable" in error_line(picolink("install", "--port", installed.port))
    assert len(copied) == 2
    monkeypatch.undo()

    assert installed.run("import picolink.engine\nprint(picolink.engine.load()[1])") == "native\n"
    assert "picolink.new" in installed.run("import os\nprint(os.listdir('/lib'))")
    assert picolink("install", "--port", installed.port).exit_code == 0
    assert installed.run("import os\nprint(sorted(os.listdir('/lib')))") == "['_picolink.mpy', 'picolink']\n"


def test_power_may_fail_at_any_step_of_the_swap(installed):
    """The board runs the swap with an `os` that stops at the n-th change of the filesystem."""
    program = (
        install_module._SWAP
        + """
import sys

real_os = os

class PowerFailure(Exception):
    pass

class FailingOs:
    def __init__(self, changes):
        self.left = changes

    def __getattr__(self, name):
        def change(*arguments):
            if name in ("rename", "remove", "rmdir"):
                if not self.left:
                    raise PowerFailure
                self.left -= 1
            return getattr(real_os, name)(*arguments)
        return change

def write(folder, version):
    os.mkdir(folder)
    for name, content in (("__init__", ""), ("version", "version = %r" % version)):
        with open(folder + "/" + name + ".py", "w") as file:
            file.write(content)

def found():
    for name in ("picolink", "picolink.version"):
        sys.modules.pop(name, None)
    import picolink.version
    return picolink.version.version

seen = []
for changes in range(20):
    os = real_os
    prepare("/lib")
    remove("/lib/picolink")
    remove("/picolink")
    write("/lib/picolink", "old")
    write("/lib/picolink.new", "new")
    with open("/lib/_picolink.new", "w") as file:
        file.write("native")
    os = FailingOs(changes)
    try:
        swap("", "/lib", True)
        whole = True
    except PowerFailure:
        whole = False
    seen.append(found())
    os = real_os
    prepare("/lib")
    write("/lib/picolink.new", "newest")
    swap("", "/lib", False)
    assert found() == "newest" and not exists("/picolink"), changes
    if whole:
        break
print(seen)
"""
    )
    seen = json.loads(installed.run(program).splitlines()[-1].replace("'", '"'))
    assert seen[0] == "old"
    assert seen[1:] == ["new"] * (len(seen) - 1)
    assert 5 < len(seen) < 20


def test_a_file_that_arrives_damaged_is_not_used(installed, monkeypatch):
    def damage(board, path, content, advance):
        copy(board, path, content[:-1] + b"?" if path.endswith("link.mpy") else content, advance)

    copy = install_module._copy
    monkeypatch.setattr(install_module, "_copy", damage)
    line = error_line(picolink("install", "--port", installed.port))
    assert "/lib/picolink.new/link.mpy arrived damaged" in line
    assert installed.run("import picolink.engine\nprint(picolink.engine.load()[1])") == "native\n"


def test_a_full_filesystem_is_refused_and_keeps_what_works(installed, monkeypatch):
    def no_room(*_arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(install_module, "_copy", no_room)
    assert "has no room" in error_line(picolink("install", "--port", installed.port))
    monkeypatch.setattr(install_module, "compile_package", lambda: {"large.mpy": bytes(1_500_000)})
    assert "has no room for 1473 KiB" in error_line(picolink("install", "--port", installed.port))
    assert installed.run("import picolink.engine\nprint(picolink.engine.load()[1])") == "native\n"
    assert ".new" not in installed.run("import os\nprint(os.listdir('/lib'))")


def test_firmware_with_picolink_inside_needs_no_install():
    with Emulator(WITH_PICOLINK) as pico:
        assert "part of this board's firmware" in error_line(picolink("install", "--port", pico.port))
        doctor = picolink("doctor", "--port", pico.port)
    assert re.search(r"picolink +0\.1\.0, in the firmware", doctor.stdout)
    assert re.search(r"engine in use +native", doctor.stdout)


@pytest.mark.parametrize("command", ["install", "doctor", "flash"])
def test_no_board_and_several_boards_are_refused(monkeypatch, command):
    monkeypatch.setattr(device, "list_ports", list)
    assert "no board found" in error_line(picolink(command))
    monkeypatch.setattr(device, "list_ports", lambda: ["/dev/ttyACM0", "/dev/ttyACM1"])
    assert "choose one with --port (/dev/ttyACM0, /dev/ttyACM1)" in error_line(picolink(command))


def test_a_port_that_cannot_be_opened_is_named(tmp_path):
    port = str(tmp_path / "ttyACM9")
    assert f"cannot open {port}" in error_line(picolink("doctor", "--port", port))


def test_a_port_that_falls_silent_is_reported():
    def hang_up():
        server.accept()[0].close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        closing = threading.Thread(target=hang_up)
        closing.start()
        line = error_line(picolink("doctor", "--port", f"socket://127.0.0.1:{server.getsockname()[1]}"))
        closing.join()
    assert "is gone: check its cable" in line


def test_old_micropython_is_refused():
    with pytest.raises(DeviceError, match=r"MicroPython 1\.22\.2, picolink needs 1\.23 or newer"):
        install_module._refuse(replace(EMPTY, version=(1, 22, 2)))


@pytest.mark.parametrize(
    ("architecture", "built", "chosen"),
    [
        (4, {"armv6m", "armv7m", "armv7emsp"}, "armv6m"),
        (7, {"armv6m", "armv7m", "armv7emsp"}, "armv7emsp"),
        (7, {"armv6m"}, "armv6m"),
        (4, {"armv7m"}, None),
        (10, {"armv6m", "x64"}, None),
        (0, {"armv6m"}, None),
    ],
)
def test_the_native_module_fits_the_processor(tmp_path, monkeypatch, architecture, built, chosen):
    for name in built:
        (tmp_path / name).touch()
    monkeypatch.setattr(products, "native_module", lambda name: tmp_path / name)
    found = replace(EMPTY, mpy=architecture << 10 | 3 << 8 | 6)
    if chosen is None:
        with pytest.raises(DeviceError, match=r"there is no native module for .*--engine python"):
            install_module._native_module(found)
    else:
        assert install_module._native_module(found) == tmp_path / chosen


def test_another_format_of_native_modules_is_refused():
    with pytest.raises(DeviceError, match=r"format 6\.2, ours are 6\.3: install with --engine python"):
        install_module._native_module(replace(EMPTY, mpy=4 << 10 | 2 << 8 | 6))


def test_aioble_that_cannot_be_fetched_is_said_with_what_to_do(monkeypatch):
    def offline(_state, command: argparse.Namespace):
        assert command.packages == ["aioble"]
        raise CommandError("no network")

    monkeypatch.setattr(install_module, "do_mip", offline)
    with pytest.raises(DeviceError, match=r"picolink is installed, but aioble .* \(no network\): run"):
        install_module._install_aioble(None)


@pytest.mark.parametrize(
    ("found", "advice"),
    [
        (READY, None),
        (replace(READY, version=(1, 22, 0)), "update MicroPython"),
        (EMPTY, "picolink install"),
        (replace(READY, native=None, engine="python"), "puts the native engine beside the Python one"),
        (replace(READY, native=None, engine="python", mpy=6), None),
        (replace(READY, bluetooth=None), "has no Bluetooth"),
        (replace(READY, aioble=None), "picolink install fetches aioble"),
        (replace(READY, aioble="broken: OSError()"), "picolink install fetches aioble"),
    ],
)
def test_doctor_says_what_to_do_next(found, advice):
    said = doctor_module._advice(found)
    assert said is None if advice is None else advice in said


def test_package_json_lists_the_package_for_mip():
    package = json.loads((ROOT / "package.json").read_text())
    files = {path.name for path in (ROOT / "py" / "picolink").glob("*.py")}
    assert package["urls"] == [[f"picolink/{name}", f"py/picolink/{name}"] for name in sorted(files)]
    assert package["deps"] == [["aioble", "latest"]]
    pyproject = (ROOT / "pyproject.toml").read_text()
    assert f'version = "{package["version"]}"' in pyproject
