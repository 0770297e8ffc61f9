"""What is to be classified: files, folders, array files, standard input, one picture after the other."""

import math
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image

from mnist_lstm.errors import InputError, printable
from mnist_lstm.idx import MAX_PIXELS, iterate_images
from mnist_lstm.inference.reading import SUFFIXES, Levels, from_array, read_picture
from mnist_lstm.mnist_format import SIZE

STDIN = "-"


@dataclass(frozen=True, slots=True)
class Source:
    """One picture, or why there is none.

    Attributes:
        file: as it was named; ``-`` is standard input.
        index: in an array file, counted from 0; None for a picture of its own.
        levels: its grey levels; None if it could not be read.
        image: the picture itself, upright and reduced; None if it could not be read.
        message: why it could not be read.
    """

    file: str
    index: int | None
    levels: Levels | None
    image: Image.Image | None
    message: str = ""

    @property
    def name(self) -> str:
        """The file, and the index in it, as a text that can be printed."""
        return printable(self.file if self.index is None else f"{self.file}[{self.index}]")


def expand(names: list[str]) -> list[str | Source]:
    """Put the pictures of a folder, sorted by name, in the folder's place.

    A link in a folder is left out, as is anything that is no file: only what was named is read.

    Args:
        names: files, folders, and ``-`` for standard input.

    Returns:
        Files, ``-``, and a `Source` that says why for each folder that yields nothing.
    """
    files: list[str | Source] = []
    for name in names:
        if name == STDIN:
            files.append(name)
            continue
        try:
            if not Path(name).is_dir():
                files.append(name)
                continue
            with os.scandir(name) as entries:
                pictures = sorted(
                    entry.path
                    for entry in entries
                    if entry.name.lower().endswith(SUFFIXES) and entry.is_file(follow_symlinks=False)
                )
        except OSError as error:
            files.append(Source(name, None, None, None, f"cannot be read ({error.strerror or error})"))
            continue
        files += pictures or [Source(name, None, None, None, "there is no picture in this folder")]
    return files


def read(files: list[str | Source], limit: int | None = None) -> Iterator[Source]:
    """Read pictures one by one; what cannot be read is said in its place, and the rest goes on.

    Args:
        files: from `expand`.
        limit: how many pictures to take of an array file; default: all.
    """
    for file in files:
        if isinstance(file, Source):
            yield file
            continue
        try:
            if file == STDIN and sys.stdin is None:
                raise InputError("standard input is closed")
            if file == STDIN:
                yield Source(file, None, *read_picture(sys.stdin.buffer))
                continue
            with open(file, "rb") as opened:  # noqa: PTH123 - half as long as Path.open, for thousands of files
                # a pipe yields its bytes only once
                images = _array_file(opened, Path(file), limit) if opened.seekable() else None
                if images is None:
                    yield Source(file, None, *read_picture(opened))
                    continue
            yield from _each(file, images)
        except InputError as error:
            yield Source(file, None, None, None, _without_name(error, file))
        except (OSError, ValueError) as error:  # a ValueError is what a name with a zero byte meets
            reason = error.strerror if isinstance(error, OSError) else None
            yield Source(file, None, None, None, f"cannot be read ({reason or error})")


def _each(file: str, images: Iterator[npt.NDArray[Any]]) -> Iterator[Source]:
    index = -1
    try:
        for index, array in enumerate(images):
            try:
                yield Source(file, index, *from_array(array))
            except InputError as error:
                yield Source(file, index, None, None, str(error))
    except InputError as error:
        # what has been read of the file before it broke off counts
        yield Source(file, None if index < 0 else index + 1, None, None, _without_name(error, file))


def _without_name(error: InputError, file: str) -> str:
    return str(error).removeprefix(f"{Path(file)}: ")


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
    """Return the images of a NumPy file: ``(N, H, W)``, ``(N, H, W, C)``, rows of 784, or one ``(H, W)``."""
    array = _map(path)
    if array.ndim == 4 and array.shape[1] in (1, 3, 4) and array.shape[3] not in (1, 3, 4):
        raise InputError(f"{path}: has its channels first; write it with numpy.moveaxis(array, 1, -1)")
    if array.dtype.kind not in "buif":
        raise InputError(f"{path}: holds values of the type {array.dtype}; pictures hold numbers")
    if array.ndim == 2 and array.shape[1] == SIZE * SIZE:
        shape: tuple[int, ...] = (SIZE, SIZE)
    elif array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4)):
        array, shape = array[None], array.shape
    else:
        shape = array.shape[1:] if array.ndim in (3, 4) else ()
    if math.prod(shape[:2]) > MAX_PIXELS:
        raise InputError(
            f"{path}: holds pictures of {'x'.join(map(str, shape))} values, "
            f"more than the {MAX_PIXELS // 10**6} megapixels that are read"
        )
    if not shape or not array.size:
        raise InputError(
            f"{path}: has the shape {'x'.join(map(str, array.shape)) or 'of a single number'}; "
            "pictures are (N, height, width), (N, height, width, 3 or 4) or (N, 784)"
        )
    return _npy_iterate(path, len(array) if limit is None else min(limit, len(array)), shape)


def _npy_iterate(path: Path, number: int, shape: tuple[int, ...]) -> Iterator[npt.NDArray[Any]]:
    together = 1000
    for start in range(0, number, together):
        # mapped anew each time, so that what has been read does not stay in memory
        array = _map(path)
        part = array[start : min(start + together, number)] if array.size > math.prod(shape) else array[None]
        for image in part:
            yield np.array(image).reshape(shape)


def _map(path: Path) -> npt.NDArray[Any]:
    try:
        array: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # a damaged header meets all kinds of errors in NumPy's reader
        raise InputError(f"{path}: is no NumPy array of numbers, or it is cut short or damaged") from error
    return array
