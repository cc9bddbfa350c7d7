/*
 * Fuzz target: a small program of calls on two engines and of faults in the air between them.
 *
 * The first bytes choose rings, windows, MTU, clock, sessions, who commits, and how far the streams have
 * come; the rest are steps. Packets may be lost, late, doubled, damaged, boards restart, and a forger who
 * knows everything (sessions, tags, offsets, identities, what the CRCs are bound to) says what he likes.
 *
 * At every step the promises of docs/protocol.md are checked as far as the program has left them standing:
 *   - nobody has forged, or both sides have a key (fuzz_keyed.c): every message arrives once, in order,
 * unchanged, newest values before messages that wait; of a board that has restarted or to one: as the section
 * "Promises" says, exactly;
 *   - whatever has happened: when the forger has gone, both directions carry messages again within 10 s and
 * the time in which passes what is queued already, and by which a clock has gone back. The sides hang up as a
 * link does, after the end of a connection. Except, as the section "Forgers" says: after an END; in place of
 * a partner that was met first, once he is forgotten; and behind forged stream bytes, as soon as no record
 * can hide messages any more.
 */
#include <string.h>

#include "side.h"

#ifndef KEYED
#define KEYED 0
#endif

const bool keyed = KEYED;

enum {
    TICKS = 0x3FFFFFFF,
    AIR = 16,   /* packets on their way to one side; the oldest are lost */
    SENT = 256, /* messages of one side */
    STEPS = 64,
    RESTARTS = 8,
    ROUND_MS = 10,
    HEALING_MS = 10000,
    HIDDEN_MS = 120000, /* in which a record of the largest ring has passed, and the link is in order again */
    ROUND_BYTES = 8,    /* of stream, in the smallest packet: at least so many pass in a round */
    HANG_UP_MS = 1000,  /* from the end of a connection to the next one */
    LATE_BYTES = 32000, /* docs/protocol.md, "Limits": later packets than this may be mistaken */
    LATE_STARTS = 60,
    LEAST_MTU = KEYED ? 50 : 23,
    END = 0x30, /* first bytes of a record */
    NEWEST = 0x40,
};

static const uint8_t identities[3][PICOLINK_IDENTITY_BYTES] = {"near", "far", "strange"};

typedef struct {
    uint8_t bytes[PICOLINK_PACKET_MAX];
    uint32_t size;
} packet_t;

static side_t sides[2];

static struct {
    uint32_t now;
    uint32_t session[2];
    unsigned rings[2][2];
    uint32_t window;
    uint32_t mtu;

    packet_t air[2][AIR]; /* to each side, the oldest first */
    uint32_t in_air[2];
    packet_t last[2]; /* the packet last handed out by each side */

    /* What each side has sent, in the order of the stream, and which message the other one will read next. */
    uint16_t sizes[2][SENT];
    uint8_t firsts[2][SENT];
    uint8_t patterns[2][SENT];
    uint32_t sent[2];
    uint32_t life[2]; /* the first message since this side's last restart */
    uint32_t next[2];
    /* Of streams that are over: messages that wait to be read before `next`. */
    uint32_t old[2][SENT];
    uint32_t old_first[2];
    uint32_t old_end[2];
    uint32_t peers[2]; /* sessions that are in force */
    uint32_t bytes_sent;

    uint32_t commits[2];
    uint32_t back_ms; /* so far has the clock gone back: timers wait that much longer */
    uint32_t starts;
    uint32_t restarts;
    bool forged;
    bool injected; /* stream bytes */
    bool late;
    bool ended;
    bool healing;
    bool arrived[2]; /* what was sent after the forger had gone */
} world;

/* Byte i of the message that this side sent as its nth is pattern[(7 n + 100 side) % 256 + i]. */
static uint8_t pattern[256 + PICOLINK_RING_MAX];

static uint8_t pattern_of(unsigned who, uint32_t n) {
    return (uint8_t)(7 * n + 100 * who);
}

/* What each side said last, behind everything else. */
static uint8_t said[2][24];

/* Every message arrives as promised: as long as nothing beyond the promises has happened. */
static bool exact(void) {
    return (KEYED || !world.forged) &&
           !(world.late && (world.bytes_sent > LATE_BYTES || world.starts > LATE_STARTS));
}

static uint32_t ring_of(unsigned who, unsigned direction) {
    return ring_sizes[world.rings[who][direction]];
}

