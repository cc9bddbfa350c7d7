"""HCI packets in files for Wireshark, read back by the description of their format."""

import datetime
import struct
from pathlib import Path

import pytest
from click.testing import CliRunner
from picolink_pc.run import run

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[1] / "examples"
COMMAND, ACL, EVENT = 1, 2, 4


def records(path):
    """(seconds since 1970, to the host?, HCI packet) of each record."""
    content = path.read_bytes()
    assert content[:16] == b"btsnoop\0" + struct.pack(">II", 1, 1002)
    at = 16
    found = []
    while at < len(content):
        length, stored, flags, lost, us = struct.unpack_from(">IIIIq", content, at)
        packet = content[at + 24 : at + 24 + stored]
        assert (length, lost) == (stored, 0)
        assert len(packet) == stored
        assert bool(flags & 2) == (packet[0] != ACL)  # command or event
        year_0 = us / 1e6 - 62168256000  # 1970 is 719,540 days after its year 0
        found.append((year_0, bool(flags & 1), packet))
        at += 24 + stored
    return found


def test_run_writes_the_packets_of_each_board_to_a_file_of_its_own(tmp_path):
    programs = [str(EXAMPLES / f"pico_{letter}.py") for letter in "ab"]
    before = datetime.datetime.now().timestamp()
    outcome = CliRunner().invoke(
        run, ["--seconds", "4", "--capture", str(tmp_path / "air.btsnoop"), *programs]
    )
    after = datetime.datetime.now().timestamp()
    assert outcome.exit_code == 0, outcome.output
    assert {file.name for file in tmp_path.iterdir()} == {"air-pico_a.btsnoop", "air-pico_b.btsnoop"}
    for name, said in (("a", b"Hello from Pico B"), ("b", b"Hello from Pico A")):
        found = records(tmp_path / f"air-pico_{name}.btsnoop")
        times = [time for time, _, _ in found]
        assert times == sorted(times)
        assert before <= times[0] <= times[-1] <= after
        assert {(to_host, packet[0]) for _, to_host, packet in found} == {
            (False, COMMAND),
            (True, EVENT),
            (False, ACL),
            (True, ACL),
        }
        assert said in b"".join(packet for _, to_host, packet in found if to_host and packet[0] == ACL)
