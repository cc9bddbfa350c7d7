"""One run full of faults, and whether every promise of docs/protocol.md was kept."""

import random
from dataclasses import dataclass

from picolink_pc.radio.air import RadioSettings

from .board import Traffic
from .faults import NO_FAULTS, PacketFaults
from .simulation import Setup, Simulation

_TICKS_END = 1 << 30


@dataclass(frozen=True)
class Outcome:
    """errors: the promises broken, a line each.   The rest counts what happened."""

    seed: int
    errors: list[str]
    messages: int
    drops: int
    restarts: int
    freezes: int
    virtual_seconds: float


def play(engines: tuple[type, type], seed: int, restarts: bool = True) -> Outcome:
    """A run that `seed` (int) alone decides: radio, rings, messages, faults, and when they strike.

    engines: classes with the interface of picolink.pyengine.Engine.   restarts: may boards lose their memory?
    """
    rng = random.Random(seed)
    simulation = Simulation(engines, _setup(rng))
    simulation.connect()
    drops = lost_memories = freezes = 0
    for _ in range(rng.randrange(3, 12)):
        simulation.faults = _faults(rng)
        simulation.run(rng.choice((0.001, 0.02, 0.1, 0.5, 2.0)) * rng.random() + 0.3 * rng.randrange(2))
        side = rng.randrange(2)
        board = simulation.boards[side]
        strike = rng.choice(("drop", "restart" if restarts else "drop", "freeze", "slow reader", "nothing"))
        if strike == "drop":
            simulation.drop()
            drops += 1
        elif strike == "restart":
            simulation.restart(side)
            lost_memories += 1
        elif strike == "freeze":
            board.freeze(simulation.scheduler.now_us + rng.randrange(3_000_000))
            freezes += 1
        elif strike == "slow reader":
            board.read_every_us = rng.choice((0, 1_000, 30_000))
    simulation.faults = NO_FAULTS
    for board in simulation.boards:
        board.read_every_us = 0
    errors = [] if simulation.drain(120) else ["not everything had arrived after 120 s"]
    return Outcome(
        seed,
        errors + simulation.broken_promises(),
        sum(board.received.messages for board in simulation.boards),
        drops,
        lost_memories,
        freezes,
        simulation.scheduler.now_us / 1e6,
    )


def _setup(rng: random.Random) -> Setup:
    return Setup(
        radio=RadioSettings(
            interval_ms=rng.choice((7.5, 15, 30, 50)),
            data_length=rng.choice((27, 251)),
            mtu=rng.choice((23, 50, 185, 247)),
            latency=rng.choice((0, 4)),
            loss=rng.choice((0, 0, 0.1)),
            supervision_timeout_ms=4000,
        ),
        stack=rng.choice(("btstack", "nimble")),
        rings=tuple(
            {
                "tx_size": 1 << rng.randrange(9, 16),
                "rx_size": 1 << rng.randrange(9, 16),
                "window": rng.choice((256, 1024, 4096, 16384)),
            }
            for _ in range(2)
        ),
        traffic=tuple(
            Traffic(
                size=(6, rng.choice((20, 100, 500))),
                per_second=rng.choice((0, 3, 100, None)),
                count=rng.choice((10, 100, 1000)),
            )
            for _ in range(2)
        ),
        # Half of the runs see the boards' clocks wrap.
        clocks_ms=tuple(rng.choice((0, _TICKS_END - rng.randrange(1, 3000))) for _ in range(2)),
        reconnect_ms=rng.choice((20, 300)),
        seed=rng.randrange(1 << 30),
    )


def _faults(rng: random.Random) -> PacketFaults:
    def probability(*values: float) -> float:
        return rng.choice((0.0, 0.0, *values))

    return PacketFaults(
        lost=probability(0.02, 0.1, 0.3),
        corrupted=probability(0.01, 0.1),
        truncated=probability(0.01, 0.1),
        duplicated=probability(0.02, 0.2),
        delayed=probability(0.02, 0.2),
        delay_ms=(1, rng.choice((10, 200))),
    )
