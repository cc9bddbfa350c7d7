# The bus of a Pico W's radio chip, spoken by a PIO program of ours on any rp2 firmware, and HCI over it.
# Tests put it in front of their programs.

from time import sleep_ms, sleep_us

import rp2
from machine import Pin

BUS, BACKPLANE = 0, 1
_PAUSE = 16  # bytes before an answer from the backplane


@rp2.asm_pio(
    out_init=rp2.PIO.OUT_LOW,
    set_init=rp2.PIO.OUT_LOW,
    sideset_init=rp2.PIO.OUT_LOW,
    out_shiftdir=rp2.PIO.SHIFT_LEFT,
    in_shiftdir=rp2.PIO.SHIFT_LEFT,
    autopull=True,
    autopush=True,
)
def _program():
    label("send")
    out(pins, 1).side(0)
    jmp(x_dec, "send").side(1)
    set(pindirs, 0).side(0)
    nop().side(1)
    label("receive")
    in_(pins, 1).side(0)
    jmp(y_dec, "receive").side(1)


power, select, data = Pin(23, Pin.OUT, value=0), Pin(25, Pin.OUT, value=1), Pin(24, Pin.OUT)
machine_ = rp2.StateMachine(
    0, _program, freq=62_500_000, out_base=data, set_base=data, in_base=data, sideset_base=Pin(29)
)


# `exec` takes 5 ms to assemble text, and these are needed for each transfer.
_OUT_X, _OUT_Y, _OUTPUT = [rp2.asm_pio_encode(i, 1) for i in ("out(x, 32)", "out(y, 32)", "set(pindirs, 1)")]


def transfer(words, count):
    """Words to send (at most 5: what FIFO and shift register take), and how many to read (at most 4 more)."""
    machine_.active(0)
    machine_.restart()
    machine_.put(32 * len(words) - 1)
    machine_.exec(_OUT_X)
    machine_.put(32 * count - 1 if count else 0)
    machine_.exec(_OUT_Y)
    machine_.exec(_OUTPUT)
    select(0)
    machine_.active(1)
    for word in words:
        machine_.put(word)
    answer = [machine_.get() for _ in range(count)]
    while machine_.tx_fifo():
        pass
    sleep_us(5)  # the last word takes 1 us
    machine_.active(0)
    select(1)
    return answer


def swap_bytes(word):
    return int.from_bytes(word.to_bytes(4, "big"), "little")


def swap_halves(word):
    return word >> 16 | (word & 0xFFFF) << 16


def command(write, function, address, length):
    return write << 31 | 1 << 30 | function << 28 | address << 11 | length


def read(function, address, length=4):
    pause = _PAUSE // 4 if function == BACKPLANE else 0
    return swap_bytes(transfer([swap_bytes(command(0, function, address, length))], 1 + pause)[-1])


def write(function, address, value, length=4):
    transfer([swap_bytes(command(1, function, address, length)), swap_bytes(value)], 0)


def start():
    """Power, and the words that the driver uses. The test pattern, in the words before."""
    power(0)
    sleep_ms(20)
    power(1)
    sleep_ms(250)
    pattern = swap_halves(transfer([swap_halves(command(0, BUS, 0x14, 4))], 1)[0])
    transfer([swap_halves(command(1, BUS, 0, 4)), swap_halves(0x000204B3)], 0)
    write(BUS, 0x1D, _PAUSE, 1)
    return pattern


_window = [0, 0, 0]


def window(address):
    for i in range(3):
        part = (address & ~0x7FFF) >> 8 * (i + 1) & 0xFF
        if part != _window[i]:
            write(BACKPLANE, 0x1000A + i, part, 1)
            _window[i] = part
    return 0x8000 | address & 0x7FFF


def get(address):
    return read(BACKPLANE, window(address))


def put(address, value):
    write(BACKPLANE, window(address), value)


class Hci:
    """The Bluetooth part, once `start` has been called."""

    def __init__(self):
        put(0x190D0000, 0x12345678)  # "firmware"
        self.base = get(0x18000D68)
        for i in range(4):
            put(self.base + 0x2000 + 4 * i, 0)
        self.control = 1 << 24
        put(0x18000D6C, self.control)
        put(0x18002024, 0x20)
        write(BUS, 6, 0x2000, 2)

    def send(self, packet):
        data = (len(packet) - 1).to_bytes(3, "little") + packet
        data += bytes(-len(data) % 4)
        at = get(self.base + 0x2000)
        for i in range(0, len(data), 4):
            put(self.base + (at + i & 0xFFF), int.from_bytes(data[i : i + 4], "little"))
        put(self.base + 0x2000, at + len(data) & 0xFFF)
        self._ring()

    def _ring(self):
        self.control ^= 2
        put(0x18000D6C, self.control)

    def receive(self):
        """The next packet; waits for the chip's interrupt line."""
        line = Pin(24, Pin.IN)
        while True:
            at, end = get(self.base + 0x200C), get(self.base + 0x2008)
            if at != end:
                break
            put(0x18002020, 0x20)
            while get(self.base + 0x2008) == at and not line.value():
                sleep_ms(1)
        words = self._ring_bytes(at, 4)
        length = int.from_bytes(words[:3], "little")
        packet = (words + self._ring_bytes(at + 4, length))[3 : 4 + length]
        put(self.base + 0x200C, at + 4 + (length + 3 & ~3) & 0xFFF)
        self._ring()
        return packet

    def _ring_bytes(self, at, length):
        start = self.base + 0x1000
        return b"".join(get(start + (at + i & 0xFFF)).to_bytes(4, "little") for i in range(0, length, 4))

    def event(self, code, subcode=None):
        """The parameters of the next event of this code; others are passed over."""
        while True:
            packet = self.receive()
            if packet[:2] == bytes((4, code)) and (subcode is None or packet[3] == subcode):
                return packet[3:]

    def command(self, op_code, parameters=b""):
        """Sends a command and returns what its Command Complete event has behind the op code."""
        self.send(b"\x01" + op_code.to_bytes(2, "little") + bytes((len(parameters),)) + parameters)
        while True:
            answer = self.event(0x0E)
            if answer[1:3] == op_code.to_bytes(2, "little"):
                return answer[3:]
