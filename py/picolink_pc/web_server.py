"""The server of `picolink web`: files for a browser on this PC, and a radio for its page over a WebSocket.

A WebSocket to /radio?name=NAME is one connection to a board. In text the server says what comes of it:
{"others": [names]} while the board is not in sight, {"address": ..., "name": ...} when it is connected, or
{"error": why}. Packets follow, a message each. When either side closes, the connection is over.
"""

import asyncio
import contextlib
import json
from http import HTTPStatus
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import websockets
from picolink import wire
from picolink.radio.bleak import Radio
from websockets.asyncio.server import Request, Response, ServerConnection, serve
from websockets.datastructures import Headers

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
}
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; worker-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""What the page may do: nothing that it does not need."""

_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
_LOOK_S = 5
_CONNECT_S = 12


class WebServer:
    """Use it with `async with`.  Raises OSError when the port is taken.

    folder: what is served.   port: 0: a free one.   config: for the page, see web/page/page.js.
    radio: for pages, None: they use their browser's.
    address: for people, while it is open.
    """

    def __init__(self, folder: Path, port: int, radio: Radio | None, config: dict) -> None:
        self._files = {f"/{file.name}": file for file in folder.iterdir() if file.suffix in _TYPES}
        self._files["/"] = folder / "index.html"
        self._port = port
        self._radio = radio
        self._config = json.dumps(config | {"radio": "radio" if radio else None}).encode()

    async def __aenter__(self) -> "WebServer":
        self._server = await serve(
            self._serve_radio, "127.0.0.1", self._port, process_request=self._answer, compression=None
        )
        self._port = self._server.sockets[0].getsockname()[1]
        self.address = f"http://localhost:{self._port}/"
        return self

    async def __aexit__(self, *_exception: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    # -- files

    def _answer(self, connection: ServerConnection, request: Request) -> Response | None:
        """A file; None: go on, it is for the radio. Nobody else's pages get anything: a name that
        somebody else has given this address, and other pages' scripts, are refused."""
        own = {f"{host}:{self._port}" for host in ("localhost", "127.0.0.1")}
        if request.headers.get("Host") not in own:
            return connection.respond(HTTPStatus.FORBIDDEN, "this is for pages of this PC only\n")
        path = urlsplit(request.path).path
        if path == "/radio" and self._radio:
            if request.headers.get("Origin") in {f"http://{host}" for host in own}:
                return None
            return connection.respond(HTTPStatus.FORBIDDEN, "this is for picolink's page only\n")
        if path == "/config.json":
            return _response(_TYPES[".json"], self._config)
        file = self._files.get(path)
        if not file:
            return connection.respond(HTTPStatus.NOT_FOUND, f"there is no {path}\n")
        return _response(_TYPES[file.suffix], file.read_bytes())

    # -- radio

    async def _serve_radio(self, socket: ServerConnection) -> None:
        name = parse_qs(urlsplit(socket.request.path).query).get("name", [""])[0]
        work = asyncio.create_task(self._connect(socket, name))
        closed = asyncio.create_task(socket.wait_closed())
        await asyncio.wait([work, closed], return_when=asyncio.FIRST_COMPLETED)
        closed.cancel()
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError, websockets.ConnectionClosed):
            await work

    async def _connect(self, socket: ServerConnection, name: str) -> None:
        import bleak

        try:
            async with self._radio.turns.turn():
                device = None
                while device is None:
                    device, advertised = await self._find(socket, name)
                gone = asyncio.Event()
                client = bleak.BleakClient(
                    device,
                    lambda _client: gone.set(),
                    [wire.SERVICE],
                    timeout=_CONNECT_S,
                    **self._radio.client_options,
                )
                await client.connect()
        except (bleak.exc.BleakError, OSError) as error:
            await socket.send(json.dumps({"error": str(error) or "Bluetooth timed out"}))
            return
        try:
            await self._pass_packets(socket, client, gone, advertised)
        except (bleak.exc.BleakError, OSError, AttributeError):
            pass  # the connection has dropped: the socket is closed, and the page sees that
        finally:
            with contextlib.suppress(bleak.exc.BleakError, OSError):
                await client.disconnect()

    async def _find(self, socket: ServerConnection, name: str) -> tuple:
        """The first board under the name, or of any name, and that; (None, None), and says who is there."""
        import bleak

        found = asyncio.get_running_loop().create_future()
        others = set()

        def see(device: object, advertised: object) -> None:
            seen = advertised.local_name
            if seen and (not name or seen == name):
                if not found.done():
                    found.set_result((device, seen))
            elif seen:
                others.add(seen)

        async with bleak.BleakScanner(see, [wire.SERVICE], **self._radio.scanner_options):
            await asyncio.wait([found], timeout=_LOOK_S)
        if found.done():
            return found.result()
        await socket.send(json.dumps({"others": sorted(others)}))
        return None, None

    async def _pass_packets(
        self, socket: ServerConnection, client: object, gone: asyncio.Event, name: str
    ) -> None:
        packets: asyncio.Queue[bytes] = asyncio.Queue()
        notify, write = (client.services.get_characteristic(uuid) for uuid in (wire.NOTIFY, wire.WRITE))
        await client.start_notify(notify, lambda _characteristic, packet: packets.put_nowait(bytes(packet)))
        await socket.send(json.dumps({"address": client.address, "name": name}))

        async def to_page() -> None:
            while True:
                await socket.send(await packets.get())

        async def to_board() -> None:
            async for packet in socket:
                await client.write_gatt_char(write, packet, response=False)

        tasks = [asyncio.create_task(work) for work in (to_page(), to_board(), gone.wait())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()


def _response(kind: str, body: bytes) -> Response:
    headers = Headers(_HEADERS | {"Content-Type": kind, "Content-Length": str(len(body))})
    return Response(HTTPStatus.OK, "OK", headers, body)
