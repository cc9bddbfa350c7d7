"""Controllers on the virtual radio, with hosts that speak plain HCI and with Bumble's host."""

import asyncio
import functools
import os
import selectors
import struct
from contextlib import asynccontextmanager

import pytest
from bumble import gatt, hci
from bumble.device import Device, Peer
from bumble.host import Host
from bumble.transport.common import AsyncPipeSink
from bumble.vendor.zephyr import hci as vendor
from picolink_pc.radio.air import RadioSettings, value_rate_in_events
from picolink_pc.radio.hci_pty import HciPty
from picolink_pc.radio.virtual_radio import VirtualRadio

LIMIT_S = 30
CENTRAL_ADDRESS = "F0:00:00:00:00:01"
PERIPHERAL_ADDRESS = "F0:00:00:00:00:02"
SUPERVISION_MS = 300

AdvertisingReport = hci.HCI_LE_Advertising_Report_Event
ConnectionComplete = hci.HCI_LE_Connection_Complete_Event
DisconnectionComplete = hci.HCI_Disconnection_Complete_Event


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer: no waiting, and a busy machine changes nothing."""

    class Selector(selectors.DefaultSelector):
        now_s = 0.0

        def select(self, timeout=None):
            ready = super().select(0)
            if not ready and timeout:
                self.now_s += timeout
            return ready

    def __init__(self):
        self.clock = self.Selector()
        super().__init__(self.clock)

    def time(self):
        return self.clock.now_s


def radio_test(coroutine_function, loop_factory=VirtualTimeLoop):
    """Run a test coroutine, with a limit."""

    @functools.wraps(coroutine_function)
    def run(**arguments):
        async def limited():
            async with asyncio.timeout(LIMIT_S):
                await coroutine_function(**arguments)

        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(limited())

    return run


real_time_radio_test = functools.partial(radio_test, loop_factory=None)


class RawHost:
    """A host that sends what it is told to and keeps what it gets."""

    def __init__(self, radio, name, address):
        self.controller = radio.add_controller(name, address)
        self.controller.host = self
        self.received = []
        self.arrived = asyncio.Event()

    def on_packet(self, packet):
        self.received.append(hci.HCI_Packet.from_bytes(packet))
        self.arrived.set()

    def send(self, packet):
        self.controller.on_packet(bytes(packet))

    async def next(self, kind):
        """Wait for the next packet of a kind; what came before it is dropped."""
        while True:
            while self.received:
                packet = self.received.pop(0)
                if isinstance(packet, kind):
                    return packet
            self.arrived.clear()
            await self.arrived.wait()

    async def ask(self, command):
        """Send a command and wait for its return parameters."""
        self.send(command)
        return (await self.next(hci.HCI_Command_Complete_Event)).return_parameters

    async def status(self, command):
        self.send(command)
        return (await self.next(hci.HCI_Command_Status_Event)).status

    async def advertise(self, data=b"", scan_response=b"", interval=32, advertising_type=0):
        await self.ask(
            hci.HCI_LE_Set_Advertising_Parameters_Command(
                advertising_interval_min=interval,
                advertising_interval_max=interval,
                advertising_type=advertising_type,
                own_address_type=0,
                peer_address_type=0,
                peer_address=hci.Address.ANY,
                advertising_channel_map=7,
                advertising_filter_policy=0,
            )
        )
        await self.ask(hci.HCI_LE_Set_Advertising_Data_Command(data))
        await self.ask(hci.HCI_LE_Set_Scan_Response_Data_Command(scan_response))
        await self.ask(hci.HCI_LE_Set_Advertising_Enable_Command(1))

    async def scan(self, active=True, window=48, filter_duplicates=0):
        await self.ask(
            hci.HCI_LE_Set_Scan_Parameters_Command(
                le_scan_type=int(active),
                le_scan_interval=48,
                le_scan_window=window,
                own_address_type=0,
                scanning_filter_policy=0,
            )
        )
        await self.ask(hci.HCI_LE_Set_Scan_Enable_Command(1, filter_duplicates))

    def create_connection(self, peer=PERIPHERAL_ADDRESS, filter_policy=0):
        return hci.HCI_LE_Create_Connection_Command(
            le_scan_interval=48,
            le_scan_window=48,
            initiator_filter_policy=filter_policy,
            peer_address_type=0,
            peer_address=hci.Address(peer, hci.Address.PUBLIC_DEVICE_ADDRESS),
            own_address_type=0,
            connection_interval_min=24,
            connection_interval_max=40,
            max_latency=0,
            supervision_timeout=SUPERVISION_MS // 10,
            min_ce_length=0,
            max_ce_length=0,
        )

    def send_acl(self, handle, data, boundary=0):
        self.send(hci.HCI_AclDataPacket(handle, boundary, 0, len(data), data))

    def completed(self, handle, packets):
        """This host has done with `packets` from its controller."""
        op_code = hci.HCI_HOST_NUMBER_OF_COMPLETED_PACKETS_COMMAND
        self.send(struct.pack("<BHBBHH", hci.HCI_COMMAND_PACKET, op_code, 5, 1, handle, packets))


@asynccontextmanager
async def two_hosts(**settings):
    radio = VirtualRadio(RadioSettings(**settings))
    yield radio, RawHost(radio, "central", CENTRAL_ADDRESS), RawHost(radio, "peripheral", PERIPHERAL_ADDRESS)
    radio.close()
    assert radio.connections == []


async def connect(central, peripheral):
    await peripheral.advertise()
    assert await central.status(central.create_connection()) == hci.HCI_SUCCESS
    ends = [await host.next(ConnectionComplete) for host in (central, peripheral)]
    return [end.connection_handle for end in ends]


@asynccontextmanager
async def connected(**settings):
    async with two_hosts(**settings) as (radio, central, peripheral):
        handles = await connect(central, peripheral)
        yield radio, (central, handles[0]), (peripheral, handles[1])


@radio_test
async def test_scan_reports_advertisement_and_scan_response():
    async with two_hosts() as (_, central, peripheral):
        await peripheral.advertise(b"\x02\x01\x06", b"\x06\x09PicoA")
        await central.scan()
        reports = [(await central.next(AdvertisingReport)).reports[0] for _ in range(4)]
        assert [(report.event_type, report.data) for report in reports[:2]] == [
            (0, b"\x02\x01\x06"),
            (4, b"\x06\x09PicoA"),
        ]
        assert all(report.address.to_string(False) == PERIPHERAL_ADDRESS for report in reports)
        assert all(-80 < report.rssi < -30 for report in reports)


@radio_test
async def test_passive_scan_with_duplicates_filtered():
    async with two_hosts() as (_, central, peripheral):
        await central.scan(active=False, filter_duplicates=1)
        await peripheral.advertise(b"\x02\x01\x06")
        await central.next(AdvertisingReport)
        await asyncio.sleep(0.1)  # some advertisements more
        assert not [packet for packet in central.received if isinstance(packet, AdvertisingReport)]
        await central.scan(active=False, filter_duplicates=1)  # a new scan reports it again
        await central.next(AdvertisingReport)


@radio_test
async def test_no_advertisement_is_kept_for_a_host_that_does_not_read():
    async with two_hosts() as (_, central, peripheral):
        await central.scan()
        central.backlog = 1
        await peripheral.advertise()
        await asyncio.sleep(0.1)  # some advertisements
        assert not [packet for packet in central.received if isinstance(packet, AdvertisingReport)]
        central.backlog = 0
        await central.next(AdvertisingReport)


@radio_test
async def test_the_advertising_interval():
    async with two_hosts() as (_, central, peripheral):
        await central.scan()
        await peripheral.advertise(interval=1600)  # of 0.625 ms, and up to 10 ms of random delay
        await central.next(AdvertisingReport)
        pause_s = (
            peripheral.controller.le_legacy_advertiser.timer_handle.when() - asyncio.get_running_loop().time()
        )
        assert 0.5 < pause_s <= 1.01


@radio_test
async def test_an_advertisement_that_is_not_for_connecting():
    async with two_hosts() as (radio, central, peripheral):
        await central.scan()
        central.send(central.create_connection())
        await peripheral.advertise(b"\x02\x01\x04", b"\x02\x0a\x00", advertising_type=3)
        for _ in range(3):
            report = (await central.next(AdvertisingReport)).reports[0]
            assert (report.event_type, report.data) == (3, b"\x02\x01\x04")
        assert radio.connections == []


@radio_test
async def test_a_scan_window_catches_its_share():
    async with two_hosts() as (radio, _central, _peripheral):
        caught = sum(radio.hears(window=12, interval=48) for _ in range(4000))
        assert 900 < caught < 1100


@radio_test
async def test_out_of_range_no_one_is_seen():
    async with two_hosts() as (radio, central, peripheral):
        await peripheral.advertise()
        await central.scan()
        await central.next(AdvertisingReport)
        radio.in_range = False
        await asyncio.sleep(0)
        central.received.clear()
        await asyncio.sleep(0.1)
        assert central.received == []
        radio.in_range = True
        await central.next(AdvertisingReport)


@radio_test
async def test_both_hosts_hear_the_true_parameters():
    async with two_hosts(interval_ms=7.5, latency=2) as (_, central, peripheral):
        await peripheral.advertise()
        central.send(central.create_connection())
        for host, role, peer in ((central, 0, PERIPHERAL_ADDRESS), (peripheral, 1, CENTRAL_ADDRESS)):
            event = await host.next(ConnectionComplete)
            assert (event.status, event.role) == (hci.HCI_SUCCESS, role)
            assert event.peer_address.to_string(False) == peer
            assert (event.connection_interval, event.peripheral_latency) == (6, 2)
            assert event.supervision_timeout == SUPERVISION_MS // 10


@radio_test
async def test_the_supervision_timeout_suits_the_interval():
    async with two_hosts(interval_ms=100, latency=4) as (_, central, peripheral):
        await peripheral.advertise()
        central.send(central.create_connection())
        assert (await central.next(ConnectionComplete)).supervision_timeout == 101


@radio_test
async def test_the_peripheral_stops_advertising_when_connected():
    async with connected() as (radio, _, (peripheral, _)):
        assert not peripheral.controller.le_legacy_advertiser.enabled
        assert len(radio.connections) == 1


async def numbers(host, count):
    """The first octets of the next ACL packets."""
    return [(await host.next(hci.HCI_AclDataPacket)).data[0] for _ in range(count)]


async def events(radio, count):
    """Let connection events pass."""
    last = radio.statistics.events + count
    while radio.statistics.events < last:
        await asyncio.sleep(0.005)


@radio_test
async def test_acl_data_arrives_whole_and_is_completed():
    async with connected(interval_ms=7.5) as (_, (central, there), (peripheral, here)):
        central.send_acl(there, bytes(range(100)))
        central.send_acl(there, b"rest", boundary=1)
        first, rest = [await peripheral.next(hci.HCI_AclDataPacket) for _ in range(2)]
        assert (first.connection_handle, first.pb_flag, first.data) == (here, 2, bytes(range(100)))
        assert (rest.pb_flag, rest.data) == (1, b"rest")
        completed = 0
        while completed < 2:
            event = await central.next(hci.HCI_Number_Of_Completed_Packets_Event)
            assert event.connection_handles == [there]
            completed += event.num_completed_packets[0]
        assert completed == 2


@radio_test
async def test_data_is_not_completed_before_it_is_acknowledged():
    async with connected() as (radio, (central, there), (peripheral, _)):
        radio.in_range = False
        central.send_acl(there, b"waits")
        events = radio.statistics.events
        while radio.statistics.events < events + 4:
            await asyncio.sleep(0.005)
        assert central.received == peripheral.received == []
        radio.in_range = True
        await peripheral.next(hci.HCI_AclDataPacket)
        await central.next(hci.HCI_Number_Of_Completed_Packets_Event)


@radio_test
async def test_a_host_with_a_small_buffer_gets_small_packets():
    async with two_hosts() as (_, central, peripheral):
        await peripheral.ask(hci.HCI_Host_Buffer_Size_Command(64, 0, 4, 0))
        there, _ = await connect(central, peripheral)
        central.send_acl(there, bytes(range(150)))
        parts = [await peripheral.next(hci.HCI_AclDataPacket) for _ in range(3)]
        assert [(part.pb_flag, len(part.data)) for part in parts] == [(2, 64), (1, 64), (1, 22)]
        assert b"".join(part.data for part in parts) == bytes(range(150))


@radio_test
async def test_a_host_with_flow_control_gets_as_much_as_it_has_room_for():
    async with two_hosts(interval_ms=7.5) as (radio, central, peripheral):
        await peripheral.ask(hci.HCI_Host_Buffer_Size_Command(1021, 0, 3, 0))
        await peripheral.ask(hci.HCI_Set_Controller_To_Host_Flow_Control_Command(1))
        for _ in range(2):  # a disconnection gives all the room back
            there, here = await connect(central, peripheral)
            for number in range(8):
                central.send_acl(there, bytes([number]))
            assert await numbers(peripheral, 3) == [0, 1, 2]
            await events(radio, 5)
            assert peripheral.received == []
            peripheral.completed(here, 2)
            assert await numbers(peripheral, 2) == [3, 4]
            peripheral.completed(here, 0)
            peripheral.completed(here + 1, 3)  # of no connection
            await events(radio, 5)
            assert peripheral.received == []
            await central.status(hci.HCI_Disconnect_Command(there, reason=0x13))
            await peripheral.next(DisconnectionComplete)
            await central.next(DisconnectionComplete)


@radio_test
async def test_a_host_that_does_not_read_is_waited_for():
    async with connected(interval_ms=7.5) as (radio, (central, there), (peripheral, _)):
        peripheral.backlog = 1 << 20
        central.send_acl(there, b"waits")
        pdus = radio.statistics.data_pdus[0]
        while radio.statistics.data_pdus[0] < pdus + 5:
            await asyncio.sleep(0.005)
        assert peripheral.received == central.received == []
        peripheral.backlog = 0
        assert (await peripheral.next(hci.HCI_AclDataPacket)).data == b"waits"


@pytest.mark.parametrize("by", [0, 1])
@radio_test
async def test_disconnect(by):
    async with connected() as (radio, *ends):
        (host, handle), (peer, peer_handle) = ends[by], ends[1 - by]
        assert await host.status(hci.HCI_Disconnect_Command(handle, reason=0x13)) == hci.HCI_SUCCESS
        event = await peer.next(DisconnectionComplete)
        assert (event.connection_handle, event.reason) == (peer_handle, 0x13)
        event = await host.next(DisconnectionComplete)
        assert (event.connection_handle, event.reason) == (handle, 0x16)
        while radio.connections:
            await asyncio.sleep(0.001)
        handles = await connect(ends[0][0], ends[1][0])  # and again
        ends[0][0].send_acl(handles[0], b"again")
        assert (await ends[1][0].next(hci.HCI_AclDataPacket)).data == b"again"


@radio_test
async def test_both_hosts_disconnect_at_once():
    async with connected() as (radio, *ends):
        for host, handle in ends:
            host.send(hci.HCI_Disconnect_Command(handle, reason=0x13))
        for host, _ in ends:
            await host.next(DisconnectionComplete)
        while radio.connections:
            await asyncio.sleep(0.001)
        assert not [packet for host, _ in ends for packet in host.received]


@radio_test
async def test_out_of_range_ends_the_connection():
    async with connected() as (radio, *ends):
        await asyncio.sleep(0.05)
        radio.in_range = False
        begun = asyncio.get_running_loop().time()
        for host, handle in ends:
            event = await host.next(DisconnectionComplete)
            assert (event.connection_handle, event.reason) == (handle, hci.HCI_CONNECTION_TIMEOUT_ERROR)
        latency_ms = 5 * 15
        assert asyncio.get_running_loop().time() - begun > (SUPERVISION_MS - latency_ms) / 1000
        radio.in_range = True
        await connect(ends[0][0], ends[1][0])


@pytest.mark.parametrize("how", ["removed", "reset"])
@pytest.mark.parametrize("gone", [0, 1])
@radio_test
async def test_a_board_that_vanishes_is_noticed(gone, how):
    async with connected() as (radio, *ends):
        (host, _), (peer, peer_handle) = ends[gone], ends[1 - gone]
        if how == "removed":
            radio.remove_controller(host.controller)
        else:
            await host.ask(hci.HCI_Reset_Command())
        event = await peer.next(DisconnectionComplete)
        assert (event.connection_handle, event.reason) == (peer_handle, hci.HCI_CONNECTION_TIMEOUT_ERROR)
        assert not [packet for packet in host.received if isinstance(packet, DisconnectionComplete)]


@radio_test
async def test_a_removed_board_is_not_seen():
    async with two_hosts() as (radio, central, peripheral):
        await peripheral.advertise()
        await central.scan()
        await central.next(AdvertisingReport)
        radio.remove_controller(peripheral.controller)
        await asyncio.sleep(0)
        central.received.clear()
        await asyncio.sleep(0.1)
        assert central.received == []


@radio_test
async def test_a_restarted_central_connects_before_its_old_connection_is_missed():
    async with connected() as (radio, (central, _), (peripheral, old)):
        radio.remove_controller(central.controller)
        again = RawHost(radio, "central", CENTRAL_ADDRESS)
        there, here = await connect(again, peripheral)
        assert here != old
        event = await peripheral.next(DisconnectionComplete)
        assert (event.connection_handle, event.reason) == (old, hci.HCI_CONNECTION_TIMEOUT_ERROR)
        again.send_acl(there, b"new")
        packet = await peripheral.next(hci.HCI_AclDataPacket)
        assert (packet.connection_handle, packet.data) == (here, b"new")
        await peripheral.status(hci.HCI_Read_Remote_Version_Information_Command(here))
        await peripheral.next(hci.HCI_Read_Remote_Version_Information_Complete_Event)


@radio_test
async def test_cancelling_a_connection():
    async with two_hosts() as (_, central, peripheral):
        assert (await central.ask(hci.HCI_LE_Create_Connection_Cancel_Command())).status == 0x0C
        central.send(central.create_connection())
        assert (await central.ask(hci.HCI_LE_Create_Connection_Cancel_Command())).status == hci.HCI_SUCCESS
        assert (await central.next(ConnectionComplete)).status == 0x02
        await connect(central, peripheral)


@radio_test
async def test_commands_of_a_connection():
    async with connected(data_length=251, phy="2M") as (_, (central, there), (peripheral, here)):
        assert (await central.next(hci.HCI_LE_Data_Length_Change_Event)).max_tx_octets == 251
        assert (
            await central.ask(hci.HCI_LE_Set_Data_Length_Command(there, 251, 2120))
        ).status == hci.HCI_SUCCESS
        assert (await central.ask(hci.HCI_LE_Read_PHY_Command(there))).tx_phy == hci.Phy.LE_2M
        assert -80 < (await central.ask(hci.HCI_Read_RSSI_Command(there))).rssi < -30
        await central.status(hci.HCI_LE_Set_PHY_Command(there, 0, 1, 1, 0))
        assert (await central.next(hci.HCI_LE_PHY_Update_Complete_Event)).rx_phy == hci.Phy.LE_2M
        await peripheral.status(hci.HCI_Read_Remote_Version_Information_Command(here))
        version = await peripheral.next(hci.HCI_Read_Remote_Version_Information_Complete_Event)
        assert version.version == hci.HCI_VERSION_BLUETOOTH_CORE_5_2
        await central.status(hci.HCI_LE_Read_Remote_Features_Command(there))
        features = await central.next(hci.HCI_LE_Read_Remote_Features_Complete_Event)
        assert hci.LeFeatureMask(int.from_bytes(features.le_features, "little")) & hci.LeFeatureMask.LE_2M_PHY


@radio_test
async def test_a_connection_update_tells_both_hosts_the_truth():
    async with connected() as (_, (central, there), (peripheral, _)):
        await central.status(hci.HCI_LE_Connection_Update_Command(there, 80, 80, 0, 200, 0, 0))
        for host in (central, peripheral):
            event = await host.next(hci.HCI_LE_Connection_Update_Complete_Event)
            assert (event.connection_interval, event.peripheral_latency) == (12, 4)
            assert event.supervision_timeout == 200


@radio_test
async def test_commands_without_a_connection():
    async with two_hosts() as (_, central, _):
        no_such_connection = hci.HCI_UNKNOWN_CONNECTION_IDENTIFIER_ERROR
        assert await central.status(hci.HCI_Disconnect_Command(5, reason=0x13)) == no_such_connection
        assert (
            await central.status(hci.HCI_LE_Connection_Update_Command(5, 8, 8, 0, 9, 0, 0))
            == no_such_connection
        )
        assert (await central.ask(hci.HCI_Read_RSSI_Command(5))).status == no_such_connection
        assert (
            await central.ask(hci.HCI_LE_Set_Data_Length_Command(5, 27, 328))
        ).status == no_such_connection
        assert await central.status(central.create_connection(filter_policy=1)) == 0x11
        central.send_acl(5, b"to no one")
        await asyncio.sleep(0)
        assert central.received == []


@radio_test
async def test_vendor_and_unknown_commands_are_answered():
    async with two_hosts() as (_, central, _):
        for op_code in (0xFC09, vendor.HCI_Write_Tx_Power_Level_Command.op_code, 0x2078):
            central.send(struct.pack("<BHBB", hci.HCI_COMMAND_PACKET, op_code, 1, 0))
            answer = await central.next(hci.HCI_Command_Status_Event)
            assert (answer.command_opcode, answer.status) == (op_code, 0x01)


@radio_test
async def test_the_address_is_set_by_the_command_of_the_chips_vendor():
    async with two_hosts() as (_, central, _):
        central.send(bytes.fromhex("01 01fc 06 060504030228"))
        answer = await central.next(hci.HCI_Command_Complete_Event)
        assert bytes(answer) == bytes.fromhex("04 0e 04 01 01fc 00")
        address = await central.ask(hci.HCI_Read_BD_ADDR_Command())
        assert address.bd_addr.to_string(False) == "28:02:03:04:05:06"


@radio_test
async def test_all_packets_between_host_and_controller_can_be_tapped():
    async with two_hosts() as (radio, central, peripheral):
        seen = []
        radio.tap = lambda controller, packet, to_host: seen.append((controller.name, packet, to_host))
        handles = await connect(central, peripheral)
        central.send_acl(handles[0], b"data")
        await peripheral.next(hci.HCI_AclDataPacket)
        await central.next(hci.HCI_Number_Of_Completed_Packets_Event)
        assert ("peripheral", bytes.fromhex("010a20 01 01"), False) in seen  # advertise
        assert [(who, packet[0], to_host) for who, packet, to_host in seen][-3:] == [
            ("central", 2, False),
            ("peripheral", 2, True),
            ("central", 4, True),
        ]


@radio_test
async def test_le_encrypt():
    async with two_hosts() as (_, central, _):
        # FIPS 197, appendix C.1; HCI has the least significant octet first.
        key = bytes(range(16))[::-1]
        plain = bytes.fromhex("00112233445566778899aabbccddeeff")[::-1]
        central.send(hci.HCI_Command(key + plain, op_code=0x2017))
        answer = await central.next(hci.HCI_Command_Complete_Event)
        encrypted = bytes(answer)[-16:]
        assert encrypted[::-1] == bytes.fromhex("69c4e0d86a7b0430d8cdb78070b4c55a")


@radio_test
async def test_what_the_controller_says_of_itself():
    async with two_hosts() as (_, central, _):
        buffers = await central.ask(hci.HCI_LE_Read_Buffer_Size_Command())
        assert (buffers.le_acl_data_packet_length, buffers.total_num_le_acl_data_packets) == (251, 8)
        features = await central.ask(hci.HCI_LE_Read_Local_Supported_Features_Command())
        mask = hci.LeFeatureMask(int.from_bytes(features.le_features, "little"))
        assert not mask & hci.LeFeatureMask.LE_EXTENDED_ADVERTISING
        assert not mask & (hci.LeFeatureMask.LE_2M_PHY | hci.LeFeatureMask.LE_DATA_PACKET_LENGTH_EXTENSION)
        address = await central.ask(hci.HCI_Read_BD_ADDR_Command())
        assert address.bd_addr.to_string(False) == CENTRAL_ADDRESS


class Streamer:
    """Keeps the controller's buffers full with full-sized packets and counts what its peer sends."""

    def __init__(self, host, handle, sends):
        self.host, self.handle = host, handle
        self.received = 0
        host.controller.host = self
        if sends:
            for _ in range(8):
                self.send()

    def send(self):
        self.host.send_acl(self.handle, bytes(243))

    def on_packet(self, packet):
        if packet[0] == hci.HCI_ACL_DATA_PACKET:
            self.received += 1
        else:
            for _ in range(struct.unpack_from("<H", packet, 6)[0]):
                self.send()


