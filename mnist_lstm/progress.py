"""A bar for what takes long, on standard error, where that is a terminal."""

from collections.abc import Collection, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import track as rich_track

Item = TypeVar("Item")


def track(items: Collection[Item], text: str) -> Iterator[Item]:
    """Go through items, and show how far it is.

    Args:
        items: with a known number.
        text: stands before the bar.
    """
    console = Console(stderr=True)
    yield from rich_track(items, text, console=console, transient=True, disable=not console.is_terminal)
