"""What picolink's firmware freezes: what the same firmware without picolink has, and the package."""

include("$(PICOLINK_BASE)")
package("picolink", base_path="$(PICOLINK_DIR)/py")
# Made by CMakeLists.txt, for `picolink flash`: BUILD, such as "RPI_PICO_W-tuned".
module("_picolink_firmware.py", base_path="$(PICOLINK_MADE)")