@pytest.mark.parametrize(
    ("interval_ms", "data_length"), [(7.5, 27), (15, 27), (30, 27), (15, 251), (30, 251)]
)
@pytest.mark.parametrize("both_ways", [False, True])
@radio_test
async def test_throughput_is_what_the_air_allows(interval_ms, data_length, both_ways):
    async with connected(interval_ms=interval_ms, data_length=data_length) as (radio, *ends):
        streamers = [Streamer(*end, sends=both_ways or side == 0) for side, end in enumerate(ends)]
        await asyncio.sleep(0.5)
        statistics = radio.statistics
        events = statistics.events
        received = [streamer.received for streamer in streamers]
        await asyncio.sleep(3)
        seconds = (statistics.events - events) * interval_ms / 1000
        for side in (0, 1) if both_ways else (1,):
            expected = value_rate_in_events(radio.settings, 236, both_ways) * seconds
            assert streamers[side].received - received[side] == pytest.approx(expected, rel=0.01, abs=1)
        assert (statistics.late_events, seconds) == (0, pytest.approx(3, abs=0.04))
        for host, _ in ends:
            radio.remove_controller(host.controller)


@radio_test
async def test_late_events_are_counted_and_still_take_place():
    async with connected(latency=0) as (radio, (central, there), (peripheral, _)):
        await asyncio.sleep(1.0)
        events = radio.statistics.events
        central.send_acl(there, b"in time")
        asyncio.get_running_loop().clock.now_s += 0.15  # as if something had kept this process from its work
        await peripheral.next(hci.HCI_AclDataPacket)
        assert radio.statistics.events - events == 10
        assert radio.statistics.late_events == 9
        assert 135_000 < radio.statistics.worst_lateness_us < 150_000


