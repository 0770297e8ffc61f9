"""Find the picture files in a folder, and say what else is in it."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from mnist_lstm.console import printable

# a file named on the command line may have any name
SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm", ".pnm"),
    *(".heic", ".heif", ".hif", ".avif", ".pdf"),
)
MAX_ENDINGS = 8  # named in a note; the other files are counted together


def find_pictures(
    folder: str,
    recursive: bool,
    note: Callable[[str], None] = lambda text: None,
    wanted: Callable[[str], bool] = lambda name: True,
) -> Iterator[tuple[str, OSError | None]]:
    """Yield the picture files in a folder, sorted by path, with "/" between names, on every system.

    Each path comes with None, or is that of a subfolder and comes with the reason why it cannot be read. Only names of
    folders that are being read are in memory. Links and special files are skipped, so nothing outside of the folder is
    read; hidden files and folders are not even counted.

    Args:
        folder: its path.
        recursive: read its subfolders as well.
        note: is called at the end with what is skipped, if anything is.
        wanted: returns whether a file is to be found, by its path within the folder.

    Raises:
        OSError: the folder itself cannot be read.
    """
    top = folder if folder.endswith(("/", os.sep)) else f"{folder}/"
    endings: Counter[str] = Counter()
    others: Counter[str] = Counter()
    left = [top]  # what is to come, the next one last; folders end in "/"
    while left:
        path = left.pop()
        if path != top and not path.endswith("/"):
            yield path, None
            continue
        found: list[str] = []
        try:
            with os.scandir(path) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    if entry.is_symlink() or getattr(entry, "is_junction", bool)():  # junctions: Windows, Python 3.12
                        others["link"] += 1
                    elif entry.is_dir(follow_symlinks=False):
                        if recursive:
                            found.append(f"{entry.path}/")
                        else:
                            others["subfolder"] += 1
                    elif not entry.is_file(follow_symlinks=False):
                        others["special file"] += 1
                    elif not entry.name.lower().endswith(SUFFIXES):
                        # os.path for "a." as well
                        endings[os.path.splitext(entry.name)[1].lower() or "no ending"] += 1  # noqa: PTH122
                    elif wanted(entry.path[len(top) :]):
                        found.append(entry.path)
        except OSError as error:
            if path == top:
                raise
            yield path[:-1], error
            continue
        left += sorted(found, reverse=True)
    if endings or others:
        note(_note(endings, others))


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
