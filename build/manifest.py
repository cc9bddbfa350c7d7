"""What picolink's firmware freezes: all that the same firmware without picolink has, and the picolink package."""

include("$(PICOLINK_BASE)")
package("picolink", base_path="$(PICOLINK_DIR)/py")
