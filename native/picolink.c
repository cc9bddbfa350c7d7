#include "picolink.h"

#include <string.h>

#include "aes.h"
#include "crc32.h"
#include "sha256.h"

/* Packets: docs/protocol.md, "Packets". */
enum {
    GREETING_PACKET = 0x01, /* else a data packet */
    KIND_HELLO = 0x00,
    KIND_IDENTITY = 0x20,
    KIND_BYE = 0x40,
    KIND_KEYED = 0x60, /* HELLO of a side with a key */
    KIND = 0x60,

    FLAG_READY = 0x02, /* in HELLO */
    FLAG_RENEWED = 0x10,
    FEATURE_KEYED = 0x01,
    FEATURE_COMMIT = 0x02,

    FLAG_ASK = 0x04, /* in data packets */
    FLAG_GAP = 0x08,
    FLAG_OVERRUN = 0x10,
    FLAG_COMMIT = 0x20,
    FLAGS_ONE_OF = FLAG_GAP | FLAG_OVERRUN | FLAG_COMMIT,

    HEADER = 8,
    OVERHEAD = 12,
    GREETING_SIZE = 20,

    KEYED_HEADER = HEADER + 2, /* with the packet's counter */
    KEYED_OVERHEAD = KEYED_HEADER + PICOLINK_CCM_TAG,
    RANDOM_AT = 16, /* in KEYED */
    PROOF_AT = RANDOM_AT + PICOLINK_RANDOM_BYTES,
    PROOF = 8,
    KEYED_SIZE = PROOF_AT + PROOF + 4,
    PROVEN_BYE_SIZE = GREETING_SIZE + PROOF,
    KEYED_LARGEST_MIN = PICOLINK_KEYED_MTU_MIN - 3,
    COUNTERS = 0x10000, /* packets under one key */

    PDU = 27,        /* LL payload without data length extension: Core spec vol 6 part B 4.5.10 */
    PDU_HEADERS = 7, /* L2CAP header (4) and ATT opcode and handle (3) */
    ATT_HEADER = 3,
};

/* Records: docs/protocol.md, "Records". */
enum {
    RECORD_TYPE = 0x30,
    RECORD_END = 0x30, /* the only one of this type */
    RECORD_NEWEST = 0x40,
    RECORD_RESERVED = 0x80,
    END_SIZE = 2,
};

/* picolink_engine_t.due */
enum { DUE_IDENTITY = 1, DUE_HELLO = 2, DUE_BYE = 4, DUE_GREETING = DUE_IDENTITY | DUE_HELLO };

enum {
    BEHIND = 0x8000,    /* a difference of offsets from here on means "behind" */
    PAST = 0x20000000,  /* a difference of times from here on means "before" */
    TICKS = 0x3FFFFFFF, /* milliseconds are modulo 2^30 */
};

/* Timers in ms: docs/protocol.md, "Timers". */
enum {
    HELLO_MS = 250,
    ACK_MS = 30,
    RTO_FIRST_MS = 1000,
    RTO_MIN_MS = 300,
    RTO_MAX_MS = 8000,
    PATIENCE_MIN_MS = 10,
    DOUBT_MS = 500,
    COMMIT_MS = 30,
    BACKOFF_MAX = 3,
    REFILLS_MAX = 7,
};

#define NEVER UINT32_MAX /* ms */

enum { QUEUE_MS = 6000 };  /* flight limit times round trip, at most: a slow way is kept short */
enum { FLIGHT_FIRST = 2 }; /* packets: the flight limit at first, and the least but after a timeout */
enum { FLIGHT_LOSSY = 4 }; /* packets: gaps do not push the flight limit below this */
enum { ASK_AHEAD = 2 };    /* packets: after losses an answer is asked for this many before half the limit */
enum { ANSWERS_MAX = 4 };  /* to HELLO, in HELLO_MS */
enum { DOUBTS_MAX = 4 };   /* packets in a row that say what is impossible, until it is a contradiction */

/* -- small tools ---------------------------------------------------------------------------------------- */

/* Bytes from one offset to another, modulo 2^16: sizes, and "behind" from BEHIND on. */
static uint32_t distance(uint32_t from, uint32_t to) {
    return (uint16_t)(to - from);
}

static uint16_t advanced(uint32_t offset, uint32_t by) {
    return (uint16_t)(offset + by);
}

/* ms from `then` to `now`; 0 when `now` was read before `then`. */
static uint32_t elapsed(uint32_t now, uint32_t then) {
    uint32_t ms = (now - then) & TICKS;
    return ms < PAST ? ms : 0;
}

/* ms that are left of `limit`. */
static uint32_t left(uint32_t limit, uint32_t ms) {
    return ms < limit ? limit - ms : 0;
}

/*
 * ms that are left of `limit` since `then`. Unlike elapsed(), it is right again soon, however long ago `then`
 * was; a clock that goes back makes it 0.
 */
static uint32_t left_since(uint32_t limit, uint32_t now, uint32_t then) {
    return left(limit, (now - then) & TICKS);
}

