/* CRC-32 as zlib and binascii.crc32 have it: reflected polynomial 0xEDB88320, all ones in and out. */
#ifndef PICOLINK_CRC32_H
#define PICOLINK_CRC32_H

#include <stddef.h>
#include <stdint.h>

/* The CRC-32 of anything that ends with its own CRC-32 (least significant byte first). */
#define PICOLINK_CRC32_RESIDUE 0x2144DF1Cu

/** The CRC-32 of `size` bytes. */
uint32_t picolink_crc32(const uint8_t *bytes, size_t size);

#endif
