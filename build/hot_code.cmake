# Inside MicroPython's rp2 port: links with PICOLINK_LINKER_SCRIPT, after the port has named its own.
cmake_language(DEFER CALL pico_set_linker_script firmware ${PICOLINK_LINKER_SCRIPT})
