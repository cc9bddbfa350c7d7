"""Frozen into the unix MicroPython that runs the virtual boards: asyncio, as on a Pico W."""

include("$(MPY_DIR)/extmod/asyncio")
