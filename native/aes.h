/* AES-128 encryption, and CCM with it as RFC 3610 has it: 8 bytes of tag, nonces of 13 bytes. */
#ifndef PICOLINK_AES_H
#define PICOLINK_AES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PICOLINK_CCM_NONCE = 13, PICOLINK_CCM_TAG = 8 };

/** The round keys of a key of 16 bytes, to 44 words. The first call fills a table, for all that follow. */
void picolink_aes_key(uint32_t *keys, const uint8_t *key);

/**
 * Seals `size` bytes at `from`, 65,535 at most, or opens them, to `to`, which may be the same place, together
 * with `ad_size` bytes that stay readable. Writes the tag that belongs to them: who opens compares.
 */
void picolink_ccm(const uint32_t *keys, bool opening, const uint8_t *nonce, const uint8_t *ad, size_t ad_size,
                  const uint8_t *from, size_t size, uint8_t *to, uint8_t *tag);

/** Whether both have the same PICOLINK_CCM_TAG bytes, in a time that does not tell which. */
bool picolink_same_tag(const uint8_t *a, const uint8_t *b);

#endif
