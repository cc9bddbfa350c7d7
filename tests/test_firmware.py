"""How firmware is built, on a stand-in for MicroPython's rp2 port (rp2_port/), and what is checked of it."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
PORT = Path(__file__).parent / "rp2_port"
RISCV_GCC = ["riscv64-unknown-elf-gcc", "-march=rv32imac", "-mabi=ilp32", "-nostdlib", "-O1"]


@pytest.fixture
def tree(tmp_path):
    """What CMakeLists.txt needs of the project, to change."""
    tree = tmp_path / "picolink"
    (tree / "build").mkdir(parents=True)
    for file in (
        "CMakeLists.txt",
        "pyproject.toml",
        "build/check_firmware.py",
        "build/firmware_size.py",
        "build/hot_code.cmake",
    ):
        shutil.copy(ROOT / file, tree / file)
    shutil.copytree(ROOT / "build" / "riscv64_toolchain", tree / "build" / "riscv64_toolchain")
    return tree


def build(tree, board="BOARD-RISCV", **settings):
    """Configures and builds; the result of the last command, with what both have said."""
    work = tree / "out" / board
    tools = {"MPY_CROSS": sys.executable, "PYTHON": sys.executable}
    settings = {"BOARD": board, "MPY_DIR": PORT} | tools | settings
    configure = ["cmake", "-S", tree, "-B", work, *(f"-D{name}={value}" for name, value in settings.items())]
    configured = run(*configure)
    if configured.returncode:
        return configured
    built = run("cmake", "--build", work)
    built.stdout = configured.stdout + built.stdout
    return built


def run(*command):
    return subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_room_is_set_aside_for_thread_local_variables(tree):
    """Also: the toolchain file works inside try_compile, where the Pico SDK does not hand its own path on."""
    built = build(tree)
    assert built.returncode == 0, built.stdout
    (image,) = (tree / "out").glob("*.uf2")
    assert image.name == "picolink-0.1.0-BOARD-RISCV.uf2"
    assert "-f 0xe48bff5a" in image.read_text()
    sizes = (tree / "out" / "BOARD-RISCV" / "size.txt").read_text()
    assert re.search(r"native engine \(C\) +[1-9]\d* +0\n", sizes)
    in_ram = section_bytes(tree, ".data")
    assert f"left for Python's heap: {512 * 1024 - 56 - in_ram} bytes" in sizes  # 40 thread-local, 16 others


def elf_of(tree):
    return tree / "out" / "BOARD-RISCV" / "with_picolink" / "firmware.elf"


def section_bytes(tree, name):
    with elf_of(tree).open("rb") as file:
        return ELFFile(file).get_section_by_name(name)["sh_size"]


def one_script(_port):
    """As it is up to MicroPython 1.28."""


def script_of_parts(port):
    """As from 1.29 on, with the Pico SDK 2.3: the linker looks for the parts where -L says."""
    rp2, sdk = port / "ports" / "rp2", port / "lib" / "pico-sdk" / "src" / "rp2_common" / "pico_standard_link"
    script = (rp2 / "memmap_mp_rp2350.ld").read_text()
    (rp2 / "memmap_mp_rp2350.ld").unlink()
    for part, folder in (("text", rp2 / "memmap_rp2"), ("rodata", sdk / "script_include")):
        line = re.search(rf"[*][(]EXCLUDE_FILE.* [.]{part}[*][)]", script)[0]
        folder.mkdir(parents=True)
        (folder / f"default_{part}_excludes.incl").write_text(line)
        script = script.replace(line, f'INCLUDE "default_{part}_excludes.incl"')
        with (rp2 / "CMakeLists.txt").open("a") as file:
            file.write(f"target_link_directories(firmware PRIVATE {folder})\n")
    (rp2 / "memmap_mp_rp2.ld").write_text(script)
    replace_in(rp2 / "CMakeLists.txt", "memmap_mp_rp2350.ld", "memmap_mp_rp2.ld")


def another_script(port):
    replace_in(port / "ports" / "rp2" / "memmap_mp_rp2350.ld", "*gc.c.o *vm.c.o *parse.c.o", "")


def replace_in(file, old, new):
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))


@pytest.mark.parametrize(
    ("form", "place"), [(one_script, "RAM"), (script_of_parts, "RAM"), (another_script, "flash")]
)
def test_the_virtual_machine_lies_in_ram(tree, tmp_path, form, place):
    port = shutil.copytree(PORT, tmp_path / "port")
    form(port)
    built = build(tree, COMPARE="OFF", MPY_DIR=port)
    assert built.returncode == 0, built.stdout
    with elf_of(tree).open("rb") as file:
        symbols = ELFFile(file).get_section_by_name(".symtab")
        places = {
            name: {1: "flash", 2: "RAM"}[symbols.get_symbol_by_name(name)[0]["st_value"] >> 28]
            for name in ("mp_execute_bytecode", "main")
        }
    assert places == {"mp_execute_bytecode": place, "main": "flash"}
    assert ("says in another way what lies in RAM" in built.stdout) == (place == "flash")


def test_no_image_is_left_of_a_firmware_without_that_room(tree):
    assert build(tree).returncode == 0
    (tree / "build" / "riscv64_toolchain" / "thread_local.ld").write_text("")
    for work in (tree / "out" / "BOARD-RISCV").glob("with*_picolink"):
        (work / "firmware.elf").unlink()
    built = build(tree)
    assert built.returncode != 0
    assert "thread-local variables in a wrong place" in built.stdout
    assert "is .bss too (ordinary_numbers)" in built.stdout
    assert not list((tree / "out").glob("*.uf2"))


def test_the_firmware_without_picolink_can_be_left_out(tree):
    built = build(tree, COMPARE="OFF")
    assert built.returncode == 0, built.stdout
    assert not (tree / "out" / "BOARD-RISCV" / "without_picolink").exists()
    assert "firmware with picolink" in built.stdout
    assert "picolink adds" not in built.stdout


def test_the_image_says_what_it_is(tree):
    assert build(tree, TUNED="ON").returncode == 0
    made = tree / "out" / "BOARD-RISCV" / "frozen" / "_picolink_firmware.py"
    assert made.read_text() == 'BUILD = "BOARD-RISCV-tuned"\n'
    assert (tree / "out" / "picolink-0.1.0-BOARD-RISCV-tuned.uf2").exists()


def link(folder, source, *options):
    """A RISC-V ELF file of C source, with the stand-in's linker script."""
    (folder / "main.c").write_text(source)
    script = ["-T", PORT / "ports" / "rp2" / "memmap_mp_rp2350.ld"]
    subprocess.run(
        [*RISCV_GCC, "-ftls-model=local-exec", *options, *script, "main.c", "-o", "firmware.elf"],
        check=True,
        cwd=folder,
    )
    return folder / "firmware.elf"


