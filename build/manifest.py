"""What picolink's firmware freezes: what the same firmware without picolink has, and the package."""

include("$(PICOLINK_BASE)")
package("picolink", base_path="$(PICOLINK_DIR)/py")
