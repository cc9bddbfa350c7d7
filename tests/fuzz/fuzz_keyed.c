/* Fuzz target: fuzz_structured.c, with a key on both sides. */
#define KEYED 1
#include "fuzz_structured.c"
