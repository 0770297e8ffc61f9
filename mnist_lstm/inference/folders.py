"""Find the picture files in a folder, and say what else is in it."""

import os
from collections import Counter
from collections.abc import Iterable

from mnist_lstm.console import printable

# a file named on the command line may have any name
SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm", ".pnm"),
    *(".heic", ".heif", ".hif", ".avif", ".pdf"),
)
MAX_ENDINGS = 8  # named in a note; the other files are counted together


def find_pictures(folder: str, recursive: bool) -> tuple[dict[str, OSError | None], str]:
    """Return the picture files in a folder, sorted by name, and a note on the files that are not pictures.

    Each path comes with None, or is that of a subfolder and comes with the reason why it cannot be read. Links and
    special files are skipped, so nothing outside of the folder is read; hidden files and folders are not even counted.
    Raises `OSError` if the folder itself cannot be read.
    """
    found: dict[str, OSError | None] = {}
    endings: Counter[str] = Counter()
    others: Counter[str] = Counter()
    left = [folder]
    while left:
        path = left.pop()
        try:
            with os.scandir(path) as entries:
                inside = [entry for entry in entries if not entry.name.startswith(".")]
        except OSError as error:
            if path == folder:
                raise
            found[path] = error
            continue
        for entry in inside:
            if entry.is_symlink() or getattr(entry, "is_junction", bool)():  # junctions: Windows, Python 3.12
                others["link"] += 1
            elif entry.is_dir(follow_symlinks=False):
                if recursive:
                    left.append(entry.path)
                else:
                    others["subfolder"] += 1
            elif not entry.is_file(follow_symlinks=False):
                others["special file"] += 1
            elif entry.name.lower().endswith(SUFFIXES):
                found[entry.path] = None
            else:
                endings[os.path.splitext(entry.name)[1].lower() or "no ending"] += 1  # noqa: PTH122 - also "a."
    return dict(sorted(found.items())), _note(endings, others)


def _note(endings: Counter[str], others: Counter[str]) -> str:
    """Say what is skipped, such as "3 files skipped: .txt 2, .csv 1; 1 link skipped"."""
    parts = []
    if endings:
        named = sorted(endings.items(), key=lambda pair: (-pair[1], pair[0]))
        rest = sum(number for _, number in named[MAX_ENDINGS:])
        shown = [*named[:MAX_ENDINGS], *([("others", rest)] if rest else [])]
        text = ", ".join(f"{printable(ending[:20])} {number}" for ending, number in shown)
        parts.append(f"{_count(endings.values(), 'file')} skipped: {text}")
    for thing in sorted(others):
        remedy = " (--recursive reads them)" if thing == "subfolder" else ""
        parts.append(f"{_count([others[thing]], thing)} skipped{remedy}")
    return "; ".join(parts)


def _count(numbers: Iterable[int], thing: str) -> str:
    number = sum(numbers)
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
