"""A Bluetooth stack for virtual boards whose MicroPython has none: simulator code, never on a real board.

`board/` runs in MicroPython and takes the place of `bluetooth` and `aioble`.  The rest runs on the PC: a
Bumble host on the virtual radio that does what BTstack does on a Pico W.  A unix socket joins the two.
"""
