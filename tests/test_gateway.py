"""The gateway: boards over local sockets, a real mosquitto, and what is killed meanwhile."""

import asyncio
import subprocess
import sys
from pathlib import Path

import picolink
import pytest
from click.testing import CliRunner
from picolink import key as keys
from picolink.radio import memory
from picolink.radio.bleak.errors import BluetoothError
from picolink_pc import cli
from picolink_pc.gateway import boards, topics
from picolink_pc.gateway import config as configs
from picolink_pc.gateway.repeats import RING, Repeats
from picolink_pc.gateway.store import INBOX, Outgoing, Store

LEAST = '[gateway]\nname = "attic"\n[[board]]\nname = "PicoA"\n'


# -- the file -----------------------------------------------------------------------------------------------


KEY = keys.text(bytes(range(32)))


def load(tmp_path, text):
    file = tmp_path / "gateway.toml"
    file.write_text(text)
    file.chmod(0o600)
    return configs.load(file)


def test_the_least_that_a_file_needs(tmp_path):
    config = load(tmp_path, LEAST)
    assert (config.broker.host, config.broker.port, config.boards) == ("localhost", 1883, ["PicoA"])
    assert config.gateway.outbox == str(tmp_path / "outbox.sqlite")


def test_a_password_comes_from_a_file_and_tls_has_its_port(tmp_path):
    (tmp_path / "secret").write_text("hidden\n")
    config = load(tmp_path, '[broker]\ntls = true\nusername = "u"\npassword_file = "secret"\n' + LEAST)
    assert (config.broker.port, config.broker.password) == (8883, "hidden")


def test_the_files_are_utf_8_whatever_the_system_writes(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "read_text", _as_on_windows)
    (tmp_path / "secret").write_bytes("häßlich\n".encode())
    (tmp_path / "gateway.toml").write_bytes(
        (LEAST.replace("PicoA", "Küche") + '[broker]\npassword_file = "secret"\n').encode()
    )
    config = configs.load(tmp_path / "gateway.toml")
    assert (config.boards, config.broker.password) == (["Küche"], "häßlich")


def _as_on_windows(path, encoding="cp1252"):
    return path.read_bytes().decode(encoding)


def test_a_password_that_cannot_be_read_is_an_error_of_its_line(tmp_path):
    (tmp_path / "secret").write_bytes(b"\xff")
    with pytest.raises(configs.ConfigError, match=r"line 2: .*secret cannot be read: .*utf-8"):
        load(tmp_path, '[broker]\npassword_file = "secret"\n' + LEAST)


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ('[gateway\nname = "x"\n', 1, "not TOML"),
        ('[gateway]\nname = "x"\n\n[brokr]\n', 4, r"no \[brokr\]"),
        ("[broker]\nhost = 5\n" + LEAST, 2, "host is a text in quotes, not 5"),
        ('[broker]\n\nport = "1883"\n' + LEAST, 3, "port is a whole number"),
        ("[broker]\nport = 70000\n" + LEAST, 2, "port is 1 to 65535, not 70000$"),
        ('[gateway]\nname = "x"\nlimit = 0\n[[board]]\nname = "B"\n', 3, "1 message or more, not 0$"),
        ('[gateway]\nname = "x"\nnewest_s = -0.5\n[[board]]\nname = "B"\n', 3, "0 s or more, not -0.5$"),
        ("[broker]\n# ca\nca_file = 'x'\n" + LEAST, 3, "tls = true"),
        ('[gateway]\ntopic = "a"\n[[board]]\nname = "PicoA"\n', 1, "needs name"),
        ('[gateway]\nname = "x"\ntopic = "a/#"\n[[board]]\nname = "PicoA"\n', 3, "without"),
        ('[gateway]\nname = "x"\nlimit = true\n[[board]]\nname = "PicoA"\n', 3, "limit is a whole number"),
        ('[gateway]\nname = "x"\ncolour = 1\n[[board]]\nname = "PicoA"\n', 3, "has no colour"),
        (LEAST + '[[board]]\nname = "PicoA"\n', 6, "two boards"),
        (LEAST + "[[board]]\nname = 7\n", 6, "name"),
        (LEAST + '[[board]]\nname = "B"\nrate = 1\n', 7, "no rate"),
        (LEAST + f'key = "{KEY}"\nkey_file = "x"\n', 6, "either key or key_file"),
        (LEAST + "key = true\n", 5, "key is a text in quotes$"),
        (LEAST + 'key = "hidden"\n', 5, "a password is no key: it can be guessed$"),
        (LEAST + f'[[board]]\nname = "B"\nkey = "{KEY[:-1]}"\n', 7, "`picolink key new` prints"),
        (LEAST + 'key_file = "no.key"\n', 5, "no.key cannot be read: No such file or directory$"),
        (LEAST + 'key_file = "gateway.toml"\n', 5, "`picolink key new` prints"),
        ('[gateway]\nname = "x"\n', 2, "no board"),
        ('[gateway]\nname = "x"\n[board]\nname = "B"\n', 3, "two brackets"),
    ],
)
def test_an_error_names_the_line(tmp_path, text, line, says):
    with pytest.raises(configs.ConfigError, match=rf"gateway.toml, line {line}: .*{says}"):
        load(tmp_path, text)