async def bumble_device(radio, name, address):
    controller = radio.add_controller(name, address)
    device = Device(name=name, host=Host(controller, AsyncPipeSink(controller)))
    device.public_address = hci.Address(address, hci.Address.PUBLIC_DEVICE_ADDRESS)
    await device.power_on()
    return device


@radio_test
async def test_gatt_both_ways_between_bumble_hosts():
    radio = VirtualRadio(RadioSettings(loss=0.1))
    central = await bumble_device(radio, "central", CENTRAL_ADDRESS)
    peripheral = await bumble_device(radio, "peripheral", PERIPHERAL_ADDRESS)
    written, notified = [], []
    properties = gatt.Characteristic.Properties
    characteristic = gatt.Characteristic(
        "6E400001-0000-0000-0000-000000000000",
        properties.NOTIFY | properties.WRITE_WITHOUT_RESPONSE,
        gatt.Characteristic.WRITEABLE,
        gatt.CharacteristicValue(write=lambda _connection, value: written.append(value)),
    )
    peripheral.add_service(gatt.Service("6E400000-0000-0000-0000-000000000000", [characteristic]))
    await peripheral.start_advertising(own_address_type=hci.OwnAddressType.PUBLIC)
    connection = await central.connect(
        hci.Address(PERIPHERAL_ADDRESS, hci.Address.PUBLIC_DEVICE_ADDRESS),
        own_address_type=hci.OwnAddressType.PUBLIC,
    )
    peer = Peer(connection)
    assert await peer.request_mtu(247) == 247
    await peer.discover_all()
    [remote] = peer.get_characteristics_by_uuid(characteristic.uuid)
    await peer.subscribe(remote, notified.append)
    sent = [bytes([n]) * 236 for n in range(15)]
    for value in sent:
        await remote.write_value(value)
        await peripheral.notify_subscribers(characteristic, value)
    while len(written) < len(sent) or len(notified) < len(sent):
        await asyncio.sleep(0.01)
    assert written == notified == sent
    await connection.disconnect()
    radio.close()


