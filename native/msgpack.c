#include "msgpack.h"

/* Headers with a value of their own: the first byte, and how many values it has room for. Then the first byte
 * of the longer ones, which have 1, 2, 4 and 8 bytes (arrays and maps have no form of 1). */
static const uint8_t shapes[][3] = {
    {0x00, 0x80, 0xCC}, /* PICOLINK_UINT */
    {0xE0, 0x20, 0xD0}, /* PICOLINK_INT */
    {0xA0, 0x20, 0xD9}, /* PICOLINK_STR */
    {0x00, 0x00, 0xC4}, /* PICOLINK_BIN */
    {0x90, 0x10, 0xDB}, /* PICOLINK_ARRAY */
    {0x80, 0x10, 0xDD}, /* PICOLINK_MAP */
};

#define OF(type, width) ((uint8_t)((type) << 4 | (width)))
#define NONE            OF(PICOLINK_NO_TYPE, 0)

/* First bytes 0xC0 to 0xDF: the type, and the bytes of its value. */
static const uint8_t long_forms[] = {
    OF(PICOLINK_NIL, 0),
    NONE,
    OF(PICOLINK_FALSE, 0),
    OF(PICOLINK_TRUE, 0),
    OF(PICOLINK_BIN, 1),
    OF(PICOLINK_BIN, 2),
    OF(PICOLINK_BIN, 4),
    NONE,
    NONE,
    NONE,
    OF(PICOLINK_FLOAT32, 4),
    OF(PICOLINK_FLOAT64, 8),
    OF(PICOLINK_UINT, 1),
    OF(PICOLINK_UINT, 2),
    OF(PICOLINK_UINT, 4),
    OF(PICOLINK_UINT, 8),
    OF(PICOLINK_INT, 1),
    OF(PICOLINK_INT, 2),
    OF(PICOLINK_INT, 4),
    OF(PICOLINK_INT, 8),
    NONE,
    NONE,
    NONE,
    NONE,
    NONE,
    OF(PICOLINK_STR, 1),
    OF(PICOLINK_STR, 2),
    OF(PICOLINK_STR, 4),
    OF(PICOLINK_ARRAY, 2),
    OF(PICOLINK_ARRAY, 4),
    OF(PICOLINK_MAP, 2),
    OF(PICOLINK_MAP, 4),
};

bool picolink_msgpack_next(picolink_reader_t *reader, picolink_item_t *item) {
    const uint8_t *at = reader->at;
    size_t left = (size_t)(reader->end - at);
    if (!left) {
        return false;
    }
    uint32_t first = *at++;
    uint32_t type = PICOLINK_UINT;
    uint32_t high = 0;
    uint32_t low = first;
    left--;
    if (first >= 0xE0) {
        type = PICOLINK_INT;
        high = UINT32_MAX;
        low = first | 0xFFFFFF00;
    } else if (first >= 0xC0) {
        type = long_forms[first - 0xC0] >> 4;
        size_t width = long_forms[first - 0xC0] & 15;
        if (type == PICOLINK_NO_TYPE || width > left) {
            return false;
        }
        left -= width;
        low = 0;
        if (type == PICOLINK_INT) {
            if (*at & 0x80) {
                high = low = UINT32_MAX;
            } else {
                type = PICOLINK_UINT;
            }
        }
        for (; width; width--) {
            high = high << 8 | low >> 24;
            low = low << 8 | *at++;
        }
    } else if (first >= 0xA0) {
        type = PICOLINK_STR;
        low &= 0x1F;
    } else if (first >= 0x80) {
        type = first < 0x90 ? PICOLINK_MAP : PICOLINK_ARRAY;
        low &= 0x0F;
    }
    size_t owed = reader->owed - 1;
    if (type >= PICOLINK_STR && type <= PICOLINK_MAP) {
        if (low > left) {
            return false;
        }
        if (type <= PICOLINK_BIN) {
            left -= low;
        } else {
            owed += type == PICOLINK_MAP ? (size_t)low * 2 : low;
        }
    }
    reader->at = at;
    reader->owed = owed;
    item->type = type;
    item->high = high;
    item->low = low;
    return owed <= left;
}

size_t picolink_msgpack_head(uint8_t *head, const picolink_item_t *item) {
    uint32_t type = item->type;
    uint32_t high = item->high;
    uint32_t low = item->low;
    size_t width = 4;
    uint32_t code = 0xCA;
    if (type != PICOLINK_FLOAT32) {
        const uint8_t *shape = shapes[type];
        uint32_t sign = type == PICOLINK_INT;
        /* Of a negative number, the bits that are not those of -1. */
        uint32_t more = sign ? ~high : high;
        uint32_t value = sign ? ~low : low;
        if (!more && value < shape[1]) {
            head[0] = (uint8_t)(shape[0] | (low & (shape[1] - 1u)));
            return 1;
        }
        code = shape[2];
        if (more || (sign && value >> 31)) {
            width = 8;
            code += 3;
        } else if (value >> (16 - sign)) {
            code += 2;
        } else if (value >> (8 - sign) || type >= PICOLINK_ARRAY) {
            width = 2;
            code++;
        } else {
            width = 1;
        }
    }
    head[0] = (uint8_t)code;
    for (size_t i = width; i; i--) {
        head[i] = (uint8_t)low;
        low = low >> 8 | high << 24;
        high >>= 8;
    }
    return width + 1;
}