/* -- calls ---------------------------------------------------------------------------------------------- */

static void make_side(unsigned who) {
    side_new(&sides[who], world.session[who], identities[who], world.rings[who][0], world.rings[who][1],
             world.window, world.commits[who]);
    world.peers[who] = 0;
    world.old_first[who] = world.old_end[who] = 0;
}

static void start(unsigned who, uint32_t mtu) {
    world.starts++;
    side_start(&sides[who], mtu, world.now);
}

/* The record at this offset of a ring. Returns the offset of the next one. */
static uint32_t record(const picolink_ring_t *ring, uint32_t at, uint32_t *first, uint32_t *size) {
    uint32_t header = 2;
    *first = ring->bytes[at & ring->mask];
    *size = ring->bytes[(at + 1) & ring->mask];
    for (uint32_t shift = 7; *size >> shift; shift += 7) {
        *size = (*size & ((1u << shift) - 1)) | (uint32_t)ring->bytes[(at + header) & ring->mask] << shift;
        header++;
    }
    return (at + header + *size) & 0xFFFF;
}

/* Whether the peer's ring can never hold a message of this side. */
static bool never_fits(unsigned from, uint32_t size) {
    return size + (size < 0x80 ? 2 : size < 0x4000 ? 3 : 4) > ring_of(!from, 1);
}

static bool too_large(unsigned from, uint32_t number) {
    return never_fits(from, world.sizes[from][number]);
}

/* The peer of this side has restarted, and the side has noticed: what each of them reads from here on. */
static void new_streams(unsigned who) {
    /* To the peer: from the first message that was not wholly acknowledged, or committed. */
    uint32_t number = world.life[who];
    uint32_t gone = sides[who].engine->stats.messages_acknowledged;
    for (; number < world.sent[who] && (gone || too_large(who, number)); number++) {
        gone -= !too_large(who, number);
    }
    world.next[who] = number;
    /* From the peer: the whole messages of its old session, then those of the new one. */
    const picolink_engine_t *engine = sides[who].engine;
    unsigned from = !who;
    uint32_t waiting = 0;
    for (uint32_t at = engine->read; at != engine->whole; waiting++) {
        uint32_t first, size;
        at = record(&engine->rx, at, &first, &size);
        if (first == END) {
            break;
        }
    }
    waiting -= world.old_end[who] - world.old_first[who];
    for (; waiting; waiting--) {
        while (too_large(from, world.next[from])) {
            world.next[from]++;
        }
        world.old[who][world.old_end[who]++ % SENT] = world.next[from]++;
    }
    world.next[from] = world.life[from];
}

static void feed(unsigned who, const uint8_t *packet, uint32_t size) {
    side_feed(&sides[who], packet, size, world.now);
    uint32_t peer = sides[who].engine->peer;
    if (peer != world.peers[who] && world.peers[who] && exact()) {
        new_streams(who);
    }
    world.peers[who] = peer;
}

static void into_air(unsigned to, const uint8_t *bytes, uint32_t size) {
    if (world.in_air[to] == AIR) {
        memmove(&world.air[to][0], &world.air[to][1], (AIR - 1) * sizeof(packet_t));
        world.in_air[to]--;
    }
    packet_t *packet = &world.air[to][world.in_air[to]++];
    memcpy(packet->bytes, bytes, size);
    packet->size = size;
}

static void out_of_air(unsigned to, uint32_t index) {
    world.in_air[to]--;
    memmove(&world.air[to][index], &world.air[to][index + 1], (world.in_air[to] - index) * sizeof(packet_t));
}

static bool deliver(unsigned to, uint32_t index) {
    if (index >= world.in_air[to]) {
        return false;
    }
    packet_t packet = world.air[to][index];
    out_of_air(to, index);
    feed(to, packet.bytes, packet.size);
    return true;
}

static bool pull(unsigned from) {
    uint32_t size = side_pull(&sides[from], world.now);
    if (size) {
        memcpy(world.last[from].bytes, sides[from].made, size);
        world.last[from].size = size;
        into_air(!from, sides[from].made, size);
    }
    return size > 0;
}

