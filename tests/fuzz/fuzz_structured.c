/*
 * Fuzz target: a small program of calls on two engines and of faults in the air between them.
 *
 * The first bytes choose rings, windows, MTU, clock, and how far the streams have come; the rest are steps.
 * Packets may be lost, late, doubled, damaged, and forged with a right CRC and lies in any field.
 *
 * At the end the forger is gone and both sides get a new connection. Then, and at every step, the promises
 * of docs/protocol.md are checked as far as the program has left them standing:
 *   - nobody has forged: every message arrives once, in order, unchanged;
 *   - whatever has happened: both sides open again.
 */
#include <string.h>

#include "side.h"

enum {
    TICKS = 0x3FFFFFFF,
    AIR = 16,   /* packets on their way to one side; the oldest are lost */
    SENT = 256, /* messages of one side */
    STEPS = 64,
    RESTARTS = 8,
    HEALING_ROUNDS = 600,
    HEALING_TRIES = 4,
    LATE_BYTES = 32000, /* docs/protocol.md, "Limits": later packets than this may be mistaken */
    LATE_STARTS = 60,
};

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

    /* What each side has sent, and how much of it the other one has received. */
    uint16_t sizes[2][SENT];
    uint8_t channels[2][SENT];
    uint32_t sent[2];
    uint32_t received[2];
    uint32_t bytes_sent;

    uint32_t starts;
    uint32_t restarts;
    bool forged;
    bool late;
    bool ended;
} world;

/* Byte i of message n is pattern[(7 n + 100 side) % 256 + i]. */
static uint8_t pattern[256 + PICOLINK_RING_MAX];

static const uint8_t *payload(unsigned who, uint32_t number) {
    return pattern + ((7 * number + 100 * who) & 0xFF);
}

/* Every message arrives once, in order: as long as nothing beyond the promises has happened. */
static bool exact(void) {
    return !world.forged && !world.restarts &&
           !(world.late && (world.bytes_sent > LATE_BYTES || world.starts > LATE_STARTS));
}

static uint32_t ring_of(unsigned who, unsigned direction) {
    return ring_sizes[world.rings[who][direction]];
}

/* -- calls ---------------------------------------------------------------------------------------------- */

static void make_side(unsigned who) {
    side_new(&sides[who], world.session[who], world.rings[who][0], world.rings[who][1], world.window);
}

static void start(unsigned who, uint32_t mtu) {
    world.starts++;
    side_start(&sides[who], mtu, world.now);
}

