# A frame by hand, as programs make them: a number before each message and a CRC-32 behind it.

import binascii
import struct


class Frames:
    """Makes frames, and takes them apart.  wrong: came damaged, a second time or too late."""

    def __init__(self):
        self._number = self._expected = self.wrong = 0

    def make(self, message):
        body = struct.pack("<H", self._number) + message
        self._number = (self._number + 1) & 0xFFFF
        return body + struct.pack("<I", binascii.crc32(body))

    def take(self, frame):
        """The message, or None."""
        body = frame[:-4]
        number, (crc,) = struct.unpack_from("<H", body)[0], struct.unpack("<I", frame[-4:])
        if crc != binascii.crc32(body) or (number - self._expected) & 0x8000:
            self.wrong += 1
            return None
        self._expected = (number + 1) & 0xFFFF
        return body[2:]
