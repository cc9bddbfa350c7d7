"""The wheel in an environment of its own: no checkout, no compiler, nothing but what pip brought."""

import os
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
from pico_firmware import WITH_PICOLINK, write_plain_firmware
from picolink_pc import cli, products
from picolink_pc.emulator import Emulator

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
LIMIT_S = 300
ARCHITECTURES = ("x64", "armv6m", "armv7m", "armv7emsp", "rv32imc")

INSIDE = "picolink_pc/files"

HEAVY = {"bumble", "matplotlib", "mpremote", "rich", "serial", "asyncio"}
"""What takes a while to import."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel for every system."""
    folder = tmp_path_factory.mktemp("dist")
    files = tmp_path_factory.mktemp("files")
    subprocess.run([sys.executable, ROOT / "build" / "board_files.py", files], check=True)
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder]
    subprocess.run(command, check=True, cwd=ROOT, env=os.environ | {"PICOLINK_BOARD_FILES": str(files)})
    (file,) = folder.glob("*.whl")
    return file


def install(wheel, folder, extra="", wheels=None):
    """run(*arguments): one of the commands of an environment that has the wheel and what it depends on.

    wheel: a file, or the name of a package in the folder `wheels`.
    """
    venv.create(folder / "venv")  # pip would be half of the work
    bin_folder = folder / "venv" / "bin"
    # Bytecode of all that depends on it would take longer than what these tests import.
    command = [sys.executable, "-m", "pip", "--python", bin_folder / "python", "install", "--no-compile"]
    command += ["--no-index"]
    for found in (products.OUT / "wheelhouse", wheels):
        if found:
            command += ["--find-links", found]
    subprocess.run([*command, f"{wheel}{extra}"], check=True, capture_output=True)
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()

    def run(*arguments):
        return subprocess.run(
            [bin_folder / arguments[0], *arguments[1:]],
            check=False,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            cwd=elsewhere,
            env={"PATH": str(bin_folder), "HOME": str(elsewhere), "COLUMNS": "120"},
        )

    run.folder = folder / "venv"
    return run


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    return install(wheel, tmp_path_factory.mktemp("installed"))


@pytest.fixture(scope="module")
def with_virtual_boards(wheel, tmp_path_factory):
    """The same with the extra for them."""
    return install(wheel, tmp_path_factory.mktemp("virtual"), "[virtual]")