static void feed(unsigned who, const uint8_t *packet, uint32_t size) {
    side_feed(&sides[who], packet, size, world.now);
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

static void send(unsigned who, uint32_t channel, uint32_t size) {
    if (world.sent[who] == SENT) {
        return;
    }
    uint32_t number = world.sent[who];
    size = size > PICOLINK_RING_MAX ? PICOLINK_RING_MAX : size;
    if (side_send(&sides[who], channel, payload(who, number), size) == PICOLINK_SEND_QUEUED) {
        CHECK(channel <= PICOLINK_CHANNEL_MAX && size + 2 <= ring_of(who, 0));
        world.sizes[who][number] = (uint16_t)size;
        world.channels[who][number] = (uint8_t)channel;
        world.sent[who]++;
        world.bytes_sent += size + 4;
    }
}

/* Passes over messages that were queued before the peer's ring was known, and that it can never hold. */
static void skip_too_large(unsigned from) {
    while (world.received[from] < world.sent[from]) {
        uint32_t size = world.sizes[from][world.received[from]];
        if (size + (size < 0x80 ? 2 : size < 0x4000 ? 3 : 4) <= ring_of(!from, 1)) {
            return;
        }
        world.received[from]++;
    }
}

static bool recv(unsigned who) {
    unsigned from = !who;
    uint32_t channel;
    int32_t size = side_recv(&sides[who], &channel);
    if (size >= 0 && exact()) {
        skip_too_large(from);
        uint32_t number = world.received[from]++;
        CHECK(number < world.sent[from]);
        CHECK((uint32_t)size == world.sizes[from][number]);
        CHECK(channel == world.channels[from][number]);
        CHECK(!memcmp(side_message, payload(from, number), (uint32_t)size));
    }
    return size >= 0;
}

/* -- lies ----------------------------------------------------------------------------------------------- */

static void forge(unsigned to, uint8_t *packet, uint32_t size) {
    world.forged = true;
    feed(to, packet, sealed(packet, size));
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
    packet[0] = (uint8_t)(lies & 0x40 ? flags : flags & 0x0C);
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

static void forge_hello(unsigned to, uint32_t lies, input_t *input) {
    const picolink_engine_t *engine = sides[to].engine;
    uint8_t packet[PICOLINK_PACKET_MAX + 4] = {0};
    uint32_t choice = next8(input);
    const uint32_t sessions[] = {engine->peer,     engine->heard, world.session[!to],  engine->session,
                                 engine->peer + 1, 0x5EED,        0x5EED0000 + choice, 0};
    const uint32_t answers[] = {engine->session, engine->session, engine->session - 1, 0};
    const uint32_t tags[] = {engine->peer_tag, engine->heard_tag, engine->peer_tag + 1u, choice};
    packet[0] = (uint8_t)(0x01 | (next8(input) & (lies & 1 ? 0xFF : 0x12)));
    packet[1] = PICOLINK_VERSION;
    packet[2] = (uint8_t)tags[choice >> 3 & 3];
    packet[3] = engine->tag;
    put32(packet + 4, sessions[choice & 7]);
    put32(packet + 8, answers[choice >> 5 & 3]);
    packet[12] = (uint8_t)(8 + (choice >> 5 & 7));
    put16(packet + 14, choice & 0x80 ? between(engine->tx_base, engine->una + next8(input)) : 0);
    if (lies & 2) {
        packet[next8(input) & 15] = next8(input);
    }
    uint32_t size = lies & 4 ? next8(input) % PICOLINK_PACKET_MAX : 16;
    forge(to, packet, size);
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
        world.forged = true;
        packet->bytes[at % (packet->size - 4)] ^= with;
        sealed(packet->bytes, packet->size - 4);
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
    world.forged = true;
    feed(to, packet, with_crc ? sealed(packet, size) : size);
}

/* Power is lost and comes back. */
static void restart(unsigned who) {
    if (world.restarts == RESTARTS) {
        return;
    }
    world.restarts++;
    world.session[who] += 0x01020305;
    make_side(who);
    start(who, world.mtu);
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
        uint32_t channel = next8(input);
        send(who, channel < 0xF8 ? channel & 15 : channel, (uint32_t)next8(input) << how);
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
        world.now = (how == 7 ? world.now - ms : world.now + (ms << (2 * how))) & TICKS;
        break;
    }
    case 8: {
        int32_t ms = side_wait(&sides[who], world.now);
        world.now = (world.now + (ms > 0 ? (uint32_t)ms - (how == 7) : 0)) & TICKS;
        break;
    }
    case 9:
        world.mtu = how & 4 ? world.mtu : 23 + 2u * next8(input);
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
        forge_hello(who, how, input);
        break;
    case 13:
        noise(who, how & 1, input);
        break;
    case 14:
        damage(who, how & 1, input);
        break;
    default:
        if (how < 6) {
            side_take_flags(&sides[who]);
        } else if (how == 6) {
            world.late = true;
            feed(!who, world.last[who].bytes, world.last[who].size);
        } else {
            restart(who);
        }
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
    for (unsigned i = 0; i < 4; i++) {
        world.rings[i >> 1][i & 1] = rings >> (2 * i) & 3;
    }
    world.window = (uint32_t[]){256, 1000, 4096, 65535}[options & 3];
    world.mtu = (uint32_t[]){23, 104, 247, 517}[options >> 2 & 3];
    world.now = options & 0x10 ? TICKS - 2000 : 1000;
    world.session[0] = 0x11223344;
    world.session[1] = options & 0x20 ? 0xFFFFFFFF : 0x556677FE; /* the next id is 1; the tag wraps */
    make_side(0);
    make_side(1);
    if (options & 0x40) { /* not the first messages of these boards: ring and stream wrap soon */
        uint32_t rings_at = next16(input);
        uint32_t streams_at = next16(input);
        side_age(&sides[0], rings_at, ~rings_at, 0, 0);
        side_age(&sides[1], rings_at, ~rings_at, 0, 0);
        start(0, world.mtu);
        start(1, world.mtu);
        exchange(4);
        exchange(4);
        exchange(4);
        side_age(&sides[0], 0, 0, streams_at, ~streams_at & 0xFFFF);
        side_age(&sides[1], 0, 0, ~streams_at & 0xFFFF, streams_at);
        /* Packets from before are none of these streams: they cannot be repeated. */
        world.last[0].size = world.last[1].size = 0;
    } else if (options & 0x80) {
        start(0, world.mtu);
        start(1, world.mtu);
        exchange(4);
        exchange(4);
    }
}

/* Whether everything has been told to the peer, on an air without faults. */
static bool healed(void) {
    world.in_air[0] = world.in_air[1] = 0;
    start(0, 247);
    start(1, 247);
    for (int i = 0; i < HEALING_ROUNDS; i++) {
        world.now = (world.now + 10) & TICKS;
        exchange(8);
        for (unsigned who = 0; who < 2; who++) {
            while (recv(who)) {
            }
        }
        bool open = sides[0].engine->state == PICOLINK_OPEN && sides[1].engine->state == PICOLINK_OPEN;
        if (open && (world.forged || world.ended ||
                     (!picolink_pending(sides[0].engine) && !picolink_pending(sides[1].engine)))) {
            return true;
        }
    }
    return false;
}

static void finish(void) {
    int tries = 1;
    while (!healed()) {
        CHECK(!exact() && tries < HEALING_TRIES);
        tries++;
    }
    if (exact() && !world.ended) {
        for (unsigned from = 0; from < 2; from++) {
            skip_too_large(from);
            CHECK(world.received[from] == world.sent[from]);
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
