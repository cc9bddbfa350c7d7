"""How a link opens and closes, and whose turn it is to send: in virtual time, on the radio in memory."""

import asyncio
import errno

import picolink
import pytest
import virtual_time
from picolink import lifecycle
from picolink.link import Link
from picolink.policy import FULL_MS, HANG_UP, Policy
from picolink.pyengine import Engine
from picolink.radio import memory


def link(way, air, **options):
    return getattr(picolink, way)("PicoA", radio=air, engine="python", **options)


def tasks():
    return asyncio.all_tasks() - {asyncio.current_task()}


def test_a_link_that_never_met_anybody_closes_at_once():
    async def main():
        a = link("advertise", memory.Air())
        opening = asyncio.create_task(a.open())
        await asyncio.sleep(1)
        began = asyncio.get_running_loop().time()
        await a.close()
        assert asyncio.get_running_loop().time() - began < 0.1
        with pytest.raises(picolink.LinkClosedError, match="this side has closed"):
            await opening
        assert not tasks()

    virtual_time.run(main())


def test_a_cancellation_after_a_failed_attempt_ends_nothing():
    """At whatever moment it comes: the link goes on, and opens."""

    class Fails(memory._Connects):
        failures = 0

        async def establish(self):
            if self.failures < 3:
                self.failures += 1
                raise OSError(5, "failed")
            await super().establish()

    async def main(after_ms):
        air = memory.Air()
        a = link("advertise", air)
        b = Link(Fails("PicoA", air.board("B")), engine="python")
        opening = asyncio.gather(a.open(), b.open())
        await asyncio.sleep(after_ms / 1000)
        b._tasks[0].cancel()
        await asyncio.wait_for(opening, 30)
        await asyncio.gather(a.close(), b.close())

    for after_ms in range(1, 300, 2):
        virtual_time.run(main(after_ms))


class Bell:
    def set(self):
        pass


def new_policy(on_event, kind="test"):
    bell = Bell()
    return Policy(
        Engine(1, b"12345678"), kind, 8192, on_event, wake=bell, opened=bell, readable=bell, room=bell
    )


def test_a_packet_that_comes_while_hanging_up_opens_nothing():
    """It would open the engine, and the next connection be told "connected" though nobody spoke there."""
    told, sent, buffer = [], [], bytearray(244)
    policy = new_policy(on_event=lambda event, _: told.append(event))
    policy.transmit = lambda packet: sent.append(bytes(packet))
    policy.open()

    def connect(now, address):
        policy.seek(now)
        policy.adopt(now, address, address)
        policy.call(247)
        turns = policy.turns(now)
        next(turns)
        return turns

    turns = connect(0, "B")
    turns.send(0)
    other = Engine(2, b"abcdefgh")
    other.start(247, 0)
    for packet in sent:
        other.feed(packet, 0)
    answers = []
    while size := other.pull_into(buffer, 0):
        answers.append(bytes(buffer[:size]))
    assert len(answers) > 1
    assert turns.send(5000) == HANG_UP
    policy.hang_up(5000, policy.why)
    for answer in answers:
        policy.feed(answer, 5001)  # the radio has not ended the connection yet
    policy.gone(answered=True)

    connect(6000, "Y").send(6000)
    assert policy.connection == lifecycle.GREETING
    assert policy.peer is None
    assert told == ["not connected"]


class HostStack:
    """Keeps the packets that it has taken; has no room for more than `room`."""

    room = None

    def __init__(self):
        self.packets = []

    def transmit(self, packet):
        if len(self.packets) == self.room:
            raise OSError(errno.ENOMEM, "full")
        self.packets.append(bytes(packet))


def begun(policy, transmit, other):
    """The turns of a policy whose host stack has just connected it to another engine, at 0 ms."""
    policy.transmit = transmit
    policy.open()
    policy.seek(0)
    policy.adopt(0, "B", "B")
    policy.call(247)
    turns = policy.turns(0)
    next(turns)
    other.start(247, 0)
    return turns


def met(kind="test"):
    """A policy that has met another board within 600 ms: itself, its turns, its host stack, and
    exchange(now): a turn in which what that holds, and what the other board says, arrive.
    """
    policy, other = new_policy(lambda *_: None, kind), Engine(2, b"abcdefgh")
    stack, buffer = HostStack(), bytearray(244)
    turns = begun(policy, stack.transmit, other)

    def exchange(now):
        turns.send(now)
        while stack.packets:
            other.feed(stack.packets.pop(0), now)
        while other.recv():
            pass
        while size := other.pull_into(buffer, now):
            policy.feed(bytes(buffer[:size]), now)

    exchange.other = other
    for now in range(0, 600, 10):  # no round trip is measured
        exchange(now)
    assert policy.connection == lifecycle.CONNECTED
    return policy, turns, stack, exchange


