"""Progress where there is no terminal: in a log, a line now and then."""

from rich.console import Console


def tell_tenth(console: Console, before: int, now: int, total: int, what: str) -> None:
    """Say how much is done when another tenth is, if nobody sees the bar."""
    tenth = total // 10 or 1
    if not console.is_terminal and before // tenth != now // tenth:
        console.print(f"{now:,} of {total:,} {what}")
