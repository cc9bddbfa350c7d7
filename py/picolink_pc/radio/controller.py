"""A Bluetooth LE controller for one virtual board: Bumble's, with what it lacks for real host stacks.

Section numbers are those of Bluetooth Core 5.4, Vol 4, Part E.
"""

import asyncio
import dataclasses
import secrets
import struct
from collections import Counter, deque
from typing import TYPE_CHECKING

from bumble import controller as bumble_controller
from bumble import crypto, hci, ll

from .air import pdu_us
from .connection import AirConnection, ConnectionEnd, VersionInd

if TYPE_CHECKING:
    from .virtual_radio import VirtualRadio

ACL_BUFFERS = 8
ACL_BUFFER_OCTETS = 251
"""What the Pico W's CYW43439 offers for LE, as BTstack's author found (pico-sdk issue 1342)."""

HOST_BACKLOG_LIMIT = 2048
"""Octets a host may leave unread before its controller takes no more data from the air."""

_VENDOR_OGF = 0x3F  # Vol 4, Part E, 5.4.1
_WRITE_BD_ADDR = 0xFC01  # of the CYW43439's vendor
_ADVERTISING_UNIT_S = 0.000625
_ADVERTISING_DELAY_S = 0.010  # at most, random, added to each interval (Vol 6, Part B, 4.4.2.2.1)

_EventType = hci.HCI_LE_Advertising_Report_Event.EventType
_SCANNABLE = (_EventType.ADV_IND, _EventType.ADV_SCAN_IND)
# Advertising_Type of LE_Set_Advertising_Parameters (7.8.5) and how it is reported (7.7.65.2).
_ADVERTISING_EVENTS = {0: _EventType.ADV_IND, 2: _EventType.ADV_SCAN_IND, 3: _EventType.ADV_NONCONN_IND}


@dataclasses.dataclass
class LeEncryptReturnParameters(hci.HCI_StatusReturnParameters):
    """Answer to the LE Encrypt command."""

    encrypted_data: bytes = dataclasses.field(metadata=hci.metadata(16))


@hci.HCI_SyncCommand.sync_command(LeEncryptReturnParameters)
@dataclasses.dataclass
class HCI_LE_Encrypt_Command(hci.HCI_SyncCommand[LeEncryptReturnParameters]):  # noqa: N801 (Bumble goes by it)
    """7.8.22 LE Encrypt command; octets in HCI's order, least significant first."""

    key: bytes = dataclasses.field(metadata=hci.metadata(16))
    plaintext_data: bytes = dataclasses.field(metadata=hci.metadata(16))


@dataclasses.dataclass
class Advertisement:
    """One advertising event of a controller, with the answer a scan request would get."""

    controller: "RadioController"
    address: hci.Address
    event_type: int
    data: bytes
    scan_response: bytes


class Advertiser(bumble_controller.LegacyAdvertiser):
    """Legacy advertising at the pace and with the contents that the host has set."""

    def _on_timer_fired(self) -> None:
        radio = self.controller.radio
        delay = (
            self.advertising_interval_min * _ADVERTISING_UNIT_S + radio.random.random() * _ADVERTISING_DELAY_S
        )
        self.timer_handle = asyncio.get_running_loop().call_later(delay, self._on_timer_fired)
        event_type = _ADVERTISING_EVENTS.get(self.advertising_type)
        if event_type is not None:
            advertisement = Advertisement(
                self.controller, self.address, event_type, self.advertising_data, self.scan_response_data
            )
            radio.advertise(advertisement)


