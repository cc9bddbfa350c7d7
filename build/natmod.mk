# Builds _picolink.mpy for one architecture in the current folder, with MicroPython's own rules for native modules.
# Called by build/native.sh with ARCH, ROOT, NEWLIB, MPY_DIR and PYTHON.
MOD = _picolink
VPATH = $(ROOT)/native
# First the file with mpy_init: mpy_ld.py of MicroPython 1.28 finds the entry point only there.
SRC = modpicolink.c $(filter-out modpicolink.c,$(notdir $(wildcard $(ROOT)/native/*.c)))
# MicroPython's headers count as system headers, so that our stricter warnings look at our code only;
# the signatures it prescribes have parameters that we do not use.
# A module that is loaded lies in memory as a whole: a table that it computes takes room there only.
CFLAGS_EXTRA = -Wextra -Wno-unused-parameter -isystem $(MPY_DIR) -DPICOLINK_CRC32_FILL
ifeq ($(ARCH),rv32imc)
CFLAGS_EXTRA += -idirafter $(NEWLIB)
endif

include $(MPY_DIR)/py/dynruntime.mk

# Division, 64-bit arithmetic and dense switches call libgcc on the smaller cores. Searching libgcc takes the linker 8 s
# the first time (build/native.sh keeps what it found), so it is named only if an object needs it.
MPY_LD_FLAGS += $(if $(shell $(CROSS)nm -u $(SRC_O) | grep ' __'),-l$(shell $(CROSS)gcc $(CFLAGS_ARCH) -print-libgcc-file-name))