def test_keys_of_boards_are_nowhere_shown(tmp_path):
    (tmp_path / "b.key").write_text(KEY + "\n")
    (tmp_path / "b.key").chmod(0o600)
    text = LEAST + f'key = "{KEY}"\n[[board]]\nname = "B"\nkey_file = "b.key"\n[[board]]\nname = "C"\n'
    config = load(tmp_path, text)
    assert (config.boards, config.keys) == (["PicoA", "B", "C"], {"PicoA": KEY, "B": KEY})
    assert KEY[13:20] not in repr(config)


@pytest.mark.parametrize(("mode", "allowed"), [(0o600, True), (0o640, True), (0o604, False), (0o666, False)])
@pytest.mark.parametrize("entry", ["key", "key_file"])
def test_a_key_that_every_user_may_read_is_refused(tmp_path, entry, mode, allowed):
    held = tmp_path / ("b.key" if entry == "key_file" else "gateway.toml")
    (tmp_path / "b.key").write_text(KEY)
    (tmp_path / "b.key").chmod(0o600)
    (tmp_path / "gateway.toml").write_text(LEAST + f'{entry} = "{KEY if entry == "key" else "b.key"}"\n')
    (tmp_path / "gateway.toml").chmod(0o600)
    held.chmod(mode)
    if allowed:
        assert configs.load(tmp_path / "gateway.toml").keys == {"PicoA": KEY}
        return
    with pytest.raises(
        configs.ConfigError, match=r"line 5: every user of this PC may read the key: chmod 600"
    ):
        configs.load(tmp_path / "gateway.toml")


def test_the_command_says_what_is_wrong_in_one_line(tmp_path):
    file = tmp_path / "gateway.toml"
    file.write_text(LEAST + "limit = 3\n")
    result = CliRunner().invoke(cli.main, ["gateway", str(file), "--check"])
    assert (result.exit_code, result.output) == (
        1,
        f"Error: {file}, line 5: a board has no limit, only name, key, key_file\n",
    )


# -- numbers, topics, declarations --------------------------------------------------------------------------


def plain(*texts):
    return [(0, text.encode()) for text in texts]


def test_messages_that_come_again_keep_their_numbers():
    first = Repeats([], 1, told=True)
    first.meet()
    assert first.number(plain("a", "b", "c")) == [(1, True), (2, True), (3, True)]
    again = Repeats([row[1:] for row in first.unsaved("x")], 4, told=False)
    again.meet()
    assert again.number(plain("b")) == [(2, False)]
    assert again.number(plain("c", "d")) == [(3, False), (4, True)]
    assert again.number(plain("b")) == [(5, True)]


def test_what_only_begins_like_the_stored_ones_is_new():
    stored = [row[1:] for row in _unsaved("a", "b", "c")]
    again = Repeats(stored, 4, told=False)
    again.meet()
    assert again.number(plain("b", "x")) == [(4, True), (5, True)]


def test_a_board_that_was_told_brings_nothing_again():
    again = Repeats([row[1:] for row in _unsaved("on")], 2, told=True)
    again.meet()
    assert again.number(plain("on")) == [(2, True)]


