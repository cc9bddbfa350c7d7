/* Objects of MicroPython as MessagePack, and back: as py/picolink/objects.py, which does what is not done
 * here, and says what is wrong. */
#ifndef PICOLINK_OBJECTS_H
#define PICOLINK_OBJECTS_H

#if MICROPY_ENABLE_DYNRUNTIME
#include "py/dynruntime.h"
#else
#include "py/binary.h"
#include "py/objstr.h"
#include "py/objtype.h"
#include "py/runtime.h"
#endif

typedef struct {
    const byte *bytes;
    size_t size;
    void *kept; /* the bytes object that has them; NULL when they are in `room` */
    byte room[128];
} picolink_packed_t;

#if MICROPY_ENABLE_DYNRUNTIME
/* Once, before all else. */
void picolink_objects_init(void);
#endif

/* The object as MessagePack. Raises what picolink.objects.pack() raises. */
void picolink_pack(picolink_packed_t *packed, mp_obj_t object);

/* The object that these bytes are; MP_OBJ_NULL when picolink.objects has to look at them. */
mp_obj_t picolink_unpack(const byte *bytes, size_t size);

/* A new bytes object, whose data is to be filled in before anybody sees it. */
mp_obj_str_t *picolink_new_bytes(size_t size, byte **data);

/* Whether it has a buffer of bytes. */
bool picolink_is_bytes(mp_obj_t value, mp_buffer_info_t *bytes);

/* Whether it is UTF-8 for MicroPython. */
bool picolink_is_text(const byte *bytes, size_t size);

/* Calls a function of a module of picolink. */
mp_obj_t picolink_call(qstr module, qstr name, size_t count, const mp_obj_t *args);

#endif
