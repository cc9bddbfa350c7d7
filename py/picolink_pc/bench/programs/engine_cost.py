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


# A meter is two functions: start() begins a region, since(what start returned) says what it has cost.
# They look up no name in a table, because what that costs depends on what was looked up before.


def cycles(address):
    """CPU cycles of the emulated Pico; see picolink_pc.emulator."""
    from machine import mem32

    def start():
        mem32[address] = 0

    def since(_start):
        return mem32[address]

    return start, since


def nanoseconds():
    """Time on a PC."""
    now = time.time_ns
    return now, lambda start: now() - start


def microseconds():
    """Time on a board."""
    now, difference = time.ticks_us, time.ticks_diff
    return now, lambda start: difference(now(), start)


def heap():
    """Bytes allocated."""
    now = gc.mem_alloc
    return now, lambda start: now() - start


def _loops(meter):
    """What the meter says of an empty region, and of one turn of an empty loop; the least of some tries."""
    start, since = meter
    empty, loop = [], []
    for _ in range(10):
        began = start()
        empty.append(since(began))
        began = start()
        for _ in range(200):
            pass
        loop.append(since(began))
    return min(empty), (min(loop) - min(empty)) / 200


_key = {}


def use_key():
    """From here on engines have a key."""
    global _key, _STREAM, _ACK
    _key = {"key": bytes(range(32)), "seed": bytes(32)}
    _STREAM = 218
    _ACK = 18


def _connected(engine_class):
    sender, receiver = engine_class(1, b"sender  ", **_key), engine_class(2, b"receiver", **_key)
    packet = memoryview(bytearray(_PACKET))
    sender.start(247, 0)
    receiver.start(247, 0)
    while sender.stats()["flight_limit"] < _PACKETS:  # it begins with less
        sender.send(b"")
        for one, other in ((sender, receiver), (receiver, sender)) * 4:
            while size := one.pull_into(packet, 0):
                other.feed(packet[:size], 0)
        receiver.recv()
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
    pull_ack, feed_ack = receiver.pull_into, sender.feed
    start, since = meter
    empty, turn = _loops(meter)
    sums = [0] * len(_STAGES)
    queued = arrived = received = now = 0
    before = receiver.stats()["messages_received"]

    def add(stage, cost, turns):
        sums[stage] += cost - empty - turn * turns

    gc.disable()
    for _ in range(rounds):
        gc.collect()
        count = -(-(_PACKETS * _STREAM - queued) // record)
        queued += count * record - _PACKETS * _STREAM
        began = start()
        for _ in range(count):
            send(message)
        add(0, since(began), count)

        began = start()
        for packet in packets:
            pull(packet, now)
        add(1, since(began), _PACKETS)

        began = start()
        for packet in packets:
            feed(packet, now)
        add(2, since(began), _PACKETS)

        arrived += _PACKETS * _STREAM
        count = arrived // record - received
        received += count
        if into:
            began = start()
            for _ in range(count):
                recv_into(buffer)
        else:
            began = start()
            for _ in range(count):
                recv()
        add(3, since(began), count)

        now += _ACK_MS
        began = start()
        pull_ack(ack, now)
        feed_ack(ack_alone, now)
        add(4, since(began), 0)
    gc.enable()
    came = receiver.stats()["messages_received"] - before
    if came != received or sender.stats()["packets_received"] < rounds:
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

    start, since = meter
    empty, _ = _loops(meter)
    sums = [0] * len(_STAGES)
    gc.disable()
    for number in range(rounds):
        gc.collect()
        began = start()
        frame = encode(number)
        sums[0] += since(began) - empty
        began = start()
        decoded = decode(frame)
        sums[3] += since(began) - empty
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
    before = receiver.stats()["messages_received"]
    start, since = meter
    empty, _ = _loops(meter)
    sums = [0] * 3
    now = 0
    gc.disable()
    for _ in range(rounds):
        gc.collect()
        for _ in range(messages):
            sender.send(message)
        began = start()
        pull(packet, now)
        sums[0] += since(began) - empty
        began = start()
        feed(filled, now)
        sums[1] += since(began) - empty
        for _ in range(messages):
            receiver.recv()
        now += _ACK_MS
        receiver.pull_into(ack, now)
        began = start()
        feed_ack(ack_alone, now)
        sums[2] += since(began) - empty
    gc.enable()
    acknowledged = sender.stats()["packets_received"] - heard
    came = receiver.stats()["messages_received"] - before
    if came != messages * rounds or acknowledged != rounds:
        raise RuntimeError("not all messages came through: the figures mean nothing")
    print(json.dumps([total / rounds for total in sums]))


def objects(pack, unpack, rounds, meter):
    """Print what a reading of four fields costs to pack and to unpack, and its bytes: [pack, unpack, bytes].

    pack, unpack: module and function, with a dot between them.
    """
    pack, unpack = [_function(each) for each in (pack, unpack)]
    reading = {"temperature": 21.5, "humidity": 48, "pressure": 1013.25, "heating": True}
    packed = pack(reading)
    if unpack(packed) != reading:
        raise RuntimeError("the reading came out wrong")
    start, since = meter
    empty, _ = _loops(meter)
    sums = [0, 0]
    gc.disable()
    for _ in range(rounds):
        gc.collect()
        began = start()
        pack(reading)
        sums[0] += since(began) - empty
        began = start()
        unpack(packed)
        sums[1] += since(began) - empty
    gc.enable()
    print(json.dumps([total / rounds for total in sums] + [len(packed)]))


def _function(path):
    module, name = path.rsplit(".", 1)
    return getattr(__import__(module, None, None, (name,)), name)


def memory(module, meter):
    """Print bytes of heap that the module takes when imported, and an engine; and what a collection costs."""
    gc.collect()
    before = gc.mem_alloc()
    engine_class = __import__(module, None, None, ("Engine",)).Engine
    gc.collect()
    imported = gc.mem_alloc()
    engine = engine_class(1, b"identity", **_key)
    gc.collect()
    made = gc.mem_alloc()
    start, since = meter
    began = start()
    gc.collect()
    collection = since(began)
    del engine
    print(json.dumps({"import": imported - before, "engine": made - imported, "collection": collection}))