@real_time_radio_test
async def test_hci_over_a_pseudo_terminal():
    async with two_hosts() as (radio, _, _):
        pty = HciPty(radio.add_controller("board", "F0:00:00:00:00:03"))
        device = os.open(pty.path, os.O_RDWR | os.O_NOCTTY)
        try:
            command = bytes(hci.HCI_Read_BD_ADDR_Command())
            for part in (command[:1], command[1:], command):  # in pieces and in one
                os.write(device, part)
                await asyncio.sleep(0)
            answer = b""
            while len(answer) < 2 * 13:
                answer += await asyncio.to_thread(os.read, device, 100)
            assert answer == 2 * bytes.fromhex("04 0e 0a 01 0910 00 0300000000f0")
        finally:
            os.close(device)
            pty.close()


@real_time_radio_test
async def test_a_host_that_leaves_its_terminal_unread_has_a_backlog():
    async with two_hosts() as (radio, _, _):
        pty = HciPty(radio.add_controller("board", "F0:00:00:00:00:03"))
        for _ in range(100):
            pty.on_packet(bytes(250))
        await asyncio.sleep(0.01)
        assert 2048 < pty.backlog < 25_000
        device = os.open(pty.path, os.O_RDWR | os.O_NOCTTY)
        octets = 0
        while octets < 25_000:
            octets += len(await asyncio.to_thread(os.read, device, 4096))
        assert pty.backlog == 0
        os.close(device)
        pty.close()


@real_time_radio_test
async def test_noise_from_a_host_is_survived():
    async with two_hosts() as (radio, _, _):
        pty = HciPty(radio.add_controller("board", "F0:00:00:00:00:03"))
        device = os.open(pty.path, os.O_RDWR | os.O_NOCTTY)
        os.write(device, b"\xff\xff\xff")
        await asyncio.sleep(0.01)
        os.write(device, bytes(hci.HCI_Reset_Command()))
        answer = await asyncio.to_thread(os.read, device, 100)
        assert answer == bytes.fromhex("04 0e 04 01 030c 00")
        os.close(device)
        pty.close()
