# The Pico SDK's toolchain file for RISC-V, for Debian's riscv64-unknown-elf-gcc with picolibc instead of a compiler that
# is built for the RP2350. With -DPICO_TOOLCHAIN_DIR=<this folder> -DPICO_COMPILER=riscv64_gcc -DPICO_CLIB=picolibc.
set(CMAKE_SYSTEM_PROCESSOR hazard3)
set(PICO_DEFAULT_GCC_TRIPLE riscv64-unknown-elf)

# Debian has libraries for plain rv32imac only, so the compiler is told that. The assembler must know all that the SDK's
# own assembly uses, and would take the compiler's word in the files that it is given.
string(CONCAT PICO_COMMON_LANG_FLAGS
    " -march=rv32imac -mabi=ilp32 -mno-riscv-attribute -Wa,-march=rv32imac_zicsr_zifencei_zba_zbb_zbs_zbkb"
    " -isystem /usr/lib/picolibc/riscv64-unknown-elf/include -L/usr/lib/picolibc/riscv64-unknown-elf/lib/rv32imac/ilp32"
    " -ftls-model=local-exec")

# The SDK links with --specs=nosys.specs: -B finds ours, which names picolibc's libraries.
string(APPEND PICO_COMMON_LANG_FLAGS " -B${CMAKE_CURRENT_LIST_DIR}")

# Debian has no C++ library for this compiler. All that needs one is the SDK's "new" and "delete", which nothing here
# uses; gcc compiles the C++ files as g++ does and links without a C++ library.
string(APPEND PICO_COMMON_LANG_FLAGS " -DPICO_CXX_DISABLE_ALLOCATION_OVERRIDES=1")
find_program(PICO_COMPILER_CXX riscv64-unknown-elf-gcc)

include(${PICO_SDK_PATH}/cmake/preload/toolchains/util/pico_arm_gcc_common.cmake)
