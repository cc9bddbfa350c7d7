"""What `make dist` makes: the same twice, whole, and of use to pip and mip."""

import functools
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import threading
from pathlib import Path

import pytest
from pico_firmware import write_plain_firmware
from picolink_pc import findings, products
from picolink_pc.emulator import Emulator

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
DIST = ROOT / "build" / "dist.py"
ARCHITECTURES = {"x64", "armv6m", "armv7m", "armv7emsp", "rv32imc", "python"}


def make(folder, umask, seed):
    """A release, in an environment that differs in what files depend on when nobody cares."""
    command = [sys.executable, DIST, "--out", folder]
    environment = os.environ | {"PYTHONHASHSEED": seed, "SOURCE_DATE_EPOCH": "1700000000"}
    subprocess.run(command, check=True, umask=umask, env=environment, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    return make(tmp_path_factory.mktemp("first") / "dist", 0o022, "1")


def only(folder, pattern):
    (file,) = folder.glob(pattern)
    return file


def test_a_release_is_the_same_twice(dist, tmp_path):
    again = make(tmp_path / "dist", 0o077, "2")
    sums = (dist / "SHA256SUMS").read_text()
    assert (again / "SHA256SUMS").read_text() == sums
    subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], check=True, cwd=again)
    listed = {line.split("  ")[1] for line in sums.splitlines()}
    made = {path.relative_to(dist).as_posix() for path in dist.rglob("*") if path.is_file()}
    assert made - listed == {"SHA256SUMS"}


def test_the_source_makes_the_same_wheel(dist, tmp_path):
    with tarfile.open(only(dist, "*.tar.gz")) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path / "dist"]
    environment = {name: text for name, text in os.environ.items() if name != "SOURCE_DATE_EPOCH"}
    subprocess.run(command, check=True, cwd=source, env=environment | {"PATH": ""})
    wheel = only(dist, "*-any.whl")
    assert (tmp_path / "dist" / wheel.name).read_bytes() == wheel.read_bytes()


def test_the_notes_are_those_of_this_version(dist):
    notes = (dist / "NOTES.md").read_text()
    assert notes.strip() in (ROOT / "CHANGELOG.md").read_text()
    assert "## " not in notes


def test_every_architecture_has_its_tree_and_its_archive(dist):
    assert {path.name for path in (dist / "mip").iterdir()} == ARCHITECTURES
    files = {path.relative_to(products.PACKAGE) for path in products.board_sources()}
    for architecture in ARCHITECTURES:
        tree = dist / "mip" / architecture
        package = json.loads((tree / "package.json").read_text())
        expected = {f"picolink/{path.with_suffix('.mpy').as_posix()}" for path in files}
        expected |= set() if architecture == "python" else {"_picolink.mpy"}
        assert {name for name, _ in package["urls"]} == expected
        assert all((tree / url).exists() for _, url in package["urls"])
        assert package["deps"] == [["aioble", "latest"]]
        assert package["version"] == "0.1.0"
        shutil.unpack_archive(only(dist, f"picolink-*-files-{architecture}.zip"), tree / "unpacked")
        unpacked = {path for path in (tree / "unpacked").rglob("*") if path.is_file()}
        assert {path.relative_to(tree / "unpacked").as_posix() for path in unpacked} == expected
        shutil.rmtree(tree / "unpacked")


def serve(folder):
    """The address of a web server on it."""
    handler = functools.partial(QuietHandler, directory=folder)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, f"http://127.0.0.1:{server.server_port}"


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_arguments):
        pass


@pytest.mark.parametrize("where", ["server", "folder"])
def test_mip_installs_it_with_the_native_engine(dist, tmp_path, where):
    site = tmp_path / "site"
    shutil.copytree(dist / "mip", site / "mip")
    # An index with an aioble of our own; a board would ask the one of micropython-lib.
    aioble = site / "index" / "package" / "6" / "aioble" / "latest.json"
    aioble.parent.mkdir(parents=True)
    aioble.write_text(json.dumps({"hashes": [["aioble/__init__.py", "12345678"]], "version": "0"}))
    file = site / "index" / "file" / "12" / "12345678"
    file.parent.mkdir(parents=True)
    file.write_text(f"{' = '.join(findings._AIOBLE_NAMES)} = 1\n")

    server, address = serve(site)
    base = address if where == "server" else str(site)
    mpremote = Path(sys.executable).with_name("mpremote")
    with Emulator(write_plain_firmware(tmp_path)) as pico:
        command = [mpremote, "connect", pico.port, "mip", "install", "--index", f"{address}/index"]
        result = subprocess.run(
            [*command, f"{base}/mip/armv6m/package.json"], check=False, capture_output=True, text=True
        )
        assert result.returncode == 0, result.stdout + result.stderr
        program = "import aioble, picolink, picolink.engine as e; print(picolink.__version__, e.load()[1])"
        assert pico.run(program) == "0.1.0 native\n"
    server.shutdown()
    server.server_close()


def test_a_version_without_notes_is_refused_in_one_line(tmp_path):
    source = tmp_path / "source"
    (source / "build").mkdir(parents=True)
    for file in (DIST, DIST.with_name("board_files.py")):
        shutil.copy(file, source / "build")
    (source / "pyproject.toml").write_text('version = "9.9"\n')
    (source / "CHANGELOG.md").write_text("## 9.8\n\nold\n")
    result = subprocess.run(
        [sys.executable, source / "build" / "dist.py", "--out", tmp_path / "dist"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert re.fullmatch(r"CHANGELOG\.md says nothing about 9\.9: .*\n", result.stderr)
