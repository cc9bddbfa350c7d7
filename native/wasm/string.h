/* What of C's <string.h> the core uses: clang brings none for WebAssembly. picolink_wasm.c has the functions.
 */
#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t size);
void *memset(void *to, int value, size_t size);
