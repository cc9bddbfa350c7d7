"""Gateways at a real mosquitto; boards are links over local sockets."""

import asyncio
import contextlib
import datetime
import ipaddress
import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import aiomqtt
import picolink
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from picolink import key as keys
from picolink_pc.bench import gateway as bench
from picolink_pc.boards import Room
from picolink_pc.gateway.store import Store
from picolink_pc.radio_door import RadioDoor
from picolink_pc.socket_radio import SocketRadio

pytestmark = pytest.mark.slow

NUMBERS = Path(__file__).parent / "programs" / "numbers.py"
ONE_BOARD = '[gateway]\nname = "attic"\nradio = "{radio}"\nnewest_s = 0.05\n[[board]]\nname = "PicoA"\n'


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class House:
    """A broker and a gateway, in a folder.   secure: only with TLS, user and password."""

    def __init__(self, folder, secure=False):
        self.folder = folder
        self.port = free_port()
        self.radio = SocketRadio(folder / "radio")
        (folder / "radio").mkdir()
        self.broker = f'[broker]\nhost = "127.0.0.1"\nport = {self.port}\n'
        lines = f"listener {self.port} 127.0.0.1\n"
        if secure:
            make_certificate(folder)
            subprocess.run(["mosquitto_passwd", "-b", "-c", folder / "users", "attic", "secret"], check=True)
            lines += (
                f"cafile {folder}/cert.pem\ncertfile {folder}/cert.pem\nkeyfile {folder}/key.pem\n"
                f"password_file {folder}/users\nallow_anonymous false\n"
            )
        else:
            lines += "allow_anonymous true\n"
        (folder / "mosquitto.conf").write_text(lines + "user root\n")  # root stays root
        self.processes = []

    async def __aenter__(self):
        await self.start_broker()
        return self

    async def __aexit__(self, *_exception):
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def start_broker(self):
        return await self._start(bench.broker_program(), "-c", str(self.folder / "mosquitto.conf"))

    async def gateway(self, text="", *options, radio=None, of_board=""):
        config = self.folder / "gateway.toml"
        config.write_text(self.broker + text + ONE_BOARD.format(radio=radio or self.radio.folder) + of_board)
        config.chmod(0o600)
        command = [
            sys.executable,
            "-m",
            "picolink_pc",
            "gateway",
            str(config),
            *options,
        ]
        return await self._start(*command)

    async def _start(self, *command):
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
        self.processes.append(process)
        return process

    @contextlib.asynccontextmanager
    async def client(self):
        for _ in range(100):
            with contextlib.suppress(aiomqtt.MqttError):
                version = aiomqtt.ProtocolVersion.V5
                async with aiomqtt.Client("127.0.0.1", self.port, protocol=version) as client:
                    yield client
                    return
            await asyncio.sleep(0.05)

    def board(self):
        return picolink.advertise("PicoA", radio=self.radio, on_event=lambda *_: None)


async def until(client, topic, payload):
    """Wait until this comes."""
    async with asyncio.timeout(20):
        async for message in client.messages:
            if (message.topic.value, message.payload) == (topic, payload):
                return message
    raise AssertionError("the client has ended")


