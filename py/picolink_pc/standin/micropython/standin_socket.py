# Simulator code for virtual boards, never installed on a board: the socket to the PC.
#
# A message that arrives interrupts the program as an event of the real stack does: the handler runs between
# two bytecodes of the program, in sleep and in busy loops too, and runs to its end.  Nothing in the packet
# path allocates on MicroPython's heap: the C stack does not either.

import _thread
import select
import sys
import time

import _standin
import micropython

MAX_MESSAGE = 1024
_AGAIN_MS = 5  # until what had no memory is tried again

# copy(target, start, source, from, length): of the bytes of two buffers.   fill(target, byte, length)
copy = _standin.copy
fill = _standin.fill
# stack_error(errno): what the firmware raises.
stack_error = OSError


class Socket:
    # on_message(length): called for every message, which lies in `received`.
    # answer: the first byte of messages that answer a request.
    def __init__(self, path, on_message, answer):
        self.received = bytearray(MAX_MESSAGE)
        self._on_message = on_message
        self._answer_op = answer
        self._answer = None
        # A handler that sends must not spoil the message that the program it interrupts is about to send.
        self._buffers = (bytearray(MAX_MESSAGE), bytearray(MAX_MESSAGE))
        self._in_handler = 0
        self._kept = 0  # length of the message in `received` for which there was no memory
        self._fd = _standin.connect(path)
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLIN)
        self._delivered = _thread.allocate_lock()
        self._delivered.acquire()
        self._deliver_bound = self._deliver  # binding it again for each message would allocate
        _thread.start_new_thread(self._read, ())

    # Where the start of the next message goes.
    def buffer(self):
        return self._buffers[self._in_handler]

    # Send the first `start` bytes of buffer() and `length` bytes of `value`.
    def send(self, start, value=b"", length=0):
        buffer = self._buffers[self._in_handler]
        length = _standin.copy(buffer, start, value, 0, length)
        if not _standin.send(self._fd, buffer, start + length):
            self._gone()

    def send_bytes(self, message):
        self.send(0, message, len(message))

    # Send, then wait for the answer; events are handled meanwhile.  Returns what follows its first byte.
    def request(self, message):
        if self._in_handler:
            raise RuntimeError("not in a handler")
        self._answer = None
        self.send_bytes(message)
        while self._answer is None:
            time.sleep_ms(1)
        return self._answer

    def _gone(self):
        print("picolink: the virtual radio has gone")
        _standin.leave(1)

    def _read(self):
        # filter() loops in C: at the jump of a Python loop this thread would run the handlers itself, and the
        # program could run on beside them.
        any(filter(self._read_once, range(1 << 60)))

    def _read_once(self, _):
        self._poll.ipoll(_AGAIN_MS if self._kept else -1)  # unlike poll(), it does not allocate
        try:
            micropython.schedule(self._deliver_bound, None)
        except RuntimeError:  # the program's own functions fill the queue: again, once they have run
            return
        _standin.interrupt()
        self._delivered.acquire()

    def _deliver(self, _):
        self._in_handler = 1
        length = 0
        try:
            while True:
                length = self._kept or _standin.receive(self._fd, self.received)
                self._kept = 0
                if length > 0:
                    if self.received[0] == self._answer_op:
                        self._answer = bytes(self.received[1:length])
                    else:
                        self._on_message(length)
                elif length == 0:
                    self._gone()
                else:
                    return
        except MemoryError:
            self._kept = length
        finally:
            self._in_handler = 0
            self._delivered.release()


# Data of an event that carries a packet: (connection, handle) or (connection, handle, view of the packet).
# Always the same object, its contents set in place.
class PacketEvent:
    def __init__(self, received, with_view):
        self._received = received
        self._event = tuple([0, 0, memoryview(received)[5:]] if with_view else [0, 0])

    def set(self, length):
        return _standin.packet_event(self._event, self._received, length)


# leave(): called when the program ends, before what others wanted to be called.
def at_exit(leave):
    previous = sys.atexit(None)

    def all_of_it():
        if previous:
            previous()
        leave()

    sys.atexit(all_of_it)
