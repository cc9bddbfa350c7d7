"""`picolink key`: on this PC, and against emulated boards, as a user types it."""

import os
import stat

import pytest
from click.testing import CliRunner
from pico_firmware import WITH_PICOLINK, write_plain_firmware
from picolink import connect
from picolink import key as keys
from picolink.radio import bleak
from picolink.radio.bleak import files
from picolink_pc import key_files
from picolink_pc import keys as command
from picolink_pc.emulator import Emulator

KEY = keys.text(bytes(range(32)))
OF_KEY = keys.fingerprint(keys.secret(KEY))


def picolink(*arguments, text=None):
    return CliRunner().invoke(command.key, [str(argument) for argument in arguments], input=text)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    return tmp_path


def test_a_new_key_is_printed_or_written_for_its_owner_only(tmp_path):
    first, second = picolink("new").output.strip(), picolink("new").output.strip()
    assert first != second
    assert keys.secret(first) != keys.secret(second)
    file = tmp_path / "robot.key"
    said = picolink("new", file)
    text = file.read_text()
    assert keys.fingerprint(keys.secret(text.strip())) in said.output
    assert text.strip()[13:] not in said.output
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    again = picolink("new", file)
    assert again.exit_code == 1
    assert "is there already" in again.stderr
    assert file.read_text() == text


def test_a_new_key_for_one_side_only_is_of_no_use():
    said = picolink("install", "--pc")
    assert said.exit_code == 2
    assert "A new key is for two" in said.stderr


def test_what_is_no_key_is_not_installed():
    for text in ("", "a password", KEY[:-1]):
        said = picolink("install", "-", "--pc", text=text)
        assert said.exit_code == 1
        assert "a key as text is what `picolink key new` prints" in said.stderr
    assert picolink("check", "--pc").output.startswith("no key  this PC")


def test_a_key_on_this_pc_is_what_its_programs_take():
    said = picolink("install", "-", "--pc", text=KEY)
    assert said.exit_code == 0, said.output
    assert OF_KEY in said.output
    assert KEY[13:40] not in said.output
    assert keys.secret(True, f"{files.folder()}/") == keys.secret(KEY)
    assert picolink("check", "--pc").output == f"{OF_KEY}  this PC\n"


@pytest.mark.skipif(os.name != "posix", reason="modes of files are POSIX's")
@pytest.mark.parametrize("before", ["open to all", "a link"])
def test_the_key_of_this_pc_is_for_its_user_only(tmp_path, before):
    file, other = tmp_path / "picolink.key", tmp_path / "other"
    if before == "a link":
        other.write_text("of somebody else")
        file.symlink_to(other)
    else:
        file.write_text("the key before")
        file.chmod(0o644)
    key_files.replace(file, KEY)
    assert key_files.read(file) == KEY
    assert stat.S_IMODE(file.lstat().st_mode) == 0o600
    assert not other.exists() or other.read_text() == "of somebody else"
    assert set(tmp_path.iterdir()) <= {file, other}


@pytest.mark.slow
def test_a_key_goes_onto_all_boards_or_none(tmp_path):
    with (
        Emulator(WITH_PICOLINK, flash=tmp_path / "a.bin") as a,
        Emulator(write_plain_firmware(tmp_path), flash=tmp_path / "b.bin") as b,
    ):
        said = picolink("install", "--port", a.port, "--port", b.port)
        assert said.exit_code == 1
        assert "run picolink install" in said.stderr
        assert a.run("import os; print('picolink.key' in os.listdir())").strip() == "False"


@pytest.mark.slow
def test_two_boards_get_a_key_and_it_is_compared_without_being_shown(tmp_path):
    with (
        Emulator(WITH_PICOLINK, flash=tmp_path / "a.bin") as a,
        Emulator(WITH_PICOLINK, flash=tmp_path / "b.bin") as b,
    ):
        ports = "--port", a.port, "--port", b.port
        none = picolink("check", *ports)
        assert none.exit_code == 1
        assert none.output.count("no key") == 2
        said = picolink("install", *ports)
        assert said.exit_code == 0, said.output
        assert said.output.count(" is on the board at ") == 2
        same = picolink("check", *ports)
        assert same.exit_code == 0, same.output
        assert same.output.endswith("All have the same key.\n")
        on_board = a.run("print(open('picolink.key').read())").strip()
        for output in (said.output, same.output):
            assert on_board[13:30] not in output
        assert keys.fingerprint(keys.secret(on_board)) in same.output
        assert picolink("install", "-", "--port", b.port, text=KEY).exit_code == 0
        different = picolink("check", *ports)
        assert different.exit_code == 1
        assert "these are different keys" in different.stderr


@pytest.mark.skipif(os.name != "posix", reason="modes of files are POSIX's")
@pytest.mark.parametrize(("mode", "told"), [(0o600, 0), (0o640, 1), (0o604, 1)])
def test_a_program_is_told_that_others_may_read_its_key(mode, told, caplog):
    assert picolink("install", "-", "--pc", text=KEY).exit_code == 0
    file = files.folder() / keys.FILE
    file.chmod(mode)
    link = connect("PicoA", radio=bleak, key=True)
    assert link.engine
    assert caplog.text.count(f"chmod 600 {file}") == told
    assert KEY[13:40] not in caplog.text
