"""Virtual time: boards that run ahead of each other give the same as boards that never do."""

import asyncio
import random
import socket
import time

import pytest
from picolink_pc.emulator.virtual_time import LATENCY_NS, VirtualTimeLoop


class Player:
    """A participant that does something at random times, and for each thing that comes to it."""

    def __init__(self, loop, name, seed, notify, wakes_us=1000):
        self.loop = loop
        self.name = name
        self.notify = notify
        self.now_ns = 0
        self._rng = random.Random(seed)
        self._wakes_us = wakes_us
        self._next_ns = self._rng.randrange(1000 * wakes_us)
        self._inbox = []
        self.log = []
        self.runs = 0
        loop.participants.append(self)

    def send(self, text):
        self._inbox.append((self.loop.reaches_board_ns(), text))

    def idle_until(self):
        return min([self._next_ns, *(at for at, _ in self._inbox)])

    def begin(self, to_ns):
        assert to_ns > self.now_ns
        self.runs += 1
        self._happened = []
        while (at := self.idle_until()) <= to_ns:
            self.now_ns = at
            if at == self._next_ns:
                self.log.append((at, "woke"))
                self._happened.append((at, f"{self.name} woke"))
                self._next_ns = at + 1 + self._rng.randrange(1000 * self._wakes_us)
            else:
                first = min(self._inbox)
                self._inbox.remove(first)
                self.log.append(first)
                if self._rng.random() < 0.7:
                    self._happened.append((at, f"{self.name} got {len(self.log)}"))
        self.now_ns = to_ns

    def finish(self):
        for at, text in self._happened:
            self.loop.arrive(at, self.notify, self.name, at, text)


def play(seconds, wakes_us):
    """Two players that pass on to each other what they do: (their logs, how often they ran)."""
    loop = VirtualTimeLoop()
    arrivals = []

    def notify(name, at, text):
        assert loop.now_ns == at + LATENCY_NS
        arrivals.append((at, text))
        players[name == "a"].send(text)

    players = [Player(loop, name, seed, notify, wakes_us) for seed, name in enumerate("ab")]
    loop.run_until_complete(asyncio.sleep(seconds))
    loop.close()
    return arrivals, [player.log for player in players], sum(player.runs for player in players)


def reference(seconds, wakes_us):
    """The same, one thing after the other."""
    rngs = [random.Random(seed) for seed in range(2)]
    next_ns = [rng.randrange(1000 * wakes_us) for rng in rngs]
    inboxes, logs, arrivals = ([], []), ([], []), []
    while True:
        at, who, what = min(
            [(next_ns[who], who, None) for who in range(2)]
            + [(at, who, text) for who in range(2) for at, text in inboxes[who]],
            key=lambda item: item[0],
        )
        if at > seconds * 1e9 + 10 * LATENCY_NS:
            return arrivals, logs
        name = "ab"[who]
        if what is None:
            logs[who].append((at, "woke"))
            text = f"{name} woke"
            next_ns[who] = at + 1 + rngs[who].randrange(1000 * wakes_us)
        else:
            inboxes[who].remove((at, what))
            logs[who].append((at, what))
            text = f"{name} got {len(logs[who])}" if rngs[who].random() < 0.7 else None
        if text:
            arrivals.append((at, text))
            inboxes[1 - who].append((at + 2 * LATENCY_NS, text))


@pytest.mark.parametrize("wakes_us", [200, 1000, 20_000])
def test_running_ahead_changes_nothing(wakes_us):
    arrivals, logs, _ = play(0.2, wakes_us)
    expected, expected_logs = reference(0.2, wakes_us)
    assert len(arrivals) > 10
    assert arrivals == expected[: len(arrivals)]
    for log, whole in zip(logs, expected_logs, strict=True):
        assert log == whole[: len(log)]


def test_players_that_sleep_are_not_run():
    *_, often = play(0.2, 400)
    *_, seldom = play(0.2, 40_000)
    assert seldom < often / 5


def test_without_participants_waiting_takes_no_time():
    loop = VirtualTimeLoop()
    began = time.monotonic()
    loop.run_until_complete(asyncio.sleep(10_000))
    assert loop.time() == pytest.approx(10_000)
    assert time.monotonic() - began < 5
    loop.close()


def test_callbacks_come_at_their_time_to_the_nanosecond():
    loop = VirtualTimeLoop()
    seen = []
    for at_ns in (1, 2, 250_000, 1_000_000_007, 86_400_000_000_123):
        loop.call_at(at_ns / 1e9, lambda at_ns=at_ns: seen.append(loop.now_ns - at_ns))
    loop.run_until_complete(asyncio.sleep(90_000))
    assert all(0 <= late <= 16 for late in seen), seen  # a float has 53 bits
    loop.close()


def test_with_a_pace_virtual_time_is_not_faster():
    loop = VirtualTimeLoop(pace=2)
    began = time.monotonic()
    loop.run_until_complete(asyncio.sleep(0.4))
    assert time.monotonic() - began >= 0.2
    assert loop.time() == pytest.approx(0.4)
    loop.close()


def test_with_a_pace_what_comes_from_outside_takes_effect_when_it_comes():
    ours, theirs = socket.socketpair()

    async def main():
        reader, writer = await asyncio.open_connection(sock=ours)
        loop = asyncio.get_running_loop()
        loop.call_at(0.2, theirs.send, b"x")
        at = [await reader.read(1), loop.time()]
        writer.close()
        return at

    loop = VirtualTimeLoop(pace=1)
    loop.call_at(3600, lambda: None)
    got, at = loop.run_until_complete(main())
    assert got == b"x"
    assert 0.2 <= at < 60
    loop.close()
    theirs.close()
