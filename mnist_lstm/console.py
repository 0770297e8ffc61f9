"""What goes to the terminal: printable text and progress bars."""

import sys
from collections.abc import Collection, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def printable(text: str) -> str:
    """Return a text as one line that cannot control a terminal: other characters become escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def track(items: Collection[Item], description: str) -> Iterator[Item]:
    """Iterate over items with a progress bar on standard error, if that is a terminal."""
    if not sys.stderr.isatty():
        yield from items
        return
    # Rich takes 0.1 s to import, which --help does without
    from rich.console import Console
    from rich.progress import track as rich_track

    yield from rich_track(items, description, console=Console(stderr=True), transient=True)
