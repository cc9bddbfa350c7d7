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

# CMake's try_compile comes here again, and the Pico SDK before 2.2 does not hand this on.
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES PICO_SDK_PATH)
include(${PICO_SDK_PATH}/cmake/preload/toolchains/util/pico_arm_gcc_common.cmake)

# Room for thread-local variables; after the SDK's file, which sets these. As the SDK names its script: gcc puts those
# of -T behind it. Not for the assembler's language, in which the SDK links its boot stage with another script.
foreach(language C CXX)
    string(APPEND CMAKE_${language}_LINK_FLAGS " -Wl,--script=${CMAKE_CURRENT_LIST_DIR}/thread_local.ld")
endforeach()
