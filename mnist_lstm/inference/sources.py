"""Read pictures one by one from files, folders, array files and standard input."""

import io
import math
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image

from mnist_lstm.console import printable
from mnist_lstm.data.format import SIZE
from mnist_lstm.data.idx import MAX_PIXELS, iterate_images
from mnist_lstm.errors import InputError
from mnist_lstm.inference.arrays import FLAT, by, channels_first, from_array
from mnist_lstm.inference.colour import Levels
from mnist_lstm.inference.folders import find_pictures
from mnist_lstm.inference.pages import ALL, iterate_pages
from mnist_lstm.inference.read import too_large, unreadable
from mnist_lstm.inference.shard import Shard

STDIN = "-"


@dataclass(frozen=True, slots=True)
class Source:
    """One picture, or the reason why it cannot be read."""

    file: str  # as named by the user; - is standard input
    index: int | None = None  # in an array file or one of several pages, from 0; None for a single picture
    levels: Levels | None = None  # None if the picture cannot be read
    image: Image.Image | None = None  # upright and reduced; None if it cannot be read
    message: str = ""  # why it cannot be read

    @property
    def name(self) -> str:
        """Return the file, and the index in it, as printable text."""
        return printable(self.file if self.index is None else f"{self.file}[{self.index}]")


@dataclass(frozen=True, slots=True)
class File:
    """A file whose pictures are to be read: which ones, by index, of several pages or images."""

    file: str
    wanted: range = ALL  # starts beyond its step only where a file is read on

    def error(self, reason: Exception) -> "Iterator[Source]":
        """Yield the reason why the whole file cannot be read, unless another shard does."""
        if 0 in self.wanted:
            yield Source(self.file, message=str(reason))
        elif self.wanted.start >= self.wanted.step:
            yield Source(self.file, self.wanted.start, message=str(reason))


def expand(
    names: list[str],
    *,
    recursive: bool = False,
    note: Callable[[str], None] = lambda text: None,
    shard: Shard | None = None,
) -> Iterator[File | Source]:
    """Replace each folder by the picture files in it, sorted by path; with ``recursive``, also in its subfolders.

    A folder without pictures, or that cannot be read, becomes a `Source` with the reason. ``note`` is called with a
    line about each folder in which something is skipped; see `find_pictures`.

    With a ``shard``, files in a folder belong to it by their paths within the folder. Of a file that is named itself,
    its pages or images do. What cannot be found is then an `InputError`: one machine may lack what others see.
    """
    for name in names:
        if shard is not None and not Path(name).exists():
            raise _not_everywhere(name, "no such file")
        try:
            if name == STDIN or not Path(name).is_dir():
                yield File(name) if shard is None else File(name, shard.indices(Path(name).name))
                continue
            found = 0

            def wanted(path: str) -> bool:
                nonlocal found
                found += 1
                return shard is None or shard.has(path)

            for path, failure in find_pictures(name, recursive, partial(_note_skipped, note, name), wanted):
                if failure is None:
                    yield File(path)
                elif shard is None:
                    found += 1
                    yield Source(path, message=str(unreadable(failure)))
                else:
                    raise _not_everywhere(path, str(unreadable(failure)))
        except OSError as error:
            if shard is not None:
                raise _not_everywhere(name, str(unreadable(error))) from error
            yield Source(name, message=str(unreadable(error)))
            continue
        if not found:
            if shard is not None:
                raise _not_everywhere(name, "contains no picture files")
            yield Source(name, message="contains no picture files")


def _note_skipped(note: Callable[[str], None], name: str, skipped: str) -> None:
    note(f"{printable(name)}: {skipped}")


def _not_everywhere(name: str, reason: str) -> InputError:
    return InputError(f"{printable(name)}: {reason}; with --shard, every machine must see the same files")


