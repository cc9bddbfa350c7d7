/*
 * The engine as WebAssembly for web/engine.js: freestanding, so what C's library would bring stands here.
 * One instance has one engine, whose memory begins at __heap_base: JavaScript lays it out.
 */
#include <stddef.h>
#include <stdint.h>

#include "../picolink.h"

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

size_t picolink_keys_bytes(void) {
    return sizeof(picolink_keys_t);
}

/** Whether the next message has come: as picolink_peek(), but without what only C can lay out. */
bool picolink_readable(picolink_engine_t *engine) {
    picolink_message_t message;
    return picolink_peek(engine, &message);
}
