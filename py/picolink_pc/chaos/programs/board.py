# Sends messages of random sizes with random pauses until the file STOP is there ("-": until a line comes on
# standard input), and prints what comes of it:
# board.py ROLE NAME LIFE STOP [PACKETS [PAUSE]]
# PACKETS: "whole": none is lost or damaged above the radio.  PAUSE: the longest between bursts, in ms.
# With "-" an r on standard input switches the radio off.
#
#   got US LIFE FIRST NEXT     these messages were read: numbers FIRST up to NEXT, from that life of the peer
#   damaged US TEXT            a message that was never sent
#   event US EVENT: DETAIL     of the link
#   heap US BYTES LATENCIES    once a second: bytes in use, and the latencies since the last time, in ms
#   sent N                     at the end: how many messages this life has sent
#   stats JSON                 of the link, and how many packets were lost or damaged above the radio
#
# US is the time on a clock that both boards share, messages.now_us().  Each line is one string: of a board
# that loses its power in mid-print there is all of it or nothing.

import asyncio
import gc
import json
import os
import random
import select
import sys

import messages
import picolink
from picolink.policy import Policy

_LOST = 0.02
_DAMAGED = 0.002  # of the packets that come, above the radio
_LINE = 200  # latencies in one line of output


now_us = messages.now_us


def on_event(event, detail):
    print("event %d %s: %s" % (now_us(), event, detail))


def lose_packets():
    """Between Bluetooth and the engine. Returns the counts, [lost, damaged]."""
    feed = Policy.feed
    counts = [0, 0]

    def feed_most(policy, packet, now):
        luck = random.random()
        if luck < _LOST:
            counts[0] += 1
            return
        if luck < _LOST + _DAMAGED:
            counts[1] += 1
            packet = bytearray(packet)
            packet[random.randrange(len(packet))] ^= 1 << random.randrange(8)
        feed(policy, packet, now)

    Policy.feed = feed_most
    return counts


def told_to(stop):
    if stop == "-":
        typed = select.poll()
        typed.register(sys.stdin, select.POLLIN)
        while typed.poll(0):
            if sys.stdin.read(1) != "r":
                return True
            import bluetooth  # a PC has none

            bluetooth.BLE().active(False)
        return False
    try:
        os.stat(stop)
        return True
    except OSError:
        return False


async def send(link, life, stop, longest_pause_ms):
    number = 0
    while not told_to(stop):
        # Bursts without a pause, and pauses in which the link has nothing to do.
        for _ in range(random.choice((1, 1, 1, 20))):
            await link.send(messages.pack(life, number, now_us(), messages.size_of(number)))
            number += 1
        await asyncio.sleep_ms(random.randint(0, longest_pause_ms))
    await link.send(messages.pack(life, number, now_us(), messages.LEAST))
    await link.flush()
    print("sent %d" % (number + 1))


def tell_got(life, first, following):
    print("got %d %d %d %d" % (now_us(), life, first, following))


async def receive(link, latencies):
    """Until the peer's last message has come."""
    last = False
    while not last:
        first = following = from_life = 0
        for message in await link.drain():
            try:
                life, number, sent_us = messages.unpack(message)
            except ValueError as error:
                print("damaged %d %s %s" % (now_us(), error, message[:64]))
                continue
            if len(latencies) < _LINE:
                latencies.append((now_us() - sent_us) // 1000)
            if (life, number) != (from_life, following):
                if following != first:
                    tell_got(from_life, first, following)
                from_life, first = life, number
            following = number + 1
            last = len(message) == messages.LEAST
        if following != first:
            tell_got(from_life, first, following)


async def watch(latencies):
    while True:
        await asyncio.sleep_ms(1000)
        told = " ".join(map(str, latencies))
        latencies.clear()
        gc.collect()
        print("heap %d %d %s" % (now_us(), gc.mem_alloc(), told))


async def main(role, name, life, stop, packets="lost", pause="80"):
    latencies = []
    lost = [0, 0] if packets == "whole" else lose_packets()
    async with getattr(picolink, role)(name, on_event=on_event) as link:
        watching = asyncio.create_task(watch(latencies))
        await asyncio.gather(send(link, int(life), stop, int(pause)), receive(link, latencies))
        watching.cancel()
        stats = link.stats
        stats["lost above the radio"], stats["damaged above the radio"] = lost
        print("stats " + json.dumps(stats))


asyncio.run(main(*sys.argv[1:]))
