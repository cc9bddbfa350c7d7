# Simulator code for virtual boards, never installed on a board: the socket to the PC.
#
# A message that arrives interrupts the program as an event of the real stack does: the handler runs between
# two bytecodes of the program, in sleep and in busy loops too, and runs to its end.  Nothing in the packet
# path allocates on MicroPython's heap: the C stack does not either.

import _thread
import os
import select
import time

import ffi
import micropython
import uctypes

_AF_UNIX = 1
_SOCK_SEQPACKET = 5
_MSG_DONTWAIT = 0x40
_SIGUSR1 = 10
_EINTR = 4
_EAGAIN = 11

MAX_MESSAGE = 1024
_AGAIN_MS = 5  # until what had no memory is tried again

_libc = ffi.open("libc.so.6")
_socket = _libc.func("i", "socket", "iii")
_connect = _libc.func("i", "connect", "ipi")
_recv = _libc.func("i", "recv", "ipii")
_send = _libc.func("i", "send", "ipii")
_kill = _libc.func("i", "kill", "ii")
_exit = _libc.func("v", "_exit", "i")
_pid = _libc.func("i", "getpid", "")()
copy_memory = _libc.func("v", "memcpy", "PPl")
fill_memory = _libc.func("v", "memset", "Pil")


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
        self._fd = _socket(_AF_UNIX, _SOCK_SEQPACKET, 0)
        address = bytes((_AF_UNIX, 0)) + path.encode() + b"\0"
        if _connect(self._fd, address, len(address)) < 0:
            raise OSError(os.errno(), "no virtual radio at " + path)
        # A signal ends the system call in which the program waits, so that the handler runs at once.
        # What the signal does is of no importance: any harmless C function will do.
        harmless = _libc.func("P", "dlsym", "Ps")(0, "abs")
        _libc.func("P", "signal", "iP")(_SIGUSR1, harmless)
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLIN)
        self._delivered = _thread.allocate_lock()
        self._delivered.acquire()
        self._deliver_bound = self._deliver  # binding it again for each message would allocate
        _thread.start_new_thread(self._read, ())

    # Where the start of the next message goes.
    def buffer(self):
        return self._buffers[self._in_handler]

    # Send the first `start` bytes of buffer() and `length` bytes at the address (or in the buffer) `value`.
    def send(self, start, value=None, length=0):
        buffer = self._buffers[self._in_handler]
        length = min(length, MAX_MESSAGE - start)
        if length:
            copy_memory(uctypes.addressof(buffer) + start, value, length)
        while _send(self._fd, buffer, start + length, 0) < 0:
            if os.errno() != _EINTR:
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
        _exit(1)

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
        _kill(_pid, _SIGUSR1)
        self._delivered.acquire()

    def _deliver(self, _):
        self._in_handler = 1
        length = 0
        try:
            while True:
                length = self._kept or _recv(self._fd, self.received, MAX_MESSAGE, _MSG_DONTWAIT)
                self._kept = 0
                if length > 0:
                    if self.received[0] == self._answer_op:
                        self._answer = bytes(self.received[1:length])
                    else:
                        self._on_message(length)
                elif length == 0:
                    self._gone()
                elif os.errno() == _EAGAIN:
                    return
        except MemoryError:
            self._kept = length
        finally:
            self._in_handler = 0
            self._delivered.release()
