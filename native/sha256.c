#include "sha256.h"

#include <string.h>

enum { HASHED = 64 };

static const uint32_t constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t turned(uint32_t word, int bits) {
    return word >> bits | word << (32 - bits);
}

/* The word turned by a, by b and by c bits, added without carry. */
static uint32_t turns(uint32_t word, int a, int b, int c) {
    return turned(word, a) ^ turned(word, b) ^ turned(word, c);
}

/* state: a to h. */
static void compress(uint32_t *state, const uint8_t *block) {
    uint32_t words[16];
    uint32_t s[8];
    memcpy(s, state, sizeof(s));
    for (uint32_t i = 0; i < HASHED; i++) {
        uint32_t word;
        if (i < 16) {
            const uint8_t *from = block + 4 * i;
            word = (uint32_t)from[0] << 24 | (uint32_t)from[1] << 16 | (uint32_t)from[2] << 8 | from[3];
        } else {
            uint32_t near = words[(i - 2) & 15];
            uint32_t far = words[(i - 15) & 15];
            word = words[i & 15] + words[(i - 7) & 15] + (turned(near, 17) ^ turned(near, 19) ^ near >> 10) +
                   (turned(far, 7) ^ turned(far, 18) ^ far >> 3);
        }
        words[i & 15] = word;
        word += constants[i] + s[7] + turns(s[4], 6, 11, 25) + (s[6] ^ (s[4] & (s[5] ^ s[6])));
        uint32_t first = word + turns(s[0], 2, 13, 22) + ((s[0] & s[1]) | (s[2] & (s[0] | s[1])));
        for (int j = 7; j; j--) {
            s[j] = s[j - 1];
        }
        s[0] = first;
        s[4] += word;
    }
    for (int i = 0; i < 8; i++) {
        state[i] += s[i];
    }
}

/* The SHA-256 of a first block, the key with each byte XOR `pad`, and of `size` bytes behind it. */
static void hash(const uint8_t *key, uint8_t pad, const uint8_t *message, size_t size, uint8_t *to) {
    uint32_t state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                         0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    uint8_t blocks[3 * HASHED];
    memset(blocks, 0, sizeof(blocks));
    for (int i = 0; i < HASHED; i++) {
        blocks[i] = (uint8_t)((i < PICOLINK_HMAC_KEY ? key[i] : 0) ^ pad);
    }
    size += HASHED;
    memcpy(blocks + HASHED, message, size - HASHED);
    blocks[size] = 0x80;
    uint8_t *end = blocks + ((size + 8) & ~(size_t)(HASHED - 1)) + HASHED;
    end[-2] = (uint8_t)(size >> 5);
    end[-1] = (uint8_t)(size << 3);
    for (const uint8_t *block = blocks; block != end; block += HASHED) {
        compress(state, block);
    }
    for (int i = 0; i < PICOLINK_SHA256; i++) {
        to[i] = (uint8_t)(state[i >> 2] >> (24 - 8 * (i & 3)));
    }
}

void picolink_hmac(const uint8_t *key, const uint8_t *message, size_t size, uint8_t *to) {
    uint8_t inner[PICOLINK_SHA256];
    hash(key, 0x36, message, size, inner);
    hash(key, 0x5C, inner, PICOLINK_SHA256, to);
}
