#include "side.h"

#include <string.h>

#include "crc32.h"

/* The smallest, where everything wraps soon; the largest, where offsets come within half of their range. */
const uint32_t ring_sizes[RING_SIZES] = {256, 512, 2048, 32768};

enum { TICKS = 0x3FFFFFFF, LONGEST_WAIT_MS = 8000, LEAST_PATIENCE_MS = 10, SHORTEST = 12 };

uint8_t side_message[PICOLINK_RING_MAX];
bool clock_went_back;
notes_t *notes;

uint32_t between(uint32_t from, uint32_t to) {
    return (uint16_t)(to - from);
}

uint32_t next_bytes(input_t *input, uint8_t *to, uint32_t size) {
    size_t left = (size_t)(input->end - input->at);
    uint32_t taken = left < size ? (uint32_t)left : size;
    memcpy(to, input->at, taken);
    input->at += taken;
    return taken;
}

/* What the CRC of a packet to this side, or from it, begins with. */
static uint32_t start_of(const uint8_t *packet, uint32_t bound) {
    return packet[0] & 0x01 ? 0 : bound;
}

uint32_t sealed(const side_t *side, uint8_t *packet, uint32_t size) {
    uint32_t crc = picolink_crc32(start_of(packet, side->engine->crc_in), packet, size);
    for (uint32_t i = 0; i < 4; i++) {
        packet[size + i] = (uint8_t)(crc >> (8 * i));
    }
    return size + 4;
}

/* -- notes ---------------------------------------------------------------------------------------------- */

static void note_bytes(const void *bytes, size_t size) {
    if (notes->size + size > notes->capacity) {
        notes->capacity = 2 * (notes->size + size);
        notes->bytes = realloc(notes->bytes, notes->capacity);
        CHECK(notes->bytes);
    }
    if (size) {
        memcpy(notes->bytes + notes->size, bytes, size);
    }
    notes->size += size;
}

/* One call: its name, two arguments, its result, and the bytes that went in or came out. */
static void note(const side_t *side, char call, uint32_t a, uint32_t b, int32_t result, const void *bytes,
                 uint32_t size) {
    if (!notes) {
        return;
    }
    uint8_t head[2] = {side->number, (uint8_t)call};
    uint32_t numbers[4] = {a, b, (uint32_t)result, size};
    note_bytes(head, sizeof(head));
    note_bytes(numbers, sizeof(numbers));
    note_bytes(bytes, size);
}

void side_note(side_t *side, uint32_t now) {
    if (!notes) {
        return;
    }
    const picolink_engine_t *engine = side->engine;
    const uint8_t *partner = picolink_partner(engine);
    uint32_t levels[6] = {engine->state,        engine->ended,
                          engine->peer_version, (uint32_t)picolink_pending(engine),
                          engine->reason,       partner ? partner[0] : 0};
    note(side, 'w', now, 0, picolink_wait(engine, now), levels, sizeof(levels));
    note(side, 'c', 0, 0, 0, picolink_stats(side->engine), sizeof(picolink_stats_t));
}

/* -- checks --------------------------------------------------------------------------------------------- */