/* Where a newest value goes: before the messages that wait, without a byte on the air, behind all values. */
static uint32_t place_of_newest(unsigned who) {
    const picolink_engine_t *engine = sides[who].engine;
    uint32_t waiting = 0;
    for (uint32_t at = engine->tail; at != engine->head;) {
        bool begun = ((at - engine->tail) & 0xFFFF) < ((engine->high - engine->tail) & 0xFFFF);
        uint32_t first, size;
        at = record(&engine->tx, at, &first, &size);
        waiting = begun || first & NEWEST ? 0 : waiting + (first != END && !never_fits(who, size));
    }
    uint32_t place = world.sent[who];
    for (; waiting; waiting -= !too_large(who, place)) {
        place--;
    }
    return place;
}

static void insert(unsigned who, uint32_t at, uint32_t first, uint32_t size) {
    uint32_t behind = world.sent[who] - at;
    memmove(&world.sizes[who][at + 1], &world.sizes[who][at], behind * sizeof(world.sizes[who][0]));
    memmove(&world.firsts[who][at + 1], &world.firsts[who][at], behind);
    memmove(&world.patterns[who][at + 1], &world.patterns[who][at], behind);
    world.sizes[who][at] = (uint16_t)size;
    world.firsts[who][at] = (uint8_t)first;
    world.patterns[who][at] = pattern_of(who, world.sent[who]);
    world.sent[who]++;
}

static void send(unsigned who, uint32_t first, uint32_t size) {
    if (world.sent[who] == SENT) {
        return;
    }
    uint32_t at = first & NEWEST ? place_of_newest(who) : world.sent[who];
    size = size > PICOLINK_RING_MAX ? PICOLINK_RING_MAX : size;
    const uint8_t *payload = pattern + pattern_of(who, world.sent[who]);
    if (side_send(&sides[who], first, payload, size) == PICOLINK_SEND_QUEUED) {
        CHECK(first < 0x80 && (first & 0x30) != 0x30 && size + 2 <= ring_of(who, 0));
        insert(who, at, first, size);
        world.bytes_sent += size + 4;
    }
}

static bool recv(unsigned who) {
    unsigned from = !who;
    uint32_t first;
    int32_t size = side_recv(&sides[who], &first);
    if (size < 0) {
        return false;
    }
    if (world.healing && size == sizeof(said[from]) &&
        !memcmp(side_message, said[from], sizeof(said[from]))) {
        world.arrived[who] = true;
        return true;
    }
    if (exact()) {
        uint32_t number;
        if (world.old_first[who] != world.old_end[who]) {
            number = world.old[who][world.old_first[who]++ % SENT];
        } else {
            while (world.next[from] < world.sent[from] && too_large(from, world.next[from])) {
                world.next[from]++;
            }
            number = world.next[from]++;
        }
        CHECK(number < world.sent[from]);
        CHECK((uint32_t)size == world.sizes[from][number]);
        CHECK(first == world.firsts[from][number]);
        CHECK(!memcmp(side_message, pattern + world.patterns[from][number], (uint32_t)size));
    }
    return true;
}

/* -- lies ----------------------------------------------------------------------------------------------- */

static void forge(unsigned to, uint8_t *packet, uint32_t size) {
    const picolink_engine_t *engine = sides[to].engine;
    uint16_t rcv = engine->rcv;
    uint16_t kept_end = engine->kept_end;
    bool gap = engine->gap;
    world.forged = true;
    feed(to, packet, sealed(&sides[to], packet, size));
    if (!(packet[0] & 0x01)) {
        world.injected |= engine->rcv != rcv || engine->gap != gap || engine->kept_end != kept_end;
        CHECK(!KEYED || !world.injected);
    }
}

static void put16(uint8_t *to, uint32_t value) {
    to[0] = (uint8_t)value;
    to[1] = (uint8_t)(value >> 8);
}

static void put32(uint8_t *to, uint32_t value) {
    put16(to, value);
    put16(to + 2, value >> 16);
}

/* A data packet as the peer could send it now. */
static void true_header(unsigned to, uint8_t *packet) {
    const picolink_engine_t *engine = sides[to].engine;
    packet[0] = 0;
    packet[1] = engine->tag;
    put16(packet + 2, between(engine->rx_base, engine->rcv));
    put16(packet + 4, between(engine->tx_base, engine->una));
    put16(packet + 6, engine->peer_ring);
}

enum { FLAGS_KNOWN = 0x3C };

