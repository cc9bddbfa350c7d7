/*
 * The engine as WebAssembly for web/src/engine.js: freestanding, so what C's library would bring stands here.
 * One instance has one engine. What goes in and out of it lies at packet() and message().
 */
#include <stddef.h>
#include <stdint.h>

#include "../picolink.h"

#define EXPORT(name) __attribute__((export_name(#name)))

enum { PAGE = 65536 /* of WebAssembly's memory */, PACKET_ROOM = 256, ALIGNMENT = 16 };

/* Not declared as functions of the engine are: the linker lays it behind all other memory. */
extern uint8_t __heap_base[];

static picolink_engine_t *engine;
static uint8_t *messages; /* as large as the transmit ring */
static uint8_t packets[PACKET_ROOM];
#if PICOLINK_KEYS
static picolink_keys_t keys;
#endif

void *memcpy(void *restrict to, const void *restrict from, size_t size) {
    uint8_t *out = to;
    const uint8_t *in = from;
    while (size--) {
        *out++ = *in++;
    }
    return to;
}

void *memset(void *to, int value, size_t size) {
    uint8_t *out = to;
    while (size--) {
        *out++ = (uint8_t)value;
    }
    return to;
}

EXPORT(packet) uint8_t *packet(void) {
    return packets;
}

/** Where the message to send() stands, and the one that recv() has given. */
EXPORT(message) uint8_t *message(void) {
    return messages;
}

/** identity: at packet(). False: a value is out of its range. */
EXPORT(init) bool init(uint32_t session, size_t tx_size, size_t rx_size, size_t window, bool commit) {
    size_t size = picolink_engine_bytes(tx_size, rx_size);
    size_t largest = tx_size > rx_size ? tx_size : rx_size;
    engine = (picolink_engine_t *)(((uintptr_t)__heap_base + ALIGNMENT - 1) & ~(uintptr_t)(ALIGNMENT - 1));
    messages = (uint8_t *)engine + size;
    size_t pages = ((uintptr_t)messages + largest + PAGE - 1) / PAGE;
    size_t there = __builtin_wasm_memory_size(0);
    return size && (pages <= there || __builtin_wasm_memory_grow(0, pages - there) == there) &&
           picolink_is_identity(packets, PICOLINK_IDENTITY_BYTES) &&
           picolink_init(engine, session, packets, tx_size, rx_size, window, commit);
}

#if PICOLINK_KEYS
/** key, then seed: at packet(), where they are removed. */
EXPORT(setKey) void set_key(void) {
    picolink_set_key(engine, &keys, packets, packets + PICOLINK_KEY_BYTES);
    memset(packets, 0, PICOLINK_KEY_BYTES + PICOLINK_SEED_BYTES);
}
#endif

/** One of the first members of picolink_engine_t: they are for others. */
EXPORT(member) uint32_t member(uint32_t place) {
    return ((uint8_t *)engine)[place];
}

EXPORT(partner) const uint8_t *partner(void) {
    return picolink_partner(engine);
}
EXPORT(setPartner) void set_partner(bool known) {
    picolink_set_partner(engine, known ? packets : NULL);
}
EXPORT(start) void start(size_t mtu, uint32_t now_ms) {
    picolink_start(engine, mtu, now_ms);
}
EXPORT(bye) void bye(uint32_t reason) {
    picolink_bye(engine, reason);
}
EXPORT(end) bool end(void) {
    return picolink_end(engine);
}
EXPORT(limit) size_t limit(void) {
    return picolink_record_limit(engine);
}
EXPORT(send) uint32_t send(uint32_t kind_and_channel, size_t size) {
    return picolink_send(engine, kind_and_channel, messages, size);
}
EXPORT(readable) uint32_t readable(void) {
    picolink_message_t next;
    return picolink_peek(engine, &next) ? 0x100 | next.kind_and_channel : 0;
}

/** Moves the next message to message(). Its size and, above 16 bits, what it is; -1: there is none. */
EXPORT(recv) int32_t recv(void) {
    picolink_message_t next;
    if (!picolink_peek(engine, &next)) {
        return -1;
    }
    memcpy(messages, next.first, next.first_size);
    memcpy(messages + next.first_size, next.second, next.second_size);
    picolink_release(engine);
    return next.kind_and_channel << 16 | (next.first_size + next.second_size);
}
EXPORT(commit) bool commit(void) {
    return picolink_commit(engine);
}
EXPORT(pull) size_t pull(uint32_t now_ms) {
    return picolink_pull(engine, packets, PICOLINK_PULL_MAX, now_ms);
}
EXPORT(feed) uint32_t feed(size_t size, uint32_t now_ms) {
    return picolink_feed(engine, packets, size, now_ms);
}
EXPORT(takeFlags) uint32_t take_flags(void) {
    return picolink_take_flags(engine);
}
EXPORT(wait) int32_t wait_ms(uint32_t now_ms) {
    return picolink_wait(engine, now_ms);
}
EXPORT(pending) size_t pending(void) {
    return picolink_pending(engine);
}
EXPORT(acknowledged) uint32_t acknowledged(void) {
    return picolink_acknowledged(engine);
}
EXPORT(stats) const picolink_stats_t *stats(void) {
    return picolink_stats(engine);
}
