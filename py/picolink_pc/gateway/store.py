"""What must not get lost, in one SQLite file: messages on their way to the broker, and to boards."""

import asyncio
import contextlib
import logging
import secrets
import sqlite3
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from .repeats import Repeats

log = logging.getLogger(__name__)
Result = TypeVar("Result")

INBOX = 1000
"""Messages that wait for one board at most."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS outbox (seq INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT, payload BLOB, retain INTEGER, id TEXT);
CREATE TABLE IF NOT EXISTS boards (name TEXT PRIMARY KEY, epoch TEXT, next INTEGER, told INTEGER);
CREATE TABLE IF NOT EXISTS stored (board TEXT, number INTEGER, size INTEGER, mark BLOB, PRIMARY KEY (board, number));
CREATE TABLE IF NOT EXISTS newest (topic TEXT PRIMARY KEY, payload BLOB);
CREATE TABLE IF NOT EXISTS inbox (seq INTEGER PRIMARY KEY AUTOINCREMENT, board TEXT, channel INTEGER, payload BLOB, object INTEGER);
"""  # noqa: E501


@dataclass(frozen=True)
class Outgoing:
    """A message for the broker.   id: the same, if it comes twice."""

    topic: str
    payload: bytes
    retain: bool = False
    id: str = ""


@dataclass(frozen=True)
class Incoming:
    """A message for a board.   is_object: the payload is one as JSON."""

    seq: int
    channel: int
    payload: bytes
    is_object: bool


