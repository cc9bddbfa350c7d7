"""The file that says which boards go to which broker: TOML, and errors that name the line."""

import re
import tomllib
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path

from picolink import wire

from .. import key_files


class ConfigError(Exception):
    """The text names the file, the line, and what to do."""


@dataclass
class BrokerConfig:
    """[broker]

    tls: whether the connection is encrypted.   ca_file: who has signed the broker's certificate, where the
    system does not know it.   password_file: its first line is the password.
    """

    host: str = "localhost"
    port: int = 0
    username: str = ""
    password: str = ""
    password_file: str = ""
    tls: bool = False
    ca_file: str = ""


@dataclass
class GatewayConfig:
    """[gateway]

    name: of this gateway, unlike those of all others at this broker.   topic: begins all topics.
    outbox: the file that keeps messages.   limit: messages that it holds at most.
    newest_s: a newest value is renewed this often at most.   discovery: Home Assistant's prefix; "": none.
    radio: as the option --radio; or a folder, for boards that are programs on this PC.
    """

    name: str
    topic: str = "picolink"
    outbox: str = "outbox.sqlite"
    limit: int = 100_000
    newest_s: float = 1.0
    discovery: str = "homeassistant"
    radio: str = "adapter"


@dataclass
class Config:
    broker: BrokerConfig
    gateway: GatewayConfig
    boards: list[str] = field(default_factory=list)
    keys: dict[str, str] = field(default_factory=dict, repr=False)
    """By board, where it has one: as `picolink key new` prints it."""


def load(path: Path) -> Config:
    """Raises ConfigError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"line (\d+)", str(error))
        number = int(line[1]) if line else len(text.splitlines())
        raise ConfigError(f"{path}, line {number}: this is not TOML: {error}") from None
    return _Reader(path, text).config(data)


class _Reader:
    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        self._lines = text.splitlines()

    def config(self, data: dict) -> Config:
        for key in data:
            if key not in ("broker", "gateway", "board"):
                self._fail(key, "", 0, f"there is no [{key}], only [broker], [gateway] and [[board]]")
        broker = self._table(BrokerConfig, "broker", data.get("broker", {}))
        gateway = self._table(GatewayConfig, "gateway", data.get("gateway", {}))
        if not 0 <= broker.port <= 65535:
            self._fail("broker", "port", 0, f"port is 1 to 65535, not {broker.port}")
        broker.port = broker.port or (8883 if broker.tls else 1883)
        if broker.password and broker.password_file:
            self._fail("broker", "password_file", 0, "either password or password_file")
        if broker.ca_file and not broker.tls:
            self._fail("broker", "ca_file", 0, "ca_file is for tls = true")
        for key in ("name", "topic"):
            text = getattr(gateway, key)
            if not text or re.search(r"[+#\0]", text) or text.startswith("$"):
                self._fail("gateway", key, 0, f"{key} becomes part of a topic: not empty, without + and #")
        if "/" in gateway.name:
            self._fail("gateway", "name", 0, "name becomes one level of a topic: without /")
        if gateway.limit < 1:
            self._fail("gateway", "limit", 0, f"limit is 1 message or more, not {gateway.limit}")
        if gateway.newest_s < 0:
            self._fail("gateway", "newest_s", 0, f"newest_s is 0 s or more, not {gateway.newest_s:g}")
        for key in ("outbox",):
            setattr(gateway, key, str(self._path.parent / getattr(gateway, key)))
        for key in ("password_file", "ca_file"):
            if getattr(broker, key):
                file = self._path.parent / getattr(broker, key)
                if not file.is_file():
                    self._fail("broker", key, 0, f"there is no file {file}")
                setattr(broker, key, str(file))
        if broker.password_file:
            try:
                text = Path(broker.password_file).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                why = getattr(error, "strerror", None) or str(error)
                self._fail("broker", "password_file", 0, f"{broker.password_file} cannot be read: {why}")
            broker.password = text.partition("\n")[0]
        tables = data.get("board", [])
        boards = self._boards(tables)
        keys = {
            name: self._key(table, index)
            for index, (name, table) in enumerate(zip(boards, tables, strict=True))
        }
        return Config(broker, gateway, boards, {name: key for name, key in keys.items() if key})

    def _boards(self, tables: object) -> list[str]:
        if not isinstance(tables, list):
            self._fail("board", "", 0, "write [[board]], with two brackets")
        if not tables:
            raise ConfigError(
                f'{self._path}, line {len(self._lines)}: no board: add [[board]] and name = "..."'
            )
        names = []
        for index, table in enumerate(tables):
            for key in table:
                if key not in _OF_BOARDS:
                    self._fail("board", key, index, f"a board has no {key}, only {', '.join(_OF_BOARDS)}")
            name = table.get("name")
            try:
                wire.checked_name(name)
            except (TypeError, ValueError) as error:
                self._fail("board", "name", index, str(error))
            if name in names:
                self._fail("board", "name", index, f"there are two boards named {name!r}")
            if name == "gateway":
                self._fail("board", "name", index, "a board named 'gateway' would have this gateway's topics")
            if re.search(r"[/+#\0]", name):
                self._fail("board", "name", index, "name becomes one level of a topic: without /, + and #")
            names.append(name)
        return names

    def _key(self, table: dict[str, object], index: int) -> str:
        """A board's, or "". No error shows it."""
        given = [entry for entry in ("key", "key_file") if entry in table]
        if not given:
            return ""
        if len(given) > 1:
            self._fail("board", "key_file", index, "either key or key_file")
        (entry,) = given
        key = table[entry]
        if not isinstance(key, str):
            self._fail("board", entry, index, f"{entry} is a text in quotes")
        file = self._path
        try:
            if entry == "key_file":
                file = self._path.parent / key
                key = key_files.read(file)
            key_files.check(key, file)
        except ValueError as error:
            self._fail("board", entry, index, str(error))
        return key

    def _table(self, kind: type, table: str, values: object) -> object:
        if not isinstance(values, dict):
            self._fail(table, "", 0, f"write [{table}]")
        known = {entry.name: entry for entry in fields(kind)}
        for key, value in values.items():
            if key not in known:
                self._fail(table, key, 0, f"[{table}] has no {key}, only {', '.join(known)}")
            wanted = known[key].type
            if wanted is float and type(value) is int:
                values[key] = float(value)
            elif type(value) is not wanted:
                self._fail(table, key, 0, f"{key} is {_KINDS[wanted]}, not {value!r}")
        for key, entry in known.items():
            if key not in values and entry.default is MISSING:
                self._fail(table, "", 0, f"[{table}] needs {key}")
        return kind(**values)

    def _fail(self, table: str, key: str, index: int, why: str) -> None:
        raise ConfigError(f"{self._path}, line {self._line(table, key, index)}: {why}")

    def _line(self, table: str, key: str, index: int) -> int:
        """Where it is: tomllib does not say."""
        found, inside, count = 1, False, -1
        for number, line in enumerate(self._lines, 1):
            header = re.match(r"\s*\[+\s*([\w-]+)\s*\]+", line)
            if header:
                if inside and count == index:
                    return found
                inside = header[1] == table
                count += inside
                if inside and count == index:
                    found = number
            elif (
                inside
                and count == index
                and key
                and re.match(rf"""\s*["']?{re.escape(key)}["']?\s*=""", line)
            ):
                return number
            elif not count + 1 and re.match(rf"\s*{re.escape(table)}\s*[.=]", line):
                found = number
        return found


_OF_BOARDS = ("name", "key", "key_file")

_KINDS = {str: "a text in quotes", int: "a whole number", float: "a number", bool: "true or false"}
