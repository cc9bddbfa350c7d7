"""Frozen into every firmware that is built from Debian's source package, which has no micropython-lib."""

freeze("$(PORT_DIR)/modules")
include("$(MPY_DIR)/extmod/asyncio")
