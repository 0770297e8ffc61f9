"""Reading IDX files, good and bad."""

import gzip
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
def test_reads_what_was_written(path: Path, pack) -> None:
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
    "no image": (header(0, 28, 28), "announces 0x28x28 bytes: nothing at all"),
    "no size": (header(2**32 - 1, 2**32 - 1, 0), "nothing at all"),
    "255 dimensions": (b"\0\0\x08\xff", "wrong magic number 000008ff"),
    "half a header": (header(5, 28, 28)[:9], "cut short in its header"),
    "half the values": (to_idx(IMAGES)[:2000], "it is cut short"),
    "more values": (to_idx(IMAGES) + b"x", "holds more than the 5x28x28 bytes"),
    "terabytes": (header(2**20, 2**10, 2**10), f"more than the {MAX_BYTES:,} that are read"),
    "gigabytes": (header(2**20, 28, 28), "more than the file holds"),
    "gzip cut short": (gzip.compress(to_idx(IMAGES))[:2000], "gzip archive is cut short"),
    "gzip of half": (gzip.compress(to_idx(IMAGES)[:2000]), "5x28x28 bytes announced, 1,984 there"),
    "gzip of gigabytes": (gzip.compress(header(2**20, 28, 28)), "more than the file holds"),
    "gzip with a wrong byte": (
        bytes(b ^ (i == 3000) for i, b in enumerate(gzip.compress(to_idx(IMAGES)))),
        "gzip archive is damaged",
    ),
    "gzip of nothing": (gzip.compress(b""), "cut short after 0 bytes"),
}


@pytest.mark.parametrize(("content", "message"), BAD.values(), ids=BAD.keys())
def test_a_bad_file_is_named_with_its_fault(path: Path, content: bytes, message: str) -> None:
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        read_idx(path)
    assert str(error.value).startswith(f"{path}: ")
    assert message in str(error.value)


def test_a_bomb_is_not_unpacked_further_than_its_header_says(path: Path) -> None:
    path.write_bytes(gzip.compress(header(5) + bytes(50_000_000)))
    with pytest.raises(InputError, match=r"more than the 5 bytes"):
        read_idx(path)


@pytest.mark.parametrize("where", ["missing", "."])
def test_a_path_that_is_no_file_is_named(tmp_path: Path, where: str) -> None:
    with pytest.raises(InputError, match=r"cannot be read"):
        read_idx(tmp_path / where)


@pytest.mark.parametrize("shape", [(5, 27, 28), (5, 784), (5,)])
def test_images_are_28x28(path: Path, shape: tuple[int, ...]) -> None:
    path.write_bytes(to_idx(np.zeros(shape, np.uint8)))
    with pytest.raises(InputError, match=r"not images of 28x28"):
        read_images(path)


def test_labels_are_digits(path: Path) -> None:
    path.write_bytes(to_idx(np.array([0, 9, 10], np.uint8)))
    with pytest.raises(InputError, match=r"label 2 is 10"):
        read_labels(path)
    path.write_bytes(to_idx(IMAGES))
    with pytest.raises(InputError, match=r"has 3 dimensions; labels have one"):
        read_labels(path)
