"""What a console has shown, as a picture."""

import re

from rich.console import Console


def svg(console: Console, title: str) -> str:
    """The text of an SVG file that needs no font from the web.  console: one that records."""
    text = console.export_svg(title=title, unique_id=re.sub(r"\W", "-", title))
    text = re.sub(r"@font-face {.*?}\s*", "", text, flags=re.DOTALL)
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"
