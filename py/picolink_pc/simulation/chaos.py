"""One run full of faults, and whether every promise of docs/protocol.md was kept."""

import dataclasses
import errno
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from picolink.policy import FULL_ERRNOS

from picolink_pc.radio.air import RadioSettings, ceiling, record_octets

from .board import Board, Traffic
from .faults import NO_FAULTS, PacketFaults
from .forger import INJECTING, Deceit, DeceivedBoard, Forger, Lie
from .guest import Guest
from .host_stack import ERRNOS
from .keyed import LEAST_MTU, WRONG_KEY, KeylessForger, accepted, with_key
from .simulation import Moment, Packet, Setup, Simulation, Trap, packet_octets

DRAIN_S = 120
"""Virtual time that everything gets to arrive when the faults are over; it takes seconds."""

_CLOSE_S = 20
"""Virtual time in which links close when everything has arrived; it takes less than a second."""

HEAL_S = 10
"""Virtual time in which both directions carry messages again, when a forger has gone."""

_UNCOVER_S = 120
"""Likewise when it has hidden messages behind the beginning of a record: until that has passed."""

_TICKS_END = 1 << 30
_LEAST_SIZE = 6  # bytes of a message
_RECORD_HEADER = 3


class _Ending(StrEnum):
    """How a run ends."""

    OPEN = "not at all"
    ONE = "by one board, then by the other"
    BOTH = "by both boards at once"
    GIVEN_UP = "by one board, among faults"


Count = tuple[str, str]
"""What happened to a run: a group, and what in it."""


@dataclass(frozen=True)
class Outcome:
    """errors: the promises broken, a line each.   counts: how often each thing happened to the run."""

    seed: int
    errors: list[str]
    counts: Counter[Count]
    messages: int
    virtual_seconds: float


def play(
    engines: tuple[type, type],
    seed: int,
    restarts: bool = True,
    tell: Callable[[float, str], None] = lambda _seconds, _text: None,
    forger: bool | None = None,
    keyed: bool | None = None,
) -> Outcome:
    """A run that `seed` (int) alone decides: radio, rings, messages, faults, and when they strike.

    engines: classes with the interface of picolink.pyengine.Engine.   restarts: may boards lose their memory?
    tell: called with the virtual time and a line for each thing that is done to the boards.
    forger: does somebody forge packets? None: in every other run, as the seed says.
    keyed: have the boards a key, which the forger has not? None: likewise.
    """
    if forger is None:
        forger = bool(random.Random(f"forger {seed}").randrange(2))
    if keyed is None:
        keyed = bool(random.Random(f"key {seed}").randrange(2))
    if forger and keyed:
        return _KeyedRun(engines, seed, tell).play()
    if forger:
        return _ForgedRun(engines, seed, tell).play()
    return _Run(engines, seed, restarts, tell, keyed).play()