static uint32_t least(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

static uint32_t most(uint32_t a, uint32_t b) {
    return a > b ? a : b;
}

static uint32_t get16(const uint8_t *from) {
    return from[0] | (uint32_t)from[1] << 8;
}

static uint32_t get32(const uint8_t *from) {
    return get16(from) | get16(from + 2) << 16;
}

static void put16(uint8_t *to, uint32_t value) {
    to[0] = (uint8_t)value;
    to[1] = (uint8_t)(value >> 8);
}

static void put32(uint8_t *to, uint32_t value) {
    put16(to, value);
    put16(to + 2, value >> 16);
}

/* In a build without keys this is a constant, and the compiler drops all that belongs to them. */
static bool is_keyed(const picolink_engine_t *engine) {
    return PICOLINK_KEYS && engine->header != HEADER;
}

static bool same_identity(const uint8_t *a, const uint8_t *b) {
    for (int i = 0; i < PICOLINK_IDENTITY_BYTES; i++) {
        if (a[i] != b[i]) {
            return false;
        }
    }
    return true;
}

/* -- rings ---------------------------------------------------------------------------------------------- */

static uint32_t ring_size(const picolink_ring_t *ring) {
    return ring->mask + 1;
}

static uint8_t *ring_at(const picolink_ring_t *ring, uint32_t offset) {
    return &ring->bytes[offset & ring->mask];
}

/* How many of the `size` bytes from `offset` on stand before the ring wraps. */
static uint32_t ring_straight(const picolink_ring_t *ring, uint32_t offset, uint32_t size) {
    return least(size, ring_size(ring) - (offset & ring->mask));
}

static void ring_write(const picolink_ring_t *ring, uint32_t offset, const uint8_t *from, uint32_t size) {
    uint32_t straight = ring_straight(ring, offset, size);
    memcpy(ring_at(ring, offset), from, straight);
    if (straight != size) {
        memcpy(ring->bytes, from + straight, size - straight);
    }
}

static void ring_read(const picolink_ring_t *ring, uint32_t offset, uint8_t *to, uint32_t size) {
    uint32_t straight = ring_straight(ring, offset, size);
    memcpy(to, ring_at(ring, offset), straight);
    if (straight != size) {
        memcpy(to + straight, ring->bytes, size - straight);
    }
}

/* -- records: one byte of channel and flags, the length in 1 to 3 bytes of 7 bits, the payload ----------- */

static uint32_t record_size(uint32_t payload) {
    return payload + (payload < 0x80 ? 2 : payload < 0x4000 ? 3 : 4);
}

/* Payload bytes of the whole record at `offset`. */
static uint32_t payload_size(const picolink_ring_t *ring, uint32_t offset) {
    uint32_t size = *ring_at(ring, offset + 1);
    if (size >= 0x80) {
        size = (size & 0x7F) | (uint32_t)*ring_at(ring, offset + 2) << 7;
        if (size >= 0x4000) {
            size = (size & 0x3FFF) | (uint32_t)*ring_at(ring, offset + 3) << 14;
        }
    }
    return size;
}

static uint32_t record_total(const picolink_ring_t *ring, uint32_t offset) {
    return record_size(payload_size(ring, offset));
}

static bool is_end(const picolink_ring_t *ring, uint32_t offset) {
    return *ring_at(ring, offset) == RECORD_END;
}

/* -- transmit ring -------------------------------------------------------------------------------------- */

/* Stream bytes that the next packet may carry. */
static uint32_t sendable(const picolink_engine_t *engine) {
    uint32_t size = distance(engine->nxt, engine->head);
    if (!size || engine->flight >= engine->limit) {
        return 0;
    }
    size = least(size, engine->room);
    if (engine->filling) {
        size = least(size, distance(engine->nxt, engine->gap_end));
    }
    uint32_t sent = distance(engine->una, engine->nxt);
    uint32_t credit = distance(engine->una, engine->edge);
    /* More may have been sent than the peer says now that it has room for. */
    credit = credit > sent ? credit - sent : 0;
    if (size > credit) {
        /* A packet cut short by the credit wastes air: only when nothing else is on its way. */
        return engine->flight ? 0 : credit;
    }
    return size;
}

/*
 * Room for a newest value: in front of the messages of which nothing was sent, behind such values. Returns
 * its offset; NEVER where it would not begin in the next packet, or would go before a message that waits
 * although the last thing sent was a value.
 */
static uint32_t make_way(picolink_engine_t *engine, uint32_t total) {
    const picolink_ring_t *ring = &engine->tx;
    uint32_t tail = engine->tail;
    uint32_t head = engine->head;
    uint32_t at = tail;
    uint32_t before = 0;
    /* To the end: a message may wait before a value when both were sent to a peer that has restarted. */
    for (uint32_t record = tail; record != head;) {
        uint32_t first = *ring_at(ring, record);
        bool begun = distance(tail, record) < distance(tail, engine->high);
        record = advanced(record, record_total(ring, record));
        if (begun) {
            before = first;
        }
        if (begun || first & RECORD_NEWEST) {
            at = record;
        }
    }
    if (at != head && before & RECORD_NEWEST) {
        return NEVER;
    }
    uint32_t nxt = engine->nxt;
    engine->head = advanced(head, total); /* for a moment */
    bool reached =
        engine->state == PICOLINK_OPEN && nxt == engine->high && sendable(engine) > distance(nxt, at);
    engine->head = (uint16_t)head;
    if (!reached) {
        return NEVER;
    }
    for (uint32_t left_over = distance(at, head); left_over; left_over--) {
        uint32_t from = at + left_over - 1;
        *ring_at(ring, from + total) = *ring_at(ring, from);
    }
    return at;
}

static bool queue(picolink_engine_t *engine, uint32_t first, const uint8_t *data, uint32_t size) {
    const picolink_ring_t *ring = &engine->tx;
    uint32_t head = engine->head;
    uint32_t total = record_size(size);
    if (total > ring_size(ring) - distance(engine->tail, head)) {
        return false;
    }
    if (first & RECORD_NEWEST) {
        head = make_way(engine, total);
        if (head == NEVER) {
            return false;
        }
    }
    *ring_at(ring, head) = (uint8_t)first;
    if (size < 0x80) {
        *ring_at(ring, head + 1) = (uint8_t)size;
    } else {
        *ring_at(ring, head + 1) = (uint8_t)(size | 0x80);
        if (size < 0x4000) {
            *ring_at(ring, head + 2) = (uint8_t)(size >> 7);
        } else {
            *ring_at(ring, head + 2) = (uint8_t)(size >> 7 | 0x80);
            *ring_at(ring, head + 3) = (uint8_t)(size >> 14);
        }
    }
    if (size) {
        ring_write(ring, head + total - size, data, size);
    }
    engine->head = advanced(engine->head, total);
    return true;
}

/* Back to the first byte not acknowledged. */
static void go_back(picolink_engine_t *engine) {
    engine->nxt = engine->una;
    engine->filling = engine->gap_again = false;
    engine->flight = 0;
    engine->grown = 0;
    engine->timing = false;
}

/* Sends the gap again, which has been done `refills` times before. */
static void fill(picolink_engine_t *engine, uint32_t now, uint32_t refills) {
    engine->stats.gaps_resent++;
    go_back(engine);
    engine->filling = true;
    engine->refills = (uint8_t)least(refills, REFILLS_MAX);
    engine->filled_at = now;
}

/* Accounts for `size` stream bytes from nxt on, now in flight. Returns FLAG_ASK or 0. */
static uint32_t launch(picolink_engine_t *engine, uint32_t size, uint32_t now) {
    uint16_t nxt = advanced(engine->nxt, size);
    engine->nxt = nxt;
    if (!engine->flight) {
        engine->timer_at = now;
    }
    engine->ends[(uint32_t)(engine->ends_first + engine->flight) & (PICOLINK_FLIGHT_MAX - 1)] = nxt;
    engine->flight++;
    uint32_t ahead = distance(engine->high, nxt);
    bool once = engine->filling && !engine->refills; /* what it replaces is lost for certain */
    if (ahead && ahead < BEHIND) {
        engine->high = nxt;
        once = true;
    } else {
        engine->stats.retransmitted++;
    }
    if (once && !engine->timing) {
        engine->timing = true;
        engine->timed_pos = nxt;
        engine->timed_at = now;
    }
    if (engine->filling && nxt == engine->gap_end) {
        engine->filling = false;
        engine->nxt = engine->high;
        engine->since_ask = 0;
        return FLAG_ASK;
    }
    engine->since_ask++;
    uint32_t often = most(engine->limit >> 1, ASK_AHEAD) - ASK_AHEAD;
    if (engine->limit < engine->threshold || engine->limit == engine->flight_max) {
        often = (uint32_t)engine->limit * 5 >> 3;
    }
    if (engine->since_ask >= often || nxt == engine->edge) {
        engine->since_ask = 0;
        return FLAG_ASK;
    }
    return 0;
}

/* ms without an acknowledgement until the next retransmission or probe. */
static uint32_t timeout(const picolink_engine_t *engine) {
    uint32_t backoff = engine->una != engine->high ? engine->backoff : engine->probed;
    return least((uint32_t)engine->rto << backoff, RTO_MAX_MS);
}

/*
 * ms that an owed acknowledgement waits for stream bytes to ride on: longer on a slow radio, where a packet
 * without is dear, while these wait for an acknowledgement themselves.
 */
static uint32_t ack_delay(const picolink_engine_t *engine) {
    bool full = engine->flight >= engine->limit && engine->nxt != engine->head;
    return full ? most(ACK_MS, engine->srtt8 >> 6) : ACK_MS; /* an eighth of the round trip */
}

/* ms until a gap that is still reported is sent again. */
static uint32_t gap_timeout(const picolink_engine_t *engine) {
    return least((uint32_t)engine->patience << engine->refills, RTO_MAX_MS);
}

/* One round trip in ms: RFC 6298. Where it shows that packets wait in a queue, fewer may be in flight. */
static void measure(picolink_engine_t *engine, uint32_t rtt) {
    uint32_t srtt8 = engine->srtt8;
    uint32_t var4 = engine->var4;
    if (srtt8) {
        uint32_t srtt = srtt8 >> 3;
        srtt8 = srtt8 - srtt + rtt;
        var4 = var4 - (var4 >> 2) + (rtt > srtt ? rtt - srtt : srtt - rtt);
    } else {
        srtt8 = rtt << 3;
        var4 = rtt << 1;
    }
    engine->backoff = 0;
    while (engine->limit > FLIGHT_FIRST && engine->limit * rtt > QUEUE_MS) {
        engine->threshold = --engine->limit;
        engine->grown = 0;
    }
    engine->srtt8 = (uint16_t)srtt8;
    engine->var4 = (uint16_t)var4;
    engine->patience = (uint16_t)most((srtt8 >> 3) + (var4 >> 1), PATIENCE_MIN_MS);
    engine->rto = (uint16_t)least(most((srtt8 >> 3) + var4 + ACK_MS, RTO_MIN_MS), RTO_MAX_MS);
}

/* Frees the records that end at `pos` or before it. */
static void release(picolink_engine_t *engine, uint32_t pos) {
    uint32_t tail = engine->tail;
    while (tail != pos) {
        uint32_t total = record_total(&engine->tx, tail);
        if (distance(tail, pos) < total) {
            break;
        }
        engine->stats.messages_acknowledged += !is_end(&engine->tx, tail);
        tail = advanced(tail, total);
    }
    if (tail != engine->tail) {
        engine->tail = (uint16_t)tail;
        engine->flags |= PICOLINK_WRITABLE;
    }
}

/* The peer has everything before `pos`, which lies in una..high. */
static void acknowledge(picolink_engine_t *engine, uint32_t pos, uint32_t now) {
    uint32_t gained = distance(engine->una, pos);
    if (!gained) {
        return;
    }
    bool filled = engine->gap_known && distance(engine->gap_end, pos) < BEHIND;
    if (filled && engine->filling) {
        engine->nxt = engine->high;
    } else if (distance(engine->una, engine->nxt) < gained) {
        engine->nxt = (uint16_t)pos; /* the peer had more than was sent again */
    }
    if (filled) {
        engine->gap_known = engine->filling = false;
    }
    if (distance(engine->una, engine->edge) < gained) {
        engine->edge = (uint16_t)pos;
    }
    engine->gap_again = false;
    engine->filled_at = now;
    engine->una = (uint16_t)pos;
    if (engine->srtt8 && elapsed(now, engine->timer_at) >= engine->srtt8 >> 3) {
        engine->backoff = 0; /* what was sent again has been under way for a round trip: it was needed */
    }
    engine->timer_at = now;
    while (engine->flight && distance(engine->ends[engine->ends_first], pos) < BEHIND) {
        engine->ends_first = (engine->ends_first + 1) & (PICOLINK_FLIGHT_MAX - 1);
        engine->flight--;
        engine->grown++;
    }
    if (engine->limit < engine->threshold) {
        engine->limit = (uint8_t)least((uint32_t)engine->limit + engine->grown, engine->threshold);
        engine->grown = 0;
    } else if (engine->limit < engine->flight_max && engine->grown >= engine->limit) {
        engine->limit++;
        engine->grown = 0;
    }
    if (engine->timing && distance(engine->timed_pos, pos) < BEHIND) {
        engine->timing = false;
        measure(engine, least(elapsed(now, engine->timed_at), RTO_MAX_MS));
    }
    if (!engine->peer_commits) {
        release(engine, pos);
    }
}

/* -- the end of a connection ---------------------------------------------------------------------------- */

static void hang_up(picolink_engine_t *engine, uint32_t reason, uint32_t due) {
    if (is_keyed(engine)) {
        engine->keys->proven = engine->state == PICOLINK_OPEN;
    }
    engine->state = PICOLINK_CLOSED;
    engine->reason = (uint8_t)reason;
    engine->due = (uint8_t)due;
}

static void refuse(picolink_engine_t *engine, uint32_t reason) {
    hang_up(engine, reason, DUE_BYE);
    engine->flags |= PICOLINK_REFUSED | PICOLINK_PULL;
}

/* Whoever has sent this greeting packet is to hear it. */
static void refuse_sender(picolink_engine_t *engine, const uint8_t *packet, uint32_t reason) {
    engine->heard = get32(packet + 4);
    engine->heard_tag = packet[2];
    refuse(engine, reason);
}

/* -- receive ring --------------------------------------------------------------------------------------- */

static uint32_t unread(const picolink_engine_t *engine) {
    return distance(engine->read, engine->rcv);
}

static void owe_ack(picolink_engine_t *engine, uint32_t now) {
    if (!engine->ack_owed) {
        engine->ack_owed = true;
        engine->ack_at = now;
    }
}

/*
 * Whether the peer should hear of room that the reader has made: it is short of room and there is plenty, or
 * it has none and the reader waits.
 */
static bool credit_due(const picolink_engine_t *engine) {
    if (engine->gap) {
        return false; /* its packets say how long the gap is instead */
    }
    uint32_t capacity = ring_size(&engine->rx);
    uint32_t gained = distance(engine->edge_sent, engine->read + capacity);
    uint32_t credit = distance(engine->rcv, engine->edge_sent);
    if (gained >= capacity >> 2) {
        return credit < capacity >> 1;
    }
    return gained && !credit && engine->read == engine->whole;
}

/* Advances `whole` over the records that have come whole. */
static void scan(picolink_engine_t *engine) {
    const picolink_ring_t *ring = &engine->rx;
    uint32_t whole = engine->whole;
    uint32_t need = engine->need;
    uint32_t have = distance(whole, engine->rcv);
    while (have >= need) {
        uint32_t first = *ring_at(ring, whole);
        uint32_t size = *ring_at(ring, whole + 1);
        uint32_t header = 2;
        if (size >= 0x80) {
            if (have < 3) {
                need = 3;
                break;
            }
            header = 3;
            size = (size & 0x7F) | (uint32_t)*ring_at(ring, whole + 2) << 7;
            if (size >= 0x4000) {
                if (have < 4) {
                    need = 4;
                    break;
                }
                header = 4;
                size = (size & 0x3FFF) | (uint32_t)*ring_at(ring, whole + 3) << 14;
            }
        }
        uint32_t total = header + size;
        bool end = first == RECORD_END;
        if (end ? total != END_SIZE
                : first & RECORD_RESERVED || (first & RECORD_TYPE) == RECORD_TYPE ||
                      total != record_size(size) || total > ring_size(ring)) {
            engine->broken = true;
            engine->stats.malformed++;
            engine->flags |= PICOLINK_BROKEN;
            hang_up(engine, PICOLINK_NONSENSE, DUE_BYE);
            break;
        }
        need = total;
        if (have < total) {
            break;
        }
        need = 2;
        have -= total;
        whole = advanced(whole, total);
        engine->flags |= end ? PICOLINK_PEER_ENDED : PICOLINK_READABLE;
    }
    engine->whole = (uint16_t)whole;
    engine->need = (uint16_t)need;
}

/* Stream bytes that begin `ahead` of the next one expected (modulo 2^16). */
static void take_stream(picolink_engine_t *engine, const uint8_t *bytes, uint32_t ahead, uint32_t size,
                        uint32_t now) {
    if (ahead >= BEHIND) {
        uint32_t skip = 0x10000 - ahead;
        if (skip >= size) {
            engine->stats.duplicates++;
            engine->ack_now = true; /* its acknowledgement may have been lost */
            return;
        }
        bytes += skip;
        size -= skip;
        ahead = 0;
    }
    uint32_t room = ring_size(&engine->rx) - unread(engine);
    if (ahead + size > room) {
        engine->stats.overruns++;
        engine->extra |= FLAG_OVERRUN;
        engine->ack_now = true;
        if (ahead || !room) {
            return;
        }
        size = room;
    }
    uint16_t pos = advanced(engine->rcv, ahead);
    uint16_t end = advanced(pos, size);
    if (ahead) {
        engine->stats.gaps++;
        if (!engine->gap) {
            engine->gap = engine->ack_now = true;
            engine->kept = pos;
        } else {
            owe_ack(engine, now);
            if (pos != engine->kept_end) {
                return; /* it would leave a second gap */
            }
        }
        engine->kept_end = end;
        ring_write(&engine->rx, pos, bytes, size);
        return;
    }
    ring_write(&engine->rx, pos, bytes, size);
    if (engine->gap && distance(engine->kept, end) < BEHIND) {
        engine->gap = false;
        engine->ack_now = true;
        if (distance(end, engine->kept_end) < BEHIND) {
            end = engine->kept_end;
        }
    }
    engine->rcv = end;
    owe_ack(engine, now);
    scan(engine);
}

/*
 * What every packet carries: an acknowledgement, and the credit, the length of a gap or of what is not
 * committed. False, with nothing done, when it cannot be.
 */
static bool take_ack(picolink_engine_t *engine, uint32_t pos, uint32_t credit, uint32_t flags, uint32_t now) {
    if (distance(engine->una, pos) > distance(engine->una, engine->high)) {
        return false;
    }
    uint32_t known = distance(engine->committed, pos);
    uint32_t most_credit = engine->peer_ring;
    if (flags & FLAG_COMMIT) {
        most_credit = known;
    } else if (flags & FLAG_GAP) {
        most_credit = most(distance(pos, engine->high), 1) - 1; /* something was sent behind it */
        if (!credit) {
            return false;
        }
    }
    if (credit > most_credit) {
        return false;
    }
    acknowledge(engine, pos, now);
    uint16_t end = advanced(pos, credit);
    if (flags & FLAG_COMMIT) {
        if (credit != known) {
            engine->committed = (uint16_t)(pos - credit);
            engine->timer_at = now;
            engine->probed = 0;
            release(engine, engine->committed);
        }
        return true;
    }
    if (flags & FLAG_OVERRUN && distance(pos, engine->nxt) > credit &&
        elapsed(now, engine->filled_at) >= engine->patience) {
        go_back(engine);
        engine->filled_at = now;
    }
    if (credit > distance(pos, engine->edge)) {
        engine->edge = end;
        engine->probed = 0;
    } else if (flags & FLAG_OVERRUN) {
        engine->edge = end;
        engine->gap_again &= credit > 0; /* there is no room for it */
    }
    if (flags & FLAG_GAP) {
        engine->gap_end = end;
        if (engine->gap_known) {
            engine->gap_again = true; /* perhaps by packets that were behind it already */
            if (engine->filling && distance(pos, engine->nxt) >= credit) {
                engine->filling = false;
                engine->nxt = engine->high;
            }
        } else {
            engine->gap_known = true;
            engine->limit = (uint8_t)most(engine->limit >> 1, least(FLIGHT_LOSSY, engine->limit));
            engine->threshold = engine->limit;
            fill(engine, now, 0);
        }
    }
    return true;
}

/* -- keys: docs/protocol.md, "Keys" --------------------------------------------------------------------- */

/* What an HMAC is of begins with one of these, or with a greeting packet, which is odd. */
enum { HMAC_DATA = 0, HMAC_RANDOM = 2 };

static void draw_random(picolink_keys_t *keys) {
    uint8_t message[5 + PICOLINK_SEED_BYTES];
    uint8_t hash[PICOLINK_SHA256];
    message[0] = HMAC_RANDOM;
    put32(message + 1, keys->handshakes++);
    memcpy(message + 5, keys->seed, PICOLINK_SEED_BYTES);
    picolink_hmac(keys->key, message, sizeof(message), hash);
    memcpy(keys->random, hash, PICOLINK_RANDOM_BYTES);
}

/*
 * What proves, in this handshake, that whoever says the first RANDOM_AT bytes of a greeting packet has the
 * key.   random, self: of who says them.   other: the random of the other side.
 */
static void prove(const uint8_t *key, const uint8_t *packet, const uint8_t *random, const uint8_t *other,
                  const picolink_self_t *self, uint8_t *proof) {
    uint8_t message[RANDOM_AT + 2 * PICOLINK_RANDOM_BYTES + sizeof(*self)];
    memcpy(message, packet, RANDOM_AT);
    memcpy(message + RANDOM_AT, random, PICOLINK_RANDOM_BYTES);
    memcpy(message + RANDOM_AT + PICOLINK_RANDOM_BYTES, other, PICOLINK_RANDOM_BYTES);
    memcpy(message + RANDOM_AT + 2 * PICOLINK_RANDOM_BYTES, self, sizeof(*self));
    uint8_t hash[PICOLINK_SHA256];
    picolink_hmac(key, message, sizeof(message), hash);
    memcpy(proof, hash, PROOF);
}

/* This side's proof for a greeting packet that it sends. */
static void prove_own(const picolink_engine_t *engine, const uint8_t *packet, uint8_t *proof) {
    const picolink_keys_t *keys = engine->keys;
    prove(keys->key, packet, keys->random, keys->heard_random, &engine->self, proof);
}

/* Whether a greeting packet of the peer, who has said `random` and `self`, holds its proof at `proof`. */
static bool is_proven(const picolink_engine_t *engine, const uint8_t *packet, const uint8_t *random,
                      const picolink_self_t *self, const uint8_t *proof) {
    const picolink_keys_t *keys = engine->keys;
    uint8_t wanted[PROOF];
    prove(keys->key, packet, random, keys->random, self, wanted);
    return picolink_same_tag(proof, wanted);
}

/*
 * Seals the stream bytes of a data packet behind its header, or opens one to `to`; the tag that belongs to it
 * goes to `tag`.   session: the sender's.
 */
static void crypt(const uint32_t *round_keys, bool opening, uint32_t session, const uint8_t *packet,
                  size_t size, uint8_t *to, uint8_t *tag) {
    uint8_t nonce[PICOLINK_CCM_NONCE] = {packet[8], packet[9]};
    put32(nonce + 2, session);
    picolink_ccm(round_keys, opening, nonce, packet, KEYED_HEADER, packet + KEYED_HEADER, size, to, tag);
}

/* -- handshake ------------------------------------------------------------------------------------------ */

/* Begins a handshake under a new tag, which makes every packet sent to the old one stale. */
static void greet(picolink_engine_t *engine, uint32_t now) {
    if (is_keyed(engine)) {
        draw_random(engine->keys);
    }
    engine->tag++;
    engine->state = PICOLINK_GREETING;
    engine->heard = engine->peer;
    engine->heard_tag = engine->peer_tag;
    engine->due = DUE_GREETING;
    engine->hello_at = now;
}

/* Goes on as a restarted board would: under the next session id, knowing no peer. */
static void renew(picolink_engine_t *engine) {
    uint32_t next = picolink_crc32(engine->session, engine->self.identity, PICOLINK_IDENTITY_BYTES);
    engine->session = next ? next : 1;
    engine->peer = 0;
    engine->peer_tag = 0;
    engine->renewed = false;
    engine->fresh = true;
}

/*
 * A packet has said what is impossible, perhaps because it is late. Whether it was one too many: then a
 * handshake tells for certain.
 */
static bool doubt(picolink_engine_t *engine, uint32_t now) {
    if (!engine->doubts) {
        engine->doubt_at = now;
    }
    if (engine->doubts < DOUBTS_MAX - 1) {
        engine->doubts++;
    } else if (!left_since(DOUBT_MS, now, engine->doubt_at)) {
        greet(engine, now);
        return true;
    }
    engine->extra |= FLAG_ASK;
    engine->ack_now = true;
    return false;
}

/* Both streams begin again at offset 0, with a whole record. Returns how many were too large and are gone. */
static uint32_t begin_streams(picolink_engine_t *engine, uint32_t ring) {
    uint32_t sent = distance(engine->tail, engine->high);
    uint32_t pos = engine->tail;
    uint32_t kept = pos;
    uint32_t removed = 0;
    while (pos != engine->head) {
        uint32_t total = record_total(&engine->tx, pos);
        if (total > ring) {
            removed++;
        } else {
            if (distance(engine->tail, pos) < sent) {
                engine->stats.resent += !is_end(&engine->tx, pos);
            }
            if (kept != pos) {
                for (uint32_t i = 0; i < total; i++) {
                    *ring_at(&engine->tx, kept + i) = *ring_at(&engine->tx, pos + i);
                }
            }
            kept = advanced(kept, total);
        }
        pos = advanced(pos, total);
    }
    engine->head = (uint16_t)kept;
    engine->tx_base = engine->una = engine->nxt = engine->high = engine->edge = engine->committed =
        engine->tail;
    engine->rx_base = engine->rcv = engine->edge_sent = engine->read_committed = engine->committed_sent =
        engine->whole;
    engine->need = 2;
    engine->stats.too_large += removed;
    return removed;
}

/* How many full packets the window holds. */
static uint32_t flight_of_window(const picolink_engine_t *engine) {
    uint32_t each = engine->size + (uint32_t)PDU_HEADERS;
    uint32_t packets = 1;
    for (uint32_t bytes = each * 2; bytes <= engine->window && packets < PICOLINK_FLIGHT_MAX; bytes += each) {
        packets++;
    }
    return packets;
}

/* Ring bits and features, as this side's HELLO has them. */
static uint32_t own_options(const picolink_engine_t *engine) {
    uint32_t options = engine->commits ? FEATURE_COMMIT << 8 : 0;
    if (is_keyed(engine)) {
        options |= FEATURE_KEYED << 8;
    }
    while (engine->rx.mask >> (options & 0xFF)) {
        options++;
    }
    return options;
}

/* One side of a handshake, for what is bound to it. */
typedef struct {
    uint32_t session;
    uint32_t options;
    uint32_t tag;
    const uint8_t *random;
    const uint8_t *identity;
} side_t;

/* What the CRCs of data packets start with. */
static uint32_t bound_crc(const side_t *sender, const side_t *receiver) {
    uint8_t sides[12];
    put32(sides, sender->session);
    put32(sides + 4, receiver->session);
    put16(sides + 8, sender->options);
    put16(sides + 10, receiver->options);
    return picolink_crc32(0, sides, sizeof(sides));
}

enum { SIDE_SIZE = 1 + 4 + 2 + PICOLINK_RANDOM_BYTES + PICOLINK_IDENTITY_BYTES };

static __attribute__((noinline)) void put_side(uint8_t *to, const side_t *side) {
    to[0] = (uint8_t)side->tag;
    put32(to + 1, side->session);
    put16(to + 5, side->options);
    memcpy(to + 7, side->random, PICOLINK_RANDOM_BYTES);
    memcpy(to + 7 + PICOLINK_RANDOM_BYTES, side->identity, PICOLINK_IDENTITY_BYTES);
}

/* The round keys of data packets. */
static void derive(const uint8_t *key, const side_t *sender, const side_t *receiver, uint32_t *round_keys) {
    uint8_t message[2 + 2 * SIDE_SIZE];
    uint8_t hash[PICOLINK_SHA256];
    message[0] = HMAC_DATA;
    message[1] = PICOLINK_VERSION;
    put_side(message + 2, sender);
    put_side(message + 2 + SIDE_SIZE, receiver);
    picolink_hmac(key, message, sizeof(message), hash);
    picolink_aes_key(round_keys, hash);
}

/* Binds data packets to the sides of this handshake and to what they have said of themselves. */
static void bind(picolink_engine_t *engine, const uint8_t *hello) {
    picolink_keys_t *keys = engine->keys;
    side_t own = {engine->session, own_options(engine), engine->tag, NULL, engine->self.identity};
    side_t peer = {engine->peer, engine->peer_options, hello[2], NULL, engine->heard_self.identity};
    engine->crc_out = bound_crc(&own, &peer);
    engine->crc_in = bound_crc(&peer, &own);
    if (is_keyed(engine)) {
        own.random = keys->random;
        peer.random = keys->heard_random;
        derive(keys->key, &own, &peer, keys->out);
        derive(keys->key, &peer, &own, keys->in);
        keys->sent = keys->next = 0;
        keys->peer_self = engine->heard_self;
    }
}

/*
 * The HELLO answers this very handshake: resume the streams, or begin new ones.
 * False, with nothing done, when the peer contradicts what is known of it.
 */
static bool open_session(picolink_engine_t *engine, const uint8_t *hello, uint32_t now) {
    uint32_t session = get32(hello + 4);
    uint32_t options = get16(hello + 12);
    uint32_t expected = get16(hello + 14);
    uint32_t flags = PICOLINK_OPENED | PICOLINK_WRITABLE;
    if (session == engine->peer) {
        uint32_t pos = advanced(expected, engine->tx_base);
        if (options != engine->peer_options ||
            distance(engine->una, pos) > distance(engine->una, engine->high)) {
            return false;
        }
        acknowledge(engine, pos, now);
    } else {
        if (expected) {
            return false;
        }
        if (engine->peer) {
            engine->stats.peer_restarts++;
            engine->renewed = true;
            flags |= PICOLINK_PEER_RESTARTED;
        }
        if (hello[0] & FLAG_RENEWED && !engine->fresh) {
            flags |= PICOLINK_FORGOTTEN;
        }
        engine->peer = session;
        engine->peer_options = (uint16_t)options;
        engine->peer_commits = hello[13] & FEATURE_COMMIT;
        engine->peer_ring = (uint16_t)(1u << hello[12]);
        if (begin_streams(engine, engine->peer_ring)) {
            flags |= PICOLINK_TOO_LARGE;
        }
    }
    memcpy(engine->partner, engine->heard_self.identity, PICOLINK_IDENTITY_BYTES);
    bind(engine, hello);
    engine->fresh = false;
    engine->stats.opened++;
    engine->flags |= (uint16_t)flags;
    engine->peer_tag = hello[2];
    engine->peer_version = PICOLINK_VERSION;
    engine->state = PICOLINK_OPEN;
    /* The largest packet that fills its PDUs: 27n - 7 bytes. */
    uint32_t largest = least(engine->self.largest, engine->heard_self.largest);
    uint32_t size = is_keyed(engine) ? KEYED_LARGEST_MIN : PICOLINK_LARGEST_MIN;
    while (size < PICOLINK_PULL_MAX && size + PDU <= largest) {
        size += PDU;
    }
    engine->size = (uint8_t)size;
    engine->room = (uint8_t)(size - (is_keyed(engine) ? KEYED_OVERHEAD : OVERHEAD));
    engine->flight_max = (uint8_t)flight_of_window(engine);
    engine->threshold = engine->flight_max;
    engine->limit = (uint8_t)least(FLIGHT_FIRST, engine->flight_max);
    go_back(engine);
    engine->gap_known = false;
    engine->filled_at = now;
    engine->patience = RTO_MIN_MS;
    engine->since_ask = 0;
    engine->srtt8 = 0;
    engine->rto = RTO_FIRST_MS;
    engine->timer_at = now;
    engine->backoff = engine->probed = 0;
    engine->gap = false;
    engine->doubts = 0;
    engine->extra = 0;
    engine->commit_now = true;
    engine->commit_at = now - PAST;
    engine->ack_now = true; /* tells the peer its credit */
    return true;
}

/* The peer seems to be in another handshake: it should hear what this side is in, and data, which tells it
 * most. */
static void answer(picolink_engine_t *engine, uint32_t now) {
    if (!left_since(HELLO_MS, now, engine->hello_at)) {
        engine->due = DUE_GREETING;
        engine->ack_now = true;
        engine->flags |= PICOLINK_PULL;
    }
}

/* What this side knows of its peer cannot be true. */
static void contradicted(picolink_engine_t *engine, uint32_t now) {
    engine->stats.contradictions++;
    engine->flags |= PICOLINK_CONTRADICTED | PICOLINK_PULL;
    renew(engine);
    greet(engine, now);
}

/* Whether one more HELLO is answered: who says many of them does not fill the way to the peer with answers.
 */
static bool may_answer(picolink_engine_t *engine, uint32_t now) {
    if (!left_since(HELLO_MS, now, engine->answers_at)) {
        engine->answers = 0;
    }
    if (!engine->answers) {
        engine->answers_at = now;
    }
    return engine->answers < ANSWERS_MAX && ++engine->answers;
}

static void take_hello(picolink_engine_t *engine, const uint8_t *hello, uint32_t now) {
    uint32_t session = get32(hello + 4);
    uint32_t tag = hello[2];
    bool answers = get32(hello + 8) == engine->session;
    /* By the last IDENTITY, which is no echo. With a key this device never is the partner, in no other link
     * of it either. */
    bool named = engine->heard_session == session &&
                 ((session != engine->session && !is_keyed(engine)) ||
                  !same_identity(engine->heard_self.identity, engine->self.identity));
    bool proof = named && answers && hello[3] == engine->tag;
    bool proven = proof && (!is_keyed(engine) || is_proven(engine, hello, hello + RANDOM_AT,
                                                           &engine->heard_self, hello + PROOF_AT));
    if (engine->state == PICOLINK_OPEN) {
        if (is_keyed(engine) && !proven &&
            (session != engine->peer || tag != engine->peer_tag ||
             get16(hello + 12) != engine->peer_options)) {
            engine->stats
                .stale++; /* whoever says it: the partner knows what to say when it hears the answer */
            answer(engine, now);
            return;
        }
        if (session != engine->peer) {
            if (!named) {
                engine->stats.early++;
                return;
            }
            greet(engine, now); /* the partner has begun anew */
        } else if (get16(hello + 12) != engine->peer_options) {
            greet(engine, now);
        } else if (tag != engine->peer_tag) {
            if ((uint8_t)(tag - engine->peer_tag) >= 0x80 &&
                !(answers && (uint8_t)(hello[3] - engine->tag) <= 0x80)) {
                engine->stats.stale++; /* from a handshake before this one */
                answer(engine, now);
                return;
            }
            greet(engine, now);
        }
    }
    bool greeting = engine->state == PICOLINK_GREETING;
    if (is_keyed(engine) && (greeting || proven)) {
        memcpy(engine->keys->heard_random, hello + RANDOM_AT, PICOLINK_RANDOM_BYTES);
    }
    if (greeting && proof && hello[3] == engine->tag) {
        if (!proven) {
            engine->stats.unproven++;
            refuse_sender(engine, hello, PICOLINK_KEY_WRONG);
            return;
        }
        if (!open_session(engine, hello, now)) {
            contradicted(engine, now);
        }
    }
    engine->heard = session;
    engine->heard_tag = (uint8_t)tag;
    engine->flags |= PICOLINK_PULL;
    if (!(hello[0] & FLAG_READY) && (engine->due == DUE_GREETING || may_answer(engine, now))) {
        engine->due = DUE_GREETING;
        /* The peer has taken nothing since its handshake began: tell it its credit. */
        engine->ack_now = true;
    }
}

static bool is_stranger(const picolink_engine_t *engine, const uint8_t *identity) {
    const uint8_t *partner = picolink_partner(engine);
    return partner && !same_identity(partner, identity);
}

static void take_identity(picolink_engine_t *engine, const uint8_t *packet) {
    const uint8_t *identity = packet + 8;
    if (is_stranger(engine, identity)) {
        engine->stats.strangers++;
        if (engine->state == PICOLINK_GREETING) {
            refuse_sender(engine, packet, PICOLINK_PARTNER_KNOWN);
        }
        return;
    }
    engine->heard_session = get32(packet + 4);
    engine->heard_self.largest = packet[3];
    memcpy(engine->heard_self.identity, identity, PICOLINK_IDENTITY_BYTES);
}

static void take_bye(picolink_engine_t *engine, const uint8_t *bye, size_t size) {
    bool open = engine->state == PICOLINK_OPEN;
    if (get32(bye + 8) != engine->session || bye[3] != engine->tag ||
        (open && get32(bye + 4) != engine->peer) ||
        (open && is_keyed(engine) &&
         (size != PROVEN_BYE_SIZE ||
          !is_proven(engine, bye, engine->keys->heard_random, &engine->keys->peer_self, bye + RANDOM_AT)))) {
        engine->stats.stale++;
        return;
    }
    hang_up(engine, bye[12], 0);
    engine->flags |= PICOLINK_BYE | PICOLINK_PULL;
}

/* Whether a greeting packet of this version makes no sense. */
static bool is_nonsense(const picolink_engine_t *engine, const uint8_t *packet, size_t size) {
    uint32_t kind = packet[0] & KIND;
    size_t wanted = GREETING_SIZE;
    if (kind == KIND_KEYED) {
        wanted = is_keyed(engine) ? KEYED_SIZE : 0;
    } else if (kind == KIND_BYE && size > GREETING_SIZE) {
        wanted = PROVEN_BYE_SIZE;
    }
    if (size != wanted || !get32(packet + 4)) {
        return true;
    }
    if (kind == KIND_IDENTITY) {
        return packet[3] < PICOLINK_LARGEST_MIN || packet[3] > PICOLINK_PACKET_MAX ||
               !picolink_is_identity(packet + 8, PICOLINK_IDENTITY_BYTES);
    }
    return kind != KIND_BYE && (packet[12] < 8 || packet[12] > 15);
}

/* Whether this greeting packet with the own session id is the partner's IDENTITY, and no echo. */
static bool is_namesake(const picolink_engine_t *engine, const uint8_t *packet) {
    const uint8_t *identity = packet + 8;
    return (packet[0] & KIND) == KIND_IDENTITY && !same_identity(engine->self.identity, identity) &&
           !is_stranger(engine, identity);
}

static void take_greeting(picolink_engine_t *engine, const uint8_t *packet, size_t size, uint32_t now) {
    bool greeting = engine->state == PICOLINK_GREETING;
    if (packet[1] != PICOLINK_VERSION) {
        engine->stats.malformed++;
        if (greeting) {
            engine->peer_version = packet[1];
            refuse(engine, PICOLINK_OTHER_VERSION);
        }
        return;
    }
    if (is_nonsense(engine, packet, size)) {
        engine->stats.malformed++;
    } else if (get32(packet + 4) == engine->session && !is_keyed(engine)) {
        engine->stats.malformed++;
        if (greeting && !engine->peer) {
            renew(engine); /* two sides have drawn the same session id */
            greet(engine, now);
            engine->flags |= PICOLINK_PULL;
        } else if ((greeting || engine->state == PICOLINK_OPEN) && is_namesake(engine, packet)) {
            contradicted(engine, now); /* the partner has it, and may be deceived about this side as well */
        } else if (engine->state == PICOLINK_OPEN) {
            answer(engine, now); /* then it is the other one that renews */
        }
    } else if (!greeting && engine->state != PICOLINK_OPEN) {
        engine->stats.early++;
    } else if ((packet[0] & KIND) == (is_keyed(engine) ? KIND_KEYED : KIND_HELLO)) {
        take_hello(engine, packet, now);
    } else if ((packet[0] & KIND) == KIND_HELLO) {
        engine->stats.unproven++;
        if (greeting) {
            refuse_sender(engine, packet, PICOLINK_KEY_WANTED);
        }
    } else if ((packet[0] & KIND) == KIND_IDENTITY) {
        take_identity(engine, packet);
    } else {
        take_bye(engine, packet, size);
    }
}

/* -- packets -------------------------------------------------------------------------------------------- */

static size_t seal(picolink_engine_t *engine, uint32_t start, uint8_t *packet, uint32_t size) {
    put32(packet + size, picolink_crc32(start, packet, size));
    engine->stats.packets_sent++;
    return size + 4;
}

/* BYE, IDENTITY or HELLO, when one is due. */
static size_t pull_greeting(picolink_engine_t *engine, uint8_t *packet, uint32_t now) {
    if (!engine->due) {
        if (engine->state != PICOLINK_GREETING || elapsed(now, engine->hello_at) < HELLO_MS) {
            return 0;
        }
        engine->due = DUE_GREETING;
    }
    if (is_keyed(engine) && engine->state == PICOLINK_OPEN && engine->keys->sent == COUNTERS) {
        greet(engine, now);
    }
    uint32_t size = RANDOM_AT;
    packet[1] = PICOLINK_VERSION;
    packet[2] = engine->tag;
    packet[3] = engine->heard_tag;
    put32(packet + 4, engine->session);
    put32(packet + 8, engine->heard);
    put32(packet + 12, 0);
    if (engine->due & DUE_BYE) {
        engine->due = 0;
        packet[0] = GREETING_PACKET | KIND_BYE;
        packet[12] = engine->reason;
        if (is_keyed(engine) && engine->keys->proven) {
            prove_own(engine, packet, packet + size);
            size += PROOF;
        }
    } else if (engine->due & DUE_IDENTITY) {
        engine->due = DUE_HELLO;
        packet[0] = GREETING_PACKET | KIND_IDENTITY;
        packet[3] = engine->self.largest;
        memcpy(packet + 8, engine->self.identity, PICOLINK_IDENTITY_BYTES);
    } else {
        bool known = engine->peer && engine->heard == engine->peer;
        uint32_t flags = GREETING_PACKET | (uint32_t)(is_keyed(engine) ? KIND_KEYED : KIND_HELLO);
        if (engine->state == PICOLINK_OPEN) {
            flags |= FLAG_READY;
        }
        if (engine->renewed || (engine->peer && !known)) {
            flags |= FLAG_RENEWED;
        }
        packet[0] = (uint8_t)flags;
        put16(packet + 12, own_options(engine));
        if (known) {
            put16(packet + 14, distance(engine->rx_base, engine->rcv));
        }
        engine->due = 0;
        engine->hello_at = now;
        if (is_keyed(engine)) {
            memcpy(packet + RANDOM_AT, engine->keys->random, PICOLINK_RANDOM_BYTES);
            memset(packet + PROOF_AT, 0, PROOF);
            if (engine->heard) { /* else there is nothing to prove: the peer's random is not known */
                prove_own(engine, packet, packet + PROOF_AT);
            }
            size = PROOF_AT + PROOF;
        }
    }
    return seal(engine, 0, packet, size);
}

/* Opens a data packet. False when it is none of this handshake, or was taken before. */
static bool unseal(picolink_engine_t *engine, const uint8_t *packet, size_t size, uint32_t now) {
    picolink_keys_t *keys = engine->keys;
    uint32_t *counted = &engine->stats.corrupt;
    if (size >= KEYED_OVERHEAD) {
        uint32_t counter = get16(packet + HEADER);
        uint8_t tag[PICOLINK_CCM_TAG];
        if (packet[1] != engine->tag) {
            counted = &engine->stats.stale;
        } else if (counter < keys->next) {
            engine->stats.replayed++;
            return false;
        } else {
            crypt(keys->in, true, engine->peer, packet, size - KEYED_OVERHEAD, keys->plain, tag);
            if (picolink_same_tag(tag, packet + size - PICOLINK_CCM_TAG)) {
                keys->next = counter + 1;
                return true;
            }
        }
    }
    (*counted)++;
    answer(engine, now);
    return false;
}

static void take_packet(picolink_engine_t *engine, const uint8_t *packet, size_t size, uint32_t now) {
    picolink_stats_t *stats = &engine->stats;
    stats->packets_received++;
    if (size < OVERHEAD || size > PICOLINK_PACKET_MAX) {
        stats->corrupt++;
        return;
    }
    uint32_t flags = packet[0];
    if (flags & GREETING_PACKET) {
        if (picolink_crc32(0, packet, size) != PICOLINK_CRC32_RESIDUE) {
            stats->corrupt++;
            return;
        }
        take_greeting(engine, packet, size, now);
        return;
    }
    if (engine->state != PICOLINK_OPEN) {
        stats->early++;
        return;
    }
    const uint8_t *bytes = packet + HEADER;
    if (is_keyed(engine)) {
        if (!unseal(engine, packet, size, now)) {
            return;
        }
        bytes = engine->keys->plain;
        size -= KEYED_OVERHEAD - OVERHEAD;
    } else if (picolink_crc32(engine->crc_in, packet, size) != PICOLINK_CRC32_RESIDUE) {
        stats->corrupt++;
        answer(engine, now);
        return;
    }
    uint32_t one_of = flags & FLAGS_ONE_OF;
    if (flags & ~(uint32_t)(FLAG_ASK | FLAGS_ONE_OF) || one_of & (one_of - 1) ||
        (one_of & FLAG_COMMIT && !engine->peer_commits)) {
        stats->malformed++;
        return;
    }
    if (packet[1] != engine->tag) {
        stats->stale++;
        answer(engine, now);
        return;
    }
    engine->flags |= PICOLINK_PULL;
    uint32_t ack = get16(packet + 4);
    uint32_t credit = get16(packet + 6);
    if (take_ack(engine, advanced(ack, engine->tx_base), credit, flags, now)) {
        engine->doubts = 0;
    } else if (doubt(engine, now)) {
        return;
    }
    if (size > OVERHEAD) {
        uint32_t ahead = distance(engine->rcv, get16(packet + 2) + engine->rx_base);
        take_stream(engine, bytes, ahead, (uint32_t)size - OVERHEAD, now);
    } else if (flags & FLAG_ASK) {
        engine->commit_now = true;
    }
    if (flags & FLAG_ASK) {
        if (ack_delay(engine) > ACK_MS) {
            owe_ack(engine, now);
        } else {
            engine->ack_now = true;
        }
    }
}

static size_t seal_keyed(picolink_engine_t *engine, uint8_t *packet, uint32_t size) {
    picolink_keys_t *keys = engine->keys;
    uint8_t *bytes = packet + KEYED_HEADER;
    if (keys->sent == COUNTERS) {
        return 0; /* never: new keys were due before. A counter would come twice */
    }
    put16(packet + HEADER, keys->sent++);
    crypt(keys->out, false, engine->session, packet, size, bytes, bytes + size);
    engine->stats.packets_sent++;
    if (keys->sent == COUNTERS) {
        engine->due = DUE_GREETING; /* no counter is used twice under a key: another one follows */
    }
    return KEYED_OVERHEAD + size;
}

/* Writes the header of a data packet and seals it. */
static size_t finish(picolink_engine_t *engine, uint8_t *packet, uint32_t flags, uint32_t offset,
                     uint32_t credit, uint32_t size) {
    packet[0] = (uint8_t)flags;
    packet[1] = engine->peer_tag;
    put16(packet + 2, distance(engine->tx_base, offset));
    put16(packet + 4, distance(engine->rx_base, engine->rcv));
    put16(packet + 6, credit);
    if (is_keyed(engine)) {
        return seal_keyed(engine, packet, size);
    }
    return seal(engine, engine->crc_out, packet, HEADER + size);
}

/* ms until this side, which commits, has a COMMIT to send. */
static uint32_t commit_wait(const picolink_engine_t *engine, uint32_t now) {
    if (engine->gap || (!engine->commit_now && engine->read_committed == engine->committed_sent)) {
        return NEVER;
    }
    return left_since(COMMIT_MS, now, engine->commit_at);
}

static size_t pull_commit(picolink_engine_t *engine, uint8_t *packet, uint32_t now) {
    engine->commit_now = false;
    engine->commit_at = now;
    engine->committed_sent = engine->read_committed;
    engine->stats.acks_alone++;
    uint32_t missing = distance(engine->read_committed, engine->rcv);
    return finish(engine, packet, FLAG_COMMIT, engine->nxt, missing, 0);
}

/* -- public --------------------------------------------------------------------------------------------- */

static bool is_ring_size(size_t size) {
    return size >= PICOLINK_RING_MIN && size <= PICOLINK_RING_MAX && !(size & (size - 1));
}

bool picolink_is_identity(const uint8_t *bytes, size_t size) {
    return size == PICOLINK_IDENTITY_BYTES && (get32(bytes) | get32(bytes + 4));
}

size_t picolink_engine_bytes(size_t tx_size, size_t rx_size) {
    if (!is_ring_size(tx_size) || !is_ring_size(rx_size)) {
        return 0;
    }
    return sizeof(picolink_engine_t) + tx_size + rx_size;
}

bool picolink_init(picolink_engine_t *engine, uint32_t session, const uint8_t *identity, size_t tx_size,
                   size_t rx_size, size_t window, bool commit) {
    if (!session || !picolink_is_identity(identity, PICOLINK_IDENTITY_BYTES) ||
        !picolink_engine_bytes(tx_size, rx_size) || window < PICOLINK_WINDOW_MIN ||
        window > PICOLINK_WINDOW_MAX) {
        return false;
    }
    memset(engine, 0, sizeof(*engine));
    engine->session = session;
    memcpy(engine->self.identity, identity, PICOLINK_IDENTITY_BYTES);
    engine->commits = commit;
    engine->tag = (uint8_t)session;
    engine->window = (uint16_t)window;
    engine->flight_max = engine->limit = 1;
    engine->need = 2;
    engine->header = HEADER;
    engine->tx.bytes = (uint8_t *)(engine + 1);
    engine->tx.mask = (uint32_t)tx_size - 1;
    engine->rx.bytes = engine->tx.bytes + tx_size;
    engine->rx.mask = (uint32_t)rx_size - 1;
    return true;
}

#if PICOLINK_KEYS
void picolink_set_key(picolink_engine_t *engine, picolink_keys_t *keys, const uint8_t *key,
                      const uint8_t *seed) {
    memset(keys, 0, sizeof(*keys));
    memcpy(keys->key, key, PICOLINK_KEY_BYTES);
    memcpy(keys->seed, seed, PICOLINK_SEED_BYTES);
    engine->keys = keys;
    engine->header = KEYED_HEADER;
}
#endif

const uint8_t *picolink_partner(const picolink_engine_t *engine) {
    return picolink_is_identity(engine->partner, PICOLINK_IDENTITY_BYTES) ? engine->partner : NULL;
}

bool picolink_set_partner(picolink_engine_t *engine, const uint8_t *identity) {
    if (!identity) {
        memset(engine->partner, 0, PICOLINK_IDENTITY_BYTES);
        return true;
    }
    if (!picolink_is_identity(identity, PICOLINK_IDENTITY_BYTES)) {
        return false;
    }
    memcpy(engine->partner, identity, PICOLINK_IDENTITY_BYTES);
    if (!same_identity(engine->heard_self.identity, identity)) {
        engine->heard_session = 0; /* who greets is another one now */
    }
    return true;
}

void picolink_start(picolink_engine_t *engine, size_t mtu, uint32_t now_ms) {
    uint32_t largest =
        mtu < PICOLINK_PACKET_MAX + ATT_HEADER ? (uint32_t)mtu - ATT_HEADER : PICOLINK_PACKET_MAX;
    engine->self.largest = (uint8_t)(mtu < PICOLINK_MTU_MIN ? PICOLINK_LARGEST_MIN : largest);
    engine->heard_session = 0;
    if (engine->broken) {
        engine->broken = false;
        renew(engine); /* what the peer's stream held next is unknown */
    }
    engine->answers = 0;
    greet(engine, now_ms);
    if (is_keyed(engine)) {
        engine->heard = 0; /* its random of this connection is not known yet */
        engine->heard_tag = 0;
        if (engine->self.largest < KEYED_LARGEST_MIN) {
            refuse(engine, PICOLINK_PACKETS_SMALL);
        }
    }
}

bool picolink_bye(picolink_engine_t *engine, uint32_t reason) {
    if (engine->state != PICOLINK_GREETING && engine->state != PICOLINK_OPEN) {
        return false;
    }
    hang_up(engine, reason, DUE_BYE);
    return true;
}

size_t picolink_record_limit(const picolink_engine_t *engine) {
    uint32_t limit = ring_size(&engine->tx);
    return engine->peer_ring ? least(limit, engine->peer_ring) : limit;
}

picolink_send_t picolink_send(picolink_engine_t *engine, uint32_t first, const void *data, size_t size) {
    size_t limit = picolink_record_limit(engine);
    if (first >= RECORD_RESERVED || (first & RECORD_TYPE) == RECORD_TYPE || size > limit ||
        record_size((uint32_t)size) > limit) {
        return PICOLINK_SEND_NEVER;
    }
    if (engine->ending || !queue(engine, first, data, (uint32_t)size)) {
        return PICOLINK_SEND_NO_ROOM;
    }
    engine->stats.messages_sent++;
    return PICOLINK_SEND_QUEUED;
}

bool picolink_end(picolink_engine_t *engine) {
    if (!engine->ending) {
        engine->ending = queue(engine, RECORD_END, NULL, 0);
    }
    return engine->ending;
}

bool picolink_commit(picolink_engine_t *engine) {
    if (!engine->commits) {
        return false;
    }
    /* Not back: what is read of an earlier stream was committed, or is gone, with it. */
    if (distance(engine->read, engine->rcv) <= distance(engine->read_committed, engine->rcv)) {
        engine->read_committed = advanced(engine->read, engine->ended ? END_SIZE : 0);
    }
    return true;
}

bool picolink_peek(picolink_engine_t *engine, picolink_message_t *message) {
    const picolink_ring_t *ring = &engine->rx;
    uint32_t read = engine->read;
    if (read == engine->whole || engine->ended) {
        return false;
    }
    uint32_t first = *ring_at(ring, read);
    if (first == RECORD_END) {
        engine->ended = true;
        if (engine->commits && engine->read_committed == read) {
            engine->read_committed = advanced(read, END_SIZE); /* all before it was committed: so is it */
        }
        return false;
    }
    uint32_t size = payload_size(ring, read);
    uint32_t start = read + record_size(size) - size;
    uint32_t straight = ring_straight(ring, start, size);
    message->kind_and_channel = (uint8_t)first;
    message->first = ring_at(ring, start);
    message->first_size = (uint16_t)straight;
    message->second = ring->bytes;
    message->second_size = (uint16_t)(size - straight);
    engine->shown = advanced(start, size);
    return true;
}

void picolink_release(picolink_engine_t *engine) {
    if (engine->read != engine->shown) {
        engine->read = engine->shown;
        engine->stats.messages_received++;
    }
}

size_t picolink_pull(picolink_engine_t *engine, uint8_t *packet, size_t capacity, uint32_t now_ms) {
    if (capacity < PICOLINK_PULL_MAX) {
        return 0;
    }
    if (engine->due || engine->state != PICOLINK_OPEN) {
        return pull_greeting(engine, packet, now_ms);
    }
    if (engine->commits && !commit_wait(engine, now_ms)) {
        return pull_commit(engine, packet, now_ms);
    }
    uint32_t flags = 0;
    if (engine->gap_again && elapsed(now_ms, engine->filled_at) >= gap_timeout(engine)) {
        fill(engine, now_ms, engine->refills + 1u);
    }
    uint32_t size = sendable(engine);
    if (engine->tail != engine->head && elapsed(now_ms, engine->timer_at) >= timeout(engine)) {
        uint8_t *backoff = &engine->backoff;
        if (engine->una != engine->high) {
            engine->stats.timeouts++;
            go_back(engine);
            if (engine->limit > 1) {
                engine->threshold = (uint8_t)most(engine->limit >> 1, FLIGHT_FIRST);
                engine->limit = 1;
            }
            size = sendable(engine);
            flags = FLAG_ASK;
        } else if (!size) {
            engine->stats.probes++;
            flags = FLAG_ASK;
            backoff = &engine->probed;
        }
        if (flags) {
            engine->timer_at = now_ms;
            if (*backoff < BACKOFF_MAX) {
                (*backoff)++;
            }
        }
    }
    if (!size && !flags) {
        if (!engine->ack_now && !(engine->ack_owed && elapsed(now_ms, engine->ack_at) >= ack_delay(engine)) &&
            !credit_due(engine)) {
            return 0;
        }
        engine->stats.acks_alone++;
    }
    uint32_t offset = engine->nxt;
    if (size) {
        ring_read(&engine->tx, offset, packet + engine->header, size);
        flags |= launch(engine, size, now_ms);
    }
    flags |= engine->extra & FLAG_ASK;
    uint32_t credit = ring_size(&engine->rx) - unread(engine);
    if (engine->gap) {
        flags |= FLAG_GAP;
        credit = distance(engine->rcv, engine->kept);
        engine->extra &= FLAG_OVERRUN; /* goes with the next credit */
    } else {
        flags |= engine->extra;
        engine->extra = 0;
        engine->edge_sent = advanced(engine->rcv, credit);
    }
    engine->ack_now = engine->ack_owed = false;
    return finish(engine, packet, flags, offset, credit, size);
}

uint32_t picolink_feed(picolink_engine_t *engine, const uint8_t *packet, size_t size, uint32_t now_ms) {
    take_packet(engine, packet, size, now_ms);
    return engine->flags;
}

uint32_t picolink_take_flags(picolink_engine_t *engine) {
    uint32_t flags = engine->flags;
    engine->flags = 0;
    return flags;
}

int32_t picolink_wait(const picolink_engine_t *engine, uint32_t now_ms) {
    if (engine->due) {
        return 0;
    }
    uint32_t wait = NEVER;
    if (engine->state == PICOLINK_OPEN) {
        if (engine->ack_now || credit_due(engine) || sendable(engine)) {
            return 0;
        }
        if (engine->commits) {
            wait = commit_wait(engine, now_ms);
        }
        if (engine->ack_owed) {
            wait = least(wait, left(ack_delay(engine), elapsed(now_ms, engine->ack_at)));
        }
        if (engine->gap_again) {
            wait = least(wait, left(gap_timeout(engine), elapsed(now_ms, engine->filled_at)));
        }
        if (engine->tail != engine->head) {
            wait = least(wait, left(timeout(engine), elapsed(now_ms, engine->timer_at)));
        }
    } else if (engine->state == PICOLINK_GREETING) {
        wait = left(HELLO_MS, elapsed(now_ms, engine->hello_at));
    }
    return (int32_t)wait;
}

size_t picolink_pending(const picolink_engine_t *engine) {
    return distance(engine->tail, engine->head);
}

uint16_t picolink_acknowledged(const picolink_engine_t *engine) {
    return engine->una;
}

const picolink_stats_t *picolink_stats(picolink_engine_t *engine) {
    engine->stats.rtt_ms = engine->srtt8 >> 3;
    engine->stats.flight_limit = engine->limit;
    return &engine->stats;
}
