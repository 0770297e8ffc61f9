"""Read IDX, the file format of MNIST: a header with the shape, then one byte per value.

    byte 0-1  zero                  byte 2  type of the values, 8 = unsigned byte
    byte 3    number of dimensions  then    one big-endian uint32 per dimension, then the values

A file may be gzipped; its first two bytes decide, not its name. Files may come from anywhere: sizes are checked before
memory is allocated, and every error names the file.
"""

import contextlib
import gzip
import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import numpy.typing as npt

from mnist_lstm.data.format import CLASS_NAMES, SIZE
from mnist_lstm.errors import InputError

MAX_BYTES = 2**31
"""Maximum size of an array: 2 GiB, 2.7 million images. Headers that ask for more are damaged or hostile."""

MAX_PIXELS = 64_000_000
"""Maximum number of pixels of a picture in any format; a photo of 50 megapixels passes."""

GZIP_MAX_RATIO = 1032
"""Maximum compression ratio of deflate, 1,032 to 1 (zlib's technical notes)."""

MAX_EXPANSION = 100
"""Maximum ratio of unpacked to packed images: MNIST's is 6, a gzip bomb's about 1,000."""

CHUNK_BYTES = 2**20
"""Bytes in memory at once when images are read one by one."""

_UNSIGNED_BYTE = 8


def read_images(path: Path) -> npt.NDArray[np.uint8]:
    """Read an IDX file of 28x28 images, gzipped or not.

    Returns:
        uint8 array ``(N, 28, 28)``, 0 (paper) to 255 (ink).

    Raises:
        InputError: the file cannot be read, is not an IDX file, is cut short, or does not hold 28x28 images.
    """
    images = read_idx(path)
    if images.ndim != 3 or images.shape[1:] != (SIZE, SIZE):
        raise InputError(f"{path}: has shape {_by(images.shape)}, not that of images, Nx{SIZE}x{SIZE}")
    return images


def read_labels(path: Path) -> npt.NDArray[np.uint8]:
    """Read an IDX file of labels, gzipped or not.

    Returns:
        uint8 array ``(N,)`` with values 0 to 9.

    Raises:
        InputError: as for `read_images`, and for labels outside 0-9.
    """
    labels = read_idx(path)
    if labels.ndim != 1:
        raise InputError(f"{path}: has {labels.ndim} dimensions; labels have 1")
    if labels.size and labels.max() >= len(CLASS_NAMES):
        at = int(labels.argmax())
        raise InputError(f"{path}: label {at} is {labels[at]}; labels range from 0 to {len(CLASS_NAMES) - 1}")
    return labels


def read_idx(path: Path) -> npt.NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes, gzipped or not, into an array of the shape in its header."""
    with _opened(path) as (file, packed):
        shape = _read_header(file, packed, path, MAX_BYTES)
        size = math.prod(shape)
        values = file.read(size + 1)
        if len(values) < size:
            raise _cut_short(path, shape, len(values))
        if len(values) > size:
            raise InputError(f"{path}: holds more than the {_by(shape)} bytes in its header")
    return np.frombuffer(values, dtype=np.uint8).reshape(shape)


def iterate_images(path: Path, limit: int | None = None) -> Iterator[npt.NDArray[np.uint8]]:
    """Read the images of an IDX file one by one; they may have any size, and the file may exceed memory.

    Args:
        path: of the file, gzipped or not.
        limit: maximum number of images; default: all.

    Yields:
        uint8 arrays ``(height, width)``.

    Raises:
        InputError: as for `read_images`, but for images of other sizes.
    """
    with _opened(path) as (file, packed):
        shape = _read_header(file, packed, path)
        if len(shape) != 3:
            raise InputError(f"{path}: has {_by(shape)} values, which are no images; those are number x height x width")
        if packed and math.prod(shape) > MAX_EXPANSION * path.stat().st_size + CHUNK_BYTES:
            raise InputError(
                f"{path}: would grow more than {MAX_EXPANSION}-fold when unpacked, which no pictures of digits do; "
                "if you trust it, unpack it first"
            )
        number, height, width = shape
        if height * width > MAX_PIXELS:
            raise InputError(f"{path}: its header announces images of {height}x{width} pixels, more than are read")
        wanted = number if limit is None else min(limit, number)
        together = max(1, CHUNK_BYTES // (height * width))
        for start in range(0, wanted, together):
            count = min(together, wanted - start)
            values = file.read(count * height * width)
            if len(values) < count * height * width:
                raise _cut_short(path, shape, start * height * width + len(values))
            yield from np.frombuffer(values, dtype=np.uint8).reshape(count, height, width)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[BinaryIO, bool]]:
    """Open a file for reading its unpacked bytes; also yield whether it is gzipped."""
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            if not packed:
                yield file, packed
                return
            with gzip.GzipFile(fileobj=file) as unpacked:
                yield cast(BinaryIO, unpacked), packed
    except EOFError as error:
        raise InputError(f"{path}: the gzip archive is cut short; download it again") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"{path}: the gzip archive is damaged ({error}); download it again") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error


def _read_header(file: BinaryIO, packed: bool, path: Path, largest: int | None = None) -> tuple[int, ...]:
    """Read the shape; refuse one that exceeds ``largest`` or what the file can hold."""
    magic = file.read(4)
    if len(magic) < 4:
        raise InputError(f"{path}: is cut short after {len(magic)} bytes; download it again")
    if magic[:3] != bytes([0, 0, _UNSIGNED_BYTE]) or not 1 <= magic[3] <= 3:
        raise InputError(
            f"{path}: wrong magic number {magic.hex()}; IDX files of bytes start with 00000801, 00000802 or 00000803"
        )
    header = file.read(4 * magic[3])
    if len(header) < 4 * magic[3]:
        raise InputError(f"{path}: is cut short in its header; download it again")
    shape = struct.unpack(f">{magic[3]}I", header)
    size = math.prod(shape)
    if size == 0:
        raise InputError(f"{path}: is empty; the shape in its header is {_by(shape)}")
    if largest is not None and size > largest:
        raise InputError(f"{path}: its header announces {_by(shape)} bytes; the maximum is {largest:,}")
    if size > path.stat().st_size * (GZIP_MAX_RATIO if packed else 1):
        raise InputError(f"{path}: its header announces {_by(shape)} bytes, more than the file holds; it is cut short")
    return shape


def _cut_short(path: Path, shape: tuple[int, ...], there: int) -> InputError:
    return InputError(f"{path}: is cut short: {_by(shape)} bytes announced, {there:,} found; download it again")


def _by(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