class _Run:
    BOARD: type[Board] = Board

    def __init__(
        self,
        engines: tuple[type, type],
        seed: int,
        restarts: bool,
        tell: Callable[[float, str], None],
        keyed: bool = False,
    ):
        self._seed = seed
        self._keyed = keyed
        self._rng = random.Random(seed)
        self._tell = tell
        self._counts: Counter[Count] = Counter()
        setup = self._setup()
        self._stack = setup.stack
        if keyed:
            radio = dataclasses.replace(setup.radio, mtu=max(setup.radio.mtu, LEAST_MTU))
            setup = dataclasses.replace(setup, radio=radio)
            engines = with_key(engines[0]), with_key(engines[1])
            tell(0, "both boards have a key")
        self._simulation = Simulation(engines, setup, self.BOARD)
        for board in self._simulation.boards:
            board.keyed = board.policy.keyed = keyed
        for field in dataclasses.fields(setup):
            tell(0, f"{field.name}: {getattr(setup, field.name)}")
        # With weights: a full or stalled host stack makes thousands of refusals, and a run slow.
        self._strikes = {
            self._drop: 2,
            self._drop_at_a_packet: 4,
            self._leave_range: 1,
            self._visit: 1,
            self._freeze: 1,
            self._slow_reader: 1,
            self._stall_reader: 1,
            self._exhaust_heap: 1,
            self._fill_host_stack: 1,
            self._refuse_a_write: 1,
            self._stall_host_stack: 0.5,
        }
        if restarts:
            self._strikes |= {self._restart: 1, self._restart_at_a_packet: 2}

    def play(self) -> Outcome:
        simulation = self._simulation
        simulation.connect()
        self._strike(self._rng.randrange(2, 9))
        ending = self._rng.choice(list(_Ending))
        if ending == _Ending.GIVEN_UP:
            self._give_up()
        self._tell(self._now_s, "no more faults, no more messages to send")
        simulation.faults = NO_FAULTS
        if ending == _Ending.GIVEN_UP:
            errors = self._close_the_other()
        else:
            errors = self._drain()
            errors += self._close(ending)
        errors += simulation.broken_promises()
        return self._outcome(errors)

    def _setup(self) -> Setup:
        return _setup(self._rng)

    def _strike(self, times: int) -> None:
        """Let faults strike so often, in between some time."""
        simulation, rng = self._simulation, self._rng
        for _ in range(times):
            simulation.faults = _faults(rng)
            self._tell(self._now_s, str(simulation.faults))
            simulation.run(rng.choice((0.001, 0.02, 0.1, 0.5)) * rng.random() + 0.2 * rng.randrange(2))
            (strike,) = rng.choices(list(self._strikes), list(self._strikes.values()))
            strike()

    def _drain(self) -> list[str]:
        return [] if self._simulation.drain(DRAIN_S) else [f"not everything had arrived after {DRAIN_S} s"]

    def _outcome(self, errors: list[str]) -> Outcome:
        for error in errors:
            self._tell(self._now_s, error)
        return Outcome(
            self._seed,
            errors,
            self._counted(),
            sum(board.received.messages for board in self._simulation.boards),
            self._now_s,
        )

    @property
    def _now_s(self) -> float:
        return self._simulation.scheduler.now_us / 1e6

    def _until_us(self, most_s: float) -> int:
        """A random moment in the next `most_s` seconds."""
        return self._simulation.scheduler.now_us + int(self._rng.random() * most_s * 1e6)

    def _did(self, group: str, what: str, details: str = "") -> None:
        self._counts[group, what] += 1
        self._tell(self._now_s, f"{group}: {what} {details}".rstrip())

    def _counted(self) -> Counter[Count]:
        simulation, counts = self._simulation, self._counts
        for what, number in simulation.counts.items():
            counts[_SIMULATION_GROUPS.get(what, "packets"), what] += number
        for board, clock_ms in zip(simulation.boards, simulation.setup.clocks_ms, strict=True):
            for what, number in board.counts.items():
                counts[_GROUPS.get(what, "write refused"), what] += number
            counts["boards", "clock wrapped"] += clock_ms + self._now_s * 1000 >= _TICKS_END
        return +counts

    # -- closing ------------------------------------------------------------------------------------------

    def _close(self, ending: "_Ending") -> list[str]:
        """After a good end: whoever reads the other's END closes too, and nothing is undelivered."""
        simulation = self._simulation
        able = all(
            board.opened and not board.frozen and not board.stack.stalled for board in simulation.boards
        )
        if ending == _Ending.OPEN or not able:
            return []
        sides = (0, 1) if ending == _Ending.BOTH else (self._rng.randrange(2),)
        self._did("closed", ending)
        simulation.close(sides)
        if not simulation.run_until_closed(_CLOSE_S):
            return [f"the links were not closed after {_CLOSE_S} s"]
        return [
            f"{board.name}: {board.undelivered} messages undelivered, and all had arrived"
            for board in simulation.boards
            if board.undelivered
        ]

    def _give_up(self) -> None:
        """One side closes among faults, with messages on their way, and waits for a while."""
        side, timeout_ms = self._rng.randrange(2), self._rng.choice((0, 200, 3000))
        board = self._simulation.boards[side]
        self._did("closed", _Ending.GIVEN_UP, f"({board.name}, timeout {timeout_ms} ms)")
        self._simulation.close((side,), timeout_ms)
        self._simulation.run(8 * self._rng.random())

    def _close_the_other(self) -> list[str]:
        """Whether each knows what it has not delivered."""
        simulation = self._simulation
        for board in simulation.boards:
            board.stop()
        simulation.run(10)
        simulation.close((0, 1), 0)
        closed = simulation.run_until_closed(DRAIN_S)
        self._counts["closed", "messages undelivered, and reported"] += sum(
            board.undelivered or 0 for board in simulation.boards
        )
        return [] if closed else [f"the links were not closed after {DRAIN_S} s"]

    # -- what can be done to the boards -------------------------------------------------------------------

    def _board(self):
        return self._rng.choice(self._simulation.boards)

    def _drop(self) -> None:
        self._did("connection dropped", "at a random moment")
        self._count_moment()
        self._simulation.drop()

    def _restart(self) -> None:
        side, unheard = self._rng.randrange(2), self._rng.random() < 0.5
        heard = "the peer has to notice" if unheard else "the peer knows"
        self._did(f"{self._simulation.boards[side].name} restarted", "at a random moment", f"({heard})")
        self._count_moment()
        self._simulation.restart(side, unheard)

    def _drop_at_a_packet(self) -> None:
        self._at_a_packet("connection dropped", self._simulation.drop)

    def _restart_at_a_packet(self) -> None:
        side, unheard = self._rng.randrange(2), self._rng.random() < 0.5
        name = self._simulation.boards[side].name
        self._at_a_packet(f"{name} restarted", lambda: self._simulation.restart(side, unheard))

    def _at_a_packet(self, group: str, strike: Callable[[], None]) -> None:
        """Set a trap for one of the next packets of a kind, and wait a while until it strikes."""
        rng, simulation = self._rng, self._simulation
        kind = rng.choice((Packet.HELLO, Packet.HELLO, Packet.ACK, Packet.FRAGMENT, Packet.FRAGMENT))
        moment = rng.choice(list(Moment))

        def struck() -> None:
            self._did(group, f"at a packet: {kind}", f"({moment})")
            self._count_moment()
            strike()

        simulation.trap = Trap(kind, rng.randrange(1, 6), moment, struck)
        if kind == Packet.HELLO:
            self._drop()  # there is a handshake only on a new connection
        simulation.run_until_struck(0.5)

    def _count_moment(self) -> None:
        """How far the two sides of the connection were."""
        boards = self._simulation.boards
        if not all(board.connected for board in boards):
            moment = "there was none, or not on both sides"
        else:
            moment = (
                "the handshake was under way",
                "one side was open, the other in the handshake",
                "both sides were open",
            )[sum(board.opened for board in boards)]
        self._counts["when the connection ended", moment] += 1

    def _visit(self) -> None:
        board = self._board()
        self._did("strangers", "connected", f"({board.name})")
        self._count_moment()
        self._simulation.visit(self._simulation.boards.index(board))

    def _leave_range(self) -> None:
        seconds = self._rng.choice((0.1, 1.0, 3.0)) * self._rng.random()
        self._did("connection dropped", "out of range for up to 3 s", f"({seconds:.3f} s)")
        self._simulation.leave_range(seconds)

    def _freeze(self) -> None:
        board = self._board()
        until_us = self._until_us(self._rng.choice((0.3, 1, 7)))
        self._tell(self._now_s, f"{board.name} frozen until {until_us / 1e6:.3f} s")
        board.freeze(until_us)

    def _slow_reader(self) -> None:
        board = self._board()
        board.read_every_us = self._rng.choice((0, 1_000, 30_000))
        self._did("boards", "reader slowed down", f"({board.name}, {board.read_every_us} us a message)")

    def _stall_reader(self) -> None:
        board, until_us = self._board(), self._until_us(3)
        self._tell(self._now_s, f"{board.name} reads nothing until {until_us / 1e6:.3f} s")
        board.stall_reader(until_us)

    def _exhaust_heap(self) -> None:
        board, until_us = self._board(), self._until_us(self._rng.choice((0.05, 1)))
        self._tell(self._now_s, f"{board.name} has no heap until {until_us / 1e6:.3f} s")
        board.exhaust_heap(until_us)

    def _fill_host_stack(self) -> None:
        """For a while: the pump tries every 2 ms."""
        code = self._rng.choice([code for code in ERRNOS[self._stack] if code in FULL_ERRNOS])
        board, times = self._board(), self._rng.randrange(1, 200)
        self._did("host stack", "full for a while", f"({board.name}, {errno.errorcode[code]} {times} times)")
        board.stack.refuse(code, times)

    def _refuse_a_write(self) -> None:
        code, board = self._rng.choice(ERRNOS[self._stack]), self._board()
        self._did("host stack", "refuses one write", f"({board.name}, {errno.errorcode[code]})")
        board.stack.refuse(code, 1)

    def _stall_host_stack(self) -> None:
        board = self._board()
        self._did("host stack", "sends nothing more in a connection", f"({board.name})")
        board.stack.stall()