/* Lies about tag, offset, acknowledgement, credit, flags: each when its bit is set. */
static void forge_data(unsigned to, input_t *input) {
    uint8_t packet[PICOLINK_PACKET_MAX + 4];
    uint32_t lies = next8(input);
    true_header(to, packet);
    const picolink_engine_t *engine = sides[to].engine;
    if (lies & 0x01) {
        packet[1] = next8(input);
    }
    if (lies & 0x02) {
        put16(packet + 2, next16(input));
    } else if (lies & 0x04) {
        put16(packet + 2, between(engine->rx_base, engine->rcv + (uint32_t)(int8_t)next8(input)));
    }
    if (lies & 0x08) {
        put16(packet + 4, next16(input));
    } else if (lies & 0x10) { /* as far as was sent: which the peer has not said */
        put16(packet + 4, between(engine->tx_base, engine->high - next8(input)));
    }
    if (lies & 0x20) {
        put16(packet + 6, next16(input));
    }
    uint32_t flags = next8(input);
    packet[0] = (uint8_t)(lies & 0x40 ? flags & 0xFE : flags & FLAGS_KNOWN);
    uint32_t size = 8;
    if (lies & 0x80) {
        size += next_bytes(input, packet + 8, next8(input) % (PICOLINK_PACKET_MAX - 12 + 1));
    }
    forge(to, packet, size);
}

/* Stream bytes in their place: the head of a record, which may lie, and some zeros. */
static void forge_record(unsigned to, uint32_t head, input_t *input) {
    uint8_t packet[PICOLINK_PACKET_MAX + 4] = {0};
    true_header(to, packet);
    uint32_t size = 8 + next_bytes(input, packet + 8, head);
    size += next8(input) % (PICOLINK_PACKET_MAX - 4 - size + 1);
    forge(to, packet, size);
}

/* IDENTITY, HELLO or BYE in anybody's name, with lies anywhere. */
static void forge_greeting(unsigned to, uint32_t lies, input_t *input) {
    const picolink_engine_t *engine = sides[to].engine;
    uint8_t packet[PICOLINK_PACKET_MAX + 4] = {0};
    uint32_t choice = next8(input);
    uint32_t more = next8(input);
    const uint32_t sessions[] = {engine->peer,     engine->heard, world.session[!to],  engine->session,
                                 engine->peer + 1, 0x5EED,        0x5EED0000 + choice, 0};
    const uint32_t answers[] = {engine->session, engine->session, engine->session - 1, 0};
    const uint32_t tags[] = {engine->peer_tag, engine->heard_tag, engine->peer_tag + 1u, more};
    const uint8_t kinds[] = {0x01, 0x03, 0x11, 0x21, 0x41, 0x61, 0x13, 0x01};
    packet[0] = kinds[lies];
    packet[1] = PICOLINK_VERSION;
    packet[2] = (uint8_t)tags[choice >> 3 & 3];
    packet[3] = (uint8_t)(engine->tag + (more >> 6)); /* as it will be when the side has greeted again, too */
    put32(packet + 4, sessions[choice & 7]);
    put32(packet + 8, answers[choice >> 5 & 3]);
    if (lies == 3) {
        packet[3] = (uint8_t)(more & 0x20 ? 244 : 19 + (more & 0x1F));
        memcpy(packet + 8, identities[more >> 6 == 0 ? !to : (more >> 6) % 3], PICOLINK_IDENTITY_BYTES);
    } else if (lies == 4) {
        packet[12] = (uint8_t)more;
    } else {
        uint32_t true_bits = 0;
        while (ring_of(!to, 1) >> true_bits > 1) {
            true_bits++;
        }
        packet[12] = (uint8_t)(more & 8 ? 8 + (more & 7) : true_bits);
        packet[13] = (uint8_t)(more & 16 ? 0x02 : world.commits[!to] ? 0x02 : 0);
        put16(packet + 14, choice & 0x80 ? between(engine->tx_base, engine->una + next8(input)) : 0);
    }
    if (lies == 7) {
        packet[next8(input) & 15] ^= next8(input);
    }
    uint32_t size = lies == 7 && more & 1 ? next8(input) % PICOLINK_PACKET_MAX : 16;
    forge(to, packet, size);
}