ROOM = ["-T", ROOT / "build" / "riscv64_toolchain" / "thread_local.ld"]


@pytest.mark.parametrize(
    ("source", "options", "complaint"),
    [
        ("int x[9]; int main(void) { return x[0]; }", [], None),
        ("__thread int a; int x[9]; int main(void) { return a + x[0]; }", ROOM, None),
        (
            "__thread int a; int x[9]; int main(void) { return a + x[0]; }",
            [],
            "at 0x20000000 to 0x20000004 is .bss too (x)",
        ),
        (
            "__thread int a, b = 7; int x[9]; int main(void) { return a + b + x[0]; }",
            ROOM,
            "they begin at 0x20000000, and the Pico SDK looks for them at 0x20000004 (__tls_base)",
        ),
    ],
)
def test_thread_local_variables_have_a_place_of_their_own(tmp_path, source, options, complaint):
    elf = link(tmp_path, source, *options)
    checked = run(sys.executable, ROOT / "build" / "check_firmware.py", elf)
    assert (checked.returncode != 0) == (complaint is not None)
    assert complaint is None or complaint in checked.stdout


@pytest.mark.parametrize("ending", ["o", "obj"])
def test_the_engines_objects_are_found_by_either_name(tmp_path, ending):
    link(tmp_path, "int x; int main(void) { return x; }")
    objects = tmp_path / "CMakeFiles" / "native"
    objects.mkdir(parents=True)
    for name in ("one", "two"):
        source = "int counter; int next(void) { return ++counter; }"
        command = [*RISCV_GCC, "-xc", "-", "-c", "-o", objects / f"{name}.c.{ending}"]
        subprocess.run(command, input=source, check=True, text=True)
    sized = run(sys.executable, ROOT / "build" / "firmware_size.py", tmp_path / "size.txt", tmp_path)
    assert sized.returncode == 0, sized.stdout
    assert re.search(r"native engine \(C\) +[1-9]\d* +8\n", sized.stdout)


def test_a_firmware_without_the_engine_is_an_error(tmp_path):
    link(tmp_path, "int x; int main(void) { return x; }")
    sized = run(sys.executable, ROOT / "build" / "firmware_size.py", tmp_path / "size.txt", tmp_path)
    assert sized.returncode == 1
    assert sized.stdout == f"{tmp_path} has no object files of native/: picolink's engine is not in it\n"