class _ForgedRun(_Run):
    """A run with a forger, in which no board restarts: so that all which is lost has one cause."""

    BOARD = DeceivedBoard

    FORGER: type[Forger] = Forger

    def __init__(
        self,
        engines: tuple[type, type],
        seed: int,
        tell: Callable[[float, str], None],
        keyed: bool = False,
    ):
        super().__init__(engines, seed, False, tell, keyed)
        rng = self._rng
        del self._strikes[self._stall_host_stack]  # what the forger says would hide that from the peer
        self._strikes |= {self._forge: 12, self._invite: 1}
        self._engines = engines
        honest = [lie for lie in Lie if lie not in INJECTING]
        lies = rng.sample(honest, rng.choice((1, 2, 4, len(honest))))
        if keyed:
            lies += INJECTING
        elif rng.random() < 0.25:
            lies += rng.sample(INJECTING[:-1], rng.randint(1, 3))
            if rng.random() < 0.2:
                lies.append(Lie.END)
        tell(0, f"the forger's lies: {', '.join(lies)}")
        self._forger = self.FORGER(self._simulation, rng, lies, self._overheard)
        self._until_us_forged = 0
        self._met = False
        self._guests: list[Guest] = []
        if rng.random() < 0.5:
            tell(0, "the boards know each other")
            for board in self._simulation.boards:
                board.know(board.peer)

    def _setup(self) -> Setup:
        """Short queues, so that what is sent when the forger has gone comes soon."""
        rng = self._rng
        setup = _setup(rng)
        rings = tuple({**ring, "tx_size": min(ring["tx_size"], 2048)} for ring in setup.rings)
        most = min(*(ring[size] for ring in rings for size in ("tx_size", "rx_size"))) - _RECORD_HEADER
        volume = 80 * setup.radio.mtu
        session = rng.choice((None, None, 0xFFFFFFFF, 7))
        sessions = rng.choice(((session, None), (session, session)))
        traffic = tuple(_traffic(rng, most, volume) for _ in range(2))
        return dataclasses.replace(setup, rings=rings, traffic=traffic, sessions=sessions)

    def play(self) -> Outcome:
        simulation, rng = self._simulation, self._rng
        if rng.random() < 0.2:
            self._invite()  # before they have met
        else:
            simulation.connect()
        self._strike(rng.randrange(3, 12))
        while any(board.troubled for board in simulation.boards) or simulation.far:
            self._forge()
            simulation.run(0.1)
        simulation.run(max(0, self._until_us_forged / 1e6 - self._now_s))
        self._look_for_strangers()
        self._tell(self._now_s, "the forger has gone, and no more faults")
        simulation.faults = NO_FAULTS
        simulation.jam_nobody()
        simulation.dismiss_guest()
        errors = self._heal()
        if not errors and not self._ended:
            errors = self._drain() + self._close(rng.choice((_Ending.OPEN, _Ending.ONE, _Ending.BOTH)))
        for side, board in enumerate(simulation.boards):
            deceits = self._deceits
            errors += board.received.errors
            errors += board.wrongs(deceits[side], deceits[1 - side], self._met)
        errors += self._accepted()
        if any(guest.turned_up_late and (guest.opened or guest.got) for guest in self._guests):
            errors.append("a third board was not turned away by one that serves another")
        return self._outcome(errors)

    @property
    def _ended(self) -> bool:
        """Whether a forged END, or a message that looks like one, has closed a link."""
        return any(board.closed for board in self._simulation.boards) and any(
            deceit.injected for deceit in self._deceits
        )

    @property
    def _deceits(self) -> tuple[Deceit, Deceit]:
        """What was said to the boards that docs/protocol.md does not promise to mend."""
        return self._forger.deceits

    def _accepted(self) -> list[str]:
        """Forgeries that were believed, and must not have been."""
        return []

    def _overheard(self, side: int, what: str) -> None:
        self._tell(self._now_s, f"forger to the {self._simulation.boards[side].name}: {what}")

    def _forge(self) -> None:
        """Some lies, one after the other."""
        rng, scheduler = self._rng, self._simulation.scheduler
        at_us = scheduler.now_us
        for _ in range(rng.choice((1, 3, 30)) * rng.randint(1, 3)):
            at_us += rng.choice((0, 1_000, 20_000, 200_000)) if rng.random() < 0.5 else 0
            scheduler.at(at_us, self._forger.forge)
        self._until_us_forged = max(self._until_us_forged, at_us + 200_000)

    def _invite(self) -> None:
        """A third board connects to one of the two."""
        board = self._board()
        guest = Guest(self._stranger(), self._simulation.scheduler, self._rng)
        self._guests.append(guest)
        self._did("strangers", "a third board connected", f"({board.name})")
        self._simulation.visit(self._simulation.boards.index(board), guest)

    def _stranger(self) -> Callable[..., Any]:
        return self._engines[0]

    def _look_for_strangers(self) -> None:
        """A board that has met a stranger first forgets it."""
        for board in self._simulation.boards:
            if board.forget_strangers():
                self._met = True
                self._did("strangers", "taken for the partner, and forgotten", f"({board.name})")

    def _heal(self) -> list[str]:
        """Whether both directions carry messages again by themselves."""
        simulation = self._simulation
        since_s = self._now_s
        sent = [board.sent for board in simulation.boards]
        injected = any(deceit.injected for deceit in self._deceits)
        for board in simulation.boards:
            board.read_every_us = 0
            # A record that only the forger has begun may be as long as the largest ring: it has to be filled.
            board.talk(Traffic(size=(_LEAST_SIZE, 20), per_second=50 if injected else 5))
        limit_s = _UNCOVER_S if injected else HEAL_S + self._backlog_s()
        while self._now_s < since_s + limit_s:
            self._look_for_strangers()
            simulation.run(0.05)
            if self._ended:
                self._counts["forger", "runs that an END has closed"] += 1
                return []
            if all(board.next_from_peer() > sent[1 - side] for side, board in enumerate(simulation.boards)):
                self._tell(self._now_s, "both directions carry messages again")
                return []
        states = [board.next_from_peer() for board in simulation.boards]
        return [f"not both directions carried messages after {limit_s:.0f} s: {states} of {sent}"]

    def _backlog_s(self) -> float:
        """How long it takes until what was queued before has passed."""
        radio = self._simulation.setup.radio
        octets = max(board.engine.pending() for board in self._simulation.boards)
        per_second = ceiling(radio, packet_octets(radio.mtu), 16, True) * record_octets(16)
        # A lossy one carries much less than it could, until it is known how slow it is.
        return (8 if radio.loss else 4) * octets / per_second

    def _counted(self) -> Counter[Count]:
        counts = super()._counted()
        for lie, number in self._forger.counts.items():
            counts["forger", lie] += number
        counts["forger", "runs with a key" if self._keyed else "runs"] += 1
        return counts


