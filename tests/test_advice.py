"""What doctor and install tell people to do, done as they say, on an emulated board; and the next state."""

import http.server
import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from mpremote import mip
from pico_firmware import AIOBLE, WITH_PICOLINK, write_plain_firmware
from picolink_pc import advice, bootsel, device, products
from picolink_pc import flash as flash_module
from picolink_pc.bootsel import read_drive
from picolink_pc.emulator import Emulator, write_files
from picolink_pc.emulator.firmware import installed_files
from serial import serial_for_url
from test_install import EMPTY, READY, error_line, picolink, small_package

pytestmark = pytest.mark.slow

PORT = "/dev/ttyACM0"


@pytest.fixture(scope="module")
def plain_firmware(tmp_path_factory):
    return write_plain_firmware(tmp_path_factory.mktemp("firmware"))


@pytest.fixture(autouse=True)
def no_other_boards(tmp_path, monkeypatch):
    (tmp_path / "usb").mkdir()
    monkeypatch.setattr(bootsel, "_USB", tmp_path / "usb")
    monkeypatch.setattr(flash_module, "find_drives", list)


@pytest.fixture
def drive(tmp_path):
    return tmp_path / "drive"


@pytest.fixture
def pico(plain_firmware, tmp_path, drive):
    with Emulator(plain_firmware, flash=tmp_path / "flash.bin", drive=drive) as pico:
        yield pico


@pytest.fixture(scope="module")
def ready_flash(tmp_path_factory):
    """Flash of a board that passes for a Pico W with picolink and aioble: doctor calls it ready."""
    flash = tmp_path_factory.mktemp("ready") / "flash.bin"
    stand_ins = {"lib/bluetooth.py": b""} | {f"lib/aioble/{name}": t.encode() for name, t in AIOBLE.items()}
    write_files(flash, installed_files() | stand_ins)
    return flash


@pytest.fixture
def pico_w(plain_firmware, ready_flash, tmp_path, drive):
    flash = shutil.copy(ready_flash, tmp_path / "flash.bin")
    with Emulator(plain_firmware, flash=flash, drive=drive) as pico:
        yield pico


def write(pico, files):
    with pico.raw_repl() as board:
        for folder in sorted({name.rpartition("/")[0] for name in files} - {"", "/lib"}):
            if not board.fs_exists(folder):
                board.fs_mkdir(folder)
        for name, text in files.items():
            board.fs_writefile(name, text.encode())


def to_do(pico):
    """What doctor says is to do, or None."""
    result = picolink("doctor", "--port", pico.port)
    found = re.search(r"^To do: (.*)$", result.stdout, re.MULTILINE)
    assert (result.exit_code == 0) == (found is None) == ("Ready." in result.stdout), result.output
    return found and found[1]


@pytest.fixture
def little_to_copy():
    with small_package("checks", "flags", "pyengine"):
        yield


def picolink_line(text, *more):
    """Runs the command of picolink in a sentence."""
    line = re.search(r"picolink (install|flash|doctor)( (--\S+|/\S+|\S+\.uf2|socket:\S+))*", text)[0]
    return picolink(*shlex.split(line)[1:], *more)


def test_a_board_that_is_ready_has_nothing_to_do(pico_w):
    assert to_do(pico_w) is None


# What happens when a file of a user's own is called like a module of MicroPython.
@pytest.mark.parametrize("module", ["asyncio", "bluetooth", "time", "struct"])
def test_a_file_that_hides_a_module_is_renamed(pico_w, module):
    write(pico_w, {f"/{module}.py": "# my first try\nimport machine\nprint('hello')\n"})
    said = to_do(pico_w)
    assert said.startswith(f"/{module}.py on the board hides MicroPython's own module {module}, ")
    assert said in error_line(picolink("install", "--port", pico_w.port))
    subprocess.run(said.partition("Rename it: ")[2], check=True, shell=True)
    assert to_do(pico_w) is None
    assert f"my_{module}.py" in pico_w.run("import os\nprint(os.listdir('/'))")


@pytest.mark.usefixtures("little_to_copy")
def test_an_aioble_that_is_too_old_is_renewed(pico_w, tmp_path, monkeypatch):
    old = "class Device:\n    async def connect(self, timeout_ms=10000):\n        pass\n"
    write(pico_w, {"/lib/aioble/device.py": old})
    said = to_do(pico_w)
    assert said == f"/lib/aioble is too old: picolink install --port {pico_w.port} fetches a newer one."
    index = serve_aioble(tmp_path / "index")
    monkeypatch.setattr(mip, "_PACKAGE_INDEX", f"http://127.0.0.1:{index.server_port}")
    assert "aioble is installed" in picolink_line(said).stdout
    index.shutdown()
    index.server_close()
    assert to_do(pico_w) is None


