# What a message costs, stage by stage, without a radio.  Runs unchanged on boards, emulated and virtual ones:
# the PC sends this file, then calls measure() or memory(), and reads the line that comes back.
#
# Collections of garbage are kept out of what is measured: memory() tells what one costs.

import binascii
import gc
import json
import struct
import time

_PACKETS = 4  # in each round, then the receiver acknowledges: as in a one-way stream of full packets
_PACKET = 236  # bytes
_STREAM = 224  # bytes of a full packet that carry messages
_ACK = 12  # bytes of a packet that only acknowledges
_ACK_MS = 30

_STAGES = ("send", "pull", "feed", "recv", "ack")  # the order of all sums


class Cycles:
    """CPU cycles of the emulated Pico; see picolink_pc.emulator."""

    def __init__(self, address):
        from machine import mem32

        self._mem32 = mem32
        self._address = address

    def start(self):
        self._mem32[self._address] = 0

    def since(self, _start):
        return self._mem32[self._address]


class Nanoseconds:
    """Time on a PC."""

    def start(self):
        return time.time_ns()

    def since(self, start):
        return time.time_ns() - start


class Microseconds:
    """Time on a board."""

    def start(self):
        return time.ticks_us()

    def since(self, start):
        return time.ticks_diff(time.ticks_us(), start)


class Heap:
    """Bytes allocated."""

    def start(self):
        return gc.mem_alloc()

    def since(self, start):
        return gc.mem_alloc() - start


def _loops(meter):
    """What the meter says of an empty region, and of one turn of an empty loop; the least of some tries."""
    if isinstance(meter, Heap):
        return 0, 0  # and each look at the heap takes its time
    empty, loop = [], []
    for _ in range(10):
        start = meter.start()
        empty.append(meter.since(start))
        start = meter.start()
        for _ in range(200):
            pass
        loop.append(meter.since(start))
    return min(empty), (min(loop) - min(empty)) / 200


def _connected(engine_class):
    sender, receiver = engine_class(1), engine_class(2)
    packet = memoryview(bytearray(_PACKET))
    sender.start(247, 0)
    receiver.start(247, 0)
    for _ in range(4):
        for one, other in ((sender, receiver), (receiver, sender)):
            while size := one.pull_into(packet, 0):
                other.feed(packet[:size], 0)
    return sender, receiver


def _record(size):
    """Bytes of a message with the header that it gets in the stream."""
    return size + (2 if size < 128 else 3)


def _engine(module, size, rounds, meter, into):
    """Sums for each stage, and the messages that passed; into: read with recv_into(), not recv()."""
    sender, receiver = _connected(__import__(module, None, None, ("Engine",)).Engine)
    record = _record(size)
    message = bytes(size)
    buffer = bytearray(size)
    packets = [bytearray(_PACKET) for _ in range(_PACKETS)]
    ack = bytearray(_PACKET)
    ack_alone = memoryview(ack)[:_ACK]
    send, pull, feed = sender.send, sender.pull_into, receiver.feed
    recv, recv_into = receiver.recv, receiver.recv_into
    empty, turn = _loops(meter)
    sums = [0] * len(_STAGES)
    queued = arrived = received = now = 0

    def add(stage, cost, turns):
        sums[stage] += cost - empty - turn * turns

    gc.disable()
    for _ in range(rounds):
        gc.collect()
        count = -(-(_PACKETS * _STREAM - queued) // record)
        queued += count * record - _PACKETS * _STREAM
        start = meter.start()
        for _ in range(count):
            send(message)
        add(0, meter.since(start), count)

        start = meter.start()
        for packet in packets:
            pull(packet, now)
        add(1, meter.since(start), _PACKETS)

        start = meter.start()
        for packet in packets:
            feed(packet, now)
        add(2, meter.since(start), _PACKETS)

        arrived += _PACKETS * _STREAM
        count = arrived // record - received
        received += count
        if into:
            start = meter.start()
            for _ in range(count):
                recv_into(buffer)
        else:
            start = meter.start()
            for _ in range(count):
                recv()
        add(3, meter.since(start), count)

        now += _ACK_MS
        start = meter.start()
        receiver.pull_into(ack, now)
        sender.feed(ack_alone, now)
        add(4, meter.since(start), 0)
    gc.enable()
    if receiver.stats()["messages_received"] != received or sender.stats()["packets_received"] < rounds:
        raise RuntimeError("not all messages came through: the figures mean nothing")
    return sums, arrived / record


def _crc16(data):
    crc = 0xFFFF
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1) ^ 0x1021 if crc & 0x8000 else crc << 1
            crc &= 0xFFFF
    return crc


