#include "aes.h"

#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "A column of the state is a little-endian word here"
#endif

/*
 * What a byte adds to a column in the next round: (2S, S, S, 3S), lowest byte first, in the first row; the
 * other rows rotate it. It is filled at run time, so that it lies in RAM: from a board's flash a read takes
 * longer where the cache does not hold it, and that time would tell of the key.
 */
__attribute__((used)) uint32_t picolink_aes_table[256]; /* global: MicroPython's native modules want it so */

enum { BLOCK = 16, ROUNDS = 10 };

static uint32_t rotated(uint32_t word, int bits) {
    return word << bits | word >> (32 - bits);
}

static uint32_t doubled(uint32_t byte) {
    return (byte << 1) ^ (byte >> 7) * 0x11B;
}

static void fill_entry(uint32_t byte, uint32_t s) {
    picolink_aes_table[byte] = doubled(s) | s << 8 | s << 16 | (s ^ doubled(s)) << 24;
}

/* FIPS 197, 5.1.1: p goes through all bytes but 0, and q is its inverse. */
static void fill_table(void) {
    uint32_t p = 1;
    uint32_t q = 1;
    do {
        p ^= doubled(p);
        q ^= q << 1;
        q ^= q << 2;
        q = (q ^ q << 4) & 0xFF;
        q ^= (q >> 7) * 0x09;
        uint32_t s = q ^ q << 1 ^ q << 2 ^ q << 3 ^ q << 4;
        fill_entry(p, ((s ^ s >> 8) & 0xFF) ^ 0x63);
    } while (p != 1);
    fill_entry(0, 0x63);
}

/* A column of the state after the rows have been shifted, substituted. */
static uint32_t substituted(uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
    const uint8_t *s = (const uint8_t *)picolink_aes_table + 1;
    return s[(a & 0xFF) << 2] | (uint32_t)s[(b >> 8 & 0xFF) << 2] << 8 |
           (uint32_t)s[(c >> 16 & 0xFF) << 2] << 16 | (uint32_t)s[d >> 24 << 2] << 24;
}

/* Likewise, and mixed. */
static inline __attribute__((always_inline)) uint32_t mixed(const uint32_t *table, uint32_t a, uint32_t b,
                                                            uint32_t c, uint32_t d) {
    uint32_t column = rotated(table[d >> 24], 8) ^ table[c >> 16 & 0xFF];
    column = rotated(column, 8) ^ table[b >> 8 & 0xFF];
    return rotated(column, 8) ^ table[a & 0xFF];
}

void picolink_aes_key(uint32_t *words, const uint8_t *key) {
    if (!picolink_aes_table[0]) {
        fill_table();
    }
    memcpy(words, key, BLOCK);
    uint32_t constant = 1;
    for (int i = 4; i < 4 * (ROUNDS + 1); i++) {
        uint32_t word = words[i - 1];
        if (!(i & 3)) {
            word = rotated(word, 24);
            word = substituted(word, word, word, word) ^ constant;
            constant = doubled(constant);
        }
        words[i] = words[i - 4] ^ word;
    }
}

static void encrypt(const uint32_t *keys, const uint32_t *from, uint32_t *to) {
    const uint32_t *table = picolink_aes_table;
    uint32_t a = from[0] ^ keys[0];
    uint32_t b = from[1] ^ keys[1];
    uint32_t c = from[2] ^ keys[2];
    uint32_t d = from[3] ^ keys[3];
    for (int round = 1; round < ROUNDS; round++) {
        keys += 4;
        uint32_t e = mixed(table, a, b, c, d) ^ keys[0];
        uint32_t f = mixed(table, b, c, d, a) ^ keys[1];
        uint32_t g = mixed(table, c, d, a, b) ^ keys[2];
        d = mixed(table, d, a, b, c) ^ keys[3];
        a = e;
        b = f;
        c = g;
    }
    for (int i = 0; i < BLOCK / 4; i++) {
        to[i] = substituted(a, b, c, d) ^ keys[4 + i];
        uint32_t first = a;
        a = b;
        b = c;
        c = d;
        d = first;
    }
}

void picolink_ccm(const uint32_t *keys, bool opening, const uint8_t *nonce, const uint8_t *ad, size_t ad_size,
                  const uint8_t *from, size_t size, uint8_t *to, uint8_t *tag) {
    uint32_t words[3][BLOCK / 4];
    uint8_t *mac = (uint8_t *)words[0];
    uint8_t *counter = (uint8_t *)words[1];
    uint8_t *stream = (uint8_t *)words[2];
    mac[0] = (uint8_t)((ad_size ? 0x40 : 0) | (PICOLINK_CCM_TAG - 2) / 2 << 3 | 1);
    counter[0] = 1;
    memcpy(mac + 1, nonce, PICOLINK_CCM_NONCE);
    memcpy(counter + 1, nonce, PICOLINK_CCM_NONCE);
    mac[14] = (uint8_t)(size >> 8);
    mac[15] = (uint8_t)size;
    encrypt(keys, words[0], words[0]);
    if (ad_size) {
        mac[0] ^= (uint8_t)(ad_size >> 8);
        mac[1] ^= (uint8_t)ad_size;
        uint32_t at = 2;
        while (ad_size--) {
            mac[at++] ^= *ad++;
            if (at == BLOCK || !ad_size) {
                encrypt(keys, words[0], words[0]);
                at = 0;
            }
        }
    }
    for (uint32_t number = 1; size; number++) {
        size_t taken = size < BLOCK ? size : BLOCK;
        counter[14] = (uint8_t)(number >> 8);
        counter[15] = (uint8_t)number;
        encrypt(keys, words[1], words[2]);
        for (size_t i = 0; i < taken; i++) {
            uint8_t in = *from++;
            uint8_t out = in ^ stream[i];
            *to++ = out;
            mac[i] ^= opening ? out : in;
        }
        encrypt(keys, words[0], words[0]);
        size -= taken;
    }
    counter[14] = counter[15] = 0;
    encrypt(keys, words[1], words[2]);
    for (int i = 0; i < PICOLINK_CCM_TAG; i++) {
        tag[i] = mac[i] ^ stream[i];
    }
}

bool picolink_same_tag(const uint8_t *a, const uint8_t *b) {
    uint32_t differs = 0;
    for (int i = 0; i < PICOLINK_CCM_TAG; i++) {
        differs |= a[i] ^ b[i];
    }
    return !differs;
}
