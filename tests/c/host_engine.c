/*
 * The C engine for tests on a PC: tests/host_engine.py calls these functions.
 *
 * Everything that the engine reads or writes gets a heap block of exactly its size, so that AddressSanitizer
 * sees the first byte beyond.
 */
#include <stdlib.h>
#include <string.h>

#include "crc32.h"
#include "picolink.h"

static void *copy_of(const void *bytes, size_t size) {
    void *copy = malloc(size);
    if (size) {
        memcpy(copy, bytes, size);
    }
    return copy;
}

/* NULL when an argument is out of its range. */
picolink_engine_t *host_new(uint32_t session, size_t tx_size, size_t rx_size, size_t window) {
    size_t bytes = picolink_engine_bytes(tx_size, rx_size);
    if (!bytes) {
        return NULL;
    }
    picolink_engine_t *engine = malloc(bytes);
    memset(engine, 0xA5, bytes);
    if (!picolink_init(engine, session, tx_size, rx_size, window)) {
        free(engine);
        return NULL;
    }
    return engine;
}

void host_free(picolink_engine_t *engine) {
    free(engine);
}

int host_send(picolink_engine_t *engine, uint32_t channel, const void *data, size_t size) {
    void *copy = copy_of(data, size);
    picolink_send_t sent = picolink_send(engine, channel, copy, size);
    free(copy);
    return sent;
}

uint32_t host_feed(picolink_engine_t *engine, const uint8_t *packet, size_t size, uint32_t now_ms) {
    uint8_t *copy = copy_of(packet, size);
    uint32_t flags = picolink_feed(engine, copy, size, now_ms);
    free(copy);
    return flags;
}

/* Writes at most `capacity` bytes to `packet`. */
size_t host_pull(picolink_engine_t *engine, uint8_t *packet, size_t capacity, uint32_t now_ms) {
    uint8_t *made = malloc(PICOLINK_PULL_MAX);
    size_t size = capacity < PICOLINK_PULL_MAX ? 0 : picolink_pull(engine, made, PICOLINK_PULL_MAX, now_ms);
    memcpy(packet, made, size);
    free(made);
    return size;
}

/* Payload bytes of the next message, or -1. */
int32_t host_next_size(picolink_engine_t *engine) {
    picolink_message_t message;
    return picolink_peek(engine, &message) ? message.first_size + message.second_size : -1;
}

/* The next message, for which `buf` has room, into `buf`. Returns its channel. */
uint32_t host_recv(picolink_engine_t *engine, uint8_t *buf) {
    picolink_message_t message;
    if (!picolink_peek(engine, &message)) {
        abort();
    }
    memcpy(buf, message.first, message.first_size);
    memcpy(buf + message.first_size, message.second, message.second_size);
    picolink_release(engine);
    return message.channel;
}

int host_state(const picolink_engine_t *engine) {
    return engine->state;
}

int host_ended(const picolink_engine_t *engine) {
    return engine->ended;
}

int host_peer_version(const picolink_engine_t *engine) {
    return engine->peer_version;
}

#define NAME(name) #name " "
/* The names of the members of picolink_stats_t, each with a space behind it. */
const char *host_stat_names(void) {
    return PICOLINK_STATS(NAME);
}
