"""What goes to the terminal: printable text and progress bars, and which of several processes prints."""

import os
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


def is_first_of_host() -> bool:
    """Return whether this process speaks for its host: of those that Lightning, torchrun or srun has started there."""
    return os.environ.get("SLURM_LOCALID" if is_srun() else "LOCAL_RANK", "0") == "0"


def is_srun() -> bool:
    """Return whether srun has started this process; Lightning takes no notice of interactive jobs either."""
    is_interactive = os.environ.get("SLURM_JOB_NAME") in ("bash", "interactive")
    return {"SLURM_NTASKS", "SLURM_PROCID"} <= os.environ.keys() and not is_interactive
