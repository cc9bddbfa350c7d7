# What the stand-in for Bluetooth takes from the operating system, for the unix port that runs virtual boards:
#   USER_C_MODULES=<the folder that holds this one>
SRC_USERMOD_C += $(USERMOD_DIR)/modstandin.c
