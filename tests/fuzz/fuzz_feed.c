/*
 * Fuzz target: arbitrary bytes as packets, into one engine that is greeting, or open with data in flight.
 *
 * Input: one byte of options; then packets: milliseconds since the one before, length, bytes.
 */
#include <string.h>

#include "side.h"

const bool keyed = false;

enum {
    SEALED = 0x01,   /* the right CRC goes behind each packet */
    OPENED = 0x02,   /* a handshake with a real peer has gone before */
    QUEUED = 0x04,   /* messages are on their way */
    READING = 0x08,  /* the application reads */
    WRAPPING = 0x10, /* times wrap soon */
    COMMIT = 0x20,   /* both sides commit */
    PARTNER = 0x40,  /* the partner is known before */
};

enum { PACKET_LIMIT = 32, PULLS = 4, TICKS = 0x3FFFFFFF };

static side_t side; /* engine a of tests/vectors, whose packets are among the seeds */
static side_t peer;

static const uint8_t near[8] = "the near"; /* the identities of tests/vectors */
static const uint8_t far[8] = "far away";

static void open_both(uint32_t now, bool commit) {
    side_new(&peer, 0x55667788, far, 2, 2, 4096, commit);
    side_start(&peer, 247, now);
    for (int i = 0; i < 6; i++) {
        uint32_t size = side_pull(&side, now);
        if (size) {
            side_feed(&peer, side.made, size, now);
        }
        size = side_pull(&peer, now);
        if (size) {
            side_feed(&side, peer.made, size, now);
        }
    }
    CHECK(side.engine->state == PICOLINK_OPEN);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    input_t input = {data, data + size};
    uint32_t options = next8(&input);
    uint32_t now = options & WRAPPING ? TICKS - 500 : 1000;
    peer.number = 1;
    side_new(&side, 0x11223344, near, 2, 2, 4096, options & COMMIT);
    if (options & PARTNER) {
        side_set_partner(&side, far);
    }
    side_start(&side, 247, now);
    if (options & OPENED) {
        open_both(now, options & COMMIT);
    }
    if (options & QUEUED) {
        static const uint8_t message[300];
        for (uint32_t i = 0; i < 4; i++) {
            side_send(&side, i, message, 80 * i);
        }
        while (side_pull(&side, now)) {
        }
    }
    for (int i = 0; i < PACKET_LIMIT && input.at != input.end; i++) {
        uint8_t packet[260];
        now = (now + next8(&input)) & TICKS;
        uint32_t length = next_bytes(&input, packet, next8(&input));
        if (options & SEALED) {
            length = sealed(&side, packet, length);
        }
        side_feed(&side, packet, length, now);
        for (int pulls = 0; pulls < PULLS && side_pull(&side, now); pulls++) {
        }
        uint32_t first;
        while (options & READING && side_recv(&side, &first) >= 0) {
        }
        if (options & COMMIT) {
            side_commit(&side);
        }
        side_take_flags(&side);
    }
    side_note(&side, now);
    return 0;
}