static void check(const picolink_engine_t *e) {
    CHECK(e->state <= PICOLINK_CLOSED);
    CHECK(!(e->due & 3) || e->state == PICOLINK_GREETING || e->state == PICOLINK_OPEN);
    CHECK(!(e->due & 4) || e->state == PICOLINK_CLOSED);
    CHECK(e->doubts <= 4);

    uint32_t tx = e->tx.mask + 1;
    CHECK(between(e->tail, e->una) <= between(e->tail, e->nxt));
    CHECK(between(e->tail, e->nxt) <= between(e->tail, e->high));
    CHECK(between(e->tail, e->high) <= between(e->tail, e->head));
    CHECK(between(e->tail, e->head) <= tx);
    CHECK(picolink_pending(e) == between(e->tail, e->head));
    CHECK(between(e->una, e->edge) <= e->peer_ring);
    CHECK(!e->peer_commits || between(e->tail, e->committed) <= between(e->tail, e->una));

    uint32_t rx = e->rx.mask + 1;
    CHECK(between(e->read, e->whole) <= between(e->read, e->rcv));
    CHECK(between(e->read, e->rcv) <= rx);
    CHECK(between(e->read, e->shown) <= between(e->read, e->whole));
    CHECK(e->need >= 2 && e->need <= rx);
    CHECK(e->state != PICOLINK_OPEN || e->need > between(e->whole, e->rcv));

    CHECK(e->flight <= e->flight_max); /* the limit may have fallen below it since */
    CHECK(e->limit >= 1 && e->limit <= e->flight_max && e->flight_max <= PICOLINK_FLIGHT_MAX);
    CHECK(e->state != PICOLINK_OPEN || (e->threshold >= 1 && e->threshold <= e->flight_max));
    if (e->gap_known) {
        CHECK(e->una != e->gap_end && between(e->una, e->gap_end) < between(e->una, e->high));
    }
    CHECK(!e->filling || (e->gap_known && between(e->una, e->nxt) < between(e->una, e->gap_end)));
    if (e->gap) {
        CHECK(e->rcv != e->kept && between(e->rcv, e->kept) < between(e->rcv, e->kept_end));
        CHECK(between(e->read, e->kept_end) <= rx && between(e->read, e->rcv) < between(e->read, e->kept));
    }

    CHECK(e->backoff <= 3 && e->probed <= 3);
    CHECK(e->state != PICOLINK_OPEN || (e->rto >= 300 && e->rto <= 8000));
    uint32_t end = e->una;
    for (uint32_t i = 0; i < e->flight; i++) {
        uint32_t next = e->ends[(e->ends_first + i) % PICOLINK_FLIGHT_MAX];
        CHECK(between(e->una, end) < between(e->una, next));
        end = next;
    }
    /* Behind a gap that was sent again, or whose end a forger has moved meanwhile, sending goes on at high.
     */
    CHECK(!e->flight || end == e->nxt || e->nxt == e->high);
    CHECK(!e->timing || (e->timed_pos != e->una && between(e->una, e->timed_pos) <= between(e->una, e->nxt)));
}

/* -- calls ---------------------------------------------------------------------------------------------- */

/* A block that ends where the data does. */
static uint8_t *exactly(const uint8_t *data, uint32_t size) {
    static uint8_t *block;
    if (!block) {
        block = malloc(PICOLINK_RING_MAX);
    }
    uint8_t *copy = block + PICOLINK_RING_MAX - size;
    if (size) {
        memcpy(copy, data, size);
    }
    return copy;
}

void side_new(side_t *side, uint32_t session, const uint8_t *identity, unsigned tx, unsigned rx,
              uint32_t window, bool commit) {
    if (!side->engine) {
        side->engine = malloc(sizeof(picolink_engine_t));
        for (unsigned i = 0; i < RING_SIZES; i++) {
            side->rings[0][i] = malloc(ring_sizes[i]);
            side->rings[1][i] = malloc(ring_sizes[i]);
        }
    }
    picolink_engine_t *engine = side->engine;
    CHECK(picolink_init(engine, session, identity, ring_sizes[tx], ring_sizes[rx], window, commit));
    if (keyed) {
        static const uint8_t key[PICOLINK_KEY_BYTES] = "what the forger does not have";
        uint8_t seed[PICOLINK_SEED_BYTES] = {0}; /* another one for each session */
        memcpy(seed, &session, sizeof(session));
        memcpy(seed + sizeof(session), identity, PICOLINK_IDENTITY_BYTES);
        if (!side->keys) {
            side->keys = malloc(sizeof(picolink_keys_t));
        }
        picolink_set_key(engine, side->keys, key, seed);
    }
    engine->tx.bytes = side->rings[0][tx];
    engine->rx.bytes = side->rings[1][rx];
    /* Not zeros: whoever reads what was never written differs from the Python engine. */
    memset(engine->tx.bytes, 0xA5, ring_sizes[tx]);
    memset(engine->rx.bytes, 0xA5, ring_sizes[rx]);
    side->filled = 0;
    uint32_t values[5] = {ring_sizes[tx], ring_sizes[rx], commit};
    memcpy(values + 3, identity, PICOLINK_IDENTITY_BYTES);
    note(side, 'N', session, window, 0, values, sizeof(values));
    check(engine);
}

