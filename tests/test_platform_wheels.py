"""Wheels for Linux on one architecture: virtual boards with the native engine on a PC without a compiler."""

import asyncio
import platform
import re
import shutil
import subprocess
import sys
import zipfile

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection
from picolink_pc import boards, products
from test_dist import make, only
from test_wheel import install

pytestmark = pytest.mark.slow

MACHINES = {"x86_64": "EM_X86_64", "aarch64": "EM_AARCH64"}
OLDEST_GLIBC = (2, 17)
"""What the tag of the wheels promises: manylinux_2_17."""


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    return make(tmp_path_factory.mktemp("platform") / "dist", 0o022, "1")


@pytest.fixture(scope="module")
def installed(dist, tmp_path_factory):
    """What pip chooses of them for this PC, with virtual boards."""
    return install("picolink", tmp_path_factory.mktemp("installed"), "[virtual]", dist)


def unpack(dist, architecture, folder):
    wheel = only(dist, f"*manylinux_2_17_{architecture}.*.whl")
    shutil.unpack_archive(wheel, folder, "zip")
    return folder / "picolink_pc" / "files"


@pytest.mark.parametrize("architecture", MACHINES)
def test_what_is_inside_runs_where_the_tag_says(dist, tmp_path, architecture):
    files = unpack(dist, architecture, tmp_path)
    with (tmp_path / "_picolink.abi3.so").open("rb") as file:
        module = ELFFile(file)
        assert module["e_machine"] == MACHINES[architecture]
        needed = [tag.needed for tag in module.get_section_by_name(".dynamic").iter_tags("DT_NEEDED")]
        assert set(needed) <= {"libc.so.6", "ld-linux-aarch64.so.1"}
        (section,) = (s for s in module.iter_sections() if isinstance(s, GNUVerNeedSection))
        versions = [version.name for _, names in section.iter_versions() for version in names]
        assert versions
        for version in versions:
            assert tuple(map(int, version.removeprefix("GLIBC_").split("."))) <= OLDEST_GLIBC
    with (files / "bin" / "micropython").open("rb") as file:
        micropython = ELFFile(file)
        assert micropython["e_machine"] == MACHINES[architecture]
        kinds = {segment["p_type"] for segment in micropython.iter_segments()}
        assert not kinds & {"PT_INTERP", "PT_DYNAMIC"}  # it is static


@pytest.mark.parametrize("architecture", MACHINES)
def test_the_wheel_says_nothing_of_where_it_was_made_and_names_the_licences(dist, tmp_path, architecture):
    files = unpack(dist, architecture, tmp_path)
    here = str(products.CHECKOUT and products.OUT.parents[1]).encode()
    for name in ("bin/micropython", "../../_picolink.abi3.so"):
        assert here not in (files / name).read_bytes()
    licences = {path.stem: path.read_text() for path in (files / "licences").iterdir()}
    assert set(licences) == {"MicroPython", "musl", "re1.5", "Zig"}
    assert all("Copyright" in text or "copyright" in text for text in licences.values())


def test_it_brings_no_less_than_the_wheel_for_every_system(dist):
    def names(wheel):
        return {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}

    everywhere = names(only(dist, "*-any.whl"))
    for architecture in MACHINES:
        brought = names(only(dist, f"*{architecture}.*.whl"))
        assert everywhere < brought
        assert "_picolink.abi3.so" in brought


def test_two_boards_race_with_the_native_engine_and_no_compiler(installed):
    demo = installed("picolink", "demo", "--seconds", "1", "--json", "demo.json")
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert re.search(r"Pico A  picolink: connected: .*, native engine", demo.stdout)
    slow = installed("picolink", "demo", "--seconds", "1", "--engine", "python", "--json", "demo.json")
    assert re.search(r"Pico A  picolink: connected: .*, python engine", slow.stdout)


def test_the_commands_of_the_public_ci_work(installed):
    done = installed("/bin/bash", products.OUT.parents[1] / "build" / "try_commands.sh")
    assert done.stdout.endswith("\nAll commands work.\n"), done.stdout + done.stderr
    assert done.returncode == 0


def test_the_pc_has_the_engine_in_c(installed):
    loaded = installed("python", "-c", "from picolink.engine import load; print(load()[1])")
    assert loaded.stdout == "native\n", loaded.stderr
    assert installed("picolink", "chaos", "--seeds", "1").returncode == 0


@pytest.mark.parametrize("engine", [None, "python"])
def test_boards_of_the_wheel_for_aarch64_talk(dist, tmp_path, monkeypatch, engine):
    files = unpack(dist, "aarch64", tmp_path)
    (files / "bin" / "micropython").chmod(0o755)
    run = tmp_path / "micropython"
    run.write_text(f'#!/bin/sh\nexec qemu-aarch64 {files}/bin/micropython "$@"\n')
    run.chmod(0o755)
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    monkeypatch.setattr(products, "CHECKOUT", False)
    monkeypatch.setattr(products, "_INSTALLED", files)
    monkeypatch.setattr(products, "MICROPYTHON", run)
    monkeypatch.setattr(boards, "_NATIVE", products.native_on_this_pc())

    async def greet():
        async with boards.Room() as room:
            a, b = room.board("a", engine), room.board("b", engine)
            await a.start(products.EXAMPLES / "pico_a.py")
            await b.start(products.EXAMPLES / "pico_b.py")
            await b.line(f"connected: .*, {engine or 'native'} engine", 60)
            await b.line("received: Hello from Pico A!", 60)
            await a.line("received: Hello from Pico B!", 60)

    asyncio.run(greet())


def test_without_what_platform_sh_makes_it_is_refused(tmp_path):
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path]
    environment = {"PICOLINK_BOARD_FILES": str(tmp_path), "PICOLINK_PLATFORM": str(tmp_path / "x86_64")}
    result = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        cwd=products.OUT.parents[1],
        env=environment,
    )
    assert "x86_64 is missing: make dist builds picolink's packages" in result.stderr
