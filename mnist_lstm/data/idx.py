"""Read IDX, the file format of MNIST: a header with the shape, then one byte per value.

    byte 0-1  zero                  byte 2  type of the values, 8 = unsigned byte
    byte 3    number of dimensions  then    one big-endian uint32 per dimension, then the values

A file may be gzipped; its first two bytes decide, not its name. Files may come from anywhere: sizes are checked before
memory is allocated, and every error is an `InputError` that names the file.
"""

import contextlib
import gzip
import io
import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

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


def read_images(path: Path) -> npt.NDArray[np.uint8]:
    """Read an IDX file of 28x28 images: uint8 ``(N, 28, 28)``, 0 (paper) to 255 (ink)."""
    images = read_idx(path)
    if images.ndim != 3 or images.shape[1:] != (SIZE, SIZE):
        raise InputError(f"{path}: has shape {_by(images.shape)}; expected images, Nx{SIZE}x{SIZE}")
    return images


def read_labels(path: Path) -> npt.NDArray[np.uint8]:
    """Read an IDX file of labels: uint8 ``(N,)``, 0 to 9."""
    labels = read_idx(path)
    if labels.ndim != 1:
        raise InputError(f"{path}: has {labels.ndim} dimensions; labels have 1")
    if labels.max() >= len(CLASS_NAMES):
        at = int(labels.argmax())
        raise InputError(f"{path}: label {at} is {labels[at]}; labels range from 0 to {len(CLASS_NAMES) - 1}")
    return labels


def read_idx(path: Path) -> npt.NDArray[np.uint8]:
    """Read an IDX file into an array of the shape in its header."""
    with _open(path, MAX_BYTES) as (file, shape):
        _check_expansion(path, shape)
        size = math.prod(shape)
        values = file.read(size + 1)
        if len(values) < size:
            raise _cut_short(path, shape, len(values))
        if len(values) > size:
            raise InputError(f"{path}: holds more than the {_by(shape)} bytes in its header")
    return np.frombuffer(values, dtype=np.uint8).reshape(shape)


def iterate_images(path: Path, limit: int | None = None) -> Iterator[npt.NDArray[np.uint8]]:
    """Read the images of an IDX file one by one, ``limit`` at most: uint8 ``(height, width)``.

    They may have any size, and the file may exceed memory.
    """
    with _open(path) as (file, shape):
        if len(shape) != 3:
            raise InputError(f"{path}: has shape {_by(shape)}; expected images, number x height x width")
        _check_expansion(path, shape)
        number, height, width = shape
        if height * width > MAX_PIXELS:
            raise InputError(f"{path}: has images of {height}x{width} pixels, more than the maximum of {MAX_PIXELS:,}")
        wanted = number if limit is None else min(limit, number)
        together = max(1, CHUNK_BYTES // (height * width))
        for start in range(0, wanted, together):
            count = min(together, wanted - start)
            values = file.read(count * height * width)
            if len(values) < count * height * width:
                raise _cut_short(path, shape, start * height * width + len(values))
            yield from np.frombuffer(values, dtype=np.uint8).reshape(count, height, width)


def _check_expansion(path: Path, shape: tuple[int, ...]) -> None:
    # can only be true of a gzipped file: `_open` has compared the size of another with its header
    if math.prod(shape) > MAX_EXPANSION * path.stat().st_size + CHUNK_BYTES:
        raise InputError(
            f"{path}: would grow more than {MAX_EXPANSION}-fold when unpacked, far more than pictures of digits; "
            "if you trust it, unpack it first"
        )


@contextlib.contextmanager
def _open(path: Path, maximum: int | None = None) -> Iterator[tuple[io.BufferedIOBase, tuple[int, ...]]]:
    """Open a file, gzipped or not, at its first value; also yield the shape, of ``maximum`` bytes at most."""
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        with gzip.open(path) if packed else path.open("rb") as file:
            yield file, _read_header(file, packed, path, maximum)
    except EOFError as error:
        raise InputError(f"{path}: the gzip archive is cut short; download it again") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"{path}: the gzip archive is damaged ({error}); download it again") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error


def _read_header(file: io.BufferedIOBase, packed: bool, path: Path, maximum: int | None) -> tuple[int, ...]:
    """Read the shape; refuse one that exceeds ``maximum`` or what the file can hold."""
    magic = file.read(4)
    if len(magic) < 4:
        raise InputError(f"{path}: is cut short after {len(magic)} bytes; download it again")
    if magic[:3] != b"\0\0\x08" or not 1 <= magic[3] <= 3:
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
    if maximum is not None and size > maximum:
        raise InputError(f"{path}: its header announces {_by(shape)} bytes; the maximum is {maximum:,}")
    if size > path.stat().st_size * (GZIP_MAX_RATIO if packed else 1):
        raise InputError(f"{path}: its header announces {_by(shape)} bytes, more than the file holds; it is cut short")
    return shape


def _cut_short(path: Path, shape: tuple[int, ...], there: int) -> InputError:
    return InputError(f"{path}: is cut short: {_by(shape)} bytes announced, {there:,} found; download it again")


def _by(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