/* A whole handshake in the partner's name, so that the side is open with whatever he likes. */
static void take_over(unsigned to, input_t *input) {
    const picolink_engine_t *engine = sides[to].engine;
    uint32_t choice = next8(input);
    uint32_t tag =
        choice & 0x10 ? engine->peer_tag + 1u + (choice & 0x20 ? next8(input) : 0) : engine->peer_tag;
    uint32_t session = choice & 0x40 ? 0x5EED : world.session[!to];
    for (int i = 0; i < 3 && !(i && engine->state == PICOLINK_OPEN); i++) {
        uint8_t packet[PICOLINK_PACKET_MAX + 4] = {0x21, PICOLINK_VERSION, (uint8_t)tag, 244};
        put32(packet + 4, session);
        memcpy(packet + 8, identities[choice & 0x80 ? 2 : !to], PICOLINK_IDENTITY_BYTES);
        forge(to, packet, 16);
        memset(packet, 0, sizeof(packet));
        packet[0] = 0x01;
        packet[1] = PICOLINK_VERSION;
        packet[2] = (uint8_t)tag;
        packet[3] = engine->tag;
        put32(packet + 4, session);
        put32(packet + 8, engine->session);
        packet[12] = (uint8_t)(8 + (choice & 7));
        packet[13] = choice & 8 ? 2 : 0;
        bool resumes = session == engine->peer;
        put16(packet + 14, resumes ? between(engine->tx_base, engine->una) : 0);
        forge(to, packet, 16);
    }
}

/* -- steps ---------------------------------------------------------------------------------------------- */

/* One connection event: both sides send what they have, and get it. */
static void exchange(uint32_t packets) {
    for (unsigned from = 0; from < 2; from++) {
        for (uint32_t i = 0; i < packets && pull(from); i++) {
        }
        while (deliver(!from, 0)) {
        }
    }
}

static void late(unsigned to, uint32_t how) {
    uint32_t count = world.in_air[to];
    if (!count) {
        return;
    }
    if (how == 0) {
        out_of_air(to, 0);
        return;
    }
    world.late = true;
    if (how == 1) {
        feed(to, world.air[to][0].bytes, world.air[to][0].size);
    } else {
        deliver(to, count - 1 - how % count);
    }
}

static void damage(unsigned to, uint32_t mended, input_t *input) {
    uint32_t at = next8(input);
    uint8_t with = next8(input);
    packet_t *packet = &world.air[to][0];
    if (!world.in_air[to] || !with) {
        return;
    }
    if (mended) {
        packet_t copy = *packet;
        out_of_air(to, 0);
        copy.bytes[at % (copy.size - 4)] ^= with;
        forge(to, copy.bytes, copy.size - 4);
        return;
    } else if (at == 0) {
        packet->size = with % packet->size; /* cut off */
    } else {
        packet->bytes[at % packet->size] ^= with;
    }
    deliver(to, 0);
}

static void noise(unsigned to, uint32_t with_crc, input_t *input) {
    uint8_t packet[260];
    uint32_t size = next_bytes(input, packet, next8(input));
    if (with_crc) {
        forge(to, packet, size);
    } else {
        world.forged = true;
        feed(to, packet, size);
    }
}

/* Power is lost and comes back. */
static void restart(unsigned who, uint32_t another) {
    if (world.restarts == RESTARTS) {
        return;
    }
    world.restarts++;
    world.session[who] += (who ? 0x01020300 : 0x02030400) + another; /* 0: with the same first tag */
    world.life[who] = world.sent[who];
    make_side(who);
    if (!world
             .peers[!who]) { /* else it may have messages of the dead session, and finds out: new_streams() */
        world.next[who] = world.life[who];
        world.next[!who] = world.life[!who];
    }
    start(who, world.mtu);
}

static void rarely(unsigned who, uint32_t how, input_t *input) {
    switch (how) {
    case 0:
        side_commit(&sides[who]);
        break;
    case 1: {
        uint32_t which = next8(input);
        side_set_partner(&sides[who], which & 1 ? identities[which & 2 ? !who : 2] : NULL);
        break;
    }
    case 2:
        side_bye(&sides[who], next8(input) | 1);
        break;
    case 3:
        take_over(who, input);
        break;
    case 4:
        side_take_flags(&sides[who]);
        break;
    case 5:
        restart(who, 0);
        break;
    case 6:
        if (world.last[who].size) {
            world.late = true;
            feed(!who, world.last[who].bytes, world.last[who].size);
        }
        break;
    default:
        restart(who, 5);
    }
}