def serve_aioble(folder):
    """A package index for mip that has what passes for an aioble."""
    hashes = []
    for number, (name, text) in enumerate(AIOBLE.items()):
        file = folder / "file" / "ab" / f"ab{number}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        hashes.append([f"aioble/{name}", file.name])
    package = folder / "package" / "6" / "aioble" / "latest.json"
    package.parent.mkdir(parents=True)
    package.write_text(json.dumps({"hashes": hashes, "version": "1"}))

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=folder)

        def log_message(self, *_arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def test_an_old_aioble_in_the_firmware_takes_a_newer_firmware():
    old = replace(READY, version=(1, 24, 0), build="", aioble="too old, firmware")
    said = advice.next_step(PORT, old)
    assert said == (
        "the aioble in this firmware (MicroPython 1.24.0) is too old for picolink: get the newest UF2 file "
        f"from https://micropython.org/download/RPI_PICO_W/, then: picolink flash FILE.uf2 --port {PORT}"
    )


def test_the_firmware_of_a_plain_pico_is_told_from_a_pico_ws(pico, drive):
    said = to_do(pico)
    assert said.startswith("no link can start here: this is the firmware of a board without Bluetooth.")
    assert "If yours is a Pico W " in said
    assert "https://micropython.org/download/RPI_PICO_W/" in said
    # No Pico W is emulated here: the firmware with picolink inside stands for its own.
    flash = picolink_line(said.replace("FILE.uf2", str(WITH_PICOLINK)), "--drive", str(drive))
    assert flash.exit_code == 0, flash.output
    assert "in the firmware" in picolink("doctor", "--port", pico.port).output


# The second one prints what a board shows when no program runs.
@pytest.mark.parametrize("work", ["time.sleep_ms(20)", "print('>>> ', end=''); time.sleep_ms(20)"])
def test_a_main_py_that_catches_ctrl_c_is_stopped(pico, work):
    text = f"import time\nwhile True:\n    try:\n        {work}\n    except:\n        pass\n"
    write(pico, {"/main.py": text})
    start_main(pico)
    doctor = picolink("doctor", "--port", pico.port)
    found = re.search(r"starts by itself +main\.py \(\d+ bytes, imports time\)", doctor.stdout)
    assert found, doctor.output


BOOTSEL = """
import machine, micropython, sys
micropython.kbd_intr(-1)
while True:
    if sys.stdin.read(1) == "B":  # stands for the button
        machine.bootloader()
"""


def test_a_main_py_that_lets_nobody_in_is_erased(pico, drive, monkeypatch):
    write(pico, {"/main.py": BOOTSEL, "/mine.txt": "mine"})
    start_main(pico)
    monkeypatch.setattr(device, "_INSIST_S", 1)
    said = error_line(picolink("doctor", "--port", pico.port))
    assert "does not answer as a MicroPython board. Connect it with its BOOTSEL button held" in said
    assert "--erase-files: that erases main.py and all other files on the board" in said
    with serial_for_url(pico.port) as port:
        port.write(b"B")
    pico.wait_for("bootloader")
    assert flash_module._wait(lambda: read_drive(drive), flash_module._LIMIT_S)
    monkeypatch.setattr(device, "list_ports", lambda: [] if read_drive(drive) else [pico.port])
    said = said.replace("FIRMWARE.uf2.", f"{WITH_PICOLINK}")
    flash = picolink_line(said, "--erase-files", "--drive", str(drive))
    assert flash.exit_code == 0, flash.output
    assert re.search(r"starts by itself +nothing", picolink("doctor", "--port", pico.port).output)
    assert "mine.txt" not in pico.run("import os\nprint(os.listdir('/'))")


def start_main(pico):
    """Ctrl-D, as after power-on."""
    with serial_for_url(pico.port, timeout=60) as port:
        port.write(b"\x04")
        assert port.read_until(b"soft reboot").endswith(b"soft reboot")


@pytest.mark.usefixtures("little_to_copy")
def test_the_native_engine_is_put_beside_the_one_in_python(pico_w):
    assert picolink("install", "--engine", "python", "--port", pico_w.port).exit_code == 0
    said = to_do(pico_w)
    assert said.endswith("puts the native engine beside the Python one, which works but is slow.")
    assert picolink_line(said).exit_code == 0
    assert to_do(pico_w) is None


@pytest.mark.usefixtures("little_to_copy")
def test_a_board_without_a_native_module_for_it_is_ready_with_python(pico_w, monkeypatch, tmp_path):
    """As an ESP32 with Xtensa is."""
    monkeypatch.setattr(products, "native_module", lambda architecture: tmp_path / architecture)
    pico_w.run("import os\nos.remove('/lib/picolink/__init__.mpy')\nos.remove('/lib/_picolink.mpy')")
    said = to_do(pico_w)
    assert said == f"picolink install --port {pico_w.port}"
    said = error_line(picolink_line(said))
    assert "there is no native module for armv6m here: install with --engine python" in said
    assert picolink("install", "--engine", "python", "--port", pico_w.port).exit_code == 0
    assert to_do(pico_w) is None
    doctor = picolink("doctor", "--port", pico_w.port)
    assert "python (there is no native one for armv6m here)" in doctor.stdout


@pytest.mark.usefixtures("little_to_copy")
def test_a_lib_that_is_not_on_the_path_is_put_back(pico):
    write(pico, {"/boot.py": "import sys\nsys.path.remove('/lib')\n"})
    said = error_line(picolink("install", "--port", pico.port))
    line = re.search(r"\(boot.py: (.*)\)$", said)[1]
    write(pico, {"/boot.py": f"import sys\nsys.path.remove('/lib')\n{line}\n"})
    assert picolink("install", "--port", pico.port).exit_code == 0


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_in_mpremote_run_leaves_the_program_running_until_the_readmes_line_stops_it(pico, tmp_path):
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    said = re.search(r"^Ctrl-C in `mpremote run` ends mpremote, .*? `(mpremote .*?)` stops it", readme, re.M)
    program = tmp_path / "greeting.py"
    program.write_text("import time\nwhile True:\n    print('greeting')\n    time.sleep_ms(50)\n")
    mpremote = Path(sys.executable).with_name("mpremote")
    command = [mpremote, "connect", pico.port, "run", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as running:
        assert running.stdout.readline() == b"greeting\r\n"
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=60)
    assert b"greeting" in listen(pico)
    stop = said[1].replace("mpremote", str(mpremote), 1).replace("PORT_A", pico.port)
    subprocess.run(stop, shell=True, check=True)
    assert b"greeting" not in listen(pico)


def listen(pico):
    """What the board prints in a while in which the program would print more than once."""
    with serial_for_url(pico.port, timeout=2) as port:
        return port.read(100)


CIRCUITPYTHON = replace(
    EMPTY, implementation="circuitpython", version=(9, 2, 1), build="", mpy=6, bluetooth=None
)


def test_circuitpython_is_called_by_its_name():
    said = advice.next_step(PORT, CIRCUITPYTHON)
    assert said.startswith(
        "the board runs CircuitPython 9.2.1, picolink needs MicroPython: get its UF2 file "
    )
    assert "with its BOOTSEL button held, then: picolink flash FILE.uf2" in said
    assert advice.blocker(PORT, CIRCUITPYTHON) == said


def test_an_old_micropython_is_told_where_there_is_a_newer_one():
    said = advice.next_step(PORT, replace(READY, version=(1, 22, 2), build=""))
    assert said == (
        "the board runs MicroPython 1.22.2, picolink needs 1.24 or newer: get the newest UF2 file from "
        f"https://micropython.org/download/RPI_PICO_W/, then: picolink flash FILE.uf2 --port {PORT}"
    )


@pytest.mark.usefixtures("little_to_copy")
def test_two_boards_with_different_versions_are_told(pico_w, plain_firmware, ready_flash, tmp_path):
    with Emulator(plain_firmware, flash=shutil.copy(ready_flash, tmp_path / "other.bin")) as other:
        both = ("--port", pico_w.port, "--port", other.port)
        assert picolink("doctor", *both).output.count("Ready.") == 2
        other.run("import os\nos.remove('/lib/picolink/__init__.mpy')")
        write(other, {"/lib/picolink/__init__.py": "__version__ = '0.0.9'"})
        doctor = picolink("doctor", *both)
        assert doctor.exit_code == 1
        assert (
            f"different versions of picolink (0.1.0 at {pico_w.port}, 0.0.9 at {other.port})" in doctor.stdout
        )
        assert picolink("install", *both).exit_code == 0
        assert picolink("doctor", *both).exit_code == 0
