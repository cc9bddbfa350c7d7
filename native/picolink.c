#include "picolink.h"

#include <string.h>

#include "crc32.h"

/* Packets: docs/protocol.md, "Packets". */
enum {
    FLAG_HELLO = 0x01,
    FLAG_READY = 0x02,
    FLAG_ASK = 0x04,
    FLAG_GAP = 0x08,
    FLAG_RENEWED = 0x10,

    HEADER = 8,
    OVERHEAD = 12,
    HELLO_SIZE = 20,
    SIZE_MIN = 20,
    PDU = 27,        /* LL payload without data length extension: Core spec vol 6 part B 4.5.10 */
    PDU_HEADERS = 7, /* L2CAP header (4) and ATT opcode and handle (3) */
    ATT_HEADER = 3,
};

/* Records: docs/protocol.md, "Records". */
enum {
    RECORD_CHANNEL = 0x0F,
    RECORD_END = 0x10,
};

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
    RTO_MAX_MS = 4000,
    BACKOFF_MAX = 3,
    REFILLS_MAX = 7,
};

enum { FLIGHT_LOSSY = 4 }; /* packets: losses do not push the flight limit below this */
enum { ASK_AHEAD = 2 };    /* packets: after losses an answer is asked for this many before half the limit */

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
static int32_t left(uint32_t limit, uint32_t ms) {
    return ms < limit ? (int32_t)(limit - ms) : 0;
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

/* -- transmit ring -------------------------------------------------------------------------------------- */

static bool queue(picolink_engine_t *engine, uint32_t first, const uint8_t *data, uint32_t size) {
    const picolink_ring_t *ring = &engine->tx;
    uint32_t head = engine->head;
    uint32_t total = record_size(size);
    if (total > ring_size(ring) - distance(engine->tail, head)) {
        return false;
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
    engine->head = advanced(head, total);
    return true;
}

/* Stream bytes that the next packet may carry. */
static uint32_t sendable(const picolink_engine_t *engine) {
    uint32_t size = distance(engine->nxt, engine->head);
    if (!size || engine->flight >= engine->limit) {
        return 0;
    }
    size = least(size, engine->size - (uint32_t)OVERHEAD);
    if (engine->filling) {
        size = least(size, distance(engine->nxt, engine->gap_end));
    }
    uint32_t credit = distance(engine->nxt, engine->edge);
    if (size > credit) {
        /* A packet cut short by the credit wastes air: only when nothing else is on its way. */
        return engine->flight ? 0 : credit;
    }
    return size;
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
    if (engine->limit == engine->flight_max) {
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
    return least((uint32_t)engine->rto << engine->backoff, RTO_MAX_MS);
}

/* ms until a gap that is still reported is sent again. */
static uint32_t gap_timeout(const picolink_engine_t *engine) {
    return least((uint32_t)engine->patience << engine->refills, RTO_MAX_MS);
}

/* One round trip in ms: RFC 6298. */
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
    engine->srtt8 = (uint16_t)srtt8;
    engine->var4 = (uint16_t)var4;
    engine->patience = (uint16_t)((srtt8 >> 3) + (var4 >> 1));
    engine->rto = (uint16_t)least(most((srtt8 >> 3) + var4 + ACK_MS, RTO_MIN_MS), RTO_MAX_MS);
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
    engine->gap_again = false;
    engine->filled_at = now;
    engine->una = (uint16_t)pos;
    engine->timer_at = now;
    engine->backoff = 0;
    while (engine->flight && distance(engine->ends[engine->ends_first], pos) < BEHIND) {
        engine->ends_first = (engine->ends_first + 1) & (PICOLINK_FLIGHT_MAX - 1);
        engine->flight--;
        engine->grown++;
    }
    if (engine->limit < engine->flight_max &&
        (engine->limit < FLIGHT_LOSSY || engine->grown >= engine->limit)) {
        engine->limit++;
        engine->grown = 0;
    }
    if (engine->timing && distance(engine->timed_pos, pos) < BEHIND) {
        engine->timing = false;
        measure(engine, least(elapsed(now, engine->timed_at), RTO_MAX_MS));
    }
    uint32_t tail = engine->tail;
    while (tail != pos) {
        uint32_t total = record_total(&engine->tx, tail);
        if (distance(tail, pos) < total) {
            break;
        }
        engine->stats.messages_acknowledged += !(*ring_at(&engine->tx, tail) & RECORD_END);
        tail = advanced(tail, total);
    }
    if (tail != engine->tail) {
        engine->tail = (uint16_t)tail;
        engine->flags |= PICOLINK_WRITABLE;
    }
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
        bool known = !(first & ~(uint32_t)(RECORD_CHANNEL | RECORD_END)) && !(first & RECORD_END && size);
        if (!known || total != record_size(size) || total > ring_size(ring)) {
            engine->state = PICOLINK_POISONED;
            engine->stats.malformed++;
            engine->flags |= PICOLINK_BROKEN;
            break;
        }
        need = total;
        if (have < total) {
            break;
        }
        need = 2;
        have -= total;
        whole = advanced(whole, total);
        engine->flags |= first & RECORD_END ? PICOLINK_PEER_ENDED : PICOLINK_READABLE;
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
    if (ahead + size > ring_size(&engine->rx) - unread(engine)) {
        engine->stats.overruns++;
        return;
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

/* The acknowledgement and the credit that every packet carries. */
static void take_ack(picolink_engine_t *engine, uint32_t pos, uint32_t credit, bool gap, uint32_t now) {
    if (distance(engine->una, pos) > distance(engine->una, engine->high)) {
        return; /* overtaken by a later one */
    }
    acknowledge(engine, pos, now);
    uint16_t end = advanced(pos, credit);
    if (!gap) {
        if (credit > distance(pos, engine->edge)) {
            engine->edge = end;
            engine->backoff = 0;
        }
        return;
    }
    if (!credit || credit >= distance(pos, engine->high)) {
        return; /* nothing was sent behind it: nonsense */
    }
    if (engine->gap_known && end == engine->gap_end) {
        engine->gap_again = true; /* perhaps by packets that were behind it already */
        return;
    }
    engine->gap_known = true;
    engine->gap_end = end;
    engine->limit = (uint8_t)most(engine->limit >> 1, least(FLIGHT_LOSSY, engine->limit));
    fill(engine, now, 0);
}

/* -- handshake ------------------------------------------------------------------------------------------ */

/* Begins a handshake under a new tag, which makes every packet sent to the old one stale. */
static void greet(picolink_engine_t *engine, uint32_t now) {
    engine->tag++;
    engine->state = PICOLINK_GREETING;
    engine->heard = engine->peer;
    engine->heard_tag = engine->peer_tag;
    engine->hello_due = true;
    engine->hello_at = now;
}

/* Goes on as a restarted board would: under the next session id, knowing no peer. */
static void renew(picolink_engine_t *engine) {
    engine->session = engine->session == UINT32_MAX ? 1 : engine->session + 1;
    engine->peer = 0;
    engine->renewed = false;
}

static void refuse(picolink_engine_t *engine, uint32_t version) {
    engine->stats.malformed++;
    if (engine->state == PICOLINK_GREETING) {
        engine->state = PICOLINK_REFUSING;
        engine->peer_version = (uint8_t)version;
        engine->hello_due = true; /* once, so that the peer can see why */
        engine->flags |= PICOLINK_REFUSED | PICOLINK_PULL;
    }
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
                engine->stats.resent++;
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
    engine->tx_base = engine->una = engine->nxt = engine->high = engine->edge = engine->tail;
    engine->rx_base = engine->rcv = engine->edge_sent = engine->whole;
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

/*
 * The HELLO in `packet` answers this very handshake: resume the streams, or begin new ones.
 * False, with nothing done, when the peer is at a place where these streams cannot be.
 */
static bool open_session(picolink_engine_t *engine, const uint8_t *packet, uint32_t now) {
    uint32_t session = get32(packet + 4);
    uint32_t ring = 1u << packet[12];
    uint32_t expected = get16(packet + 14);
    uint32_t flags = PICOLINK_OPENED | PICOLINK_WRITABLE;
    if (session == engine->peer) {
        uint32_t pos = advanced(expected, engine->tx_base);
        if (distance(engine->una, pos) > distance(engine->una, engine->high)) {
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
        if (packet[0] & FLAG_RENEWED) {
            flags |= PICOLINK_FORGOTTEN;
        }
        if (begin_streams(engine, ring)) {
            flags |= PICOLINK_TOO_LARGE;
        }
        engine->peer = session;
        engine->peer_ring = (uint16_t)ring;
    }
    engine->stats.opened++;
    engine->flags |= (uint16_t)flags;
    engine->peer_tag = packet[2];
    engine->peer_version = PICOLINK_VERSION;
    engine->state = PICOLINK_OPEN;
    engine->flight_max = (uint8_t)flight_of_window(engine);
    engine->limit = engine->flight_max;
    go_back(engine);
    engine->gap_known = false;
    engine->patience = RTO_MIN_MS;
    engine->since_ask = 0;
    engine->srtt8 = 0;
    engine->rto = RTO_FIRST_MS;
    engine->timer_at = now;
    engine->backoff = 0;
    engine->gap = false;
    engine->ack_now = true; /* tells the peer its credit */
    return true;
}

static void take_hello(picolink_engine_t *engine, const uint8_t *packet, size_t size, uint32_t now) {
    uint32_t version = packet[1];
    uint32_t session = get32(packet + 4);
    uint32_t ring_bits = size == HELLO_SIZE ? packet[12] : 0;
    if (version != PICOLINK_VERSION || ring_bits < 8 || ring_bits > 15 || session == engine->session ||
        !session) {
        refuse(engine, version);
        return;
    }
    if (engine->state != PICOLINK_GREETING && engine->state != PICOLINK_OPEN) {
        engine->stats.early++;
        return;
    }
    uint32_t flags = packet[0];
    uint32_t tag = packet[2];
    if (engine->state == PICOLINK_OPEN && (session != engine->peer || tag != engine->peer_tag)) {
        if (session == engine->peer && (uint8_t)(tag - engine->peer_tag) >= 0x80) {
            engine->stats.stale++; /* from a handshake before this one */
            return;
        }
        greet(engine, now); /* the peer began anew: so must this side */
    }
    if (engine->state == PICOLINK_GREETING && get32(packet + 8) == engine->session &&
        packet[3] == engine->tag && !open_session(engine, packet, now)) {
        /* One side has met another peer since and has given these streams up: begin them anew. */
        renew(engine);
        greet(engine, now);
    }
    engine->heard = session;
    engine->heard_tag = (uint8_t)tag;
    if (!(flags & FLAG_READY)) {
        engine->hello_due = true;
        /* The peer has taken nothing since its handshake began: tell it its credit. */
        engine->ack_now = true;
    }
    engine->flags |= PICOLINK_PULL;
}

/* -- packets -------------------------------------------------------------------------------------------- */

static size_t seal(picolink_engine_t *engine, uint8_t *packet, uint32_t size) {
    put32(packet + size, picolink_crc32(packet, size));
    engine->stats.packets_sent++;
    return size + 4;
}

static size_t pull_hello(picolink_engine_t *engine, uint8_t *packet, uint32_t now) {
    bool known = engine->peer && engine->heard == engine->peer;
    bool renewed = engine->renewed || (engine->peer && !known);
    uint32_t ring_bits = 0;
    while (engine->rx.mask >> ring_bits) {
        ring_bits++;
    }
    packet[0] = FLAG_HELLO;
    if (engine->state == PICOLINK_OPEN) {
        packet[0] |= FLAG_READY;
    }
    if (renewed) {
        packet[0] |= FLAG_RENEWED;
    }
    packet[1] = PICOLINK_VERSION;
    packet[2] = engine->tag;
    packet[3] = engine->heard_tag;
    put32(packet + 4, engine->session);
    put32(packet + 8, engine->heard);
    packet[12] = (uint8_t)ring_bits;
    packet[13] = 0;
    put16(packet + 14, known ? distance(engine->rx_base, engine->rcv) : 0);
    engine->hello_due = false;
    engine->hello_at = now;
    return seal(engine, packet, HELLO_SIZE - 4);
}

static void take_packet(picolink_engine_t *engine, const uint8_t *packet, size_t size, uint32_t now) {
    picolink_stats_t *stats = &engine->stats;
    stats->packets_received++;
    if (size < OVERHEAD || size > PICOLINK_PACKET_MAX ||
        picolink_crc32(packet, size) != PICOLINK_CRC32_RESIDUE) {
        stats->corrupt++;
        return;
    }
    uint32_t flags = packet[0];
    if (flags & FLAG_HELLO) {
        take_hello(engine, packet, size, now);
        return;
    }
    if (flags & ~(uint32_t)(FLAG_ASK | FLAG_GAP)) {
        stats->malformed++;
        return;
    }
    if (engine->state != PICOLINK_OPEN) {
        stats->early++;
        return;
    }
    if (packet[1] != engine->tag) {
        stats->stale++;
        engine->hello_due = true; /* a peer that has a wrong tag begins anew */
        engine->flags |= PICOLINK_PULL;
        return;
    }
    uint32_t offset = get16(packet + 2);
    uint32_t ack = get16(packet + 4);
    uint32_t credit = get16(packet + 6);
    if (credit > engine->peer_ring) {
        stats->malformed++;
        return;
    }
    take_ack(engine, advanced(ack, engine->tx_base), credit, flags & FLAG_GAP, now);
    if (size > OVERHEAD) {
        uint32_t ahead = distance(engine->rcv, offset + engine->rx_base);
        take_stream(engine, packet + HEADER, ahead, (uint32_t)size - OVERHEAD, now);
    }
    if (flags & FLAG_ASK) {
        engine->ack_now = true;
    }
    engine->flags |= PICOLINK_PULL;
}

/* -- public --------------------------------------------------------------------------------------------- */

static bool is_ring_size(size_t size) {
    return size >= PICOLINK_RING_MIN && size <= PICOLINK_RING_MAX && !(size & (size - 1));
}

size_t picolink_engine_bytes(size_t tx_size, size_t rx_size) {
    if (!is_ring_size(tx_size) || !is_ring_size(rx_size)) {
        return 0;
    }
    return sizeof(picolink_engine_t) + tx_size + rx_size;
}

bool picolink_init(picolink_engine_t *engine, uint32_t session, size_t tx_size, size_t rx_size,
                   size_t window) {
    if (!session || !is_ring_size(tx_size) || !is_ring_size(rx_size) || window < PICOLINK_WINDOW_MIN ||
        window > PICOLINK_WINDOW_MAX) {
        return false;
    }
    memset(engine, 0, sizeof(*engine));
    engine->session = session;
    engine->tag = (uint8_t)session;
    engine->size = SIZE_MIN;
    engine->window = (uint16_t)window;
    engine->flight_max = engine->limit = 1;
    engine->rto = RTO_FIRST_MS;
    engine->need = 2;
    engine->tx.bytes = (uint8_t *)(engine + 1);
    engine->tx.mask = (uint32_t)tx_size - 1;
    engine->rx.bytes = engine->tx.bytes + tx_size;
    engine->rx.mask = (uint32_t)rx_size - 1;
    return true;
}

void picolink_start(picolink_engine_t *engine, size_t mtu, uint32_t now_ms) {
    /* The largest packet that fills its PDUs: 27n - 7 bytes. */
    uint32_t size = SIZE_MIN;
    while (size < PICOLINK_PULL_MAX && size + PDU + ATT_HEADER <= mtu) {
        size += PDU;
    }
    engine->size = (uint8_t)size;
    if (engine->state == PICOLINK_POISONED) {
        renew(engine); /* what the peer's stream held next is unknown */
    }
    greet(engine, now_ms);
}

size_t picolink_record_limit(const picolink_engine_t *engine) {
    uint32_t limit = ring_size(&engine->tx);
    return engine->peer_ring ? least(limit, engine->peer_ring) : limit;
}

picolink_send_t picolink_send(picolink_engine_t *engine, uint32_t channel, const void *data, size_t size) {
    size_t limit = picolink_record_limit(engine);
    if (channel > PICOLINK_CHANNEL_MAX || size > limit || record_size((uint32_t)size) > limit) {
        return PICOLINK_SEND_NEVER;
    }
    if (!queue(engine, channel, data, (uint32_t)size)) {
        return PICOLINK_SEND_NO_ROOM;
    }
    engine->stats.messages_sent++;
    return PICOLINK_SEND_QUEUED;
}

bool picolink_end(picolink_engine_t *engine) {
    return queue(engine, RECORD_END, NULL, 0);
}

bool picolink_peek(picolink_engine_t *engine, picolink_message_t *message) {
    const picolink_ring_t *ring = &engine->rx;
    uint32_t read = engine->read;
    if (read == engine->whole || engine->ended) {
        return false;
    }
    uint32_t first = *ring_at(ring, read);
    if (first & RECORD_END) {
        engine->ended = true;
        return false;
    }
    uint32_t size = payload_size(ring, read);
    uint32_t start = read + record_size(size) - size;
    uint32_t straight = ring_straight(ring, start, size);
    message->channel = (uint8_t)first;
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
    if (engine->hello_due ||
        (engine->state == PICOLINK_GREETING && elapsed(now_ms, engine->hello_at) >= HELLO_MS)) {
        return pull_hello(engine, packet, now_ms);
    }
    if (engine->state != PICOLINK_OPEN) {
        return 0;
    }
    uint32_t flags = 0;
    if (engine->gap_again && elapsed(now_ms, engine->filled_at) >= gap_timeout(engine)) {
        fill(engine, now_ms, engine->refills + 1u);
    }
    uint32_t size = sendable(engine);
    if (engine->una != engine->head && elapsed(now_ms, engine->timer_at) >= timeout(engine)) {
        if (engine->una != engine->high) {
            engine->stats.timeouts++;
            go_back(engine);
            engine->limit = 1;
            size = sendable(engine);
            flags = FLAG_ASK;
        } else if (!size) {
            engine->stats.probes++;
            flags = FLAG_ASK;
        }
        if (flags) {
            engine->timer_at = now_ms;
            if (engine->backoff < BACKOFF_MAX) {
                engine->backoff++;
            }
        }
    }
    if (!size && !flags) {
        if (!engine->ack_now && !(engine->ack_owed && elapsed(now_ms, engine->ack_at) >= ACK_MS) &&
            !credit_due(engine)) {
            return 0;
        }
        engine->stats.acks_alone++;
    }
    uint32_t offset = engine->nxt;
    if (size) {
        ring_read(&engine->tx, offset, packet + HEADER, size);
        flags |= launch(engine, size, now_ms);
    }
    uint32_t credit = ring_size(&engine->rx) - unread(engine);
    if (engine->gap) {
        flags |= FLAG_GAP;
        credit = distance(engine->rcv, engine->kept);
    } else {
        engine->edge_sent = advanced(engine->rcv, credit);
    }
    packet[0] = (uint8_t)flags;
    packet[1] = engine->peer_tag;
    put16(packet + 2, distance(engine->tx_base, offset));
    put16(packet + 4, distance(engine->rx_base, engine->rcv));
    put16(packet + 6, credit);
    engine->ack_now = engine->ack_owed = false;
    return seal(engine, packet, HEADER + size);
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
    if (engine->hello_due) {
        return 0;
    }
    if (engine->state == PICOLINK_GREETING) {
        return left(HELLO_MS, elapsed(now_ms, engine->hello_at));
    }
    if (engine->state != PICOLINK_OPEN) {
        return -1;
    }
    if (engine->ack_now || credit_due(engine) || sendable(engine)) {
        return 0;
    }
    int32_t wait = -1;
    if (engine->ack_owed) {
        wait = left(ACK_MS, elapsed(now_ms, engine->ack_at));
    }
    if (engine->gap_again) {
        int32_t again = left(gap_timeout(engine), elapsed(now_ms, engine->filled_at));
        if (wait < 0 || again < wait) {
            wait = again;
        }
    }
    if (engine->una != engine->head) {
        int32_t timer = left(timeout(engine), elapsed(now_ms, engine->timer_at));
        if (wait < 0 || timer < wait) {
            wait = timer;
        }
    }
    return wait;
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
