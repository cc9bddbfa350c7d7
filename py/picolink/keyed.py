"""What the engine in Python does with a key: docs/protocol.md, "Keys". Only a link with a key loads this."""

import struct
from hashlib import sha256

try:
    from cryptolib import aes

    def _need():
        pass

    class Ccm:
        """AES-128-CCM (RFC 3610) with 8 bytes of tag and nonces of 13 bytes.   key: 16 bytes."""

        def __init__(self, key):
            self._key = key
            self._ecb = aes(key, 1)

        def seal(self, nonce, ad, data):
            """What is sent of `data` (bytes), with the tag behind it.   ad: 1 to 14 bytes, authenticated."""
            return self._crypt(nonce, ad, data, data)

        def open(self, nonce, ad, data):
            """What was sealed, or None: it is not from who has the key, or was changed."""
            size = len(data) - 8
            plain = self._crypt(nonce, ad, data[:size], None)
            differ = 0
            for i in range(8):
                differ |= plain[size + i] ^ data[size + i]
            return None if differ else plain[:size]

        def _crypt(self, nonce, ad, data, plain):
            """`data` and its tag, each XOR the key stream. The tag is of `plain`; None: of what comes out."""
            size = len(data)
            blocks = (size + 15) >> 4
            stream = bytearray(16 * blocks + 16)
            for i in range(blocks + 1):
                at = 16 * i
                stream[at] = 1
                stream[at + 1 : at + 14] = nonce
                stream[at + 15] = i
            self._ecb.encrypt(stream, stream)
            out = _xor(data, stream[16 : 16 + size])
            mac = bytearray(32 + 16 * blocks)
            mac[0] = 0x59  # ad is there, 8 bytes of tag, 2 of length
            mac[1:14] = nonce
            mac[15] = size
            mac[17] = len(ad)
            mac[18 : 18 + len(ad)] = ad
            mac[32 : 32 + size] = out if plain is None else plain
            aes(self._key, 2, bytes(16)).encrypt(mac, mac)
            return out + _xor(mac[-16:-8], stream[:8])

except ImportError:
    try:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESCCM

        def _need():
            pass

        class Ccm:
            def __init__(self, key):
                self._cipher = AESCCM(key, 8)

            def seal(self, nonce, ad, data):
                return self._cipher.encrypt(nonce, data, ad)

            def open(self, nonce, ad, data):
                try:
                    return self._cipher.decrypt(nonce, data, ad)
                except InvalidTag:
                    return None

    except ImportError:

        def _need():
            raise RuntimeError(
                "a key needs the native engine here, or AES for the one in Python: cryptolib on a board, "
                "on a PC `pip install 'picolink[keys]'`"
            )


_DATA = b"\x00\x02"  # what an HMAC is of begins with one of these, or with a greeting packet, which is odd
_RANDOM = b"\x02"


class Keys:
    """key, seed: 32 bytes each.   random, heard_random: 16 bytes of this handshake, own and the peer's.
    sent: packets sealed since the handshake: the next one's counter.   next: the least counter that is taken.
    """

    def __init__(self, key, seed):
        _need()
        self._inner = bytes(byte ^ 0x36 for byte in key) + b"\x36" * 32
        self._outer = bytes(byte ^ 0x5C for byte in key) + b"\x5c" * 32
        self._seed = seed
        self._handshakes = 0
        self.random = self.heard_random = bytes(16)
        self.sent = self.next = 0
        self.proven = False  # the connection that ended was one with the partner

    def _hmac(self, message):
        return sha256(self._outer + sha256(self._inner + message).digest()).digest()

    def draw(self):
        """Another random, for a new handshake."""
        self.random = self._hmac(_RANDOM + struct.pack("<I", self._handshakes) + self._seed)[:16]
        self._handshakes = self._handshakes + 1 & 0xFFFFFFFF

    def prove(self, packet, identity, largest):
        """The proof of this side in the first 16 bytes of a greeting packet."""
        return self._hmac(
            bytes(packet[:16]) + self.random + self.heard_random + identity + bytes((largest,))
        )[:8]

    def is_proven(self, packet, random, proof, identity, largest):
        """Whether the peer has proved with it that it has the key."""
        wanted = self._hmac(bytes(packet[:16]) + random + self.random + identity + bytes((largest,)))
        differ = 0
        for i in range(8):
            differ |= wanted[i] ^ proof[i]
        return not differ

    def is_proven_bye(self, packet):
        """The same of a BYE of the peer with which the last handshake was done."""
        return self.is_proven(
            packet, self.heard_random, packet[16:24], self._peer_identity, self._peer_largest
        )

    def opened(self, own, own_identity, peer, peer_identity, peer_largest):
        """A handshake is done.   own, peer: tag, session and terms of each side, one after the other.

        Raises MemoryError, with nothing done.
        """
        own_nonce = own[1:5] + bytes(7)
        peer_nonce = peer[1:5] + bytes(7)
        own += self.random + own_identity
        peer += self.heard_random + peer_identity
        out = Ccm(self._hmac(_DATA + own + peer)[:16])
        self._in = Ccm(self._hmac(_DATA + peer + own)[:16])
        self._out = out
        self._own_nonce = own_nonce
        self._peer_nonce = peer_nonce
        # Of this handshake: what is heard later may be anybody's.
        self._peer_identity = peer_identity
        self._peer_largest = peer_largest
        self.sent = self.next = 0

    def seal(self, buf, size):
        """Seal a data packet of `size` bytes, whose stream bytes begin at 8. Returns its size."""
        counter = struct.pack("<H", self.sent)
        self.sent += 1  # first: a nonce is not used again, also where there is no memory for the rest
        data = bytes(buf[8:size])
        buf[8:10] = counter
        data = self._out.seal(counter + self._own_nonce, bytes(buf[:10]), data)
        buf[10 : 10 + len(data)] = data
        return 10 + len(data)

    def open(self, packet):
        """The stream bytes of a data packet, or None."""
        ad = bytes(packet[:10])
        return self._in.open(ad[8:] + self._peer_nonce, ad, bytes(packet[10:]))


def _xor(a, b):
    size = len(a)
    return (int.from_bytes(a, "little") ^ int.from_bytes(b, "little")).to_bytes(size, "little")
