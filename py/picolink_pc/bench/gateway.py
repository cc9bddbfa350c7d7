"""`picolink bench gateway`: boards, gateways and a broker, which are killed. Is a message lost?"""

import asyncio
import contextlib
import json
import random
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import click

from .. import extras
from .report import Result, new_console, out_option, publish

_NOTES = (
    "Boards: links of CPython programs, 10 in each, over local sockets in place of Bluetooth.",
    "Gateways: `picolink gateway`, killed with SIGKILL.",
    "lost: what a subscriber with QoS 1 never got. came twice: with the same id. another id: with another.",
    "late: between the board's send and the subscriber, with all the time that something was killed; ms.",
)
_BROKER = """\
listener {port} 127.0.0.1
allow_anonymous true
user root
persistence true
persistence_location {folder}/
autosave_on_changes true
autosave_interval {autosave}
max_inflight_messages 0
max_queued_messages 0
"""
_AUTOSAVE = 100
"""Changes until mosquitto writes its store; with --kill-broker each: what only its memory holds is lost."""

_DOWN_S = 1.0


@dataclass
class Outcome:
    """What came of it.  sent: messages that boards say they have sent.   twice, other_id: that came again."""

    sent: int = 0
    received: int = 0
    lost: int = 0
    twice: int = 0
    other_id: int = 0
    broker_kills: int = 0
    gateway_kills: int = 0
    seconds: float = 0
    late_ms: list[float] = field(default_factory=list)
    came: list[float] = field(default_factory=list)
    kills: list[tuple[float, str]] = field(default_factory=list)


