# Inside MicroPython's rp2 port: links with what CMakeLists.txt has made, in PICOLINK_LINKER_DIR, of its linker script,
# after the port has named its own; or of the parts that the script includes, which the linker finds here first.
file(GLOB script ${PICOLINK_LINKER_DIR}/*.ld)
if(script)
    cmake_language(DEFER CALL pico_set_linker_script firmware ${script})
else()
    cmake_language(DEFER CALL target_link_directories firmware BEFORE PRIVATE ${PICOLINK_LINKER_DIR})
endif()
if(CMAKE_SYSTEM_PROCESSOR MATCHES cortex)
    # Flash is too far from RAM for one instruction. Addresses in the code are faster than the linker's stubs, and smaller.
    cmake_language(DEFER CALL set_property
        SOURCE ${MICROPY_PY_DIR}/gc.c ${MICROPY_PY_DIR}/vm.c ${MICROPY_PY_DIR}/bc.c ${MICROPY_PY_DIR}/objfun.c
        APPEND PROPERTY COMPILE_OPTIONS -mlong-calls)
endif()
