# A board's serial port as mpremote sees it: raw_repl.py PORT
#
# MicroPython's raw REPL on one connection to a TCP port.

import builtins
import io
import socket
import sys

_BANNER = b"raw REPL; CTRL-B to exit\r\n>"


def serve(stream):
    def show(*values, sep=" ", end="\n"):
        stream.write((sep.join(str(value) for value in values) + end).replace("\n", "\r\n").encode())

    builtins.print = show
    command = b""
    while byte := read(stream):
        if byte == b"\x01":  # Ctrl-A
            stream.write(_BANNER)
            command = b""
        elif byte == b"\x05":  # begins the question for raw paste
            stream.read(2)
            stream.write(b"R\x00")
        elif byte == b"\x04" and not command:  # a soft reset: this board is fresh anyway
            stream.write(b"OK\r\nMPY: soft reboot\r\n" + _BANNER)
        elif byte == b"\x04":
            stream.write(b"OK")
            stream.write(run(command) + b"\x04>")
            command = b""
        elif byte not in b"\r\x02\x03" or command:
            command += byte


def read(stream):
    while True:
        try:
            return stream.read(1)
        except KeyboardInterrupt:  # a Ctrl-C that came when the program had ended
            pass


def run(command):
    """What stands behind the output: a Ctrl-D, and the traceback if there is one."""
    error = io.StringIO()
    try:
        exec(command, globals())
    except BaseException as e:  # Ctrl-C, too
        sys.print_exception(e, error)
    return b"\x04" + error.getvalue().encode()


server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind(socket.getaddrinfo("127.0.0.1", int(sys.argv[1]))[0][-1])
server.listen(1)
print("listening")
connection, _ = server.accept()
serve(connection)
