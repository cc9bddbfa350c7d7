# Builds _picolink.mpy for one architecture in the current folder, with MicroPython's own rules for native modules.
# Called by build/native.sh with ARCH, ROOT, NEWLIB, MPY_DIR and PYTHON.
MOD = _picolink
SOURCES = $(filter-out %/modpicolink.c,$(wildcard $(ROOT)/native/*.c)) $(ROOT)/native/modpicolink.c
# In one piece: the compiler sees who calls what, and the module gets smaller. What it then says of members that may be
# uninitialized is wrong; where each file is compiled alone, that warning is on.
SRC = whole.c
# MicroPython's headers count as system headers, so that our stricter warnings look at our code only;
# the signatures it prescribes have parameters that we do not use.
# A module that is loaded lies in memory as a whole: a table that it computes takes room there only.
CFLAGS_EXTRA = -Wextra -Wno-unused-parameter -isystem $(MPY_DIR) -DPICOLINK_CRC32_FILL -fwhole-program -Wno-maybe-uninitialized
# There is no C library for loops that look like its functions.
CFLAGS_EXTRA += -fno-tree-loop-distribute-patterns
# Smaller again, without a cycle more for a packet.
CFLAGS_EXTRA += -fno-reorder-blocks -fno-thread-jumps -fno-code-hoisting -fno-tree-scev-cprop -fno-jump-tables -frename-registers -fno-move-loop-invariants -fno-tree-dominator-opts
CFLAGS_EXTRA += -fno-early-inlining -fipa-pta -fno-dse -fno-tree-pre -fno-ipa-sra
ifeq ($(ARCH),rv32imc)
CFLAGS_EXTRA += -idirafter $(NEWLIB)
endif

include $(MPY_DIR)/py/dynruntime.mk

$(CONFIG_H): $(SOURCES) # the names of their objects

whole.c: $(SOURCES)
	printf '#include "%s"\n' $(SOURCES) >$@

# Division, 64-bit arithmetic and dense switches call libgcc on the smaller cores. Searching libgcc takes the linker 8 s
# the first time (build/native.sh keeps what it found), so it is named only if an object needs it.
MPY_LD_FLAGS += $(if $(shell $(CROSS)nm -u $(SRC_O) | grep ' __'),-l$(shell $(CROSS)gcc $(CFLAGS_ARCH) -print-libgcc-file-name))
