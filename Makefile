# picolink: "make help" lists the targets. Each does its own set-up; what is made goes to build/out/.
ifneq ($(words $(CURDIR)),1)
$(error MicroPython does not build in a path with spaces: move picolink out of "$(CURDIR)")
endif
ENGINE ?= native
BOARD ?= RPI_PICO
export BOARD MPY_DIR PYTHON

OUT := build/out
STAMPS := $(OUT)/stamps
VENV := $(OUT)/venv/bin
C_FILES := $(wildcard native/*.c native/*.h)

.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help demo test native lint format clean setup

help: ## this list
	@echo 'picolink: messages between two MicroPython boards over Bluetooth LE'
	@echo
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | awk -F'|' '{printf "  make %-10s %s\n", $$1, $$2}'
	@echo
	@echo '  MPY_DIR=PATH     use this MicroPython checkout (1.23 or newer) instead of Debian'"'"'s source package'

demo: setup ## two virtual boards greet each other, then send at full speed; ENGINE=native (default) or python
	@$(VENV)/picolink demo --engine $(ENGINE)

test: setup lint ## everything: lint, then all tests
	@$(VENV)/pytest

native: $(STAMPS)/micropython ## the native modules (.mpy), for every architecture with a compiler here, and their sizes
	@build/native.sh

lint: $(STAMPS)/venv ## check style and common mistakes, Python and C
	@$(VENV)/ruff check
	@$(VENV)/ruff format --check
	@$(if $(C_FILES),$(VENV)/clang-format --dry-run -Werror $(C_FILES))

format: $(STAMPS)/venv ## format the Python and C sources
	@$(VENV)/ruff check --fix
	@$(VENV)/ruff format
	@$(if $(C_FILES),$(VENV)/clang-format -i $(C_FILES))

clean: ## remove build/out: the next make sets up everything again
	rm -rf $(OUT)

setup: $(STAMPS)/native

$(STAMPS)/tools: build/tools.sh build/common.sh
	@build/tools.sh host arm
	@mkdir -p $(@D) && touch $@

$(STAMPS)/venv: build/venv.sh build/requirements.lock pyproject.toml | $(STAMPS)/tools
	@build/venv.sh '[1/5]'
	@touch $@

# A new MPY_DIR means another source; without one, the source that is there stays.
ifneq ($(MPY_DIR),)
ifneq ($(realpath $(MPY_DIR)),$(realpath $(OUT)/micropython))
.PHONY: $(STAMPS)/source
endif
endif
$(STAMPS)/source: | $(STAMPS)/venv
	@build/micropython_source.sh '[2/5]'
	@touch $@

$(STAMPS)/micropython: build/micropython.sh build/unix_manifest.py $(STAMPS)/source
	@build/micropython.sh '[3/5]' '[4/5]'
	@touch $@

$(STAMPS)/native: build/native.sh build/natmod.mk $(C_FILES) $(STAMPS)/micropython
	@build/native.sh '[5/5]'
	@touch $@
