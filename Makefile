# picolink: "make help" lists the targets. Each does its own set-up; what is made goes to build/out/.
ifneq ($(words $(CURDIR)),1)
$(error MicroPython does not build in a path with spaces: move picolink out of "$(CURDIR)")
endif
ENGINE ?= native
BOARD ?= RPI_PICO
TUNED ?=
DURATION ?= 1h
# Several checkouts, which it keeps apart from the source that everything else is made from.
ifneq ($(filter test-firmware test-picow,$(MAKECMDGOALS)),)
CHECKOUTS := $(MPY_DIR)
override MPY_DIR :=
endif
export MPY_DIR PYTHON TUNED FUZZ_RUNS

OUT := build/out
STAMPS := $(OUT)/stamps
VENV := $(OUT)/venv/bin
C_FILES := $(wildcard native/*.c native/*.h)
CPYTHON_C := $(wildcard native/cpython/*.c)
STANDIN_C := $(wildcard py/picolink_pc/standin/native/*)
SCRIPTS := $(wildcard build/*.sh) .ci/run
LINTED_C := $(C_FILES) $(CPYTHON_C) $(wildcard py/picolink_pc/standin/native/*.c native/wasm/*) $(wildcard tests/*/*.c tests/*/*.h)

.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help demo check test test-firmware test-picow bench fuzz chaos soak native firmware web dist lint format clean setup

help: ## this list
	@echo 'picolink: messages between two MicroPython boards over Bluetooth LE'
	@echo
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | awk -F'|' '{printf "  make %-13s  %s\n", $$1, $$2}'
	@echo
	@echo '  BOARD=NAME       board of MicroPython'"'"'s rp2 port; NAME-RISCV for a Pico 2 in RISC-V mode'
	@echo '  TUNED=1          firmware with data length extension and controller-to-host flow control (Bluetooth boards; never run on hardware)'
	@echo '  MPY_DIR=PATH     use this MicroPython checkout (docs/boards.md: which versions) instead of Debian'"'"'s source package'

demo: setup ## two virtual boards greet each other, then send at full speed; ENGINE=native (default) or python
	@$(VENV)/picolink demo --engine $(ENGINE) --json $(OUT)/demo.json

check: lint setup $(STAMPS)/web ## lint and the fast tests, under a minute once everything is set up; no firmware, no emulator
	@$(VENV)/pytest -q -n 2 --dist worksteal -m "not slow"

test: lint setup $(STAMPS)/web $(STAMPS)/web-tests $(STAMPS)/broker-tools $(STAMPS)/capture-tools $(STAMPS)/emulator-tools $(STAMPS)/firmware-RPI_PICO $(STAMPS)/qemu $(STAMPS)/native-rv32imc $(STAMPS)/wheelhouse $(STAMPS)/platform-tools $(STAMPS)/platform ## everything: lint, then all tests
	@$(VENV)/pytest -n 4 --dist worksteal

test-firmware: $(STAMPS)/native $(STAMPS)/firmware-tools $(STAMPS)/emulator-tools ## the firmware of every board in docs/boards.md, from one or more checkouts in MPY_DIR
	@$(VENV)/python build/test_firmware.py $(CHECKOUTS)

test-picow: $(STAMPS)/native $(STAMPS)/firmware-tools $(STAMPS)/emulator-tools ## the Pico W's firmware on two emulated Pico Ws, from checkouts in MPY_DIR: demo, link, faults, benchmarks; hours
	@$(VENV)/python build/test_picow.py $(CHECKOUTS)

bench: setup $(STAMPS)/emulator-tools $(STAMPS)/firmware-RPI_PICO ## the figures and pictures of docs/benchmarks.md, into build/out/bench; about 8 minutes
	@$(VENV)/picolink bench engine --plot
	@$(VENV)/picolink bench cpu
	@$(VENV)/picolink bench sweep --plot
	@$(VENV)/picolink bench link --plot

fuzz: $(STAMPS)/venv $(STAMPS)/fuzz-tools ## hostile bytes for both engines; FUZZ_RUNS=N inputs for each target (default 10,000,000)
	@build/fuzz.sh

chaos: setup ## faults of every kind: 100,000 runs in simulation, 1,000 drops and 200 restarts of virtual boards, and with a PC; an hour
	@$(VENV)/picolink chaos --seeds 100000
	@$(VENV)/picolink chaos --boards --drops 1000 --restarts 100
	@$(VENV)/picolink chaos --boards --pc --drops 1000 --restarts 100

soak: setup ## two virtual boards with faults for DURATION (default 1h): heap, latency and messages, with a picture
	@$(VENV)/picolink soak --plot --duration $(DURATION)

native: $(STAMPS)/micropython ## the native modules (.mpy), for every architecture with a compiler here, and their sizes
	@build/native.sh

firmware: $(STAMPS)/firmware-tools $(STAMPS)/micropython ## firmware with picolink inside; BOARD=RPI_PICO (default), RPI_PICO_W, RPI_PICO2_W ...
	@build/firmware.sh "$(BOARD)"

web: $(STAMPS)/web ## picolink.js, its engine as WebAssembly and the page: build/out/web, for a web server or npm

dist: setup $(STAMPS)/web $(STAMPS)/native-rv32imc $(STAMPS)/platform ## a release: wheels, source, files for mip and Thonny, checksums; with MPY_DIR firmware too
	@build/dist.sh

lint: $(STAMPS)/venv ## check style and common mistakes: Python, C and shell
	@$(VENV)/ruff check
	@$(VENV)/ruff format --check
	@$(VENV)/clang-format --dry-run -Werror $(LINTED_C)
	@$(VENV)/shellcheck -x -P build $(SCRIPTS)

format: $(STAMPS)/venv ## format the Python and C sources
	@$(VENV)/ruff check --fix
	@$(VENV)/ruff format
	@$(VENV)/clang-format -i $(LINTED_C)

clean: ## remove build/out: the next make sets up everything again
	rm -rf $(OUT)

setup: $(STAMPS)/native

$(STAMPS)/tools: build/tools.sh
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

$(STAMPS)/micropython: build/micropython.sh build/mpy_cross.sh build/unix_manifest.py $(STANDIN_C) $(STAMPS)/source
	@build/micropython.sh '[3/5]' '[4/5]'
	@touch $@

# The module for this PC's Python lies in the venv, and needs that Python's headers.
$(STAMPS)/native: build/native.sh build/natmod.mk $(C_FILES) $(CPYTHON_C) $(STAMPS)/micropython $(STAMPS)/venv $(STAMPS)/tools
	@build/native.sh '[5/5]'
	@touch $@

# The native modules are built before the compiler for this one is asked for.
$(STAMPS)/native-rv32imc: $(STAMPS)/native | $(STAMPS)/qemu-tools
	@build/native.sh '' rv32imc
	@touch $@

$(STAMPS)/qemu: build/qemu.sh $(STAMPS)/micropython | $(STAMPS)/qemu-tools
	@build/qemu.sh
	@touch $@

$(STAMPS)/platform: build/platform.sh build/zig.lock build/unix_manifest.py $(C_FILES) $(CPYTHON_C) $(STANDIN_C) $(STAMPS)/micropython
	@build/platform.sh
	@touch $@

$(STAMPS)/web: build/web.sh $(C_FILES) $(wildcard native/wasm/* web/* web/*/*) | $(STAMPS)/venv $(STAMPS)/web-tools
	@build/web.sh
	@touch $@

$(STAMPS)/web-tests: build/web_tests.sh $(wildcard tests/web/package*.json) | $(STAMPS)/browser-tools
	@build/web_tests.sh
	@touch $@

$(STAMPS)/wheelhouse: build/wheelhouse.sh build/requirements.lock pyproject.toml | $(STAMPS)/venv
	@build/wheelhouse.sh
	@touch $@

$(STAMPS)/%-tools: build/tools.sh
	@build/tools.sh $*
	@mkdir -p $(@D) && touch $@

$(STAMPS)/firmware-RPI_PICO: CMakeLists.txt build/firmware.sh build/firmware_source.sh build/firmware_base_manifest.py \
		build/check_firmware.py build/firmware_size.py build/manifest.py native/micropython.cmake $(C_FILES) \
		$(shell find py/picolink -name "*.py") \
		$(STAMPS)/micropython | $(STAMPS)/firmware-tools
	@build/firmware.sh RPI_PICO
	@touch $@
