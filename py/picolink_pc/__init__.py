"""picolink on the PC: the command line, virtual boards and their radio."""
