# The engine as a user C module of a MicroPython port that builds with make (unix, stm32, qemu):
#   USER_C_MODULES=<the folder that holds this one>
PICOLINK_DIR := $(USERMOD_DIR)
SRC_USERMOD_C += $(wildcard $(PICOLINK_DIR)/*.c)
CFLAGS_USERMOD += -I$(PICOLINK_DIR)
