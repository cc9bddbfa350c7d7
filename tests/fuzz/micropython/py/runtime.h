/*
 * What native/objects.c needs of MicroPython, for fuzz_objects.c: the same names, and objects of which each
 * is a block of malloc(), so that the sanitizers see every step beside one.
 */
#ifndef FUZZ_MICROPYTHON_H
#define FUZZ_MICROPYTHON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MICROPY_FLOAT_IMPL_FLOAT  1
#define MICROPY_FLOAT_IMPL_DOUBLE 2
#define MICROPY_FLOAT_IMPL        MICROPY_FLOAT_IMPL_DOUBLE

typedef uint8_t byte;
typedef int32_t mp_int_t; /* as on a Pico */
typedef uint32_t mp_uint_t;
typedef double mp_float_t;
typedef void *mp_obj_t;

typedef enum { MP_QSTR_picolink, MP_QSTR_objects, MP_QSTR_pack } qstr;
typedef enum { MP_BINARY_OP_RSHIFT, MP_BINARY_OP_LSHIFT, MP_BINARY_OP_OR } mp_binary_op_t;
enum { MP_BUFFER_READ = 1, BYTEARRAY_TYPECODE = 1 };

typedef struct {
    const char *name;
} mp_obj_type_t;

extern const mp_obj_type_t mp_type_bool, mp_type_bytes, mp_type_dict, mp_type_float, mp_type_int,
    mp_type_list, mp_type_none, mp_type_str, mp_type_tuple;

typedef struct {
    const mp_obj_type_t *type;
} mp_obj_base_t;

typedef struct {
    mp_obj_t key;
    mp_obj_t value;
} mp_map_elem_t;

typedef struct {
    size_t used;
    size_t alloc;
    mp_map_elem_t *table;
} mp_map_t;

typedef struct {
    mp_obj_base_t base;
    mp_map_t map;
} mp_obj_dict_t;

typedef struct {
    mp_obj_base_t base;
    size_t len;
    mp_obj_t *items;
} mp_obj_list_t;

typedef struct {
    mp_obj_base_t base;
    size_t len;
    mp_obj_t items[];
} mp_obj_tuple_t;

typedef struct {
    mp_obj_base_t base;
    size_t hash;
    size_t len;
    const byte *data;
} mp_obj_str_t;

typedef struct {
    void *buf;
    size_t len;
    int typecode;
} mp_buffer_info_t;

extern const mp_obj_base_t fuzz_none, fuzz_false, fuzz_true;
#define mp_const_none  ((mp_obj_t) & fuzz_none)
#define mp_const_false ((mp_obj_t) & fuzz_false)
#define mp_const_true  ((mp_obj_t) & fuzz_true)

#define MP_OBJ_NULL        ((mp_obj_t)0)
#define MP_OBJ_SENTINEL    ((mp_obj_t)4)
#define MP_OBJ_TO_PTR(o)   ((void *)(o))
#define MP_OBJ_FROM_PTR(p) ((mp_obj_t)(p))

bool mp_obj_is_small_int(mp_obj_t object);
mp_int_t fuzz_small_int(mp_obj_t object);
#define MP_OBJ_SMALL_INT_VALUE(o) fuzz_small_int(o)
#define MP_OBJ_NEW_SMALL_INT(n)   mp_obj_new_int(n)

void *m_malloc(size_t size);
mp_obj_t mp_obj_new_int(mp_int_t value);
mp_obj_t mp_obj_new_int_from_uint(mp_uint_t value);
mp_obj_t mp_obj_new_float(mp_float_t value);
mp_obj_t mp_obj_new_str(const char *data, size_t size);
mp_obj_t mp_obj_new_bytes(const byte *data, size_t size);
mp_obj_t mp_obj_new_list(size_t size, mp_obj_t *items);
mp_obj_t mp_obj_new_dict(size_t size);
mp_obj_t mp_obj_dict_store(mp_obj_t dict, mp_obj_t key, mp_obj_t value);

const mp_obj_type_t *mp_obj_get_type(mp_obj_t object);
bool mp_obj_is_instance_type(const mp_obj_type_t *type);
mp_int_t mp_obj_get_int_truncated(mp_obj_t object);
mp_float_t mp_obj_get_float(mp_obj_t object);
bool mp_get_buffer(mp_obj_t object, mp_buffer_info_t *buffer, int flags);
mp_obj_t mp_binary_op(mp_binary_op_t operation, mp_obj_t left, mp_obj_t right);

mp_obj_t mp_import_name(qstr name, mp_obj_t from_list, mp_obj_t level);
mp_obj_t mp_import_from(mp_obj_t module, qstr name);
mp_obj_t mp_load_attr(mp_obj_t object, qstr name);
mp_obj_t mp_call_function_n_kw(mp_obj_t function, size_t count, size_t keywords, const mp_obj_t *arguments);

#endif
