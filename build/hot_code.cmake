# Inside MicroPython's rp2 port: links with PICOLINK_LINKER_SCRIPT, after the port has named its own.
cmake_language(DEFER CALL pico_set_linker_script firmware ${PICOLINK_LINKER_SCRIPT})
if(CMAKE_SYSTEM_PROCESSOR MATCHES cortex)
    # Flash is too far from RAM for one instruction. Addresses in the code are faster than the linker's stubs, and smaller.
    cmake_language(DEFER CALL set_property
        SOURCE ${MICROPY_PY_DIR}/gc.c ${MICROPY_PY_DIR}/vm.c ${MICROPY_PY_DIR}/bc.c ${MICROPY_PY_DIR}/objfun.c
        APPEND PROPERTY COMPILE_OPTIONS -mlong-calls)
endif()
