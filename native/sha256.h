/* HMAC-SHA256 (FIPS 180-4, RFC 2104) of short messages. */
#ifndef PICOLINK_SHA256_H
#define PICOLINK_SHA256_H

#include <stddef.h>
#include <stdint.h>

enum { PICOLINK_SHA256 = 32, PICOLINK_HMAC_KEY = 32 };

/** HMAC-SHA256 of `size` bytes, 119 at most, with a key of PICOLINK_HMAC_KEY bytes, to `to`. */
void picolink_hmac(const uint8_t *key, const uint8_t *message, size_t size, uint8_t *to);

#endif
