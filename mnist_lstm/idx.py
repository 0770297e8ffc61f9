"""IDX, the file format of MNIST: a header with the shape, then one byte a value.

    byte 0-1  zero                  byte 2  type of the values, 8 = unsigned byte
    byte 3    number of dimensions  then    one big-endian uint32 a dimension, then the values

A file may be packed with gzip; that is told from its first two bytes, not from its name. Every reader here takes files
from anywhere: sizes are checked before memory is taken, and what is wrong is said by name.
"""

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import numpy.typing as npt

from mnist_lstm.errors import InputError
from mnist_lstm.mnist_format import CLASS_NAMES, SIZE

MAX_BYTES = 2**31
"""Largest array that is read: 2 GiB, 2.7 million images. More is taken for a damaged or hostile header."""

GZIP_MAX_RATIO = 1032
"""Deflate cannot pack more than 1,032 bytes into one (zlib's technical notes)."""

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
        shape = "x".join(map(str, images.shape))
        raise InputError(f"{path}: holds {shape} values, not images of {SIZE}x{SIZE} (Nx{SIZE}x{SIZE})")
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
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
            size = file.seek(0, 2)
            file.seek(0)
            if not packed:
                return _read(file, size, path)
            with gzip.GzipFile(fileobj=file) as unpacked:
                return _read(cast(BinaryIO, unpacked), size * GZIP_MAX_RATIO, path)
    except EOFError as error:
        raise InputError(f"{path}: the gzip archive is cut short; fetch it again") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"{path}: the gzip archive is damaged ({error}); fetch it again") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error


def _read(file: BinaryIO, most: int, path: Path) -> npt.NDArray[np.uint8]:
    """Read header and values; ``most`` is how many bytes the file can hold at all."""
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
    announced = "x".join(map(str, shape))
    if size == 0:
        raise InputError(f"{path}: its header announces {announced} bytes: nothing at all")
    if size > MAX_BYTES:
        raise InputError(f"{path}: its header announces {announced} bytes, more than the {MAX_BYTES:,} that are read")
    if size > most:
        raise InputError(f"{path}: its header announces {announced} bytes, more than the file holds: it is cut short")
    values = file.read(size + 1)
    if len(values) < size:
        raise InputError(f"{path}: is cut short: {announced} bytes announced, {len(values):,} there; fetch it again")
    if len(values) > size:
        raise InputError(f"{path}: holds more than the {announced} bytes that its header announces")
    return np.frombuffer(values, dtype=np.uint8).reshape(shape)