class _KeyedRun(_ForgedRun):
    """A run in which the boards have a key, and the forger has not: he may say what he likes."""

    FORGER = KeylessForger

    def __init__(self, engines: tuple[type, type], seed: int, tell: Callable[[float, str], None]):
        super().__init__(engines, seed, tell, True)

    @property
    def _deceits(self) -> tuple[Deceit, Deceit]:
        return Deceit(), Deceit()  # nothing of what he says is believed

    def _stranger(self) -> Callable[..., Any]:
        """Without a key, or with another one."""
        engine = self._engines[0]
        return engine if self._rng.random() < 0.5 else with_key(engine, WRONG_KEY)

    def _accepted(self) -> list[str]:
        errors = accepted(self._simulation.boards) + self._forger.repeated
        if any(guest.opened or guest.got for guest in self._guests):
            errors.append("a board without the key was served")
        if self._met:
            errors.append("a board without the key was taken for the partner")
        return errors


_SIMULATION_GROUPS = {
    "jammed": "forger",
    "supervision timeouts": "connection dropped",
    "tolerated until it had to greet": "strangers",
}
"""Group of a simulation's counts; the others are faults of packets."""

_GROUPS = {
    "told that a message never fits": "forger",
    "handshakes": "engine",
    "messages sent again to a restarted peer": "engine",
    "messages lost unread with a board's memory": "engine",
    "packets unread for want of heap": "packets",
    "packets held back for want of heap": "packets",
    "freezes": "boards",
    "heap exhausted": "boards",
    "reader stalled": "boards",
    "hung up on a silent peer": "hung up",
    "hung up after an error": "hung up",
    "told: disconnected": "hung up",
    "host stack restarted": "host stack",
}
"""Group of a board's counts; the others are names of errors."""


