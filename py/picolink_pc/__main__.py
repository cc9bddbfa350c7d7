"""python -m picolink_pc: the command `picolink` where its folder is not on the PATH."""

from .cli import main

main(prog_name="picolink")
