"""Who imports whom: docs/design.md says it, and these tests compare it with the code."""

import ast
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ROOT / "py"
DESIGN = (ROOT / "docs" / "design.md").read_text()
BLUETOOTH = {"aioble", "bluetooth"}


def imports(file):
    """What a file of a package imports, wherever in it: "asyncio", "picolink.radio.board", ..."""
    package = file.relative_to(PACKAGES).parent.parts
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            around = ".".join(package[: len(package) + 1 - node.level]) if node.level else ""
            module = ".".join(filter(None, (around, node.module)))
            if not node.level and not module.startswith("picolink"):
                found.add(module.partition(".")[0])
                continue
            for alias in node.names:
                inner = f"{module}.{alias.name}"
                path = PACKAGES / inner.replace(".", "/")
                found.add(inner if path.exists() or path.with_suffix(".py").exists() else module)
    return found


def module_name(file):
    return ".".join(file.relative_to(PACKAGES).with_suffix("").parts).removesuffix(".__init__")


def documented():
    """Module -> what it may import: the table under "The link" in docs/design.md."""
    table = DESIGN.split("\n### The link\n")[1].split("\n\n")[0]
    rows = re.findall(r"^\| `([\w.]+)` \|.*\|([^|]*)\|$", table, re.MULTILINE)
    return {name: set(re.findall(r"`([\w.]+)`", allowed)) for name, allowed in rows}


@pytest.mark.parametrize("module", documented())
def test_a_module_of_the_link_imports_what_the_design_says(module):
    path = PACKAGES / "picolink" / module.replace(".", "/")
    if module == "radio":  # the modules in this folder have rows of their own
        files = [path / "__init__.py"]
    else:
        files = [path.with_suffix(".py")] if path.with_suffix(".py").exists() else sorted(path.glob("*.py"))
    inside = f"picolink.{module}" if path.is_dir() and module != "radio" else None
    found = set().union(*(imports(file) for file in files))
    known = {name.removeprefix("picolink.") for name in found if not inside or not name.startswith(inside)}
    from_micropython = (
        {"micropython", "time", "sys", "asyncio", "machine", "os"} if module == "runtime" else set()
    )
    assert known - from_micropython == documented()[module]


def test_every_module_of_the_link_is_in_the_table():
    others = {"", "blocking", "checks", "cpython", "engine", "errors", "flags", "keyed", "manual", "pyengine"}
    names = {
        module_name(file).removeprefix("picolink").lstrip(".") for file in PACKAGES.glob("picolink/**/*.py")
    }
    assert {re.sub(r"^(radio\.(?:aioble|bleak))\..*", r"\1", name) for name in names} - others == set(
        documented()
    )


def test_one_place_imports_bluetooth_and_none_the_pc():
    for file in PACKAGES.glob("picolink/**/*.py"):
        found = imports(file)
        assert not [name for name in found if name.startswith("picolink_pc")], file
        if file.parent.name != "aioble":
            assert not found & BLUETOOTH, file
        if file.parent.name != "bleak":
            assert "bleak" not in found, file


@pytest.mark.parametrize("folder", ["radio", "standin"])
def test_the_models_of_radio_and_host_know_no_picolink(folder):
    for file in PACKAGES.glob(f"picolink_pc/{folder}/**/*.py"):
        assert not [name for name in imports(file) if re.match(r"picolink(\.|$)", name)], file


def test_picolink_imports_on_a_pc_without_bluetooth():
    program = (
        "import sys\n"
        "sys.modules.update(dict.fromkeys(('aioble', 'bluetooth', 'bleak', 'micropython')))\n"
        "import picolink, picolink.link, picolink.policy, picolink.radio.memory\n"
        "picolink.advertise('PicoA', radio=picolink.radio.memory.Air())\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_diagrams_are_those_of_the_table():
    lifecycle = runpy.run_path(str(ROOT / "build" / "lifecycle.py"))
    assert lifecycle["drawn"](DESIGN) == DESIGN, "run build/lifecycle.py"
