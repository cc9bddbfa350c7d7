/* MessagePack's headers, read and written: docs/protocol.md, "Objects". What is made of them is the
 * binding's. */
#ifndef PICOLINK_MSGPACK_H
#define PICOLINK_MSGPACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PICOLINK_OBJECT_DEPTH 16 /* containers inside each other, at most */
#define PICOLINK_MSGPACK_HEAD 9  /* bytes: the longest header */

enum {
    PICOLINK_UINT, /* high and low: 64 bits */
    PICOLINK_INT,  /* likewise, negative */
    PICOLINK_STR,  /* low: bytes that follow */
    PICOLINK_BIN,
    PICOLINK_ARRAY, /* low: items that follow */
    PICOLINK_MAP,   /* low: pairs of items */
    PICOLINK_FLOAT32,
    PICOLINK_FLOAT64,
    PICOLINK_NIL,
    PICOLINK_FALSE,
    PICOLINK_TRUE,
    PICOLINK_NO_TYPE,
};

typedef struct {
    uint32_t type;
    uint32_t high; /* of a number */
    uint32_t low;
} picolink_item_t;

/* Begins as {bytes, bytes + size, 1}. */
typedef struct {
    const uint8_t *at; /* the next header; for PICOLINK_STR and PICOLINK_BIN, the caller skips their bytes */
    const uint8_t *end;
    size_t owed; /* items that are still to come: each takes a byte or more */
} picolink_reader_t;

/**
 * Reads the next header. Whatever it says of bytes and items that follow, there is room for them.
 * False when this is none that picolink takes, or when the bytes end before what they promise.
 */
bool picolink_msgpack_next(picolink_reader_t *reader, picolink_item_t *item);

/**
 * Writes the shortest header of `item`, of a type up to PICOLINK_FLOAT32, to `head`, which has
 * PICOLINK_MSGPACK_HEAD bytes. Returns its length.
 */
size_t picolink_msgpack_head(uint8_t *head, const picolink_item_t *item);

#endif
