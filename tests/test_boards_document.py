"""docs/boards.md is the one table of boards and versions: whatever is said elsewhere is a row of it."""

import re
from pathlib import Path

import pytest
from picolink_pc.advice import blocker
from picolink_pc.supported import BOARDS, NEWEST_MICROPYTHON, OLDEST_MICROPYTHON
from test_install import READY, replace

ROOT = Path(__file__).parents[1]
DOCUMENT = (ROOT / "docs" / "boards.md").read_text()
FILES = [
    *(ROOT / name for name in ("README.md", "Makefile", "CMakeLists.txt", "package.json", "pyproject.toml")),
    *(file for folder in ("docs", "build", "examples") for file in (ROOT / folder).glob("*.*")),
    *(ROOT / "py").rglob("*.py"),
]
ROW = re.compile(r"^\| `(RPI_[\w-]+)` \| ([\d.]+) \| ", re.MULTILINE)


def text(version):
    return ".".join(map(str, version[:2]))


def test_each_board_is_a_row_with_its_oldest_version():
    assert ROW.findall(DOCUMENT) == [(board.build, text(board.oldest)) for board in BOARDS]


def test_the_newest_version_is_named():
    assert f"The newest release that was tried is {text(NEWEST_MICROPYTHON)}" in DOCUMENT


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_what_is_said_of_boards_and_versions_is_in_the_table(file):
    said = file.read_text(errors="ignore")
    boards = set(re.findall(r"(?:BOARD=|\b)(RPI_PICO\w*(?:-RISCV)?)", said))
    rows = {board.build for board in BOARDS}
    # Of boards that look alike, so that people are told.
    others = {"RPI_PICO2"} if file.name == "advice.py" else set()
    assert boards <= rows | others
    claims = re.findall(r"MicroPython(?: from)? v?(1\.\d\d)\b|\b(1\.\d\d)(?:\.\d)? (?:or newer|on\b)", said)
    for version in {one or other for one, other in claims}:
        assert re.search(rf"\b{re.escape(version)}\b", DOCUMENT), version


def test_what_doctor_and_install_refuse_is_what_the_table_says():
    older = (OLDEST_MICROPYTHON[0], OLDEST_MICROPYTHON[1] - 1, 9)
    refused = blocker("PORT", replace(READY, version=older))
    assert f"picolink needs {text(OLDEST_MICROPYTHON)} or newer" in refused
    assert blocker("PORT", replace(READY, version=OLDEST_MICROPYTHON)) is None


def test_the_readme_names_the_oldest_versions():
    readme = (ROOT / "README.md").read_text()
    pico_w, pico_2_w = (next(b.oldest for b in BOARDS if b.build == n) for n in ("RPI_PICO_W", "RPI_PICO2_W"))
    assert f"MicroPython {text(pico_w)} or newer, or {text(pico_2_w)} or newer on a Pico 2 W" in readme
