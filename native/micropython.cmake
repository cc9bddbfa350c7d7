# The engine as a user C module of a MicroPython port that builds with CMake (rp2, esp32):
#   USER_C_MODULES=<this file>
add_library(usermod_picolink INTERFACE)
file(GLOB picolink_sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/*.c)
target_sources(usermod_picolink INTERFACE ${picolink_sources})
target_include_directories(usermod_picolink INTERFACE ${CMAKE_CURRENT_LIST_DIR})
target_link_libraries(usermod INTERFACE usermod_picolink)