@pytest.mark.parametrize("messages, signs", [(0, 8), (1, 1)])
def test_signs_of_life_are_rarer_while_an_acknowledgement_is_waited_for(messages, signs):
    """In 8 s. The packet is sent again after 1, 3 and 7 s."""
    policy, turns, stack, _ = met()
    for _ in range(messages):
        assert policy.send_nowait(b"?")
    for now in range(600, 8600, 10):
        if now % 500 == 0:
            policy.feed(b"", now)
        assert turns.send(now) != HANG_UP
    assert stack.packets.count(b"") == signs


def test_a_full_host_stack_is_asked_less_often_while_nothing_leaves():
    """After 2 ms, then every 4 ms; every 2 ms again once two packets have left in a turn."""
    policy, turns, stack, exchange = met()
    for now in range(600, 650, 10):
        exchange(now)
        while policy.send_nowait(bytes(200)):
            pass
    stack.packets.clear()  # what an acknowledgement took along
    pauses = []
    for stack.room in (0, 0, 0, 1, 3):
        pauses.append(turns.send(650))
    assert pauses == [4, 4, 4, 4, 2]


def test_each_packet_that_comes_takes_the_one_along_that_waits_for_the_host_stack():
    """And while that goes on, few turns are needed."""
    policy, turns, stack, exchange = met()
    other = exchange.other
    for now in range(600, 650, 10):
        exchange(now)
        while policy.send_nowait(bytes(200)):
            pass
    stack.room = 3
    assert turns.send(650) == FULL_MS
    pauses = []
    for now in (660, 670):
        other.feed(stack.packets.pop(0), now)  # the air has taken one
        assert len(stack.packets) == 2
        while other.recv():
            pass
        other.send(b"x")
        policy.feed(pulled(other, now), now)
        assert len(stack.packets) == 3
        pauses.append(turns.send(now))
    assert pauses == [4, 8]
    while stack.packets:
        stack.packets.pop()
    assert turns.send(680) == FULL_MS  # room for more than one: those that come are too few


def test_the_python_engine_does_nothing_in_handlers_but_take_the_packet():
    policy, turns, stack, exchange = met("python")
    for now in range(600, 650, 10):
        exchange(now)
        while policy.send_nowait(bytes(200)):
            pass
    stack.room = 3
    turns.send(650)
    exchange.other.feed(stack.packets.pop(0), 660)
    exchange.other.send(b"x")
    policy.feed(pulled(exchange.other, 660), 660)
    assert len(stack.packets) == 2
    turns.send(660)
    assert len(stack.packets) == 3


def pulled(engine, now):
    """Its next packet."""
    buffer = bytearray(244)
    return bytes(buffer[: engine.pull_into(buffer, now)])


def test_a_handler_never_overtakes_a_large_message_that_waits():
    """Not even one that comes while the task in line is the one that ran last."""

    async def main():
        air = memory.Air()
        a, b = link("advertise", air, tx_size=512), link("connect", air, rx_size=256)
        await asyncio.gather(a.open(), b.open())
        large, small = bytes(240), b"0123456789"
        policy = a._policy
        taken = []

        def send_first(message, channel, kind):
            sent = Policy.send_first(policy, message, channel, kind)
            if not sent:
                taken.append(a.send_nowait(small))  # a handler comes
            return sent

        policy.send_first = send_first
        while a.send_nowait(small):
            pass
        await asyncio.gather(a.send(large), receive(b, large))
        assert taken
        assert not any(taken)
        await asyncio.gather(a.close(), b.close())

    async def receive(b, last):
        while await b.recv() != last:
            await asyncio.sleep(0.05)  # room for small ones comes, a little at a time

    virtual_time.run(main())


def test_what_the_window_held_back_goes_when_it_opens_and_not_at_the_next_turn():
    """A program that reads for long keeps turns away: then each board waited for the other one's window."""
    sent, buffer = [], bytearray(244)
    policy, other = new_policy(on_event=lambda *_: None), Engine(2, b"abcdefgh")
    turns = begun(policy, lambda packet: sent.append(bytes(packet)), other)

    def answer(now):
        """The other board takes what has come, and what it says of that."""
        for packet in sent:
            other.feed(packet, now)
        sent.clear()
        while other.recv() is not None:
            pass
        said = []
        while size := other.pull_into(buffer, now):
            said.append(bytes(buffer[:size]))
        return said

    for now in (1, 2, 3):
        turns.send(now)
        for packet in answer(now):
            policy.feed(packet, now)
    while policy.send_nowait(bytes(18)):
        pass
    turns.send(4)
    acknowledgements = answer(5)
    assert acknowledgements and policy.engine.pending()
    for packet in acknowledgements:
        policy.feed(packet, 6)
    assert sent
