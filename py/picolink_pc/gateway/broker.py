"""The gateway's connection to the MQTT broker, again and again."""

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Awaitable, Callable

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from . import topics
from .boards import Board
from .config import Config
from .store import Outgoing, Store

log = logging.getLogger(__name__)
aiomqtt_log = logging.getLogger(f"{__name__}.aiomqtt")
aiomqtt_log.setLevel(logging.ERROR)  # what matters of it is told here

_BATCH = 200  # messages on their way at once
_PAUSE_S, _PAUSE_MOST_S = 0.5, 10.0
_LATE_S = 0.5  # so often it is seen whether a board has taken messages
_KEEPS_S = 7 * 24 * 3600  # the broker keeps messages to boards so long while this gateway is away


class Broker:
    """boards: name -> Board.   changed: set when one of them comes or goes."""

    def __init__(
        self, config: Config, store: Store, boards: dict[str, Board], changed: asyncio.Event
    ) -> None:
        self._config = config
        self._prefix = config.gateway.topic
        self._store = store
        self._boards = boards
        self._changed = changed
        self._late: dict[str, list[aiomqtt.Message]] = {}  # for boards whose room here is used up
        self._pause_s = _PAUSE_S
        self._refused = False  # on this connection

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            try:
                client = self._client()
                await _patiently(client.__aenter__())
                try:
                    await self._serve(client)
                finally:
                    await client.__aexit__(None, None, None)
            except* (aiomqtt.MqttError, OSError) as errors:
                error = errors.exceptions[0]
                while isinstance(error, ExceptionGroup):
                    error = error.exceptions[0]
                log.warning("no broker: %s; trying again, %d messages wait", error, self._store.count)
            await asyncio.sleep(self._pause_s)
            self._pause_s = min(2 * self._pause_s, _PAUSE_MOST_S)

    async def check(self) -> None:
        """Connects once.  Raises aiomqtt.MqttError or OSError."""
        async with self._client(will=False):
            pass

    def _client(self, will: bool = True) -> aiomqtt.Client:
        broker = self._config.broker
        name = self._config.gateway.name
        lives = Properties(PacketTypes.CONNECT)
        lives.SessionExpiryInterval = _KEEPS_S
        last = aiomqtt.Will(topics.gateway(self._prefix, name), topics.OFFLINE, qos=1, retain=True)
        return aiomqtt.Client(
            broker.host,
            broker.port,
            username=broker.username or None,
            password=broker.password or None,
            identifier=f"picolink-{name}" if will else None,
            protocol=aiomqtt.ProtocolVersion.V5,
            clean_start=not will,
            properties=lives if will else None,
            will=last if will else None,
            keepalive=15,
            tls_context=ssl.create_default_context(cafile=broker.ca_file or None) if broker.tls else None,
            max_inflight_messages=_BATCH,
            logger=aiomqtt_log,
        )

    async def _serve(self, client: aiomqtt.Client) -> None:
        self._pause_s = _PAUSE_S
        log.info("connected to the broker, %d messages wait", self._store.count)
        self._late.clear()  # what was not acknowledged comes again
        client._client.manual_ack_set(True)  # only what is on the disk is acknowledged
        client._client.on_publish = self._refusals(client._client.on_publish)
        try:
            await self._work(client)
        except asyncio.CancelledError:
            # In an orderly end the broker does not publish the last will.
            with contextlib.suppress(aiomqtt.MqttError):
                await self._tell_state(client, topics.OFFLINE)
            raise

    async def _tell_state(self, client: aiomqtt.Client, state: bytes) -> None:
        topic = topics.gateway(self._prefix, self._config.gateway.name)
        await _patiently(client.publish(topic, state, qos=1, retain=True, timeout=2))

    async def _work(self, client: aiomqtt.Client) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen(client))
            for board in self._boards:
                for kind in ("send", "set"):
                    await _patiently(client.subscribe(f"{self._prefix}/{board}/{kind}/+", qos=1))
            await self._tell_state(client, topics.ONLINE)
            tasks.create_task(self._take_late(client))
            tasks.create_task(self._publish(client))
            tasks.create_task(self._tell_newest(client))
            tasks.create_task(self._tell_online(client))

    def _refusals(self, acknowledged: Callable[..., None]) -> Callable[..., None]:
        """As `acknowledged`, but only for what the broker has taken: aiomqtt makes no difference.

        For the rest publish() raises MqttError after a while, and it is tried again: nothing is lost.
        """

        def on_publish(client: object, data: object, mid: int, reason: ReasonCode, *others: object) -> None:
            if not reason.is_failure:
                acknowledged(client, data, mid, reason, *others)
            elif not self._refused:
                self._refused = True
                log.error(
                    "the broker refuses messages (%s): they are kept, look at its rights and limits", reason
                )

        self._refused = False
        return on_publish

    async def _publish(self, client: aiomqtt.Client) -> None:
        """What the broker has acknowledged goes from the disk."""
        while True:
            rows = await self._store.first(_BATCH)
            await _all(client.publish(*_arguments(message), **_options(message)) for _, message in rows)
            await self._store.delivered(rows[-1][0])

    async def _tell_newest(self, client: aiomqtt.Client) -> None:
        told: dict[str, bytes] = {}
        while True:
            for topic, payload in list(self._store.newest.items()):
                if told.get(topic) != payload:
                    await _patiently(client.publish(topic, payload, qos=1, retain=True))
                    told[topic] = payload
            await asyncio.sleep(self._config.gateway.newest_s)

    async def _tell_online(self, client: aiomqtt.Client) -> None:
        told: dict[str, bool] = {}
        while True:
            self._changed.clear()
            for name, board in self._boards.items():
                online = board.online
                if told.get(name) != online:
                    payload = topics.ONLINE if online else topics.OFFLINE
                    topic = topics.availability(self._prefix, name)
                    await _patiently(client.publish(topic, payload, qos=1, retain=True))
                    told[name] = online
            await self._changed.wait()

    # -- to boards ----------------------------------------------------------------------------------------

    async def _listen(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            await self._take(client, message)

    async def _take_late(self, client: aiomqtt.Client) -> None:
        while True:
            await asyncio.sleep(_LATE_S)
            for board, late in list(self._late.items()):
                while late and await self._keep(client, board, late[0]):
                    late.pop(0)

    async def _take(self, client: aiomqtt.Client, message: aiomqtt.Message) -> None:
        found = topics.for_board(self._prefix, message.topic.value, message.payload)
        if found is None or found[0] not in self._boards:
            log.warning("%s means nothing: send/0 to send/15, or set/NAME", message.topic)
            client._client.ack(message.mid, message.qos)
            return
        late = self._late.setdefault(found[0], [])
        if late or not await self._keep(client, found[0], message):
            if not late:
                log.warning("%s does not take its messages: the broker keeps the rest", found[0])
            late.append(message)

    async def _keep(self, client: aiomqtt.Client, board: str, message: aiomqtt.Message) -> bool:
        _, *what = topics.for_board(self._prefix, message.topic.value, message.payload)
        if not await self._store.take_in(board, *what):
            return False
        client._client.ack(message.mid, message.qos)
        return True


async def _patiently(call: Awaitable[object]) -> None:
    """For calls of aiomqtt: in them asyncio.wait_for() of Python 3.11 may swallow a cancellation."""
    await asyncio.shield(asyncio.ensure_future(call))


async def _all(publishing: object) -> None:
    """In this order, all at once."""
    async with asyncio.TaskGroup() as tasks:
        for one in publishing:
            tasks.create_task(one)


def _arguments(message: Outgoing) -> tuple[str, bytes]:
    return message.topic, message.payload


def _options(message: Outgoing) -> dict[str, object]:
    properties = None
    if message.id:
        properties = Properties(PacketTypes.PUBLISH)
        properties.UserProperty = ("id", message.id)
    return {"qos": 1, "retain": message.retain, "properties": properties}