class RadioController(bumble_controller.Controller):
    """Made by VirtualRadio.add_controller.

    The host's HCI packets (H4, with the type octet) go to `on_packet`; the controller's go to
    `host.on_packet`.  If the host has an attribute `backlog` (octets it has not taken yet), the controller
    accepts no data from the air while that is high, as a real one does when its buffers are full.  It keeps
    no advertisement for a host that has not taken what came before.
    """

    hci_version = hci.HCI_VERSION_BLUETOOTH_CORE_5_2  # of the CYW43439
    lmp_version = hci.HCI_VERSION_BLUETOOTH_CORE_5_2
    le_acl_data_packet_length = ACL_BUFFER_OCTETS
    total_num_le_acl_data_packets = ACL_BUFFERS
    acl_data_packet_length = ACL_BUFFER_OCTETS
    total_num_acl_data_packets = ACL_BUFFERS

    def __init__(self, radio: "VirtualRadio", name: str, public_address: str | hci.Address):
        super().__init__(name, public_address=public_address)
        self.radio = radio
        self.le_legacy_advertiser = Advertiser(self)
        settings = radio.settings
        features = hci.LeFeatureMask
        self.le_features = (
            features.LE_ENCRYPTION
            | features.CONNECTION_PARAMETERS_REQUEST_PROCEDURE
            | features.EXTENDED_REJECT_INDICATION
            | features.PERIPHERAL_INITIATED_FEATURE_EXCHANGE
        )
        if settings.data_length > 27:
            self.le_features |= features.LE_DATA_PACKET_LENGTH_EXTENSION
        if settings.phy == "2M":
            self.le_features |= features.LE_2M_PHY
        self.phy = hci.Phy.LE_2M if settings.phy == "2M" else hci.Phy.LE_1M
        self.supported_max_tx_octets = self.supported_max_rx_octets = settings.data_length
        self.supported_max_tx_time = self.supported_max_rx_time = pdu_us(settings.data_length, settings.phy)
        self.supported_commands = {
            op_code
            for op_code in bumble_controller.Controller.supported_commands
            if self._handles(hci.HCI_Command.command_name(op_code))
        }
        self._forget_host()

    def _forget_host(self) -> None:
        self._ends: dict[int, ConnectionEnd] = {}
        self._reported: set[tuple[hci.Address, int]] = set()  # advertisements of the present scan
        self._host_acl_octets = self._host_acl_packets = 0xFFFF
        self._flow_control = False
        self._at_host: Counter[int] = Counter()  # ACL packets that the host has not done with, by handle
        self._for_host: deque[tuple[int, bytes]] = deque()  # handle and ACL packet, waiting for room there

    def _handles(self, command_name: str) -> bool:
        return hasattr(self, f"on_{command_name.lower()}")

    # Between host and controller.

    def on_packet(self, packet: bytes) -> None:
        """A packet from the host."""
        if self.radio.tap:
            self.radio.tap(self, packet, False)
        if packet[0] == hci.HCI_ACL_DATA_PACKET:
            self._on_acl(packet)
        elif packet[0] == hci.HCI_COMMAND_PACKET and packet[2] >> 2 == _VENDOR_OGF:
            self._on_vendor_command(int.from_bytes(packet[1:3], "little"), packet[4:])
        else:
            super().on_packet(packet)

    def _on_vendor_command(self, op_code: int, parameters: bytes) -> None:
        # Not parsed by Bumble: it knows some vendors' commands, others have others under these numbers.
        if op_code == _WRITE_BD_ADDR and len(parameters) == 6:
            self.public_address = hci.Address(parameters, hci.Address.PUBLIC_DEVICE_ADDRESS)
            done = struct.pack("<BBBBHB", hci.HCI_EVENT_PACKET, 0x0E, 4, 1, op_code, hci.HCI_SUCCESS)
            self._send_to_host(done)
        else:
            self._send_hci_command_status(hci.HCI_ErrorCode.UNKNOWN_HCI_COMMAND_ERROR, op_code)

    def _on_acl(self, packet: bytes) -> None:
        # Not through hci.HCI_AclDataPacket: there may be hundreds a second.
        (handle_flags,) = struct.unpack_from("<H", packet, 1)
        end = self._ends.get(handle_flags & 0x0FFF)
        if end is None:
            return  # the host had not heard of the disconnection yet
        end.send_acl(handle_flags >> 12 & 3, packet[5:])
        if end.packets_held > ACL_BUFFERS:
            raise RuntimeError(
                f"host of {self.name}: {end.packets_held} ACL packets sent, {ACL_BUFFERS} buffers offered"
            )

    def send_hci_packet(self, packet: hci.HCI_Packet) -> None:
        """A packet for the host."""
        self._send_to_host(bytes(packet))

    def _send_to_host(self, packet: bytes) -> None:
        if self.hci_sink:
            if self.radio.tap:
                self.radio.tap(self, packet, True)
            asyncio.get_running_loop().call_soon(self.hci_sink.on_packet, packet)

    @property
    def _host_backlog(self) -> int:
        """Octets that the host has not taken yet."""
        return getattr(self.hci_sink, "backlog", 0)

    @property
    def host_has_room(self) -> bool:
        """Does the host take data at present?"""
        return not self._for_host and self._host_backlog < HOST_BACKLOG_LIMIT

    def on_hci_command_packet(self, command: hci.HCI_Command) -> None:
        """An unknown command is answered, also a vendor's: a host may wait for it."""
        if self._handles(command.name):
            super().on_hci_command_packet(command)
        else:
            self._send_hci_command_status(hci.HCI_ErrorCode.UNKNOWN_HCI_COMMAND_ERROR, command.op_code)

    def report_acl(self, end: ConnectionEnd, boundary: int, data: bytes) -> None:
        """ACL data has arrived from the air."""
        # A first packet is "non-flushable" (0) on its way to the controller, "flushable" (2) from it (5.4.2).
        continuation = hci.HCI_ACL_PB_CONTINUATION
        flag = continuation if boundary == continuation else hci.HCI_ACL_PB_FIRST_FLUSHABLE
        for start in range(0, len(data), self._host_acl_octets):
            part = data[start : start + self._host_acl_octets]
            header = struct.pack("<BHH", hci.HCI_ACL_DATA_PACKET, end.handle | flag << 12, len(part))
            self._for_host.append((end.handle, header + part))
            flag = continuation
        self._hand_over()

    def _hand_over(self) -> None:
        """Give the host what waits for it, as far as its flow control allows (4.1.2)."""
        while self._for_host:
            if self._flow_control:
                if self._at_host.total() >= self._host_acl_packets:
                    return
                self._at_host[self._for_host[0][0]] += 1
            self._send_to_host(self._for_host.popleft()[1])

    def report_completed(self, end: ConnectionEnd, packets: int) -> None:
        """The peer has acknowledged `packets` of the host's ACL packets (7.7.19)."""
        self._send_to_host(struct.pack("<BBBBHH", hci.HCI_EVENT_PACKET, 0x13, 5, 1, end.handle, packets))

    def silence(self) -> None:
        """Stop advertising, scanning and initiating, and leave every connection without a word."""
        self.le_legacy_advertiser.stop()
        self.le_scan_enable = False
        self.pending_le_connection = None
        for end in list(self._ends.values()):
            end.air.leave(end.side)
        self.le_connections.clear()
        self._forget_host()

    def on_hci_reset_command(self, command: hci.HCI_Reset_Command) -> hci.HCI_StatusReturnParameters:
        """7.3.2 Reset command."""
        self.silence()
        return super().on_hci_reset_command(command)

    def on_hci_host_buffer_size_command(
        self, command: hci.HCI_Host_Buffer_Size_Command
    ) -> hci.HCI_StatusReturnParameters:
        """7.3.39 Host Buffer Size command."""
        self._host_acl_octets = command.host_acl_data_packet_length
        self._host_acl_packets = command.host_total_num_acl_data_packets
        return hci.HCI_StatusReturnParameters(hci.HCI_ErrorCode.SUCCESS)

    def on_hci_set_controller_to_host_flow_control_command(
        self, command: hci.HCI_Set_Controller_To_Host_Flow_Control_Command
    ) -> hci.HCI_StatusReturnParameters:
        """7.3.38 Set Controller To Host Flow Control command; bit 0 is for ACL data."""
        self._flow_control = bool(command.flow_control_enable & 1)
        return hci.HCI_StatusReturnParameters(hci.HCI_ErrorCode.SUCCESS)

    def on_hci_host_number_of_completed_packets_command(self, command: hci.HCI_Command) -> None:
        """7.3.40 Host Number Of Completed Packets command; there is no answer to it."""
        parameters = command.parameters
        pairs = struct.iter_unpack("<HH", parameters[1:]) if len(parameters) % 4 == 1 else ()
        for handle, packets in pairs:
            self._at_host[handle] = max(0, self._at_host[handle] - packets)
        self._hand_over()

    def on_hci_le_rand_command(self, _command: hci.HCI_LE_Rand_Command) -> hci.HCI_LE_Rand_ReturnParameters:
        """7.8.23 LE Rand command (Bumble's fails once in 2^64)."""
        return hci.HCI_LE_Rand_ReturnParameters(hci.HCI_ErrorCode.SUCCESS, secrets.token_bytes(8))

    def on_hci_le_encrypt_command(self, command: HCI_LE_Encrypt_Command) -> LeEncryptReturnParameters:
        """7.8.22 LE Encrypt command."""
        encrypted = crypto.e(command.key, command.plaintext_data)
        return LeEncryptReturnParameters(hci.HCI_ErrorCode.SUCCESS, encrypted)

    # Advertising and scanning.

    def on_hci_le_set_scan_enable_command(
        self, command: hci.HCI_LE_Set_Scan_Enable_Command
    ) -> hci.HCI_StatusReturnParameters:
        """7.8.11 LE Set Scan Enable command."""
        self._reported.clear()
        return super().on_hci_le_set_scan_enable_command(command)

    def on_advertisement(self, advertisement: Advertisement) -> None:
        """Another controller advertises: report it if scanning, answer it if connecting to that peer."""
        scans = self.le_scan_enable and not self._host_backlog
        if scans and self.radio.hears(self.le_scan_window, self.le_scan_interval):
            self._report_advertisement(advertisement, advertisement.event_type, advertisement.data)
            if self.le_scan_type == 1 and advertisement.event_type in _SCANNABLE:
                self._report_advertisement(advertisement, _EventType.SCAN_RSP, advertisement.scan_response)
        pending = self.pending_le_connection
        if (
            pending
            and advertisement.event_type == _EventType.ADV_IND
            and advertisement.address == pending.peer_address
            and self.radio.hears(pending.le_scan_window, pending.le_scan_interval)
        ):
            self._connect(advertisement)

    def _report_advertisement(self, advertisement: Advertisement, event_type: int, data: bytes) -> None:
        key = (advertisement.address, event_type)
        if self.filter_duplicates and key in self._reported:
            return
        self._reported.add(key)
        report = hci.HCI_LE_Advertising_Report_Event.Report(
            event_type=event_type,
            address_type=advertisement.address.address_type,
            address=advertisement.address,
            data=data,
            rssi=self.radio.rssi_dbm(),
        )
        self.send_hci_packet(hci.HCI_LE_Advertising_Report_Event([report]))

    # Connections.

    def on_hci_le_create_connection_command(self, command: hci.HCI_LE_Create_Connection_Command) -> None:
        """7.8.12 LE Create Connection command; by address only, the filter accept list is not modelled."""
        if command.initiator_filter_policy:
            self._send_hci_command_status(
                hci.HCI_ErrorCode.UNSUPPORTED_FEATURE_OR_PARAMETER_VALUE_ERROR, command.op_code
            )
        else:
            super().on_hci_le_create_connection_command(command)

    def on_hci_le_create_connection_cancel_command(
        self, _command: hci.HCI_LE_Create_Connection_Cancel_Command
    ) -> hci.HCI_StatusReturnParameters:
        """7.8.13 LE Create Connection Cancel command."""
        if self.pending_le_connection is None:
            return hci.HCI_StatusReturnParameters(hci.HCI_ErrorCode.COMMAND_DISALLOWED_ERROR)
        self.pending_le_connection = None
        # After the answer to this command.
        asyncio.get_running_loop().call_soon(
            self._report_connection, hci.HCI_ErrorCode.UNKNOWN_CONNECTION_IDENTIFIER_ERROR, None
        )
        return hci.HCI_StatusReturnParameters(hci.HCI_ErrorCode.SUCCESS)

    def _connect(self, advertisement: Advertisement) -> None:
        """This controller, the central, answers the advertisement with a request to connect."""
        pending = self.pending_le_connection
        self.pending_le_connection = None
        public = pending.own_address_type == hci.OwnAddressType.PUBLIC
        air = self.radio.connect(
            (self, advertisement.controller),
            (self.public_address if public else self.random_address, advertisement.address),
            pending.supervision_timeout * 10,
        )
        advertisement.controller.le_legacy_advertiser.stop()
        for end in air.ends:
            end.controller.on_connected(end)

    def allocate_connection_handle(self) -> int:
        """A handle that no connection has."""
        return next(handle for handle in range(1, 0x0F00) if handle not in self._ends)

    def on_connected(self, end: ConnectionEnd) -> None:
        """A connection of this controller has come about."""
        self._ends[end.handle] = end
        self.le_connections[end.peer_address] = end
        self._report_connection(hci.HCI_ErrorCode.SUCCESS, end)
        if self.radio.settings.data_length > 27:
            self._report_data_length(end)

    def _parameters(self, air: AirConnection) -> tuple[int, int, int]:
        """Interval (1.25 ms), latency (events), supervision timeout (10 ms) as HCI events have them."""
        settings = self.radio.settings
        return (
            round(settings.interval_ms / 1.25),
            settings.latency,
            air.layer.supervision_timeout_us // 10_000,
        )

    def _report_connection(self, status: int, end: ConnectionEnd | None) -> None:
        interval, latency, timeout = self._parameters(end.air) if end else (0, 0, 0)
        peer = end.peer_address if end else hci.Address.ANY
        self.send_hci_packet(
            hci.HCI_LE_Connection_Complete_Event(
                status=status,
                connection_handle=end.handle if end else 0,
                role=end.role if end else hci.Role.CENTRAL,
                peer_address_type=peer.address_type,
                peer_address=peer,
                connection_interval=interval,
                peripheral_latency=latency,
                supervision_timeout=timeout,
                central_clock_accuracy=0,
            )
        )

    def on_hci_disconnect_command(self, command: hci.HCI_Disconnect_Command) -> None:
        """7.1.6 Disconnect command: the host hears of it when the peer has acknowledged, or is not there."""
        if end := self._known(command.connection_handle, command):
            end.terminate(command.reason)

    def on_le_disconnected(self, connection: ConnectionEnd, reason: int) -> None:
        """A connection is over; data on its way to or from the host is gone with it."""
        del self._ends[connection.handle]
        self._at_host.pop(connection.handle, None)
        self._for_host = deque(waits for waits in self._for_host if waits[0] != connection.handle)
        self._hand_over()
        if self.le_connections.get(connection.peer_address) is connection:  # and not the peer's next one
            del self.le_connections[connection.peer_address]
        self.send_hci_packet(
            hci.HCI_Disconnection_Complete_Event(
                status=hci.HCI_ErrorCode.SUCCESS, connection_handle=connection.handle, reason=reason
            )
        )

    def _known(self, handle: int, command: hci.HCI_Command) -> ConnectionEnd | None:
        """The connection with this handle; answers the command with a status either way."""
        end = self._ends.get(handle)
        unknown = hci.HCI_ErrorCode.UNKNOWN_CONNECTION_IDENTIFIER_ERROR
        self._send_hci_command_status(hci.HCI_COMMAND_STATUS_PENDING if end else unknown, command.op_code)
        return end

    def on_hci_le_connection_update_command(self, command: hci.HCI_LE_Connection_Update_Command) -> None:
        """7.8.18 LE Connection Update command: the supervision timeout changes, the rest is the radio's."""
        if end := self._known(command.connection_handle, command):
            end.air.layer.set_supervision_timeout(command.supervision_timeout * 10)
            end.send_ll_control_pdu(ll.ConnectionUpdateInd(*self._parameters(end.air)))

    def on_control_acknowledged(self, end: ConnectionEnd, packet: ll.ControlPdu) -> None:
        """The peer's link layer has an LL control PDU of this one."""
        if isinstance(packet, ll.ConnectionUpdateInd):
            self.send_hci_packet(
                hci.HCI_LE_Connection_Update_Complete_Event(
                    status=hci.HCI_ErrorCode.SUCCESS,
                    connection_handle=end.handle,
                    connection_interval=packet.interval,
                    peripheral_latency=packet.latency,
                    supervision_timeout=packet.timeout,
                )
            )

    def on_ll_control_pdu(self, sender_address: hci.Address, packet: ll.ControlPdu) -> None:
        """An LL control PDU has arrived."""
        if not isinstance(packet, VersionInd):
            super().on_ll_control_pdu(sender_address, packet)
            return
        end = self.le_connections[sender_address]
        if packet.wants_answer:
            end.send_ll_control_pdu(self._version_ind(wants_answer=False))
        else:
            self.send_hci_packet(
                hci.HCI_Read_Remote_Version_Information_Complete_Event(
                    status=hci.HCI_ErrorCode.SUCCESS,
                    connection_handle=end.handle,
                    version=packet.version,
                    manufacturer_name=packet.company,
                    subversion=packet.subversion,
                )
            )

    def _version_ind(self, wants_answer: bool) -> VersionInd:
        return VersionInd(
            self.lmp_version, self.manufacturer_company_identifier, self.lmp_subversion, wants_answer
        )

    def on_hci_read_remote_version_information_command(
        self, command: hci.HCI_Read_Remote_Version_Information_Command
    ) -> None:
        """7.1.23 Read Remote Version Information command."""
        if end := self._known(command.connection_handle, command):
            end.send_ll_control_pdu(self._version_ind(wants_answer=True))

    def on_hci_read_rssi_command(
        self, command: hci.HCI_Read_RSSI_Command
    ) -> hci.HCI_Read_RSSI_ReturnParameters:
        """7.5.4 Read RSSI command."""
        known = command.handle in self._ends
        status = hci.HCI_ErrorCode.SUCCESS if known else hci.HCI_ErrorCode.UNKNOWN_CONNECTION_IDENTIFIER_ERROR
        return hci.HCI_Read_RSSI_ReturnParameters(status, command.handle, self.radio.rssi_dbm())

    def on_hci_le_set_data_length_command(
        self, command: hci.HCI_LE_Set_Data_Length_Command
    ) -> hci.HCI_StatusAndConnectionHandleReturnParameters:
        """7.8.33 LE Set Data Length command: accepted; the radio's data length stays."""
        known = command.connection_handle in self._ends
        status = hci.HCI_ErrorCode.SUCCESS if known else hci.HCI_ErrorCode.UNKNOWN_CONNECTION_IDENTIFIER_ERROR
        return hci.HCI_StatusAndConnectionHandleReturnParameters(status, command.connection_handle)

    def _report_data_length(self, end: ConnectionEnd) -> None:
        self.send_hci_packet(
            hci.HCI_LE_Data_Length_Change_Event(
                connection_handle=end.handle,
                max_tx_octets=self.supported_max_tx_octets,
                max_tx_time=self.supported_max_tx_time,
                max_rx_octets=self.supported_max_rx_octets,
                max_rx_time=self.supported_max_rx_time,
            )
        )

    def on_hci_le_read_phy_command(
        self, command: hci.HCI_LE_Read_PHY_Command
    ) -> hci.HCI_LE_Read_PHY_ReturnParameters:
        """7.8.47 LE Read PHY command."""
        return hci.HCI_LE_Read_PHY_ReturnParameters(
            hci.HCI_ErrorCode.SUCCESS, command.connection_handle, tx_phy=self.phy, rx_phy=self.phy
        )

    def on_hci_le_set_phy_command(self, command: hci.HCI_LE_Set_PHY_Command) -> None:
        """7.8.49 LE Set PHY command: accepted; the radio's PHY stays, and the host is told so."""
        if end := self._known(command.connection_handle, command):
            self.send_hci_packet(
                hci.HCI_LE_PHY_Update_Complete_Event(
                    status=hci.HCI_ErrorCode.SUCCESS,
                    connection_handle=end.handle,
                    tx_phy=self.phy,
                    rx_phy=self.phy,
                )
            )