@click.command()
@click.option("--boards", type=click.IntRange(1, 200), default=40, show_default=True)
@click.option("--gateways", type=click.IntRange(1, 16), default=4, show_default=True)
@click.option(
    "--rate", type=click.IntRange(1), default=1000, show_default=True, help="Messages/s of all boards."
)
@click.option("--seconds", type=click.IntRange(1), default=60, show_default=True)
@click.option(
    "--kills", type=click.IntRange(0), default=4, show_default=True, help="Of the broker; and of gateways."
)
@click.option(
    "--kill-broker",
    is_flag=True,
    help="With SIGKILL, not SIGTERM; mosquitto then writes each change to its disk.",
)
@click.option("--plot", is_flag=True, help="Also draw what came when.")
@out_option
def gateway(
    boards: int,
    gateways: int,
    rate: int,
    seconds: int,
    kills: int,
    kill_broker: bool,
    plot: bool,
    out: Path | None,
) -> None:
    """Many boards, some gateways and one broker, which are killed again and again: is a message lost?

    \b
    picolink bench gateway                                    a minute; needs mosquitto
    picolink bench gateway --boards 4 --gateways 2 --seconds 5
    picolink bench gateway --rate 100 --kill-broker           the broker, too, with SIGKILL
    """
    extras.require("gateway", "gateways")
    if plot:
        extras.require("plots", "pictures")
    console = new_console()
    with tempfile.TemporaryDirectory() as folder:
        outcome = asyncio.run(play(Path(folder), boards, gateways, rate, seconds, kills, kill_broker))
    late = sorted(outcome.late_ms) or [0]
    row = {
        "boards": boards,
        "gateways": gateways,
        "rate": outcome.sent / outcome.seconds,
        "sent": outcome.sent,
        "lost": outcome.lost,
        "twice": outcome.twice,
        "other_id": outcome.other_id,
        "broker_kills": outcome.broker_kills,
        "gateway_kills": outcome.gateway_kills,
        "p50": late[len(late) // 2],
        "p99": late[len(late) * 99 // 100],
    }
    columns = {
        "boards": "boards",
        "gateways": "gateways",
        "rate": "messages/s",
        "sent": "sent",
        "lost": "lost",
        "twice": "came twice",
        "other_id": "another id",
        "broker_kills": "broker killed",
        "gateway_kills": "gateways killed",
        "p50": "late, half",
        "p99": "late, 99 %",
    }
    name = "gateway-broker-killed" if kill_broker else "gateway"
    pictures = {}
    if plot:
        from . import gateway_plot

        pictures[name] = lambda _, path: gateway_plot.draw(outcome.came, outcome.kills, path)
    parameters = {"seconds": seconds, "rate": rate}
    title = "Boards, gateways and a broker that are killed"
    ended = "killed with SIGKILL, and each change written to disk" if kill_broker else "ended with SIGTERM"
    notes = [*_NOTES, f"Broker: mosquitto, {ended}."]
    publish(console, [Result(name, title, parameters, columns, [row], notes)], out, pictures)
    if outcome.lost or outcome.other_id:
        raise click.ClickException("messages were lost, or came twice with another id")


def broker_program() -> str:
    """Raises click.ClickException without mosquitto."""
    found = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin") or shutil.which(
        "mosquitto"
    )
    if not found:
        raise click.ClickException("mosquitto is not there: sudo apt install mosquitto")
    return found


async def play(
    folder: Path,
    boards: int,
    gateways: int,
    rate: int,
    seconds: float,
    kills: int,
    kill_broker: bool = False,
    per_program: int = 10,
) -> Outcome:
    """The whole scene; everything that it starts is over when it returns.

    kill_broker: with SIGKILL, not SIGTERM.   per_program: boards in one program.
    """
    scene = _Scene(folder, boards, gateways, rate, seconds, kill_broker, per_program)
    try:
        return await scene.play(kills)
    finally:
        await scene.end()


class _Scene:
    def __init__(
        self,
        folder: Path,
        boards: int,
        gateways: int,
        rate: int,
        seconds: float,
        kill_broker: bool,
        per_program: int,
    ) -> None:
        self._folder = folder
        self._names = [f"Board{number}" for number in range(boards)]
        self._gateways = gateways
        self._rate = rate
        self._seconds = seconds
        self._broker_end = signal.SIGKILL if kill_broker else signal.SIGTERM
        self._autosave = 1 if kill_broker else _AUTOSAVE
        self._per_program = per_program
        self._running: dict[str, asyncio.subprocess.Process] = {}
        self._outcome = Outcome()
        self._ids: dict[tuple[str, int], str] = {}
        self._counts: Counter[tuple[str, int]] = Counter()
        self._subscribed = asyncio.Event()
        self._began = 0.0
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]

    async def play(self, kills: int) -> Outcome:
        (self._folder / "radio").mkdir()
        config = self._folder / "mosquitto.conf"
        config.write_text(_BROKER.format(port=self._port, folder=self._folder, autosave=self._autosave))
        await self._start_broker()
        collector = asyncio.create_task(self._collect())
        await asyncio.wait_for(self._subscribed.wait(), 20)
        # The subscription is on its disk: it keeps messages for the subscriber, who has to come back first.
        self._running["broker"].send_signal(signal.SIGUSR1)
        for number in range(self._gateways):
            (self._folder / f"gateway{number}.toml").write_text(self._config(number))
            await self._start_gateway(number)
        began = self._began = time.monotonic()
        programs = []
        for first in range(0, len(self._names), self._per_program):
            names = self._names[first : first + self._per_program]
            each = self._rate / len(self._names)
            programs.append(
                await self._start("boards", str(self._folder / "radio"), each, self._seconds, *names)
            )
        counting = [asyncio.create_task(_sent(program)) for program in programs]
        for number in range(kills):
            await asyncio.sleep(self._seconds / (kills + 1) / 2)
            await self._kill_gateway(number % self._gateways)
            await asyncio.sleep(self._seconds / (kills + 1) / 2)
            await self._kill_broker()
        sent: dict[str, int] = {}
        for counts in await asyncio.gather(*counting):
            sent.update(counts)
        self._outcome.seconds = time.monotonic() - began
        await self._all_come(sent, collector)
        collector.cancel()
        return self._sum_up(sent)

    async def end(self) -> None:
        for process in self._running.values():
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    # -- what runs ----------------------------------------------------------------------------------------

    async def _start(self, kind: str, *arguments: object) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            f"picolink_pc.bench.gateway_{kind}",
            *map(str, arguments),
            stdout=asyncio.subprocess.PIPE,
        )
        self._running[f"{kind}{len(self._running)}"] = process
        return process

    async def _start_broker(self) -> None:
        self._running["broker"] = await asyncio.create_subprocess_exec(
            broker_program(),
            "-c",
            str(self._folder / "mosquitto.conf"),
            stderr=(self._folder / "broker.log").open("ab"),
        )

    async def _start_gateway(self, number: int) -> None:
        self._running[f"gateway{number}"] = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "picolink_pc",
            "gateway",
            str(self._folder / f"gateway{number}.toml"),
            stderr=(self._folder / f"gateway{number}.log").open("ab"),
        )

    def _config(self, number: int) -> str:
        boards = "".join(f'[[board]]\nname = "{name}"\n' for name in self._names[number :: self._gateways])
        return (
            f'[broker]\nhost = "127.0.0.1"\nport = {self._port}\n'
            f'[gateway]\nname = "g{number}"\noutbox = "g{number}.sqlite"\n'
            f'radio = "{self._folder}/radio"\n{boards}'
        )

    async def _kill(self, name: str) -> None:
        if self._running[name].returncode is not None:
            raise click.ClickException(
                f"{name} has ended by itself: {(self._folder / name).with_suffix('.log').read_text()}"
            )
        self._running[name].send_signal(self._broker_end if name == "broker" else signal.SIGKILL)
        self._outcome.kills.append((time.monotonic() - self._began, name.rstrip("0123456789")))
        await self._running[name].wait()
        await asyncio.sleep(random.uniform(0.1, _DOWN_S))

    async def _kill_broker(self) -> None:
        await self._kill("broker")
        self._outcome.broker_kills += 1
        await self._start_broker()

    async def _kill_gateway(self, number: int) -> None:
        await self._kill(f"gateway{number}")
        self._outcome.gateway_kills += 1
        await self._start_gateway(number)

    # -- what comes ---------------------------------------------------------------------------------------

    async def _collect(self) -> None:
        import aiomqtt
        from paho.mqtt.packettypes import PacketTypes
        from paho.mqtt.properties import Properties

        lives = Properties(PacketTypes.CONNECT)
        lives.SessionExpiryInterval = 3600
        while True:
            with contextlib.suppress(aiomqtt.MqttError):
                async with aiomqtt.Client(
                    "127.0.0.1",
                    self._port,
                    identifier="collector",
                    protocol=aiomqtt.ProtocolVersion.V5,
                    clean_start=False,
                    properties=lives,
                ) as client:
                    await client.subscribe("picolink/+/message/0", qos=1)
                    self._subscribed.set()
                    async for message in client.messages:
                        self._note(message)
            await asyncio.sleep(0.02)

    def _note(self, message: object) -> None:
        board = message.topic.value.split("/")[1]
        said = json.loads(message.payload)
        key = board, said["n"]
        name = dict(message.properties.UserProperty)["id"]
        if self._ids.setdefault(key, name) != name:
            self._outcome.other_id += 1
        if not self._counts[key]:
            self._outcome.came.append(time.monotonic() - self._began)
            self._outcome.late_ms.append(1000 * (time.time() - said["at"]))
        self._counts[key] += 1

    async def _all_come(self, sent: dict[str, int], collector: asyncio.Task) -> None:
        """Until all have come, or none comes any more for 20 s."""
        wanted, before, since = sum(sent.values()), -1, time.monotonic()
        while len(self._counts) < wanted and time.monotonic() - since < 20 and not collector.done():
            if len(self._counts) != before:
                before, since = len(self._counts), time.monotonic()
            await asyncio.sleep(0.1)

    def _sum_up(self, sent: dict[str, int]) -> Outcome:
        outcome = self._outcome
        outcome.sent = sum(sent.values())
        outcome.received = len(self._counts)
        outcome.lost = sum(
            (name, n) not in self._counts for name, count in sent.items() for n in range(count)
        )
        outcome.twice = sum(self._counts.values()) - len(self._counts)
        return outcome


async def _sent(program: asyncio.subprocess.Process) -> dict[str, int]:
    said, _ = await program.communicate()
    return json.loads(said)
