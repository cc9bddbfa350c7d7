/* CRC-32 as zlib and binascii.crc32 have it: reflected polynomial 0xEDB88320, all ones in and out. */
#ifndef PICOLINK_CRC32_H
#define PICOLINK_CRC32_H

#include <stddef.h>
#include <stdint.h>

/* The CRC-32 of anything that ends with its own CRC-32 (least significant byte first), whatever the start. */
#define PICOLINK_CRC32_RESIDUE 0x2144DF1Cu

/** The CRC-32 of `size` bytes that follow those whose CRC-32 is `start`; 0: of these alone. */
uint32_t picolink_crc32(uint32_t start, const uint8_t *bytes, size_t size);

#ifdef PICOLINK_CRC32_FILL
/** Only where the table is not in the file, which makes it 1 KiB smaller: fills it, once, before anything
 * else. */
void picolink_crc32_fill(void);
#endif

#endif