def read(files: Iterable[File | Source], limit: int | None = None) -> Iterator[Source]:
    """Read the files from `expand`, up to ``limit`` pictures or pages of each; yield unreadable ones as well."""
    for file in files:
        if isinstance(file, Source):
            yield file
            continue
        try:
            if file.file == STDIN:
                if sys.stdin is None:
                    raise InputError("standard input is closed")
                yield from _read_pages(file, sys.stdin.buffer, limit)
                continue
            with open(file.file, "rb") as opened:  # noqa: PTH123 - twice as fast as Path.open, for thousands of files
                # a pipe can be read only once: it is not checked for an array file
                images = _array_file(opened, Path(file.file), limit) if opened.seekable() else None
                if images is None:
                    yield from _read_pages(file, opened, limit)
                    continue
            yield from _read_images(file, images)
        except InputError as error:
            yield from file.error(error)
        except (OSError, ValueError) as error:
            yield from file.error(unreadable(error))


def read_content(name: str, content: bytes) -> Iterator[Source]:
    """Read the pages of a picture file whose bytes are at hand, as `read` does."""
    file = File(name)
    try:
        yield from _read_pages(file, io.BytesIO(content), None)
    except InputError as error:
        yield from file.error(error)


def _read_pages(file: File, opened: BinaryIO, limit: int | None) -> Iterator[Source]:
    for index, page in iterate_pages(opened, limit, file.wanted):
        if isinstance(page, InputError):
            yield Source(file.file, index, message=str(page))
        else:
            yield Source(file.file, index, *page)


def _read_images(file: File, images: Iterator[npt.NDArray[Any]]) -> Iterator[Source]:
    index = -1
    try:
        for index, array in enumerate(images):
            if index not in file.wanted:
                continue
            try:
                yield Source(file.file, index, *from_array(array))
            except InputError as error:
                yield Source(file.file, index, message=str(error))
    except InputError as error:
        # a file that is cut short: the images before the break have been yielded
        reason = InputError(str(error).removeprefix(f"{Path(file.file)}: "))
        if index < 0:
            yield from file.error(reason)
        elif index + 1 in file.wanted:
            yield Source(file.file, index + 1, message=str(reason))


def _array_file(opened: BinaryIO, path: Path, limit: int | None) -> Iterator[npt.NDArray[Any]] | None:
    """Return the images of an IDX or NumPy file; None if it is neither."""
    start = opened.read(6)
    opened.seek(0)
    if start == b"\x93NUMPY":
        return _npy_images(path, limit)
    if start[:2] == b"\x1f\x8b" or start[:3] == b"\0\0\x08":
        return iterate_images(path, limit)
    return None


def _npy_images(path: Path, limit: int | None) -> Iterator[npt.NDArray[Any]]:
    """Return the images of a NumPy file: ``(N, H, W[, C])`` or ``(N, 784)``; or one, ``(H, W)`` or ``(784,)``."""
    array = _map(path)
    if channels_first(array.shape):
        raise InputError("channels come first; save numpy.moveaxis(array, 1, -1) instead")
    if array.dtype.kind not in "buif":
        raise InputError(f"has dtype {array.dtype}; expected bool, integers or floats")
    if array.ndim in (1, 2) and array.shape[-1] == FLAT:
        shape: tuple[int, ...] = (SIZE, SIZE)
        array = np.atleast_2d(array)
    elif array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4)):
        array, shape = array[None], array.shape
    else:
        shape = array.shape[1:] if array.ndim in (3, 4) else ()
    if math.prod(shape[:2]) > MAX_PIXELS:
        raise too_large(shape[0], shape[1], MAX_PIXELS)
    if not shape or not array.size:
        expected = "a non-empty (N, height, width), (N, height, width, 3 or 4) or (N, 784)"
        raise InputError(f"has shape {by(array.shape)}; expected {expected}")
    number, together = len(array[:limit]), 1000
    for start in range(0, number, together):
        # map the file again, so that the part read before does not stay in memory
        array = _map(path)
        part = array[start : min(start + together, number)] if array.size > math.prod(shape) else array[None]
        for image in part:
            yield np.array(image).reshape(shape)


def _map(path: Path) -> npt.NDArray[Any]:
    try:
        array: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # damaged headers raise all kinds of exceptions in NumPy's reader
        raise InputError("is not a NumPy array of numbers, or is cut short or damaged") from error
    return array
