/*
 * One engine under test, for the fuzz targets: every call is followed by a check of the whole engine, and
 * can be written down for the Python engine to repeat.
 *
 * Struct, rings and packets each get a heap block of their own, so that AddressSanitizer sees the first byte
 * beyond.
 */
#ifndef PICOLINK_FUZZ_SIDE_H
#define PICOLINK_FUZZ_SIDE_H

#include "check.h"
#include "picolink.h"

/* Whether all engines have a key, which a forger has not: each target says so. */
extern const bool keyed;

enum { RING_SIZES = 4 };
extern const uint32_t ring_sizes[RING_SIZES];

typedef struct {
    picolink_engine_t *engine; /* NULL before the first side_new() */
    picolink_keys_t *keys;
    uint8_t *rings[2][RING_SIZES];
    uint8_t number;                  /* in what is written down */
    uint8_t made[PICOLINK_PULL_MAX]; /* by the last side_pull() */

    /* When a gap was last sent again. */
    uint32_t filled_at;
    uint32_t filled;
    uint32_t filled_opened;
    uint16_t filled_una;
} side_t;

/* A new engine with ring_sizes[tx], ring_sizes[rx], in the place of the one before. */
void side_new(side_t *side, uint32_t session, const uint8_t *identity, unsigned tx, unsigned rx,
              uint32_t window, bool commit);

/* As if so many bytes had gone through the rings, of which the streams to this peer count `sent` and `taken`.
 */
void side_age(side_t *side, uint32_t tx_by, uint32_t rx_by, uint32_t sent, uint32_t taken);

void side_start(side_t *side, uint32_t mtu, uint32_t now);
void side_set_partner(side_t *side, const uint8_t *identity);
void side_bye(side_t *side, uint32_t reason);
picolink_send_t side_send(side_t *side, uint32_t first, const uint8_t *data, uint32_t size);
bool side_end(side_t *side);
void side_commit(side_t *side);
uint32_t side_pull(side_t *side, uint32_t now);
uint32_t side_feed(side_t *side, const uint8_t *packet, uint32_t size, uint32_t now);
uint32_t side_take_flags(side_t *side);
int32_t side_wait(side_t *side, uint32_t now);
extern bool clock_went_back; /* then a wait may turn out too short */

/* The next message: its payload bytes, or -1. The bytes are in `side_message` until the next call. */
int32_t side_recv(side_t *side, uint32_t *first);
extern uint8_t side_message[PICOLINK_RING_MAX];

/* What lies between two offsets. */
uint32_t between(uint32_t from, uint32_t to);

/* Writes the state and every counter down. */
void side_note(side_t *side, uint32_t now);

/* While `notes` is not NULL, calls and results are written there: tests/fuzz/differential.py reads them. */
typedef struct {
    uint8_t *bytes;
    size_t size;
    size_t capacity;
} notes_t;
extern notes_t *notes;

/* Bytes that decide what a fuzz target does; 0 when there are no more. */
typedef struct {
    const uint8_t *at;
    const uint8_t *end;
} input_t;

static inline uint8_t next8(input_t *input) {
    return input->at == input->end ? 0 : *input->at++;
}

static inline uint32_t next16(input_t *input) {
    uint32_t low = next8(input);
    return low | (uint32_t)next8(input) << 8;
}

/* At most `size` bytes to `to`. Returns how many. */
uint32_t next_bytes(input_t *input, uint8_t *to, uint32_t size);

/* Puts the CRC that the side wants behind `size` bytes. Returns the size with it. */
uint32_t sealed(const side_t *side, uint8_t *packet, uint32_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