void side_age(side_t *side, uint32_t tx_by, uint32_t rx_by, uint32_t sent, uint32_t taken) {
    picolink_engine_t *e = side->engine;
    uint16_t *tx[] = {&e->tail, &e->una,     &e->nxt,     &e->high,     &e->head,
                      &e->edge, &e->gap_end, &e->tx_base, &e->committed};
    uint16_t *rx[] = {&e->read,           &e->shown,         &e->whole,     &e->rcv,
                      &e->kept,           &e->kept_end,      &e->edge_sent, &e->rx_base,
                      &e->read_committed, &e->committed_sent};
    for (size_t i = 0; i < sizeof(tx) / sizeof(tx[0]); i++) {
        *tx[i] = (uint16_t)(*tx[i] + tx_by);
    }
    for (size_t i = 0; i < sizeof(rx) / sizeof(rx[0]); i++) {
        *rx[i] = (uint16_t)(*rx[i] + rx_by);
    }
    e->tx_base = (uint16_t)(e->tx_base - sent);
    e->rx_base = (uint16_t)(e->rx_base - taken);
    uint32_t by[] = {tx_by, rx_by, sent, taken};
    note(side, 'A', 0, 0, 0, by, sizeof(by));
    check(e);
}

void side_start(side_t *side, uint32_t mtu, uint32_t now) {
    picolink_start(side->engine, mtu, now);
    note(side, 'S', mtu, now, 0, NULL, 0);
    check(side->engine);
}

void side_set_partner(side_t *side, const uint8_t *identity) {
    CHECK(picolink_set_partner(side->engine, identity ? exactly(identity, PICOLINK_IDENTITY_BYTES) : NULL));
    note(side, 'P', 0, 0, 0, identity, identity ? PICOLINK_IDENTITY_BYTES : 0);
    check(side->engine);
}

void side_bye(side_t *side, uint32_t reason) {
    picolink_bye(side->engine, reason);
    note(side, 'b', reason, 0, 0, NULL, 0);
    check(side->engine);
}

void side_commit(side_t *side) {
    bool could = picolink_commit(side->engine);
    note(side, 'm', 0, 0, could, NULL, 0);
    check(side->engine);
}

picolink_send_t side_send(side_t *side, uint32_t first, const uint8_t *data, uint32_t size) {
    picolink_send_t sent = picolink_send(side->engine, first, exactly(data, size), size);
    note(side, 's', first, 0, (int32_t)sent, data, size);
    check(side->engine);
    return sent;
}

bool side_end(side_t *side) {
    bool queued = picolink_end(side->engine);
    note(side, 'e', 0, 0, queued, NULL, 0);
    check(side->engine);
    return queued;
}

/* The same gap is not sent again at once, whatever the peer reports. */
static void check_gaps(side_t *side, uint32_t now) {
    const picolink_engine_t *engine = side->engine;
    if (engine->stats.gaps_resent == side->filled) {
        return;
    }
    CHECK(!side->filled || engine->una != side->filled_una || engine->stats.opened != side->filled_opened ||
          clock_went_back || ((now - side->filled_at) & TICKS) >= LEAST_PATIENCE_MS);
    side->filled = engine->stats.gaps_resent;
    side->filled_una = engine->una;
    side->filled_opened = engine->stats.opened;
    side->filled_at = now;
}

