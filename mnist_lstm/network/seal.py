"""A checkpoint's own digest: whether a file is, to the bit, what was written.

`torch.save` writes a zip file, which may end with a comment that all readers skip. The comment here is the SHA-256 of
all bytes before the digest itself. PyTorch reads no checksum: without this, other weights would load in silence.
"""

import contextlib
import hashlib
import io
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from mnist_lstm.errors import InputError

MAX_BYTES = 2**31
"""Largest checkpoint that is read: 2 GiB. This project's own have 1 to 13 MB."""

DAMAGED = "is not a checkpoint, or is cut short or damaged"

MARK = b"mnist-lstm sha256 "
DIGEST_BYTES = 64
"""Bytes of a digest in hexadecimal digits, which follow the mark."""

END = b"PK\5\6"
END_BYTES = 22
"""The record at the end of a zip file; its last two bytes are the length of the comment."""

CHUNK_BYTES = 2**20


def seal(file: io.BytesIO) -> None:
    """Append its digest to what `torch.save` has written into ``file``."""
    file.seek(-END_BYTES, os.SEEK_END)
    end = file.read()
    assert (end[:4], end[-2:]) == (END, b"\0\0"), "torch.save has written no zip file, or one with a comment"
    file.seek(-2, os.SEEK_END)
    file.write((len(MARK) + DIGEST_BYTES).to_bytes(2, "little") + MARK)
    with file.getbuffer() as content:
        digest = hashlib.sha256(content).hexdigest()
    file.write(digest.encode())


@contextlib.contextmanager
def open_whole(path: Path) -> Iterator[tuple[BinaryIO, bool]]:
    """Open a checkpoint that is as it was written; also yield whether it has a digest.

    Of one without, from before this project wrote any, the checksums of its parts are compared.

    Raises:
        InputError: it is missing, or not a checkpoint, or not as it was written.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such checkpoint file")
    try:
        with path.open("rb") as file:
            is_sealed = _check(file, path)
            file.seek(0)
            yield file, is_sealed
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error


def _check(file: BinaryIO, path: Path) -> bool:
    """Compare digest or checksums; return whether there is a digest."""
    start = file.read(4)
    if start[:1] == b"\x80":  # what torch.save wrote before PyTorch 1.6, or any other pickle
        raise InputError(f"{path}: is a bare pickle; it could run code and is refused")
    size = file.seek(0, os.SEEK_END)
    if start != b"PK\3\4":
        raise InputError(f"{path}: {DAMAGED}")
    if size > MAX_BYTES:
        raise InputError(f"{path}: holds more than {MAX_BYTES // 2**30} GiB")
    tail = len(MARK) + DIGEST_BYTES
    file.seek(max(0, size - tail))
    if file.read(len(MARK)) == MARK:
        digest = file.read().decode("latin-1")
        if _sha256(file, size - DIGEST_BYTES) != digest:
            raise InputError(f"{path}: is damaged: it is not what was written, by its own digest")
        return True
    file.seek(max(0, size - END_BYTES))
    end = file.read()
    if not end.startswith(END) or end[-2:] != b"\0\0":
        raise InputError(f"{path}: {DAMAGED}")
    _check_parts(file, path, size)
    return False


def _sha256(file: BinaryIO, size: int) -> str:
    """Return the digest of the first ``size`` bytes, in hexadecimal digits."""
    digest = hashlib.sha256()
    file.seek(0)
    while size > 0:
        chunk = file.read(min(size, CHUNK_BYTES))
        digest.update(chunk)
        size -= len(chunk) or size
    return digest.hexdigest()


def _check_parts(file: BinaryIO, path: Path, size: int) -> None:
    """Compare the CRC-32 of every entry with its content, and its name with that before the content."""
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
                raise InputError(f"{path}: is not a checkpoint: its entries are compressed, and PyTorch's are not")
            if sum(entry.file_size for entry in entries) > size:
                raise InputError(f"{path}: announces more than it holds")
            damaged = archive.testzip()
    except InputError:
        raise
    except Exception as error:  # a damaged file meets all kinds of errors in zipfile
        raise InputError(f"{path}: {DAMAGED}") from error
    if damaged is not None:
        raise InputError(f"{path}: is damaged: the checksum of its part {damaged[:100]} is that of other content")
