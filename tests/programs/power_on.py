# What MicroPython does at power-on, in a folder:  power_on.py FOLDER
# boot.py, then main.py; when that ends or fails, timers and watchdog go on.

import os
import sys
import time

import picolink.trial

os.chdir(sys.argv[1])
picolink.trial.boot()
with open("main.py") as file:
    source = file.read()
try:
    exec(source, {"__name__": "__main__"})
except Exception as e:
    print("failed", e)
while True:
    time.sleep(0.1)
