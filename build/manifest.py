"""What picolink's firmware freezes: what the same firmware without picolink has, and the package."""

import json
from pathlib import Path

include("$(PICOLINK_BASE)")
# MicroPython reads this file in its folder. package.json lists the modules that are for boards.
files = [name for name, _ in json.loads(Path("../package.json").read_text())["urls"]]
package("picolink", tuple(name[len("picolink/") :] for name in files), base_path="$(PICOLINK_DIR)/py")
# Made by CMakeLists.txt, for `picolink flash`: BUILD, such as "RPI_PICO_W-tuned".
module("_picolink_firmware.py", base_path="$(PICOLINK_MADE)")