def test_the_wheel_brings_what_boards_need(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    assert wheel.name.endswith("-py3-none-any.whl")
    for architecture in ARCHITECTURES:
        assert f"{INSIDE}/native/{architecture}/_picolink.mpy" in names
    sources = {path.relative_to(products.PACKAGE) for path in products.board_sources()}
    brought = {name for name in names if name.startswith(f"{INSIDE}/picolink/")}
    assert brought == {f"{INSIDE}/picolink/{path.with_suffix('.mpy').as_posix()}" for path in sources}
    assert {f"{INSIDE}/examples/{path.name}" for path in products.EXAMPLES.glob("*.py")} <= names


def test_nothing_but_pure_python_comes_with_it_and_it_is_small(installed):
    site = next((installed.folder / "lib").glob("python*")) / "site-packages"
    pythons_own = ("pip", "setuptools", "pkg_resources", "_distutils_hack")
    sizes = {
        path.name: sum(file.stat().st_size for file in [path, *path.rglob("*")])
        for path in site.iterdir()
        if not path.name.startswith(pythons_own)
    }
    assert sum(sizes.values()) < 25_000_000, sizes
    assert not [*site.rglob("*.so")]


@pytest.mark.parametrize("command", [("picolink",), ("python", "-m", "picolink_pc")])
def test_the_command_is_there(installed, command):
    version = installed(*command, "--version")
    assert version.stdout == "picolink, version 0.1.0\n"
    listed = installed(*command, "--help")
    assert re.search(r"install +Put picolink onto a board", listed.stdout)


def test_every_command_explains_itself_without_the_extras(installed):
    for name in cli.main.modules:
        result = installed("picolink", name, "--help")
        assert result.returncode == 0, result.stderr


def test_version_and_help_import_nothing_heavy():
    for option in ("--version", "--help"):
        program = f"""
import sys
from picolink_pc.cli import main
try:
    main([{option!r}])
finally:
    print(*sorted(set(sys.modules) & {HEAVY!r}), file=sys.stderr)
"""
        result = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
        assert result.stderr == "\n"


def test_the_lists_of_commands_say_what_the_commands_say():
    for group in (cli.main, cli.main.get_command(None, "bench")):
        for name, (_, text) in group.modules.items():
            assert group.get_command(None, name).get_short_help_str(1000) == text


def test_it_puts_the_native_engine_onto_a_board(installed, tmp_path):
    with Emulator(write_plain_firmware(tmp_path)) as pico:
        install = installed("picolink", "install", "--port", pico.port)
        assert install.returncode == 0, install.stderr
        assert "picolink 0.1.0 with the native engine is on Raspberry Pi Pico" in install.stdout
        doctor = installed("picolink", "doctor", "--port", pico.port)
        assert re.search(r"engine in use +native", doctor.stdout), doctor.stderr
        sent = "from picolink.engine import load; print(load()[1])"
        assert pico.run(sent) == "native\n"


def test_it_flashes_a_board(installed, tmp_path):
    drive = tmp_path / "drive"
    with Emulator(write_plain_firmware(tmp_path), drive=drive) as pico:
        flash = installed("picolink", "flash", str(WITH_PICOLINK), "--port", pico.port, "--drive", str(drive))
        assert "is on the board, which read it back" in flash.stdout, flash.stderr
        bare = installed("picolink", "flash", "--port", pico.port, "--drive", str(drive))
    assert "name the firmware to flash" in bare.stderr


@pytest.mark.parametrize(
    ("command", "extra"),
    [
        (("demo",), "virtual"),
        (("run", "program.py"), "virtual"),
        (("soak",), "virtual"),
        (("chaos", "--boards"), "virtual"),
        (("bench", "link"), "virtual"),
        (("bench", "heap"), "virtual"),
        (("bench", "sweep", "--plot"), "plots"),
        (("soak", "--plot"), "plots"),
        (("prove", "--port", "A", "--port", "B"), "plots"),
    ],
)
def test_what_needs_more_names_the_extra_before_it_begins(installed, command, extra):
    (installed.folder.parent / "elsewhere" / "program.py").write_text("print(1)")
    result = installed("picolink", *command)
    assert result.returncode == 1
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.endswith(f'pip install "picolink[{extra}]"')


def test_what_is_made_from_the_source_says_so(installed):
    assert "it is made from picolink's source" in installed("picolink", "emulate").stderr
    chaos = installed("picolink", "chaos", "--seeds", "1")
    assert chaos.stderr.endswith("use --engine python\n")
    python = installed("picolink", "chaos", "--seeds", "1", "--engine", "python")
    assert 'need more packages: pip install "picolink[keys]"' in python.stderr


def test_virtual_boards_run_in_cpython(with_virtual_boards):
    demo = with_virtual_boards("picolink", "demo", "--seconds", "1", "--json", "demo.json")
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert demo.stdout.startswith("Boards run in CPython, with picolink's Python engine.\n")
    elsewhere = with_virtual_boards.folder.parent / "elsewhere"
    (elsewhere / "hello.py").write_text(
        "import picolink, time\nprint(picolink.__name__, time.ticks_ms() > 0)"
    )
    run = with_virtual_boards("picolink", "run", "hello.py")
    assert run.stdout.splitlines()[1:] == ["hello  picolink True"]
    assert run.returncode == 0
    refused = with_virtual_boards("picolink", "run", "--boards", "micropython", "hello.py")
    assert refused.stderr.startswith("Error: MicroPython is missing"), refused.stderr


def test_under_pipx_its_own_command_is_named(installed):
    metadata = installed.folder / "pipx_metadata.json"
    metadata.write_text("{}")
    try:
        assert installed("picolink", "demo").stderr.endswith(
            'pipx runpip picolink install "picolink[virtual]"\n'
        )
    finally:
        metadata.unlink()


def test_there_is_no_compiler_on_the_path_of_these_tests(installed):
    path = str(installed.folder / "bin")
    assert not [tool for tool in ("cc", "gcc", "make", "mpy-cross", "node") if shutil.which(tool, path=path)]
