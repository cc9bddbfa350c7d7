"""Stands for MicroPython's: leaves its own arguments in the file that it is to make."""

import sys
from pathlib import Path

Path(sys.argv[sys.argv.index("-o") + 1]).write_text(" ".join(sys.argv[1:]))
