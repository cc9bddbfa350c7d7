"""One emulated board that advances in the time of a VirtualTimeLoop: lockstep.mjs, as a process."""

import contextlib
import json
import math
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from . import packages
from .errors import EmulatorError
from .firmware import MISS_CYCLES
from .virtual_time import VirtualTimeLoop


@dataclass(frozen=True)
class BoardOptions:
    """What a board is made of.

    firmware: UF2 file for the RP2040.  flash: file that keeps the flash contents; None: forgotten.
    number: from 1; addresses, the unique number and random numbers come from it.  seed: of random numbers.
    radio: has it a radio chip, as a Pico W has?
    miss_cycles: what a miss of the flash cache costs the CPU; 0: as if there were none.
    sample_cycles: after so many, look where the CPU is; 0: never.
    """

    firmware: Path
    number: int
    seed: int = 0
    radio: bool = True
    flash: Path | None = None
    miss_cycles: int = MISS_CYCLES
    sample_cycles: int = 0

    @property
    def mac(self) -> bytes:
        """The radio chip's address for Wi-Fi.  The one for Bluetooth is one more; a pair is two."""
        return bytes((0x28, 0xCD, 0xC1, 0, 0, 2 * self.number - 1))

    def for_process(self) -> str:
        """As lockstep.mjs takes them."""
        options = asdict(self) | {
            "firmware": str(self.firmware),
            "flash": self.flash and str(self.flash),
            "mac": [*self.mac],
            "uniqueId": [0xE6, 0x61, 0xA4, 0x10, 0, 0, 0, self.number],
            "seed": self.seed * 1009 + self.number,
            "missCycles": self.miss_cycles,
            "sampleCycles": self.sample_cycles,
        }
        return json.dumps(options)


class BoardProcess:
    """A participant in virtual time.  Off at first.

    tell: called with what happens, in the loop's time: tell(time in ns on the board, what, detail).  See
    lockstep_board.mjs.
        When its process has ended, the last thing is "died", and why.
    cycles, slept_ns, misses: of its CPU and its flash cache, as of the last run.
    samples: how often its CPU was seen at each address.
    Raises EmulatorError when it cannot start.
    """

    def __init__(
        self, loop: VirtualTimeLoop, options: BoardOptions, tell: Callable[[int, str, object], None]
    ) -> None:
        if not options.firmware.exists():
            raise EmulatorError(f"there is no firmware at {options.firmware}")
        self._loop = loop
        self._tell = tell
        self._stderr = tempfile.TemporaryFile(mode="w+")  # noqa: SIM115 (closed by close)
        command = [*packages.program("lockstep.mjs"), options.for_process()]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            start_new_session=True,  # Ctrl-C is for the process that started the boards
        )
        self._actions: list[list] = []  # for the next run
        self._first_action_ns = math.inf
        self._idle_until_ns = math.inf
        self._packets: list[tuple[int, int]] = []  # time and size of those on their way
        self._backlog = 0
        self.now_ns = 0
        self.cycles = self.slept_ns = self.misses = 0
        self.samples: Counter[int] = Counter()
        loop.participants.append(self)

    def close(self) -> None:
        """End the process."""
        if self in self._loop.participants:
            self._loop.participants.remove(self)
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()  # it ends with that
            self._process.wait()
            self._process.stdout.close()
            self._stderr.close()

    # -- what can be done to the board --------------------------------------------------------------------

    def power(self, on: bool) -> None:
        """Switch it on or off."""
        self._act("on" if on else "off")

    def freeze(self, frozen: bool) -> None:
        """Stop the processor where it is, or let it go on; everything else goes on."""
        self._act("freeze" if frozen else "thaw")

    def open_serial(self, is_open: bool) -> None:
        """Open or close the USB serial port."""
        self._act("open", is_open)

    def write_serial(self, data: bytes) -> None:
        """Bytes for the USB serial port."""
        self._act("write", data.decode("latin-1"))

    def send_hci(self, packet: bytes) -> None:
        """An HCI packet of the controller (H4)."""
        self._packets.append((self._loop.reaches_board_ns(), len(packet)))
        self._act("hci", packet.hex())

    @property
    def backlog(self) -> int:
        """Bytes of HCI packets that its host has not fetched, as far as is known now."""
        return self._backlog + sum(size for _, size in self._packets)

    def _act(self, action: str, *details: object) -> None:
        at_ns = self._loop.reaches_board_ns()
        self._first_action_ns = min(self._first_action_ns, at_ns)
        self._actions.append([action, at_ns, *details])

    # -- as a participant ---------------------------------------------------------------------------------

    def idle_until(self) -> float:
        return min(self._idle_until_ns, self._first_action_ns)

    def begin(self, to_ns: int) -> None:
        line = json.dumps([*self._actions, ["run", to_ns]]) + "\n"
        self._actions.clear()
        self._first_action_ns = math.inf
        with contextlib.suppress(BrokenPipeError):  # told by finish
            self._process.stdin.write(line.encode())
            self._process.stdin.flush()

    def finish(self) -> None:
        line = self._process.stdout.readline()
        if not line:
            self._loop.arrive(self.now_ns, self._tell, self.now_ns, "died", self._last_words())
            self.close()
            return
        answer = json.loads(line)
        self.now_ns = answer["now"]
        self._idle_until_ns = math.inf if answer["idleUntil"] is None else answer["idleUntil"]
        self.cycles, self.slept_ns, self.misses = answer["cycles"], answer["slept"], answer["misses"]
        self._backlog = answer["backlog"]
        self.samples.update(answer["samples"])
        self._packets = [packet for packet in self._packets if packet[0] > self.now_ns]
        for at_ns, what, detail in answer["happened"]:
            self._loop.arrive(at_ns, self._tell, at_ns, what, detail)

    def _last_words(self) -> str:
        self._process.wait()
        self._stderr.seek(0)
        return self._stderr.read().strip() or "no reason given"
