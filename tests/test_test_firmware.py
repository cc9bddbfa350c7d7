"""`make test-firmware`: which firmware it builds from which checkouts, and that one failure fails it."""

import importlib.util
import sys
from pathlib import Path

import pytest
from picolink_pc.supported import BOARDS, NEWEST_MICROPYTHON

SCRIPT = Path(__file__).parents[1] / "build" / "test_firmware.py"


@pytest.fixture
def script(tmp_path, monkeypatch):
    """The script as a module.  It builds nothing, and notes the firmware that it was to build in `built`."""
    spec = importlib.util.spec_from_file_location("script", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "script", module)
    spec.loader.exec_module(module)
    module.built = []

    def build(release, _checkout, board, tuned):
        name = board.build + "-tuned" * tuned
        module.built.append((release, name))
        return module.Row(name, release, 900_000, 200_000, None)

    monkeypatch.setattr(module, "OUT", tmp_path)
    monkeypatch.setattr(module, "prepare", lambda *_arguments: None)
    monkeypatch.setattr(module, "build", build)
    return module


def checkout(folder, minor, preview=0):
    file = folder / f"micropython-1.{minor}" / "py" / "mpconfig.h"
    file.parent.mkdir(parents=True)
    file.write_text(
        f"#define MICROPY_VERSION_MAJOR 1\n#define MICROPY_VERSION_MINOR {minor}\n"
        f"#define MICROPY_VERSION_MICRO 0\n#define MICROPY_VERSION_PRERELEASE {preview}\n"
    )
    for board in ("RPI_PICO", "RPI_PICO_W") + ("RPI_PICO2_W",) * (minor >= 25):
        (file.parents[1] / "ports" / "rp2" / "boards" / board).mkdir(parents=True)
    return str(file.parents[1])


def test_each_checkout_builds_the_boards_that_it_has(script, tmp_path, monkeypatch):
    monkeypatch.delenv("BOARDS", raising=False)
    script.main(checkout(tmp_path, 25), checkout(tmp_path, 23))
    before_pico_2_w = [("1.23.0", name) for name in ("RPI_PICO_W", "RPI_PICO", "RPI_PICO_W-tuned")]
    assert script.built[:3] == before_pico_2_w
    assert {name for release, name in script.built if release == "1.25.0"} == {
        board.build + variant for board in BOARDS for variant in (("", "-tuned") if board.tuned else ("",))
    }


def test_boards_can_be_chosen(script, tmp_path, monkeypatch):
    monkeypatch.setenv("BOARDS", "RPI_PICO_W-tuned RPI_PICO2_W")
    script.main(checkout(tmp_path, 25))
    assert script.built == [("1.25.0", "RPI_PICO2_W"), ("1.25.0", "RPI_PICO_W-tuned")]


def test_it_says_which_versions_no_checkout_was_named_for(script, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("BOARDS", raising=False)
    newest = ".".join(map(str, NEWEST_MICROPYTHON))
    script.main(checkout(tmp_path, 24))
    said = capsys.readouterr().out
    assert "Not built here: RPI_PICO2_W with MicroPython 1.25\n" in said
    assert f"Not built here: RPI_PICO_W with MicroPython {newest}\n" in said
    assert "RPI_PICO_W with MicroPython 1.24" not in said
    assert "| RPI_PICO_W | 1.24.0 | 900,000 | 200,000 | not started" in (tmp_path / "table.md").read_text()


def test_a_preview_is_told_from_the_release(script, tmp_path):
    assert script.version(Path(checkout(tmp_path, 29, preview=1))) == "1.29.0-preview"


def test_one_firmware_that_fails_makes_it_fail_after_all_others(script, tmp_path, monkeypatch):
    good = script.build

    def build(release, folder, board, tuned):
        if board.build == "RPI_PICO_W" and not tuned:
            raise RuntimeError("does not link")
        return good(release, folder, board, tuned)

    monkeypatch.delenv("BOARDS", raising=False)
    monkeypatch.setattr(script, "build", build)
    with pytest.raises(SystemExit, match=r"^RPI_PICO_W with MicroPython 1\.23\.0: does not link$"):
        script.main(checkout(tmp_path, 23))
    assert len(script.built) == 2


def test_what_is_no_checkout_is_named(script, tmp_path):
    with pytest.raises(SystemExit, match=r"is not a MicroPython checkout \(no py/mpconfig.h in it\)"):
        script.main(str(tmp_path))
    with pytest.raises(SystemExit, match="MPY_DIR="):
        script.main()