static void step(input_t *input) {
    uint32_t code = next8(input);
    unsigned who = code >> 4 & 1;
    uint32_t how = code >> 5; /* 0 to 7 */
    switch (code & 15) {
    case 0:
        for (uint32_t i = 0, ms = next8(input); i <= (how & 3); i++) {
            world.now = (world.now + ms) & TICKS;
            exchange(4);
        }
        break;
    case 1: {
        uint32_t first = next8(input);
        send(who, first, (uint32_t)next8(input) << how);
        break;
    }
    case 2:
        for (uint32_t i = 0; i <= how && recv(who); i++) {
        }
        break;
    case 3:
        world.ended |= side_end(&sides[who]);
        break;
    case 4:
        for (uint32_t i = 0; i <= how && pull(who); i++) {
        }
        break;
    case 5:
        for (uint32_t i = 0; i <= how && deliver(who, 0); i++) {
        }
        break;
    case 6:
        late(who, how);
        break;
    case 7: {
        uint32_t ms = next8(input);
        clock_went_back |= how == 7;
        world.back_ms += how == 7 ? ms : 0;
        world.now = (how == 7 ? world.now - ms : world.now + (ms << (2 * how))) & TICKS;
        break;
    }
    case 8: {
        int32_t ms = side_wait(&sides[who], world.now);
        world.now = (world.now + (ms > 0 ? (uint32_t)ms - (how == 7) : 0)) & TICKS;
        break;
    }
    case 9:
        world.mtu = how & 4 ? world.mtu : LEAST_MTU + 2u * next8(input);
        world.mtu = world.mtu > PICOLINK_MTU_MAX ? PICOLINK_MTU_MAX : world.mtu;
        if (how & 1) {
            world.in_air[0] = world.in_air[1] = 0;
        } else {
            world.late = true;
        }
        start(who, world.mtu);
        if (how & 2) {
            start(!who, world.mtu);
        }
        break;
    case 10:
        forge_data(who, input);
        break;
    case 11:
        forge_record(who, how, input);
        break;
    case 12:
        forge_greeting(who, how, input);
        break;
    case 13:
        noise(who, how & 1, input);
        break;
    case 14:
        damage(who, how & 1, input);
        break;
    default:
        rarely(who, how, input);
    }
    side_note(&sides[0], world.now);
    side_note(&sides[1], world.now);
}

/* -- the whole ------------------------------------------------------------------------------------------ */

static void begin(input_t *input) {
    if (!pattern[1]) {
        for (size_t i = 0; i < sizeof(pattern); i++) {
            pattern[i] = (uint8_t)(i * 13 + i / 251);
        }
        sides[1].number = 1;
    }
    memset(&world, 0, sizeof(world));
    clock_went_back = false;
    uint32_t rings = next8(input);
    uint32_t options = next8(input);
    uint32_t sessions = next8(input);
    for (unsigned i = 0; i < 4; i++) {
        world.rings[i >> 1][i & 1] = rings >> (2 * i) & 3;
    }
    world.window = (uint32_t[]){256, 1000, 4096, 65535}[options & 3];
    world.mtu = (uint32_t[]){LEAST_MTU, 104, 247, 517}[options >> 2 & 3];
    world.now = options & 0x10 ? TICKS - 2000 : 1000;
    world.session[0] = 0x11223344;
    world.session[1] = options & 0x20 ? 0xFFFFFFFF : 0x556677FE; /* the tag wraps */
    if (sessions & 0x01) {
        world.session[1] = world.session[0];
    }
    for (unsigned who = 0; who < 2; who++) {
        world.commits[who] = sessions >> (1 + who) & 1;
        make_side(who);
        if (sessions >> (3 + who) & 1) {
            side_set_partner(&sides[who], identities[!who]);
        }
        memset(said[who], 0xE0 + (int)who, sizeof(said[who]));
    }
    if (options & 0x40) { /* not the first messages of these boards: ring and stream wrap soon */
        uint32_t rings_at = next16(input);
        uint32_t streams_at = next16(input);
        side_age(&sides[0], rings_at, ~rings_at, 0, 0);
        side_age(&sides[1], rings_at, ~rings_at, 0, 0);
        start(0, world.mtu);
        start(1, world.mtu);
        world.now = (world.now + 1) & TICKS;
        for (int i = 0; i < 6; i++) {
            exchange(4);
        }
        side_age(&sides[0], 0, 0, streams_at, ~streams_at & 0xFFFF);
        side_age(&sides[1], 0, 0, ~streams_at & 0xFFFF, streams_at);
        /* Packets from before are none of these streams: they cannot be repeated. */
        world.last[0].size = world.last[1].size = 0;
    } else if (options & 0x80) {
        start(0, world.mtu);
        start(1, world.mtu);
        exchange(4);
        exchange(4);
        exchange(4);
    }
}

