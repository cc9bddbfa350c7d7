"""Bluetooth of a PC that does not work: each error says what to do. And what a PC keeps in files."""

import asyncio
import logging
import subprocess
import sys
import threading
import types

import picolink
import pytest
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import BaseBleakScanner
from bleak.exc import BleakBluetoothNotAvailableError, BleakDBusError, BleakError
from bleak.exc import BleakBluetoothNotAvailableReason as Reason
from picolink.radio import bleak
from picolink.radio.bleak import errors, files
from picolink_pc import virtual_adapter


def raising(error):
    """A scanner for bleak that cannot scan."""

    async def start(self):  # noqa: ARG001
        raise error

    async def stop(self):
        pass

    def init(self, callback, services, mode, **_):  # noqa: ARG001
        BaseBleakScanner.__init__(self, callback, services)

    return type("Scanner", (BaseBleakScanner,), {"__init__": init, "start": start, "stop": stop})


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (BleakBluetoothNotAvailableError("none", Reason.NO_BLUETOOTH), "no Bluetooth adapter.*plug one in"),
        (BleakBluetoothNotAvailableError("off", Reason.POWERED_OFF), "switched off: bluetoothctl power on"),
        (
            BleakBluetoothNotAvailableError("no", Reason.DENIED_BY_USER),
            "may not use Bluetooth: join the group",
        ),
        (
            BleakBluetoothNotAvailableError("no", Reason.DENIED_BY_SYSTEM),
            "may not use Bluetooth: join the group",
        ),
        (BleakBluetoothNotAvailableError("no", Reason.NO_BLE_CENTRAL_ROLE), "Bluetooth 4.0 or newer"),
        (BleakBluetoothNotAvailableError("odd", Reason.UNKNOWN), "cannot be used: odd"),
        (BleakDBusError("org.freedesktop.DBus.Error.ServiceUnknown", []), "apt install bluez"),
        (BleakDBusError("org.freedesktop.DBus.Error.AccessDenied", []), "may not use Bluetooth"),
        (BleakDBusError("org.bluez.Error.NotReady", []), "switched off"),
        (FileNotFoundError(2, "no D-Bus"), "apt install bluez"),
        (PermissionError(13, "denied"), "may not use Bluetooth: join the group"),
        (ValueError("something new"), "cannot be used: ValueError"),
    ],
)
def test_an_adapter_that_cannot_be_used_is_an_error_at_once(run, monkeypatch, error, advice):
    monkeypatch.setattr(errors.sys, "platform", "linux")
    link = picolink.connect("PicoA", radio=bleak.Radio(scanner=raising(error)))
    with pytest.raises(errors.BluetoothError, match=advice):
        run(link.open())


@pytest.mark.parametrize(
    ("system", "reason", "advice"),
    [
        ("win32", Reason.POWERED_OFF, "Settings, Bluetooth & devices"),
        ("win32", Reason.DENIED_BY_USER, "let desktop apps"),
        ("darwin", Reason.POWERED_OFF, "Control Centre"),
        ("darwin", Reason.DENIED_BY_USER, "Privacy & Security"),
        ("freebsd", Reason.POWERED_OFF, "settings of this system"),
    ],
)
def test_advice_is_that_of_the_system(monkeypatch, system, reason, advice):
    monkeypatch.setattr(errors, "sys", types.SimpleNamespace(platform=system))
    assert advice in errors.explain(BleakBluetoothNotAvailableError("", reason))


def test_this_machine_has_no_bluetooth_and_bleak_itself_says_so(run, monkeypatch, tmp_path):
    """With the real backend of this system: no service answers at this address of D-Bus."""
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/none")
    with pytest.raises(errors.BluetoothError, match="apt install bluez"):
        run(picolink.connect("PicoA").open())


def test_an_adapter_that_is_switched_off_later_is_told_and_tried_again(run):
    told = []

    async def scenario():
        link = picolink.connect(
            "PicoA",
            radio=bleak.Radio(scanner=raising(None)),
            on_event=lambda *event: told.append(event),
        )
        scanners = link._role._radio.scanner_options

        async def start(self):  # noqa: ARG001
            if link._working:
                raise BleakBluetoothNotAvailableError("off", Reason.POWERED_OFF)

        scanners["backend"].start = start
        with pytest.raises(TimeoutError):
            await link.open(timeout_ms=1500)
        assert link._role.handle < 0

    run(scenario())
    assert [event for event, _ in told] == ["not connected"]  # told once in 10 s, tried more often
    assert "switched off" in told[0][1]


def test_a_pc_cannot_advertise_and_says_what_to_do():
    with pytest.raises(NotImplementedError, match=r"board: picolink.advertise\(.PicoA.\).*picolink.connect"):
        picolink.advertise("PicoA")


def test_without_bleak_the_extra_is_named():
    program = (
        "import sys\nsys.modules['bleak'] = None\nimport picolink\n"
        "try:\n    picolink.connect('PicoA')\nexcept ImportError as e:\n    print(e)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert 'pip install "picolink[pc]"' in done.stdout


def test_bleak_is_not_imported_before_it_is_needed():
    program = "import sys, picolink, picolink.link\nassert not {'bleak', 'platformdirs'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("name", ["", "x" * 29, 5])
def test_names_that_no_board_can_advertise(name):
    with pytest.raises((ValueError, TypeError), match="name"):
        picolink.connect(name, radio=bleak.Radio())


@pytest.fixture
def home(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    return tmp_path / "picolink"


def test_the_identity_is_kept(home):
    identity = files.identity()
    assert len(identity) == 8
    assert files.identity() == identity == bytes.fromhex((home / "identity").read_text())
    assert [file.name for file in home.iterdir()] == ["identity"]
    (home / "identity").write_text("nonsense\n")
    other = files.identity()
    assert other != identity
    assert files.identity() == other


def test_programs_that_start_together_have_one_identity(home):
    found = []
    threads = [threading.Thread(target=lambda: found.append(files.identity())) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 16
    assert len(set(found)) == 1
    assert [file.name for file in home.iterdir()] == ["identity"]


def test_where_nothing_can_be_kept_that_is_logged(home, caplog):
    home.write_text("in the way\n")
    with caplog.at_level(logging.WARNING):
        assert len(files.identity()) == 8
    assert "boards will take this PC for another one" in caplog.text


def test_a_partner_is_remembered_beside_the_identity(home):
    link = picolink.connect("PicoA", radio=bleak.Radio(), engine="python", remember=True)
    link._engine.set_partner(b"12345678")
    link._remember()
    assert sorted(file.name for file in home.iterdir())[0] == "identity"
    assert len(list(home.glob("picolink-*.id"))) == 1
    again = picolink.connect("PicoA", radio=bleak.Radio(), remember=True)
    assert again._engine.partner == b"12345678"
    again.forget()
    assert not list(home.glob("picolink-*.id"))


def test_two_links_in_two_loops_do_not_wait_for_each_other():
    radio = bleak.Radio()

    async def hold():
        async with radio.turns.turn():
            await asyncio.sleep(0)

    for _ in range(2):
        asyncio.run(hold())


def test_a_drop_in_the_middle_of_a_request_is_an_error_of_bluetooth():
    """Bumble cancels the request, which must not look as if the program was cancelled."""

    async def main():
        loop = asyncio.get_running_loop()
        device = BLEDevice("", None, {"address": None})
        client = virtual_adapter.Client(device, disconnected_callback=None, timeout=5)
        client._ended, request = loop.create_future(), loop.create_future()
        request.cancel()
        with pytest.raises(BleakError, match="disconnected"):
            await client._or_end(request)

    asyncio.run(main())
