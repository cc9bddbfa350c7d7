"""Web Bluetooth of a page in Chromium, on the browser's own emulated adapter, bridged to the virtual radio.

The emulation (DevTools, BluetoothEmulation) has no call that pushes a notification. Stand-in: the emulated
characteristic can be read too, and for each packet of the board the page reads it, which raises
`characteristicvaluechanged` on the same object. All else is the browser's: prompt, GATT, writes, drops.
"""

import asyncio
import base64
import contextlib

import bleak
from browser import BrowserError
from picolink import wire

# Keeps the characteristic that the page subscribes to, for who reads it here.
_REMEMBER = """
const start = BluetoothRemoteGATTCharacteristic.prototype.startNotifications;
BluetoothRemoteGATTCharacteristic.prototype.startNotifications = function () {
  window.notifying = this;
  return start.call(this);
};
"""
_CLIENT_CONFIGURATION = "00002902-0000-1000-8000-00805f9b34fb"


class WebBluetooth:
    """Use it with `async with`. One board, which the browser finds under its address and name.

    radio: picolink_pc.virtual_adapter's.   choose: "board" or "nothing": what the person does when asked.
    state: of the adapter, "powered-on" or "absent". (Chromium leaves "powered-off" to its prompt.)
    packets, longest: [from the page, to the page], how many and bytes.
    """

    def __init__(self, browser, page, radio, name, choose="board", state="powered-on"):
        self._browser = browser
        self._page = page
        self._radio = radio
        self._name = name
        self.choose = choose
        self._state = state
        self.packets, self.longest = [0, 0], [0, 0]
        self._client = self._service = None
        self._on = True
        self._answered = set()  # prompts
        self._tasks = set()
        self._to_page = asyncio.Queue()
        self._reading = asyncio.Queue()
        self._writes = asyncio.Queue()
        # The page is told one thing after the other: that it is connected, a packet, or that it is no longer.
        self._telling = asyncio.Lock()
        self._connected = False  # as the page has been told

    async def _do(self, command, **parameters):
        return await self._browser.do(f"BluetoothEmulation.{command}", **parameters)

    async def __aenter__(self):
        self._device = await self._find()
        self.address = address = self._device.address
        await self._do("enable", state="powered-on", leSupported=True)
        await self._do(
            "simulatePreconnectedPeripheral",
            address=address,
            name=self._name,
            manufacturerData=[],
            knownServiceUuids=[wire.SERVICE],
        )
        await self._offer()
        for event, handler in (
            ("gattOperationReceived", self._on_gatt),
            ("characteristicOperationReceived", self._on_characteristic),
        ):
            self._browser.on(f"BluetoothEmulation.{event}", handler)
        await self._page.do("Page.addScriptToEvaluateOnNewDocument", source=_REMEMBER)
        await self._page.do("DeviceAccess.enable")
        self._page.on("DeviceAccess.deviceRequestPrompted", self._on_prompt)
        self._start(self._let_page_read())
        self._start(self._pass_writes())
        await self._do("setSimulatedCentralState", state=self._state)
        return self

    async def __aexit__(self, *_exception):
        for task in self._tasks:
            task.cancel()
        for handlers in (
            self._browser._handlers[None, "BluetoothEmulation.gattOperationReceived"],
            self._browser._handlers[None, "BluetoothEmulation.characteristicOperationReceived"],
        ):
            handlers.clear()
        client, self._client = self._client, None  # that it ends is told to nobody
        if client:
            await client.disconnect()
        await self._do("disable")

    def _start(self, work):
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _find(self):
        found = asyncio.get_running_loop().create_future()

        def see(device, advertised):
            if advertised.local_name == self._name and not found.done():
                found.set_result(device)

        async with bleak.BleakScanner(see, [wire.SERVICE], **self._radio.scanner_options):
            return await found

    async def _offer(self):
        """The board's service; the emulation forgets it when a connection ends."""
        if self._service:
            with contextlib.suppress(BrowserError):
                await self._do("removeService", serviceId=self._service)
        made = await self._do("addService", address=self.address, serviceUuid=wire.SERVICE)
        self._service = service = made["serviceId"]
        notify = await self._characteristic(service, wire.NOTIFY, {"notify": True, "read": True})
        await self._do("addDescriptor", characteristicId=notify, descriptorUuid=_CLIENT_CONFIGURATION)
        await self._characteristic(service, wire.WRITE, {"writeWithoutResponse": True})

    async def _characteristic(self, service, uuid, properties):
        made = await self._do(
            "addCharacteristic", serviceId=service, characteristicUuid=uuid, properties=properties
        )
        return made["characteristicId"]

    def _count(self, way, packet):
        self.packets[way] += 1
        self.longest[way] = max(self.longest[way], len(packet))

    async def switch(self, on):
        """The person switches Bluetooth on or off."""
        self._on = on
        await self._do("setSimulatedCentralState", state="powered-on" if on else "powered-off")
        if self._client and not on:
            await self._client.disconnect()

    # -- the prompt

    def _on_prompt(self, asked):
        # It is told anew with each device that comes in sight; a second answer ends the browser.
        if asked["id"] in self._answered or not (asked["devices"] or self.choose == "nothing"):
            return
        self._answered.add(asked["id"])
        if self.choose == "board":
            device = asked["devices"][0]["id"]  # not by its name: the emulation tells none
            self._start(self._page.do("DeviceAccess.selectPrompt", id=asked["id"], deviceId=device))
        else:
            self._start(self._page.do("DeviceAccess.cancelPrompt", id=asked["id"]))

    # -- GATT

    def _on_gatt(self, asked):
        self._start(self._answer_gatt(asked["address"], asked["type"]))

    async def _answer_gatt(self, address, kind):
        code = 0
        async with self._telling:
            if kind == "connection":
                try:
                    if not self._on:
                        raise bleak.exc.BleakError("Bluetooth is off")
                    await self._connect()
                    await self._offer()
                    if not self._client:
                        raise bleak.exc.BleakError("it has dropped already")
                except (bleak.exc.BleakError, OSError):
                    code = 0x3E  # failed to be established
                self._connected = not code
            await self._do("simulateGATTOperationResponse", address=address, type=kind, code=code)

    async def _connect(self):
        client = bleak.BleakClient(
            self._device, self._on_lost, [wire.SERVICE], timeout=5, **self._radio.client_options
        )
        await client.connect()
        self._client = client

    def _on_lost(self, client):
        if client is self._client:
            self._client = None
            self._start(self._drop())

    async def _drop(self):
        async with self._telling:
            if self._connected and not self._client:
                self._connected = False
                await self._do("simulateGATTDisconnection", address=self.address)

    def _on_characteristic(self, asked):
        kind, characteristic = asked["type"], asked["characteristicId"]
        answer = {"characteristicId": characteristic, "type": kind, "code": 0}
        if kind == "write":
            packet = base64.b64decode(asked["data"])
            self._count(0, packet)
            self._writes.put_nowait((packet, answer))
            return
        if kind == "subscribe-to-notifications":
            self._start(self._subscribe(answer))
            return
        if kind == "read":
            packet = b"" if self._reading.empty() else self._reading.get_nowait()
            answer["data"] = base64.b64encode(packet).decode()
        self._start(self._do("simulateCharacteristicOperationResponse", **answer))

    async def _pass_writes(self):
        while True:
            packet, answer = await self._writes.get()
            if self._client:
                write = self._client.services.get_characteristic(wire.WRITE)
                with contextlib.suppress(bleak.exc.BleakError, OSError):
                    await self._client.write_gatt_char(write, packet, response=False)
            with contextlib.suppress(BrowserError):
                await self._do("simulateCharacteristicOperationResponse", **answer)

    async def _subscribe(self, answer):
        if not self._client:
            return  # it has dropped, and the page hears of that
        self._to_page = asyncio.Queue()
        queue = self._to_page
        notify = self._client.services.get_characteristic(wire.NOTIFY)
        await self._client.start_notify(notify, lambda _, packet: queue.put_nowait(bytes(packet)))
        await self._do("simulateCharacteristicOperationResponse", **answer)

    async def _let_page_read(self):
        """The stand-in for notifications."""
        while True:
            queue = self._to_page
            try:
                packet = await asyncio.wait_for(queue.get(), 0.2)
            except TimeoutError:
                continue
            if queue is not self._to_page:
                continue
            self._count(1, packet)
            self._reading = asyncio.Queue()
            self._reading.put_nowait(packet)
            async with self._telling:
                with contextlib.suppress(BrowserError, TimeoutError):  # the connection has dropped meanwhile
                    await asyncio.wait_for(self._page.run("await window.notifying.readValue()"), 2)
