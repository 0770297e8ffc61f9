"""Reading valid and invalid IDX files."""

import gzip
import re
import struct
from pathlib import Path

import numpy as np
import pytest
from conftest import to_idx

from mnist_lstm.data.idx import MAX_BYTES, read_idx, read_images, read_labels
from mnist_lstm.errors import InputError

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 28, 28), dtype=np.uint8)
LABELS = np.array([3, 1, 4, 1, 5], dtype=np.uint8)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file"


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_arrays_survive_a_round_trip(path: Path, pack) -> None:
    path.write_bytes(pack(to_idx(IMAGES)))
    np.testing.assert_array_equal(read_images(path), IMAGES)
    path.write_bytes(pack(to_idx(LABELS)))
    np.testing.assert_array_equal(read_labels(path), LABELS)


def header(*shape: int) -> bytes:
    return bytes([0, 0, 8, len(shape)]) + struct.pack(f">{len(shape)}I", *shape)


BAD = {
    "empty": (b"", "cut short after 0 bytes"),
    "no IDX": (b"hello, world", "wrong magic number 68656c6c"),
    "floats": (b"\0\0\x0d\x03" + bytes(12), "wrong magic number 00000d03"),
    "no dimensions": (b"\0\0\x08\0", "wrong magic number 00000800"),
    "no image": (header(0, 28, 28), "is empty.*0x28x28"),
    "no size": (header(2**32 - 1, 2**32 - 1, 0), "is empty"),
    "255 dimensions": (b"\0\0\x08\xff", "wrong magic number 000008ff"),
    "half a header": (header(5, 28, 28)[:9], "cut short .*header"),
    "half the values": (to_idx(IMAGES)[:2000], "cut short"),
    "more values": (to_idx(IMAGES) + b"x", "more than .*5x28x28 bytes"),
    "terabytes": (header(2**20, 2**10, 2**10), f"maximum is {MAX_BYTES:,}"),
    "gigabytes": (header(2**20, 28, 28), "more than the file holds"),
    "gzip cut short": (gzip.compress(to_idx(IMAGES))[:2000], "gzip .*cut short"),
    "gzip of half": (gzip.compress(to_idx(IMAGES)[:2000]), "5x28x28 bytes .*1,984"),
    "gzip of gigabytes": (gzip.compress(header(2**20, 28, 28)), "more than the file holds"),
    "gzip with a wrong byte": (
        bytes(b ^ (i == 3000) for i, b in enumerate(gzip.compress(to_idx(IMAGES)))),
        "gzip .*damaged",
    ),
    "gzip of nothing": (gzip.compress(b""), "cut short after 0 bytes"),
}


@pytest.mark.parametrize(("content", "message"), BAD.values(), ids=BAD.keys())
def test_errors_name_the_file_and_the_fault(path: Path, content: bytes, message: str) -> None:
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"^{re.escape(str(path))}: .*{message}"):
        read_idx(path)


def test_a_gzip_bomb_is_unpacked_no_further_than_its_header_announces(path: Path) -> None:
    path.write_bytes(gzip.compress(header(5) + bytes(50_000_000)))
    with pytest.raises(InputError, match=r"more than the 5 bytes"):
        read_idx(path)


@pytest.mark.parametrize("where", ["missing", "."])
def test_a_missing_file_or_a_folder_cannot_be_read(tmp_path: Path, where: str) -> None:
    with pytest.raises(InputError, match=r"cannot be read"):
        read_idx(tmp_path / where)


@pytest.mark.parametrize("shape", [(5, 27, 28), (5, 784), (5,)])
def test_images_of_other_shapes_are_refused(path: Path, shape: tuple[int, ...]) -> None:
    path.write_bytes(to_idx(np.zeros(shape, np.uint8)))
    with pytest.raises(InputError, match=r"shape .*, Nx28x28"):
        read_images(path)


def test_invalid_labels_are_refused(path: Path) -> None:
    path.write_bytes(to_idx(np.array([0, 9, 10], np.uint8)))
    with pytest.raises(InputError, match=r"label 2 is 10"):
        read_labels(path)
    path.write_bytes(to_idx(IMAGES))
    with pytest.raises(InputError, match=r"3 dimensions"):
        read_labels(path)