def _setup(rng: random.Random) -> Setup:
    rings = tuple(
        {
            "tx_size": 1 << rng.randrange(9, 16),
            "rx_size": 1 << rng.randrange(9, 16),
            "window": rng.choice((256, 1024, 4096, 16384)),
        }
        for _ in range(2)
    )
    most = min(*(ring[size] for ring in rings for size in ("tx_size", "rx_size"))) - _RECORD_HEADER
    mtu = rng.choice((23, 50, 185, 247))
    return Setup(
        radio=RadioSettings(
            interval_ms=rng.choice((7.5, 15, 30, 50)),
            data_length=rng.choice((27, 251)),
            mtu=mtu,
            latency=rng.choice((0, 4)),
            loss=rng.choice((0, 0, 0.1)),
            supervision_timeout_ms=rng.choice((600, 2000)),
        ),
        stack=rng.choice(tuple(ERRNOS)),
        rings=rings,
        traffic=tuple(_traffic(rng, most, 80 * mtu) for _ in range(2)),
        # Half of the runs see the boards' clocks wrap.
        clocks_ms=tuple(rng.choice((0, _TICKS_END - rng.randrange(1, 5000))) for _ in range(2)),
        reconnect_ms=rng.choice((20, 300)),
        seed=rng.randrange(1 << 30),
    )


def _traffic(rng: random.Random, most: int, volume: int) -> Traffic:
    """most: bytes of a message.   volume: bytes in one life of the board, so that runs stay short."""
    least, largest = rng.choice(((_LEAST_SIZE, 20), (_LEAST_SIZE, 100), (_LEAST_SIZE, 500), (250, 1000)))
    largest = min(largest, most)
    return Traffic(
        size=(least, largest),
        per_second=rng.choice((0, 3, 30, 300, None)),
        count=min(rng.choice((10, 50, 200)), 3 + 2 * volume // (least + largest)),
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