/* Whether a connection between these two has to end: as the link finds out. */
static bool over(void) {
    return sides[0].engine->state == PICOLINK_CLOSED || sides[1].engine->state == PICOLINK_CLOSED ||
           sides[0].engine->state == PICOLINK_IDLE || sides[1].engine->state == PICOLINK_IDLE;
}

/* Whether a forger may have hidden messages behind a length of his, which only more bytes uncover. */
static void say(unsigned who, bool *done) {
    if (!*done || world.injected) {
        uint32_t size = sizeof(said[who]);
        *done |= side_send(&sides[who], 0, said[who], size) == PICOLINK_SEND_QUEUED;
    }
}

/* Nobody has forged: all that was queued is acknowledged, END too, and committed. */
static bool settled(void) {
    return !exact() || (!picolink_pending(sides[0].engine) && !picolink_pending(sides[1].engine));
}

/* A side that has met the forger first, or whom he has given its peer another name, keeps to that until the
 * user says forget(). */
static void forget_forger(void) {
    for (unsigned who = 0; who < 2; who++) {
        const uint8_t *partner = picolink_partner(sides[who].engine);
        if (partner && memcmp(partner, identities[!who], PICOLINK_IDENTITY_BYTES)) {
            side_set_partner(&sides[who], NULL);
        }
    }
}

/*
 * A perfect air, without a forger: whether what both sides say now arrives within so many ms. After an END
 * there is nothing to say: then it is enough that both are open.
 */
static bool healed(uint32_t ms) {
    bool told[2] = {false, false};
    uint32_t over_for = 0;
    world.healing = true;
    world.arrived[0] = world.arrived[1] = false;
    for (uint32_t passed = 0; passed <= ms; passed += ROUND_MS) {
        if (world.forged || passed == 0) {
            forget_forger();
        }
        if (!over()) {
            over_for = 0;
        } else if (passed == 0 || (over_for += ROUND_MS) >= HANG_UP_MS) {
            world.in_air[0] = world.in_air[1] = 0;
            start(0, 247);
            start(1, 247);
            over_for = 0;
        }
        for (unsigned who = 0; who < 2; who++) {
            say(who, &told[who]);
        }
        exchange(8);
        /* A forged length that is larger than the ring of a side whose peer commits is an end, too. */
        bool ended = world.ended || (world.injected && (world.commits[0] || world.commits[1]));
        for (unsigned who = 0; who < 2; who++) {
            while (recv(who)) {
            }
            side_commit(&sides[who]);
            ended |= sides[who].engine->ended;
        }
        bool open = sides[0].engine->state == PICOLINK_OPEN && sides[1].engine->state == PICOLINK_OPEN;
        if (open && (ended || (world.arrived[0] && world.arrived[1])) && (world.restarts || settled())) {
            return true;
        }
        world.now = (world.now + ROUND_MS) & TICKS;
    }
    return false;
}

/* What is queued already goes first. */
static uint32_t backlog_ms(void) {
    uint32_t near = (uint32_t)picolink_pending(sides[0].engine);
    uint32_t far = (uint32_t)picolink_pending(sides[1].engine);
    return (near > far ? near : far) * ROUND_MS / ROUND_BYTES;
}

static void finish(void) {
    world.in_air[0] = world.in_air[1] = 0;
    clock_went_back = true; /* the program may have set it back: waits are promises again only later */
    CHECK(healed((world.injected ? HIDDEN_MS : HEALING_MS) + world.back_ms + backlog_ms()));
    if (exact() && !world.ended) {
        for (unsigned from = 0; from < 2; from++) {
            for (; world.next[from] < world.sent[from] && too_large(from, world.next[from]);
                 world.next[from]++) {
            }
            CHECK(world.next[from] == world.sent[from]);
        }
    }
    side_note(&sides[0], world.now);
    side_note(&sides[1], world.now);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    input_t input = {data, data + size};
    begin(&input);
    for (int i = 0; i < STEPS && input.at != input.end; i++) {
        step(&input);
    }
    finish();
    return 0;
}
