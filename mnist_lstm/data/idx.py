"""IDX, the file format of MNIST: a header with the shape, then one byte a value.

    byte 0-1  zero                  byte 2  type of the values, 8 = unsigned byte
    byte 3    number of dimensions  then    one big-endian uint32 a dimension, then the values

A file may be packed with gzip; that is told from its first two bytes, not from its name. Every reader here takes files
from anywhere: sizes are checked before memory is taken, and what is wrong is said by name.
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
"""Largest array that is read: 2 GiB, 2.7 million images. More is taken for a damaged or hostile header."""

MAX_PIXELS = 64_000_000
"""Most pixels of a picture, of any format: a photo of 50 megapixels passes."""

GZIP_MAX_RATIO = 1032
"""Deflate cannot pack more than 1,032 bytes into one (zlib's technical notes)."""

MAX_EXPANSION = 100
"""Most that the images of a packed file may grow by: MNIST's grow 6-fold, a gzip bomb a thousandfold."""

CHUNK_BYTES = 2**20
"""How much of a file is in memory at once when its images are read one by one."""

_UNSIGNED_BYTE = 8


def read_images(path: Path) -> npt.NDArray[np.uint8]:
    """Read an IDX file of 28x28 images, packed or not.

    Returns:
        uint8 array ``(N, 28, 28)``, 0 (paper) to 255 (ink).

    Raises:
        InputError: the file cannot be read, is no IDX file, is cut short, or holds something else.
    """
    images = read_idx(path)
    if images.ndim != 3 or images.shape[1:] != (SIZE, SIZE):
        raise InputError(f"{path}: holds {_by(images.shape)} values, not images of {SIZE}x{SIZE} (Nx{SIZE}x{SIZE})")
    return images


def read_labels(path: Path) -> npt.NDArray[np.uint8]:
    """Read an IDX file of labels, packed or not.

    Returns:
        uint8 array ``(N,)`` with values 0 to 9.

    Raises:
        InputError: as for `read_images`, and for labels outside 0-9.
    """
    labels = read_idx(path)
    if labels.ndim != 1:
        raise InputError(f"{path}: has {labels.ndim} dimensions; labels have one")
    if labels.size and labels.max() >= len(CLASS_NAMES):
        at = int(labels.argmax())
        raise InputError(f"{path}: label {at} is {labels[at]}; labels lie between 0 and {len(CLASS_NAMES) - 1}")
    return labels


def read_idx(path: Path) -> npt.NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes, packed with gzip or not, into an array of the shape its header tells."""
    with _opened(path) as (file, packed):
        shape = _read_header(file, packed, path, MAX_BYTES)
        size = math.prod(shape)
        values = file.read(size + 1)
        if len(values) < size:
            raise _cut_short(path, shape, len(values))
        if len(values) > size:
            raise InputError(f"{path}: holds more than the {_by(shape)} bytes that its header announces")
    return np.frombuffer(values, dtype=np.uint8).reshape(shape)


def iterate_images(path: Path, limit: int | None = None) -> Iterator[npt.NDArray[np.uint8]]:
    """Read the images of an IDX file one by one, of any size; the file may be larger than memory.

    Args:
        path: of the file, packed or not.
        limit: how many to read at most.

    Yields:
        uint8 arrays ``(height, width)``.

    Raises:
        InputError: as for `read_images`, though not for their size.
    """
    with _opened(path) as (file, packed):
        shape = _read_header(file, packed, path)
        if len(shape) != 3:
            raise InputError(f"{path}: has {_by(shape)} values, which are no images; those are number x height x width")
        if packed and math.prod(shape) > MAX_EXPANSION * path.stat().st_size + CHUNK_BYTES:
            raise InputError(
                f"{path}: would grow more than {MAX_EXPANSION}-fold when unpacked, as no pictures of digits do; "
                "unpack it first if it is not hostile"
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
    """Open a file, unpacking it if need be; also tell whether it is packed."""
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
        raise InputError(f"{path}: the gzip archive is cut short; fetch it again") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"{path}: the gzip archive is damaged ({error}); fetch it again") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error


def _read_header(file: BinaryIO, packed: bool, path: Path, largest: int | None = None) -> tuple[int, ...]:
    """Read the shape, and see that it is no larger than what is wanted, and than the file can be."""
    magic = file.read(4)
    if len(magic) < 4:
        raise InputError(f"{path}: is cut short after {len(magic)} bytes; fetch it again")
    if magic[:3] != bytes([0, 0, _UNSIGNED_BYTE]) or not 1 <= magic[3] <= 3:
        raise InputError(
            f"{path}: wrong magic number {magic.hex()}; an IDX file of bytes starts with 000008 and 01 to 03"
        )
    header = file.read(4 * magic[3])
    if len(header) < 4 * magic[3]:
        raise InputError(f"{path}: is cut short in its header; fetch it again")
    shape = struct.unpack(f">{magic[3]}I", header)
    size = math.prod(shape)
    if size == 0:
        raise InputError(f"{path}: its header announces {_by(shape)} bytes: nothing at all")
    if largest is not None and size > largest:
        raise InputError(f"{path}: its header announces {_by(shape)} bytes, more than the {largest:,} that are read")
    if size > path.stat().st_size * (GZIP_MAX_RATIO if packed else 1):
        raise InputError(f"{path}: its header announces {_by(shape)} bytes, more than the file holds: it is cut short")
    return shape


def _cut_short(path: Path, shape: tuple[int, ...], there: int) -> InputError:
    return InputError(f"{path}: is cut short: {_by(shape)} bytes announced, {there:,} there; fetch it again")


def _by(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