class Store:
    """Use it with `async with`.  limit: messages to the broker that it holds at most.

    newest: topic -> payload, of what is retained at the broker.
    """

    def __init__(self, path: Path, limit: int) -> None:
        self._path = path
        self._limit = limit
        self._lock = asyncio.Lock()
        self._batch: list[tuple[str, Repeats, list[Outgoing], dict[str, bytes]]] = []
        self._stored: asyncio.Future[None] | None = None
        self._room = asyncio.Event()
        self._told_full = False
        self.filled = asyncio.Event()
        self.count = 0
        self.newest: dict[str, bytes] = {}
        self.waiting: dict[str, asyncio.Event] = {}
        self._inbox_counts: dict[str, int] = {}
        self._epochs: dict[str, str] = {}

    async def __aenter__(self) -> "Store":
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # Threads take turns, see _do().
        self._database = sqlite3.connect(self._path, check_same_thread=False, isolation_level=None)
        try:
            self._database.execute("PRAGMA locking_mode = EXCLUSIVE")  # one gateway for each file
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = FULL")  # a commit is on the disk
            self._database.executescript(_SCHEMA)
            (self.count,) = self._database.execute("SELECT count(*) FROM outbox").fetchone()
            self.newest = dict(self._database.execute("SELECT topic, payload FROM newest"))
            self._inbox_counts = dict(
                self._database.execute("SELECT board, count(*) FROM inbox GROUP BY board")
            )
        except BaseException:
            self._database.close()
            raise
        if self.count:
            self.filled.set()
        return self

    async def __aexit__(self, *_exception: object) -> None:
        async with self._lock:
            self._database.close()

    def board(self, name: str) -> Repeats:
        """What is known of a board's messages."""
        self.waiting.setdefault(name, asyncio.Event()).set()
        with self._transaction():
            self._database.execute(
                "INSERT OR IGNORE INTO boards VALUES (?, ?, 1, 1)", (name, secrets.token_hex(4))
            )
            epoch, following, told = self._database.execute(
                "SELECT epoch, next, told FROM boards WHERE name = ?", (name,)
            ).fetchone()
            stored = self._database.execute(
                "SELECT number, size, mark FROM stored WHERE board = ? ORDER BY number", (name,)
            ).fetchall()
        self._epochs[name] = epoch
        return Repeats(stored, following, bool(told))

    def id_of(self, board: str, number: int) -> str:
        """Of a message, for all time."""
        return f"{board}-{self._epochs[board]}-{number}"

    # -- from boards to the broker ------------------------------------------------------------------------

    async def put(
        self, board: str, repeats: Repeats, messages: list[Outgoing], newest: dict[str, bytes]
    ) -> None:
        """Returns when they are on the disk; waits while it holds `limit` messages."""
        while self.count >= self._limit:
            if not self._told_full:
                self._told_full = True
                log.warning(
                    "the outbox is full (%d messages): boards wait until the broker takes some", self.count
                )
            self._room.clear()
            await self._room.wait()
        self._batch.append((board, repeats, messages, newest))
        if self._stored is None:
            self._stored = asyncio.ensure_future(self._write_all())
        await asyncio.shield(self._stored)

    async def _write_all(self) -> None:
        """All that came while the disk was busy, in one transaction."""
        await self._lock.acquire()
        self._lock.release()
        batch, self._batch, self._stored = self._batch, [], None
        await self._do(lambda: self._write(batch), lambda _: self._written(batch))

    def _written(self, batch: list[tuple[str, Repeats, list[Outgoing], dict[str, bytes]]]) -> None:
        for _, _, messages, newest in batch:
            self.count += len(messages)
            self.newest.update(newest)
        self.filled.set()

    def _write(self, batch: list[tuple[str, Repeats, list[Outgoing], dict[str, bytes]]]) -> None:
        with self._transaction():
            run = self._database.executemany
            for board, repeats, messages, newest in batch:
                run(
                    "INSERT INTO outbox (topic, payload, retain, id) VALUES (?, ?, ?, ?)",
                    [(message.topic, message.payload, message.retain, message.id) for message in messages],
                )
                run("INSERT OR REPLACE INTO newest VALUES (?, ?)", newest.items())
                run("INSERT OR IGNORE INTO stored VALUES (?, ?, ?, ?)", repeats.unsaved(board))
                run("DELETE FROM stored WHERE board = ? AND number < ?", [(board, repeats.oldest())])
                run("UPDATE boards SET next = ?, told = 0 WHERE name = ?", [(repeats.next, board)])

    async def all_told(self, board: str) -> None:
        """The board knows what is stored: nothing comes again."""
        await self._do(
            lambda: self._database.execute("UPDATE boards SET told = 1 WHERE name = ?", (board,)).rowcount
        )

    async def first(self, count: int) -> list[tuple[int, Outgoing]]:
        """The oldest messages for the broker, with their places; waits until there is one."""
        rows = []
        while not rows:  # others may still be removed
            while not self.count:
                self.filled.clear()
                await self.filled.wait()
            rows = await self._do(
                lambda: self._database.execute(
                    "SELECT seq, topic, payload, retain, id FROM outbox ORDER BY seq LIMIT ?", (count,)
                ).fetchall()
            )
        return [
            (seq, Outgoing(topic, payload, bool(retain), name)) for seq, topic, payload, retain, name in rows
        ]

    async def delivered(self, last: int) -> None:
        """The broker has all up to this place."""
        await self._do(
            lambda: self._database.execute("DELETE FROM outbox WHERE seq <= ?", (last,)).rowcount,
            self._make_room,
        )

    def _make_room(self, gone: int) -> None:
        self.count -= gone
        if self.count < self._limit:
            self._told_full = False
            self._room.set()

    # -- from the broker to boards ------------------------------------------------------------------------

    async def take_in(self, board: str, channel: int, payload: bytes, is_object: bool = False) -> bool:
        """Returns whether it is on the disk: there is no room while INBOX messages wait for that board."""
        if self._inbox_counts.get(board, 0) >= INBOX:
            return False
        self._inbox_counts[board] = self._inbox_counts.get(board, 0) + 1
        await self._do(
            lambda: self._database.execute(
                "INSERT INTO inbox (board, channel, payload, object) VALUES (?, ?, ?, ?)",
                (board, channel, payload, is_object),
            )
        )
        self.waiting.setdefault(board, asyncio.Event()).set()
        return True

    async def inbox(self, board: str, count: int) -> list[Incoming]:
        """The oldest messages for a board; waits until there is one."""
        rows = []
        while not rows:
            while not self._inbox_counts.get(board):
                self.waiting[board].clear()
                await self.waiting[board].wait()
            rows = await self._do(
                lambda: self._database.execute(
                    "SELECT seq, channel, payload, object FROM inbox WHERE board = ? ORDER BY seq LIMIT ?",
                    (board, count),
                ).fetchall()
            )
        return [Incoming(*row) for row in rows]

    async def taken(self, board: str, last: int) -> None:
        """The board has all up to this place."""

        def gone(count: int) -> None:
            self._inbox_counts[board] -= count

        await self._do(
            lambda: (
                self._database.execute(
                    "DELETE FROM inbox WHERE board = ? AND seq <= ?", (board, last)
                ).rowcount
            ),
            gone,
        )

    async def _do(self, work: Callable[[], Result], then: Callable[[Result], object] | None = None) -> Result:
        """In a thread: the disk may be slow. Not given up half done, even if who waits for it is cancelled.

        then: called with the result, also in that case.
        """
        return await asyncio.shield(asyncio.ensure_future(self._in_turn(work, then)))

    async def _in_turn(self, work: Callable[[], Result], then: Callable[[Result], object] | None) -> Result:
        async with self._lock:
            result = await asyncio.to_thread(work)
            if then:
                then(result)
            return result

    @contextlib.contextmanager
    def _transaction(self) -> AsyncIterator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")
