"""AES-128-CCM and HMAC-SHA256, in C and in Python: RFC 3610's and NIST's vectors, `cryptography`, hmac."""

import ctypes
import hmac
import random
import re

import cryptography_vectors
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESCCM
from hypothesis import given, settings
from hypothesis import strategies as st
from picolink import keyed
from picolink_pc import c_engine

# RFC 3610, 8: those with a tag of 8 bytes. Key, nonce, bytes only authenticated, plain text, sealed with tag.
KEY_1 = "C0C1C2C3C4C5C6C7C8C9CACBCCCDCECF"
RFC_3610 = [
    ("00000003020100A0A1A2A3A4A5", 8, 31, "588C979A61C663D2F066D0C2C0F989806D5F6B61DAC38417E8D12CFDF926E0"),
    (
        "00000004030201A0A1A2A3A4A5",
        8,
        32,
        "72C91A36E135F8CF291CA894085C87E3CC15C439C9E43A3BA091D56E10400916",
    ),
    (
        "00000005040302A0A1A2A3A4A5",
        8,
        33,
        "51B1E5F44A197D1DA46B0F8E2D282AE871E838BB64DA8596574ADAA76FBD9FB0C5",
    ),
    ("00000006050403A0A1A2A3A4A5", 12, 31, "A28C6865939A9A79FAAA5C4C2A9D4A91CDAC8C96C861B9C9E61EF1"),
    ("00000007060504A0A1A2A3A4A5", 12, 32, "DCF1FB7B5D9E23FB9D4E131253658AD86EBDCA3E51E83F077D9C2D93"),
    ("00000008070605A0A1A2A3A4A5", 12, 33, "6FC1B011F006568B5171A42D953D469B2570A4BD87405A0443AC91CB94"),
]


def rfc_3610():
    for nonce, header, size, sealed in RFC_3610:
        packet = bytes(range(size))
        ad, plain = packet[:header], packet[header:]
        yield bytes.fromhex(KEY_1), bytes.fromhex(nonce), ad, plain, bytes.fromhex(sealed)


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    made = tmp_path_factory.mktemp("cipher") / "cipher.so"
    sources = [c_engine.NATIVE / "aes.c", c_engine.NATIVE / "sha256.c"]
    return ctypes.CDLL(str(c_engine.shared_library(made, sources)))


class InC:
    def __init__(self, library, key):
        self.library = library
        self.round_keys = (ctypes.c_uint32 * 44)()
        library.picolink_aes_key(self.round_keys, key)

    def _crypt(self, opening, nonce, ad, data):
        size = len(data)
        out, tag = ctypes.create_string_buffer(size + 1), ctypes.create_string_buffer(8)
        ad_size, size = ctypes.c_size_t(len(ad)), ctypes.c_size_t(size)
        self.library.picolink_ccm(self.round_keys, opening, nonce, ad, ad_size, data, size, out, tag)
        assert out.raw[-1] == 0, "written past the end"
        return out.raw[:-1], tag.raw

    def seal(self, nonce, ad, data):
        return b"".join(self._crypt(False, nonce, ad, data))

    def open(self, nonce, ad, data):
        plain, tag = self._crypt(True, nonce, ad, data[:-8])
        self.library.picolink_same_tag.restype = ctypes.c_bool
        return plain if self.library.picolink_same_tag(tag, data[-8:]) else None


@pytest.fixture(params=["C", "Python"])
def cipher(request, library):
    return (lambda key: InC(library, key)) if request.param == "C" else keyed.Ccm


def test_rfc_3610(cipher):
    count = 0
    for key, nonce, ad, plain, sealed in rfc_3610():
        assert AESCCM(key, 8).encrypt(nonce, plain, ad) == sealed
        assert cipher(key).seal(nonce, ad, plain) == sealed
        assert cipher(key).open(nonce, ad, sealed) == plain
        count += 1
    assert count == 6


def test_nist_cavp(cipher):
    """VTT128: all with a nonce of 13 bytes and a tag of 8. The other files have other sizes of both."""
    with cryptography_vectors.open_vector_file("ciphers/AES/CCM/VTT128.rsp", "r") as file:
        text = file.read()
    section = text[text.index("[Tlen = 8]") : text.index("[Tlen = 10]")]
    key = bytes.fromhex(re.search(r"^Key = (\w+)", section, re.MULTILINE)[1])
    nonce = bytes.fromhex(re.search(r"^Nonce = (\w+)", section, re.MULTILINE)[1])
    cases = re.findall(r"^Adata = (\w+)\s+Payload = (\w+)\s+CT = (\w+)", section, re.MULTILINE)
    assert (len(nonce), len(cases)) == (13, 10)
    for case in cases:
        ad, plain, sealed = map(bytes.fromhex, case)
        assert cipher(key).seal(nonce, ad, plain) == sealed
        assert cipher(key).open(nonce, ad, sealed) == plain


@settings(max_examples=300, deadline=None)
@given(
    st.binary(min_size=16, max_size=16),
    st.binary(min_size=13, max_size=13),
    st.binary(max_size=240),
    st.data(),
)
def test_as_cryptography_has_it(library, key, nonce, plain, data):
    ad = data.draw(st.binary(min_size=1, max_size=40))
    sealed = AESCCM(key, 8).encrypt(nonce, plain, ad)
    for cipher in (InC(library, key), keyed.Ccm(key)):
        assert cipher.seal(nonce, ad, plain) == sealed
        assert cipher.open(nonce, ad, sealed) == plain


def test_any_changed_bit_is_noticed(cipher):
    key, nonce, ad, plain = bytes(16), bytes(13), bytes(10), bytes(range(20))
    one = cipher(key)
    sealed = one.seal(nonce, ad, plain)
    for text, place in ((ad, 1), (sealed, 2), (nonce, 0)):
        for bit in range(8 * len(text)):
            changed = bytearray(text)
            changed[bit >> 3] ^= 1 << (bit & 7)
            arguments = [nonce, ad, sealed]
            arguments[place] = bytes(changed)
            assert one.open(*arguments) is None
    empty = one.seal(nonce, ad, b"")
    assert one.open(nonce, ad, empty) == b""
    assert one.open(nonce, ad, bytes(8)) is None


def test_hmac(library):
    draw = random.Random(1)
    for size in range(120):
        key, message = draw.randbytes(32), draw.randbytes(size)
        made = ctypes.create_string_buffer(32)
        library.picolink_hmac(key, message, ctypes.c_size_t(size), made)
        assert made.raw == hmac.digest(key, message, "sha256")
        assert keyed.Keys(key, bytes(32))._hmac(message) == made.raw
