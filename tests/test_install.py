"""`picolink install` and `picolink doctor` against an emulated board, as a user types them."""

import argparse
import contextlib
import errno
import functools
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
from pico_firmware import AIOBLE, WITH_PICOLINK, write_plain_firmware
from picolink_pc import advice, bootsel, bytecode, device, findings, products
from picolink_pc import doctor as doctor_module
from picolink_pc import install as install_module
from picolink_pc.device import DeviceError
from picolink_pc.emulator import Emulator
from picolink_pc.findings import Findings
from picolink_pc.flash import flash
from serial import SerialException, serial_for_url

pytestmark = pytest.mark.slow

COMMANDS = {"install": install_module.install, "flash": flash, "doctor": doctor_module.doctor}
ROOT = Path(__file__).parents[1]
LIMIT_S = 120

READY = Findings(
    implementation="micropython",
    version=(1, 25, 0),
    machine="Raspberry Pi Pico W with RP2040",
    build="RPI_PICO_W",
    own_build=None,
    mpy=4 << 10 | 3 << 8 | 6,
    clock=125_000_000,
    memory=192_000,
    memory_free=190_000,
    lib="/lib",
    block_size=4096,
    files_free=800_000,
    bluetooth="firmware",
    aioble="firmware",
    native="/lib/_picolink.mpy",
    package="/lib/picolink",
    hidden=[],
    programs={},
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


@contextlib.contextmanager
def small_package(*more):
    """Installs copy only what a board needs to tell its version and engine, and `more` modules of picolink.

    For tests that install again: each byte takes an emulated board a while.
    """
    whole = _whole_package()
    names = [f"{module}.mpy" for module in ("__init__", "engine", "errors", "radio/__init__", "wire", *more)]
    with pytest.MonkeyPatch.context() as patch:  # monkeypatch.undo() in a test leaves it
        patch.setattr(bytecode, "package", lambda: {name: whole[name] for name in names})
        yield


_whole_package = functools.cache(bytecode.package)


@pytest.fixture
def little_to_copy():
    with small_package():
        yield


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
    assert "To do: no link can start here: this is the firmware of a board without Bluetooth" in before.stdout
    assert install.exit_code == 0, install.output
    on = "picolink 0.1.0 with the native engine is on Raspberry Pi Pico with RP2040 at socket://"
    assert on in install.stdout
    assert re.search(r"engine in use +native", after.stdout)
    assert re.search(r"loads native modules for armv6m, format 6\.3", after.stdout)


def test_engine_python_leaves_the_native_module_out(installed):
    install = picolink("install", "--engine", "python", "--port", installed.port)
    assert "picolink 0.1.0 with the python engine" in install.stdout
    doctor = picolink("doctor", "--port", installed.port)
    assert re.search(r"native engine +not there", doctor.stdout)
    assert re.search(r"engine in use +python", doctor.stdout)


@pytest.mark.usefixtures("little_to_copy")
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


@pytest.mark.usefixtures("little_to_copy")
def test_a_file_that_arrives_damaged_is_not_used(installed, monkeypatch):
    def damage(board, path, content, advance):
        copy(board, path, content[:-1] + b"?" if path.endswith("engine.mpy") else content, advance)

    copy = install_module._copy
    monkeypatch.setattr(install_module, "_copy", damage)
    line = error_line(picolink("install", "--port", installed.port))
    assert "/lib/picolink.new/engine.mpy arrived damaged" in line
    assert installed.run("import picolink.engine\nprint(picolink.engine.load()[1])") == "native\n"


def test_a_full_filesystem_is_refused_and_keeps_what_works(installed, monkeypatch):
    def no_room(*_arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(install_module, "_copy", no_room)
    assert "has no room" in error_line(picolink("install", "--port", installed.port))
    monkeypatch.setattr(bytecode, "package", lambda: {"large.mpy": bytes(1_500_000)})
    module = products.native_module("armv6m").stat().st_size
    kilobytes = -(-(1_500_000 + module) // 1024)
    assert f"has no room for {kilobytes} KiB" in error_line(picolink("install", "--port", installed.port))
    assert installed.run("import picolink.engine\nprint(picolink.engine.load()[1])") == "native\n"
    assert ".new" not in installed.run("import os\nprint(os.listdir('/lib'))")


def test_a_filesystem_that_takes_no_folder_is_said_in_one_line(installed):
    installed.run(
        install_module._SWAP + "remove('/lib/picolink')\n"
        "os.remove('/lib/_picolink.mpy')\nos.rmdir('/lib')\n"
        "open('/lib', 'w').close()\n"
    )
    assert "is /lib a folder?" in error_line(picolink("install", "--port", installed.port))
    installed.run(
        "import os\nos.remove('/lib')\nfile = open('/large', 'w')\n"
        "try:\n    while True:\n        file.write(bytes(32768))\n        file.flush()\n"
        "except OSError:\n    pass\n"
    )
    assert "has no room" in error_line(picolink("install", "--port", installed.port))


@pytest.mark.usefixtures("little_to_copy")
def test_a_native_module_that_hangs_is_named_and_replaced(installed, plain_firmware, tmp_path, monkeypatch):
    monkeypatch.setattr(findings, "_IMPORT_S", 3)
    with installed.raw_repl() as board:
        board.fs_writefile("/lib/_picolink.mpy", products.native_module("armv6m").read_bytes()[:100])
    line = error_line(picolink("doctor", "--port", installed.port))
    assert "importing _picolink hangs: reset the board, then picolink install" in line
    monkeypatch.undo()

    installed.close()  # nothing else stops the import
    with Emulator(plain_firmware, flash=tmp_path / "flash.bin") as pico:
        assert "with the native engine" in picolink("install", "--port", pico.port).output


def test_a_file_that_hides_the_package_is_named_and_not_run(installed):
    installed.run("with open('/picolink.py', 'w') as file:\n    file.write('while True: pass')")
    hides = "/picolink.py on the board hides the package. Rename it: "
    assert hides in error_line(picolink("install", "--port", installed.port))
    assert f"To do: {hides}" in picolink("doctor", "--port", installed.port).output


def test_half_of_aioble_is_fetched_again(installed, monkeypatch):
    with installed.raw_repl() as board:
        board.fs_mkdir("/lib/aioble")
        board.fs_writefile("/lib/aioble/__init__.py", b"def advertise(): pass\n")
        board.fs_writefile("/lib/bluetooth.py", b"")
    doctor = picolink("doctor", "--port", installed.port)
    assert re.search(r"aioble +broken: incomplete", doctor.stdout)
    assert f"To do: picolink install --port {installed.port} fetches aioble" in doctor.stdout

    def fetch(state, _command):
        for name, content in AIOBLE.items():
            state.transport.fs_writefile(f"/lib/aioble/{name}", content.encode())

    monkeypatch.setattr(install_module, "_install", lambda *_arguments: None)  # picolink is there
    monkeypatch.setattr(install_module, "do_mip", lambda *_arguments: None)
    line = error_line(picolink("install", "--port", installed.port))
    assert "aioble was fetched, but the board finds another one (broken: incomplete): remove that" in line
    monkeypatch.setattr(install_module, "do_mip", fetch)
    assert "aioble is installed" in picolink("install", "--port", installed.port).output


@pytest.mark.usefixtures("little_to_copy")
def test_a_filesystem_may_be_elsewhere(installed):
    with installed.raw_repl() as board:
        board.fs_writefile(
            "/boot.py",
            b"import os, rp2, sys, vfs\nvfs.umount('/')\n"
            b"vfs.mount(vfs.VfsLfs2(rp2.Flash(), progsize=256), '/flash')\n"
            b"os.chdir('/flash')\nsys.path[:] = ['', '.frozen', '/flash', '/flash/lib']\n",
        )
    assert "with the native engine" in picolink("install", "--port", installed.port).output
    doctor = picolink("doctor", "--port", installed.port).output
    assert re.search(r"picolink +0\.1\.0, /flash/lib/picolink", doctor)
    assert re.search(r"files free +1\d\d\d KiB", doctor)


def test_the_boards_own_program_starts_again_and_its_watchdog_does_not_disturb(installed, monkeypatch):
    monkeypatch.setattr(install_module, "_install", lambda *_arguments: None)  # picolink is there
    with installed.raw_repl() as board:
        board.fs_writefile(
            "/main.py",
            b"import machine, time\nwatchdog = machine.WDT(timeout=8000)\n"
            b"while True:\n    watchdog.feed()\n    print('main.py runs')\n    time.sleep_ms(20)\n",
        )
    for command in ("doctor", "doctor", "install"):
        result = picolink(command, "--port", installed.port)
        assert "picolink" in result.stdout, result.output
    with serial_for_url(installed.port, timeout=LIMIT_S) as port:
        assert port.read_until(b"main.py runs").endswith(b"main.py runs")
    with device.connect(installed.port) as board:
        enabled = "from machine import mem32\nprint(mem32[0x40058000] >> 30 & 1)"
        assert device.run(board, enabled) == "0\n"


def test_firmware_with_picolink_inside_needs_no_install():
    with Emulator(WITH_PICOLINK) as pico:
        assert "part of this board's firmware" in error_line(picolink("install", "--port", pico.port))
        doctor = picolink("doctor", "--port", pico.port)
    assert re.search(r"picolink +0\.1\.0, in the firmware \(RPI_PICO\)", doctor.stdout)
    assert re.search(r"engine in use +native", doctor.stdout)


@pytest.mark.parametrize("command", ["install", "doctor", "flash"])
def test_no_board_and_several_boards_are_refused(monkeypatch, tmp_path, command):
    monkeypatch.setattr(bootsel, "_USB", tmp_path)
    monkeypatch.setattr(device, "list_ports", list)
    assert "no board found" in error_line(picolink(command))
    monkeypatch.setattr(device, "list_ports", lambda: ["/dev/ttyACM0", "/dev/ttyACM1"])
    if command != "doctor":  # that looks at all of them
        assert "choose with --port (/dev/ttyACM0, /dev/ttyACM1)" in error_line(picolink(command))


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


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (replace(EMPTY, version=(1, 22, 2)), r"MicroPython 1\.22\.2, picolink needs 1\.24 or newer"),
        (replace(EMPTY, package="firmware"), "part of this board's firmware: nothing to install"),
        (replace(EMPTY, lib=None), "put /lib back there"),
        (replace(EMPTY, block_size=0), "no filesystem for /lib"),
    ],
)
def test_boards_that_picolink_cannot_be_installed_on_are_refused(found, message):
    with pytest.raises(DeviceError, match=message):
        install_module._refuse("/dev/ttyACM1", found)


@pytest.mark.parametrize(
    ("architecture", "built", "chosen"),
    [
        (4, {"armv6m", "armv7m", "armv7emsp"}, "armv6m"),
        (7, {"armv6m", "armv7m", "armv7emsp"}, "armv7emsp"),
        (7, {"armv6m"}, "armv6m"),
        (4, {"armv7m"}, None),
        (10, {"armv6m", "x64"}, None),
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


def test_firmware_that_loads_no_native_modules_is_told_from_a_module_that_is_not_built():
    with pytest.raises(DeviceError, match="loads no native modules: install with --engine python"):
        install_module._native_module(replace(EMPTY, mpy=6))


def test_another_format_of_native_modules_is_refused():
    with pytest.raises(DeviceError, match=r"format 6\.2, ours are 6\.3: install with --engine python"):
        install_module._native_module(replace(EMPTY, mpy=4 << 10 | 2 << 8 | 6))


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (CommandError("no network"), r"picolink is installed, but aioble .* \(no network\): run"),
        (ConnectionResetError("reset"), r"picolink is installed, but aioble .* \(reset\): run"),
        (OSError(errno.ENOSPC, "/lib/aioble"), "no room for aioble: remove files"),
    ],
)
def test_aioble_that_cannot_be_fetched_is_said_with_what_to_do(monkeypatch, error, message):
    def fail(_state, command: argparse.Namespace):
        assert command.packages == ["aioble"]
        raise error

    monkeypatch.setattr(install_module, "do_mip", fail)
    with pytest.raises(DeviceError, match=message):
        install_module._install_aioble(None)


def test_a_board_that_is_unplugged_while_aioble_is_fetched_is_gone(monkeypatch):
    def unplugged(*_arguments):
        raise SerialException("unplugged")

    monkeypatch.setattr(install_module, "do_mip", unplugged)
    with pytest.raises(SerialException):
        install_module._install_aioble(None)


@pytest.mark.parametrize(
    ("found", "step"),
    [
        (READY, None),
        (EMPTY, "picolink install --port /dev/ttyACM1"),
        (replace(READY, native=None, engine="python"), "puts the native engine beside the Python one"),
        (replace(READY, native=None, engine="python", mpy=6), None),
        (replace(READY, native=None, engine="python", mpy=10 << 10 | 3 << 8 | 6), None),  # ESP32
        (replace(READY, aioble=None), "picolink install --port /dev/ttyACM1 fetches aioble"),
        (
            replace(READY, aioble="broken: OSError()"),
            "picolink install --port /dev/ttyACM1 fetches aioble",
        ),
        (replace(READY, package="/lib/picolink.py", engine=None), "picolink install --port /dev/ttyACM1"),
        (
            replace(READY, package_version="0.0.9"),
            "picolink install --port /dev/ttyACM1 puts picolink 0.1.0 there",
        ),
        (
            replace(READY, package_version="0.0.9", package="firmware"),
            "picolink flash --port /dev/ttyACM1 puts picolink 0.1.0",
        ),
    ],
)
def test_doctor_says_what_to_do_next(found, step):
    said = advice.next_step("/dev/ttyACM1", found)
    assert said is None if step is None else step in said


def test_package_json_lists_the_package_for_mip():
    package = json.loads((ROOT / "package.json").read_text())
    files = {path.relative_to(products.PACKAGE).as_posix() for path in products.board_sources()}
    assert "link.py" in files
    assert not files & {"blocking.py", "radio/bleak/__init__.py"}
    assert package["urls"] == [[f"picolink/{name}", f"py/picolink/{name}"] for name in sorted(files)]
    assert package["deps"] == [["aioble", "latest"]]
    pyproject = (ROOT / "pyproject.toml").read_text()
    assert f'version = "{package["version"]}"' in pyproject