def _by_hand(crc, size, rounds, meter):
    """As _engine(), for a message in a frame of its own: header, JSON, checksum; nothing is acknowledged."""
    text = "x" * size

    def encode(number):
        body = json.dumps({"n": number, "text": text}).encode()
        frame = struct.pack("<HH", number, len(body)) + body
        return frame + struct.pack("<I", crc(frame))

    def decode(frame):
        if crc(frame[:-4]) != struct.unpack("<I", frame[-4:])[0]:
            raise ValueError
        return json.loads(frame[4:-4])["text"]

    empty, _ = _loops(meter)
    sums = [0] * len(_STAGES)
    gc.disable()
    for number in range(rounds):
        gc.collect()
        start = meter.start()
        frame = encode(number)
        sums[0] += meter.since(start) - empty
        start = meter.start()
        decoded = decode(frame)
        sums[3] += meter.since(start) - empty
        if decoded != text:
            raise RuntimeError("the message came out wrong")
    gc.enable()
    return sums, rounds


def measure(what, size, rounds, repeats, meter, into=True):
    """Print what the meter says for a message of `size` bytes: for each repetition a list as _STAGES.

    what: the module of an engine; "python-crc" or "c-crc" for struct and JSON with that checksum.
    """
    runs = []
    for _ in range(repeats):
        if what.endswith("-crc"):
            sums, messages = _by_hand(binascii.crc32 if what == "c-crc" else _crc16, size, rounds, meter)
        else:
            sums, messages = _engine(what, size, rounds, meter, into)
        runs.append([total / messages for total in sums])
    print(json.dumps(runs))


def packets(module, messages, size, rounds, meter):
    """Print what a packet with `messages` of `size` bytes costs: [pull, feed, feed of its ack]."""
    sender, receiver = _connected(__import__(module, None, None, ("Engine",)).Engine)
    message = bytes(size)
    packet, ack = bytearray(_PACKET), bytearray(_PACKET)
    filled = memoryview(packet)[: messages * _record(size) + _ACK]
    ack_alone = memoryview(ack)[:_ACK]
    pull, feed, feed_ack = sender.pull_into, receiver.feed, sender.feed
    heard = sender.stats()["packets_received"]
    empty, _ = _loops(meter)
    sums = [0] * 3
    now = 0
    gc.disable()
    for _ in range(rounds):
        gc.collect()
        for _ in range(messages):
            sender.send(message)
        start = meter.start()
        pull(packet, now)
        sums[0] += meter.since(start) - empty
        start = meter.start()
        feed(filled, now)
        sums[1] += meter.since(start) - empty
        for _ in range(messages):
            receiver.recv()
        now += _ACK_MS
        receiver.pull_into(ack, now)
        start = meter.start()
        feed_ack(ack_alone, now)
        sums[2] += meter.since(start) - empty
    gc.enable()
    acknowledged = sender.stats()["packets_received"] - heard
    if receiver.stats()["messages_received"] != messages * rounds or acknowledged != rounds:
        raise RuntimeError("not all messages came through: the figures mean nothing")
    print(json.dumps([total / rounds for total in sums]))


def memory(module, meter):
    """Print bytes of heap that the module takes when imported, and an engine; and what a collection costs."""
    gc.collect()
    start = gc.mem_alloc()
    engine_class = __import__(module, None, None, ("Engine",)).Engine
    gc.collect()
    imported = gc.mem_alloc()
    engine = engine_class(1)
    gc.collect()
    made = gc.mem_alloc()
    start_of_collection = meter.start()
    gc.collect()
    collection = meter.since(start_of_collection)
    del engine
    print(json.dumps({"import": imported - start, "engine": made - imported, "collection": collection}))