def test_no_more_is_remembered_than_a_ring_holds():
    repeats = Repeats([], 1, told=True)
    for _ in range(10):
        repeats.number([(0, bytes(RING // 4))])
    assert repeats.oldest() == 8


def _unsaved(*texts):
    repeats = Repeats([], 1, told=True)
    repeats.number(plain(*texts))
    return repeats.unsaved("x")


def test_values_of_an_object_are_topics_of_their_own():
    assert topics.newest("p", "B", 0, b'{"t": 21.5, "on": true, "a/b": "text"}') == {
        "p/B/value/t": b"21.5",
        "p/B/value/on": b"true",
        "p/B/value/a_b": b"text",
    }
    assert topics.newest("p", "B", 3, b"{no object") == {"p/B/value/3": b"{no object"}


@pytest.mark.parametrize(
    ("topic", "found"),
    [
        ("p/B/send/15", ("B", 15, b"true", False)),
        ("p/B/send/16", None),
        ("p/B/set/led", ("B", 0, b'{"led": true}', True)),
        ("p/B/set/2", ("B", 2, b"true", True)),
        ("p/B/set/16", ("B", 0, b'{"16": true}', True)),
        ("p/B/other/1", None),
        ("q/B/send/0", None),
    ],
)
def test_topics_to_a_board(topic, found):
    assert topics.for_board("p", topic, b"true") == found


@pytest.mark.parametrize("text", ["Infinity", "-Infinity", "NaN"])
def test_what_only_python_takes_for_json_is_text(text):
    assert topics.for_board("p", "p/B/set/1", text.encode()) == ("B", 1, f'"{text}"'.encode(), True)


# -- boards -------------------------------------------------------------------------------------------------


class SwitchedOff:
    """The radio in memory, of a PC whose Bluetooth is switched off at first."""

    def __init__(self, air, times):
        self.air = air
        self.times = times

    def connect(self, *args, **options):
        role = self.air.connect(*args, **options)
        if self.times:
            self.times -= 1
            role.claim = self._claim
        return role

    async def _claim(self):
        raise BluetoothError("Bluetooth is switched off")


def test_boards_are_served_once_bluetooth_is_switched_on(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(boards, "_PAUSE_S", 0.01)

    async def main():
        air = memory.Air()
        config = load(tmp_path, LEAST).gateway
        async with Store(tmp_path / "o", 10) as store, asyncio.TaskGroup() as tasks:
            served = boards.Board("PicoA", SwitchedOff(air, 2), config, store, asyncio.Event(), None)
            serving = tasks.create_task(served.run())
            async with picolink.advertise("PicoA", radio=air) as link:
                await link.send("hello")
                ((_, row), *_) = await asyncio.wait_for(store.first(1), 10)
                assert row.payload == b"hello"
                serving.cancel()

    asyncio.run(main())
    errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert errors == ["PicoA: Bluetooth is switched off"] * 2


# -- the disk -----------------------------------------------------------------------------------------------


def test_the_outbox_outlives_its_program_and_is_bounded(tmp_path):
    async def main():
        file = tmp_path / "outbox.sqlite"
        async with Store(file, 2) as store:
            repeats = store.board("B")
            repeats.number(plain("a", "b"))
            await store.put(
                "B", repeats, [Outgoing("t", b"a", id="1"), Outgoing("t", b"b", id="2")], {"n": b"b"}
            )
            full = asyncio.create_task(store.put("B", repeats, [Outgoing("t", b"c")], {}))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.shield(full), 0.1)
            rows = await store.first(1)
            await store.delivered(rows[0][0])
            await asyncio.wait_for(full, 5)
        async with Store(file, 2) as store:
            assert [(row.payload, row.id) for _, row in await store.first(10)] == [(b"b", "2"), (b"c", "")]
            assert store.newest == {"n": b"b"}
            again = store.board("B")
            again.meet()
            assert again.number(plain("b", "c")) == [(2, False), (3, True)]

    asyncio.run(main())


def test_one_gateway_for_each_outbox(tmp_path):
    async def main():
        async with Store(tmp_path / "o", 2):
            program = (
                "import sqlite3, sys\nsqlite3.connect(sys.argv[1], timeout=0).execute('SELECT 1 FROM outbox')"
            )
            command = [sys.executable, "-c", program, str(tmp_path / "o")]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert "locked" in done.stderr

    asyncio.run(main())


def test_messages_to_a_board_wait_on_the_disk_and_are_bounded(tmp_path):
    async def main():
        async with Store(tmp_path / "o", 2) as store:
            store.board("B")
            for number in range(INBOX):
                assert await store.take_in("B", 1, b"%d" % number)
            assert not await store.take_in("B", 1, b"too much")
        async with Store(tmp_path / "o", 2) as store:
            store.board("B")
            rows = await store.inbox("B", 2)
            assert [(row.channel, row.payload) for row in rows] == [(1, b"0"), (1, b"1")]
            await store.taken("B", rows[-1].seq)
            assert await store.take_in("B", 1, b"room again")

    asyncio.run(main())


def test_who_is_cancelled_while_the_disk_works_leaves_the_counts_right(tmp_path):
    async def main():
        async with Store(tmp_path / "o", 2) as store:
            repeats = store.board("B")
            await store.put("B", repeats, [Outgoing("t", b"a")], {})
            (place, _), *_ = await store.first(1)
            removing = asyncio.create_task(store.delivered(place))
            await asyncio.sleep(0)
            removing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await removing
            with pytest.raises(TimeoutError):  # there is none, and it does not say that there is
                await asyncio.wait_for(store.first(1), 0.3)

    asyncio.run(main())