def make_certificate(folder):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "broker")])
    now = datetime.datetime.now(datetime.UTC)
    alternative = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + datetime.timedelta(days=1))
        .add_extension(alternative, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(certificate.public_bytes(pem))
    (folder / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def test_both_ways_values_availability_and_the_last_will(tmp_path, run):
    async def scenario():
        async with House(tmp_path) as house, house.client() as client:
            await client.subscribe("#", qos=1)
            gateway = await house.gateway()
            async with house.board() as board:
                await until(client, "picolink/PicoA/availability", b"online")
                await board.send('{"t": 21.5}', 2)
                message = await until(client, "picolink/PicoA/message/2", b'{"t": 21.5}')
                assert dict(message.properties.UserProperty)["id"].endswith("-1")
                await until(client, "picolink/PicoA/value/t", b"21.5")
                await board.send({"led": False, "t": 21.75})
                await until(client, "picolink/PicoA/value/led", b"false")
                # A panel that cannot be does no harm; the next one counts.
                board.newest(14).send({"panel": [{"name": "t", "type": "teapot"}]})
                await board.flush(timeout_ms=10_000)
                panel = [
                    {"name": "t", "type": "sensor", "unit": "°C"},
                    {"name": "speed", "type": "number", "channel": 2},
                ]
                board.newest(14).send({"panel": panel})
                found = {}
                async with asyncio.timeout(20):
                    async for message in client.messages:
                        home, kind, *_ = message.topic.value.split("/")
                        if home == "homeassistant":
                            found[kind] = json.loads(message.payload)
                        if len(found) == 2:
                            break
                assert found["sensor"]["state_topic"] == "picolink/PicoA/value/t"
                assert found["sensor"]["unit_of_measurement"] == "°C"
                assert found["number"]["command_topic"] == "picolink/PicoA/set/2"
                await client.publish("picolink/PicoA/send/5", "to the board", qos=1)
                assert (await board.recv(timeout_ms=10_000), board.channel) == (b"to the board", 5)
                await client.publish("picolink/PicoA/set/led", "true", qos=1)
                assert await board.recv(timeout_ms=10_000) == {"led": True}
                speed = board.newest(2)
                await client.publish(found["number"]["command_topic"], "40", qos=1)
                assert await speed.recv(timeout_ms=10_000) == 40
            await until(client, "picolink/PicoA/availability", b"offline")
            gateway.kill()
            await until(client, "picolink/gateway/attic", b"offline")
            # What is retained, for who comes later.
            async with house.client() as late:
                await late.subscribe("picolink/PicoA/value/+", qos=1)
                message = await until(late, "picolink/PicoA/value/t", b"21.75")
                assert message.retain

    run(scenario())


def test_a_gateway_that_is_stopped_says_so(tmp_path, run):
    async def scenario():
        async with House(tmp_path) as house, house.client() as client:
            await client.subscribe("#", qos=1)
            gateway = await house.gateway()
            await until(client, "picolink/gateway/attic", b"online")
            gateway.send_signal(signal.SIGTERM)
            await until(client, "picolink/gateway/attic", b"offline")
            assert await gateway.wait() == 0

    run(scenario())


def test_what_comes_for_a_board_that_is_away_waits_even_if_the_gateway_is_killed(tmp_path, run):
    async def scenario():
        async with House(tmp_path) as house, house.client() as client:
            await client.subscribe("picolink/gateway/attic", qos=1)
            gateway = await house.gateway()
            await until(client, "picolink/gateway/attic", b"online")
            for number in range(3):
                await client.publish("picolink/PicoA/send/0", str(number), qos=1)
            await asyncio.sleep(0.3)
            gateway.kill()
            await client.publish("picolink/PicoA/send/0", "3", qos=1)  # the broker keeps it
            await gateway.wait()
            await house.gateway()
            async with house.board() as board:
                assert [await board.recv(timeout_ms=10_000) for _ in range(4)] == [b"0", b"1", b"2", b"3"]

    run(scenario())


def test_check_tries_the_broker_with_tls_user_and_password(tmp_path, run):
    async def scenario():
        secure = 'tls = true\nca_file = "cert.pem"\nusername = "attic"\n'
        async with House(tmp_path, secure=True) as house:
            await asyncio.sleep(0.5)
            answers = {"secret": (0, b"is right"), "wrong": (1, b"does not take this gateway")}
            for password, (code, says) in answers.items():
                check = await house.gateway(f'{secure}password = "{password}"\n', "--check")
                out, error = await asyncio.wait_for(check.communicate(), 20)
                assert (check.returncode, says in out + error) == (code, True), (out, error)

    run(scenario())


def test_a_virtual_board_with_a_key(tmp_path, run, monkeypatch):
    """Through bleak and a virtual adapter; and no gateway without that key gets a message."""
    for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    key, other = (keys.text(bytes([byte] * 32)) for byte in (1, 2))

    async def scenario():
        async with House(tmp_path) as house, Room() as room, RadioDoor(room.radio), house.client() as client:
            await client.subscribe("picolink/PicoA/#", qos=1)
            board = room.board("PicoA")
            options = {"name": "PicoA", "send": 3, "expect": 1000, "size": 8, "link": {"key": key}}
            await board.start(NUMBERS, "advertise", json.dumps(options))
            (tmp_path / "a.key").write_text(other)
            (tmp_path / "a.key").chmod(0o600)
            stranger = await house.gateway(radio="virtual", of_board='key_file = "a.key"\n')
            async with asyncio.timeout(30):
                while b"key" not in (line := await stranger.stderr.readline()):
                    assert line
            stranger.terminate()
            out, error = await stranger.communicate()
            assert other[13:30] not in (out + error).decode()
            check = await house.gateway("", "--check", radio="virtual", of_board=f'key = "{key}"\n')
            out, error = await asyncio.wait_for(check.communicate(), 20)
            assert (check.returncode, b"is right" in out) == (0, True), error
            await house.gateway(radio="virtual", of_board=f'key = "{key}"\n')
            got = []
            async with asyncio.timeout(30):
                async for message in client.messages:
                    if "/message/" in message.topic.value:
                        got.append(int.from_bytes(message.payload[:4], "little"))
                        if len(got) == 3:
                            break
            assert got == [0, 1, 2]

    run(scenario())


def test_what_the_broker_refuses_is_kept_and_told(tmp_path, run):
    """MQTT 5 acknowledges it, with a reason."""

    async def scenario():
        house = House(tmp_path)
        (tmp_path / "rights").write_text("topic readwrite picolink/gateway/#\ntopic read #\n")
        with (tmp_path / "mosquitto.conf").open("a") as file:
            file.write(f"acl_file {tmp_path}/rights\n")
        async with house:
            gateway = await house.gateway()
            async with house.board() as board:
                await board.send("precious")
                await board.flush(10_000)
            async with asyncio.timeout(20):
                while b"refuses" not in (line := await gateway.stderr.readline()):
                    assert line
            assert b"Not authorized" in line
            gateway.kill()
            await gateway.wait()
            async with Store(tmp_path / "outbox.sqlite", 10) as store:
                assert [message.payload for _, message in await store.first(9)] == [b"precious"]

    run(scenario())


def test_nothing_is_lost_when_broker_and_gateways_are_killed(tmp_path, run):
    async def scenario():
        outcome = await bench.play(tmp_path, 6, 2, rate=120, seconds=6, kills=2, per_program=6)
        assert (outcome.broker_kills, outcome.gateway_kills) == (2, 2)
        assert (outcome.sent, outcome.lost, outcome.other_id) == (720, 0, 0)

    run(scenario())
