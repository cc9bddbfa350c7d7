"""`make test-picow`: what it runs from which checkouts, and that one failure fails it."""

import importlib
import sys
from pathlib import Path

import pytest

BUILD = Path(__file__).parents[1] / "build"


@pytest.fixture
def script(tmp_path, monkeypatch):
    """The script as a module.  It builds nothing, and steps in `broken` fail."""
    monkeypatch.syspath_prepend(str(BUILD))
    monkeypatch.delitem(sys.modules, "test_firmware", raising=False)  # the tests have one of that name too
    for name in ("STEPS", "TUNED"):
        monkeypatch.delenv(name, raising=False)
    module = importlib.import_module("test_picow")
    monkeypatch.setattr(module, "OUT", tmp_path / "out")
    monkeypatch.setattr(module, "build", lambda release, _checkout: tmp_path / f"{release}-RPI_PICO_W.uf2")
    module.broken = set()
    programs = {"fails": "raise SystemExit(3)", "passes": "print('done')"}

    def steps():
        for name in ("demo", "link"):
            kind = "fails" if name in module.broken else "passes"
            yield name, (sys.executable, "-c", programs[kind], "OUT/result.json")

    module.set_up = lambda: monkeypatch.setattr(module, "STEPS", dict(steps()))
    yield module
    for name in ("test_picow", "test_firmware"):
        sys.modules.pop(name, None)


def checkout(folder, minor):
    file = folder / f"micropython-1.{minor}" / "py" / "mpconfig.h"
    file.parent.mkdir(parents=True)
    file.write_text(
        f"#define MICROPY_VERSION_MAJOR 1\n#define MICROPY_VERSION_MINOR {minor}\n"
        "#define MICROPY_VERSION_MICRO 0\n"
    )
    return str(file.parents[1])


def table(script):
    rows = (script.OUT / "table.md").read_text().splitlines()[2:]
    return [tuple(cell.strip() for cell in row.split("|")[1:4]) for row in rows]


def test_each_step_runs_with_the_firmware_of_each_checkout(script, tmp_path):
    script.set_up()
    script.main(checkout(tmp_path, 28), checkout(tmp_path, 24))
    assert table(script) == [(f"1.{n}.0", step, "ok") for n in (24, 28) for step in ("demo", "link")]
    assert (script.OUT / "1.24.0" / "demo.log").read_text() == "done\n"


def test_one_step_that_fails_fails_it_after_the_others_have_run(script, tmp_path):
    script.broken.add("demo")
    script.set_up()
    with pytest.raises(SystemExit, match=r"failed, see .*/1\.24\.0/demo\.log"):
        script.main(checkout(tmp_path, 24))
    assert table(script) == [("1.24.0", "demo", "failed"), ("1.24.0", "link", "ok")]


def test_steps_can_be_chosen(script, tmp_path, monkeypatch):
    script.set_up()
    monkeypatch.setenv("STEPS", "link")
    script.main(checkout(tmp_path, 24))
    assert table(script) == [("1.24.0", "link", "ok")]
    monkeypatch.setenv("STEPS", "link nothing")
    with pytest.raises(SystemExit, match="no nothing there, only demo, link"):
        script.main(str(tmp_path / "micropython-1.24"))


def test_without_a_checkout_it_says_what_it_wants(script):
    with pytest.raises(SystemExit, match="make test-picow wants MicroPython checkouts"):
        script.main()
