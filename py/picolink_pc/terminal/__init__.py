"""What this PC says to boards from a terminal: `picolink scan`, `send`, `chat` and `monitor`."""
