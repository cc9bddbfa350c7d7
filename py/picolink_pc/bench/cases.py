"""One case of `picolink bench sweep`: two boards on a radio, simulated in virtual time."""

from dataclasses import dataclass, field

from ..radio.air import RadioSettings, record_octets
from ..simulation import air_time
from ..simulation.board import NO_TRAFFIC, Traffic
from ..simulation.engines import engines
from ..simulation.faults import PacketFaults
from ..simulation.simulation import CENTRAL_TO_PERIPHERAL, PERIPHERAL_TO_CENTRAL, Flow, Setup, Simulation
from . import cycles

ENGINES = ("native", "python")
WAYS = {
    "to central": (PERIPHERAL_TO_CENTRAL,),
    "to peripheral": (CENTRAL_TO_PERIPHERAL,),
    "both at once": (CENTRAL_TO_PERIPHERAL, PERIPHERAL_TO_CENTRAL),
}
LEAST_BYTES = 6
"""Of a message: the simulation numbers them."""

_SETTLE_S = 0.7
_IDLE_PER_SECOND = 5


@dataclass(frozen=True)
class Case:
    """What is simulated, besides the engine and the way; the same on both boards.

    size: bytes of a message.   window, ring: bytes; both rings are as large.
    lost_packets: share of the packets that are lost above the radio; a tenth as many are damaged.
    """

    radio: RadioSettings = field(default_factory=RadioSettings)
    size: int = 18
    window: int = 4096
    ring: int = 8192
    lost_packets: float = 0.0

    @property
    def possible(self) -> bool:
        """Whether a message fits the rings."""
        return record_octets(self.size) <= self.ring


@dataclass(frozen=True)
class Job:
    """One simulation.

    way: as in WAYS, at full speed; None: both ways, a message now and then.
    seconds: measured, of virtual time.
    """

    case: Case
    engine: str
    way: str | None
    seconds: float


@dataclass(frozen=True)
class Outcome:
    """What came of a job.

    flows: by direction.   cpu: share of an RP2040's time, the central's and the peripheral's.
    air: share of the time by purpose (simulation/air_time.py).
    """

    flows: tuple[Flow, Flow]
    cpu: tuple[float, float]
    air: dict[str, float]


def simulate(job: Job) -> Outcome:
    """Run one simulation; the same job always has the same outcome."""
    case = job.case
    if job.way is None:
        traffic = (Traffic(case.size, per_second=_IDLE_PER_SECOND),) * 2
    else:
        full = Traffic(case.size)
        traffic = tuple(full if direction in WAYS[job.way] else NO_TRAFFIC for direction in (0, 1))
    rings = {"tx_size": case.ring, "rx_size": case.ring, "window": case.window}
    calls = cycles.calls(cycles.load()[job.engine], case.size)
    setup = Setup(
        radio=case.radio,
        rings=(rings, rings),
        traffic=traffic,
        costs=(calls, calls),
        reconnect_ms=0,
        seed=case.radio.seed,
    )
    simulation = Simulation(engines(job.engine, case.radio.seed), setup)
    simulation.faults = PacketFaults(lost=case.lost_packets, corrupted=case.lost_packets / 10)
    simulation.connect()
    simulation.run(_SETTLE_S)
    simulation.measure()
    simulation.run(job.seconds)
    return Outcome(
        (simulation.flow(0), simulation.flow(1)),
        (simulation.cpu_use(0), simulation.cpu_use(1)),
        simulation.air_use(),
    )


AIR = {
    "messages": "messages",
    "records": "record headers",
    air_time.PACKETS: "packet header, CRC",
    air_time.ATT: "ATT, L2CAP",
    air_time.PDUS: "PDU headers, pauses",
    air_time.ALONE: "acks alone",
    air_time.AGAIN: "sent again by picolink",
    air_time.REPEATED: "repeated by the radio",
    air_time.EMPTY: "empty PDUs",
    air_time.UNUSED: "unused",
}
"""Uses of the air in the order of pictures and tables: key -> name."""


def air_parts(outcome: Outcome, size: int) -> dict[str, float]:
    """What the air was used for, as AIR: percent of the time."""
    parts = {purpose: 100 * share for purpose, share in outcome.air.items()}
    stream = parts.pop(air_time.STREAM)
    messages = stream * size / record_octets(size)
    return {"messages": messages, "records": stream - messages} | parts


Outcomes = dict[Job, Outcome]
