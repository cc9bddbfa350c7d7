"""The links of a gateway: one task for each board, which connects again and again."""

import asyncio
import contextlib
import json
import logging

import picolink
from picolink import LinkClosedError
from picolink.link import Link
from picolink.radio.bleak.errors import BluetoothError

from .. import panel
from ..as_text import as_bytes
from . import discovery, topics
from .config import GatewayConfig
from .repeats import Repeats
from .store import Outgoing, Store

log = logging.getLogger(__name__)

_BATCH = 128  # messages that are stored at once
_PAUSE_S = 1.0  # before a board that has closed its link gets another one
_PAUSE_MOST_S = 30.0  # likewise while Bluetooth of this PC cannot be used


class Board:
    """name: of the board.   radio: see picolink.radio.   online: whether the link is connected.

    changed: set when `online` changes.   key: of the link, as text; None: it has none.
    """

    def __init__(
        self,
        name: str,
        radio: object,
        config: GatewayConfig,
        store: Store,
        changed: asyncio.Event,
        key: str | None,
    ) -> None:
        self.name = name
        self.online = False
        self._radio = radio
        self._config = config
        self._store = store
        self._changed = changed
        self._key = key

    async def run(self) -> None:
        """Until it is cancelled."""
        repeats = self._store.board(self.name)
        pause_s = _PAUSE_S
        while True:
            try:
                await self._serve(repeats)
                pause_s = _PAUSE_S
            except BluetoothError as error:  # switched off, or unplugged: perhaps for a while
                log.error("%s: %s", self.name, error)
                pause_s = min(2 * pause_s, _PAUSE_MOST_S)
            finally:
                self._set_online(False)
            await asyncio.sleep(pause_s)

    async def _serve(self, repeats: Repeats) -> None:
        """One link, until the board closes it."""
        options = {"on_event": self._on_event, "commit": True, "rx_size": 32768, "tx_size": 32768}
        if self._key:
            options["key"] = self._key
        link = picolink.connect(self.name, radio=self._radio, **options)
        try:
            async with link:
                repeats.meet()
                sender = asyncio.create_task(self._send(link))
                try:
                    await self._receive(link, repeats)
                finally:
                    sender.cancel()
                    with contextlib.suppress(asyncio.CancelledError, LinkClosedError):
                        await sender
        except LinkClosedError as error:
            log.warning("%s: %s", self.name, error)
            return
        except asyncio.CancelledError:
            # The link has left in order: the board has heard of all that is stored.
            await self._store.all_told(self.name)
            raise

    def _on_event(self, event: str, detail: str) -> None:
        if event in ("connected", "disconnected"):
            self._set_online(event == "connected")
        usual = event in ("connected", "restarted")
        log.log(logging.INFO if usual else logging.WARNING, "%s: %s: %s", self.name, event, detail)

    def _set_online(self, online: bool) -> None:
        if online != self.online:
            self.online = online
            self._changed.set()

    # -- from the board -----------------------------------------------------------------------------------

    async def _receive(self, link: Link, repeats: Repeats) -> None:
        """A message is committed to the board when it is on the disk, and not before."""
        with contextlib.suppress(LinkClosedError):
            while True:
                messages = []
                for data in await link.drain():
                    messages.append((link.channel, as_bytes(data)))
                    if len(messages) == _BATCH:
                        break
                await self._keep(messages, repeats, link._engine.partner.hex())
                link.commit()

    async def _keep(self, messages: list[tuple[int, bytes]], repeats: Repeats, identity: str) -> None:
        outgoing, newest = [], {}
        prefix = self._config.topic
        for (channel, data), (number, _new) in zip(messages, repeats.number(messages), strict=True):
            topic = topics.message(prefix, self.name, channel)
            outgoing.append(Outgoing(topic, data, id=self._store.id_of(self.name, number)))
            members = topics.json_object(data)
            if members and panel.KEY in members:
                outgoing += self._declare(members[panel.KEY], identity)
            else:
                newest.update(topics.newest(prefix, self.name, channel, data))
        await self._store.put(self.name, repeats, outgoing, newest)

    def _declare(self, declared: object, identity: str) -> list[Outgoing]:
        config = self._config
        if not config.discovery:
            return []
        try:
            return discovery.configs(
                declared, config.discovery, config.topic, self.name, identity, config.name
            )
        except panel.PanelError as error:
            log.warning("%s: its panel is not used: %s", self.name, error)
            return []

    # -- to the board -------------------------------------------------------------------------------------

    async def _send(self, link: Link) -> None:
        """What was stored for the board goes when the board has it."""
        while True:
            rows = await self._store.inbox(self.name, _BATCH)
            for row in rows:
                try:
                    await link.send(json.loads(row.payload) if row.is_object else row.payload, row.channel)
                except (ValueError, TypeError) as error:
                    log.warning("%s: a message to the board is removed: %s", self.name, error)
            await link.flush()
            await self._store.taken(self.name, rows[-1].seq)