uint32_t side_pull(side_t *side, uint32_t now) {
    static uint8_t *block;
    if (!block) {
        block = malloc(PICOLINK_PULL_MAX);
    }
    picolink_engine_t *engine = side->engine;
    bool due = picolink_wait(engine, now) == 0;
    uint32_t size = (uint32_t)picolink_pull(engine, block, PICOLINK_PULL_MAX, now);
    note(side, 'p', now, 0, (int32_t)size, block, size);
    check(engine);
    check_gaps(side, now);
    CHECK(due == (size > 0));
    if (size) {
        uint32_t overhead = keyed ? 18 : 12;
        uint32_t flags = block[0];
        CHECK((keyed && !(flags & 0x01)) ||
              picolink_crc32(start_of(block, engine->crc_out), block, size) == PICOLINK_CRC32_RESIDUE);
        if (keyed && flags & 0x01) {
            CHECK((flags & 0x61) == 0x61
                      ? size == 44 && !(flags & 0x8C)
                      : (flags == 0x21 && size == 20) || (flags == 0x41 && (size == 20 || size == 28)));
        } else if (flags & 0x01) {
            CHECK(size == 20 && !(flags & (flags & 0x60 ? 0x9E : 0xEC)) && (flags & 0x60) != 0x60);
            CHECK(!(flags & 0x60) || flags == 0x21 || flags == 0x41);
        } else {
            CHECK(size >= overhead && size <= engine->size && !(flags & ~(uint32_t)0x3C));
            uint32_t end = engine->tx_base + block[2] + (uint32_t)block[3] * 0x100 + size - overhead;
            /* Nothing is sent beyond the credit. */
            CHECK(size == overhead || between(engine->una, end) <= between(engine->una, engine->edge));
        }
        memcpy(side->made, block, size);
    }
    return size;
}

uint32_t side_feed(side_t *side, const uint8_t *packet, uint32_t size, uint32_t now) {
    uint32_t corrupt = picolink_stats(side->engine)->corrupt;
    const uint8_t *partner = picolink_partner(side->engine);
    uint8_t known[PICOLINK_IDENTITY_BYTES];
    if (partner) {
        memcpy(known, partner, sizeof(known));
    }
    uint32_t flags = picolink_feed(side->engine, exactly(packet, size), size, now);
    CHECK(!partner || !memcmp(side->engine->partner, known, sizeof(known)));
    /* Not left to AddressSanitizer: compilers leave out a read beyond the end whose value nobody needs. */
    CHECK(size >= SHORTEST || picolink_stats(side->engine)->corrupt == corrupt + 1);
    note(side, 'f', now, 0, (int32_t)flags, packet, size);
    check(side->engine);
    check_gaps(side, now);
    return flags;
}

uint32_t side_take_flags(side_t *side) {
    uint32_t flags = picolink_take_flags(side->engine);
    note(side, 't', 0, 0, (int32_t)flags, NULL, 0);
    CHECK(flags < PICOLINK_BYE << 1);
    CHECK(!picolink_take_flags(side->engine));
    return flags;
}

int32_t side_wait(side_t *side, uint32_t now) {
    int32_t wait = picolink_wait(side->engine, now);
    CHECK(wait >= -1 && wait <= LONGEST_WAIT_MS);
    if (wait > 0 && !clock_went_back) { /* a promise: then, and not before */
        CHECK(picolink_wait(side->engine, (now + (uint32_t)wait - 1) & TICKS) == 1);
        CHECK(picolink_wait(side->engine, (now + (uint32_t)wait) & TICKS) == 0);
    }
    return wait;
}

int32_t side_recv(side_t *side, uint32_t *first) {
    picolink_engine_t *engine = side->engine;
    picolink_message_t message;
    if (!picolink_peek(engine, &message)) {
        note(side, 'r', 0, 0, -1, NULL, 0);
        check(engine);
        return -1;
    }
    uint32_t size = (uint32_t)message.first_size + message.second_size;
    CHECK(size + 2 <= engine->rx.mask + 1);
    CHECK(message.kind_and_channel < 0x80 && (message.kind_and_channel & 0x30) != 0x30);
    memcpy(side_message, message.first, message.first_size);
    memcpy(side_message + message.first_size, message.second, message.second_size);
    check(engine);
    picolink_release(engine);
    *first = message.kind_and_channel;
    note(side, 'r', message.kind_and_channel, 0, (int32_t)size, side_message, size);
    check(engine);
    return (int32_t)size;
}
