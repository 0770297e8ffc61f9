"""A checkpoint's digest: other programs read the file as before, and every flipped bit is refused."""

import contextlib
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Command

from mnist_lstm.errors import InputError
from mnist_lstm.inference.classifier import PRETRAINED
from mnist_lstm.network.checkpoint import read_checkpoint
from mnist_lstm.network.seal import DIGEST_BYTES, MARK, open_whole

FLIPS = [100, pytest.param(1000, marks=pytest.mark.slow)]


def without_digest(content: bytes) -> bytes:
    """Return what `torch.save` had written."""
    return content[: -len(MARK) - DIGEST_BYTES - 2] + b"\0\0"


def flip(content: bytes, bit: int) -> bytes:
    flipped = bytearray(content)
    flipped[bit // 8] ^= 1 << bit % 8
    return bytes(flipped)


def state_of(name: str) -> bytes:
    buffer = io.BytesIO()
    torch.save(read_checkpoint(Path(name)), buffer)
    return buffer.getvalue()


def bits(content: bytes, number: int) -> list[int]:
    return np.random.default_rng(0).choice(8 * len(content), number, replace=False).tolist()


@pytest.mark.parametrize("number", FLIPS)
@pytest.mark.parametrize("name", ["shipped", "best", "last"])
def test_every_flipped_bit_is_refused_by_name(trained: Path, name: str, number: int) -> None:
    content = (PRETRAINED if name == "shipped" else trained / f"{name}.ckpt").read_bytes()
    refused = 0
    for bit in bits(content, number):
        Path("flipped.ckpt").write_bytes(flip(content, bit))
        with pytest.raises(InputError, match=r"^flipped\.ckpt: .*(damaged|could run code)[^\n]*$"):
            read_checkpoint(Path("flipped.ckpt"))
        refused += 1
    print(f"{name}: {refused} of {number} refused")


@pytest.mark.parametrize("part", ["digest", "mark", "length", "end"])
def test_every_flipped_bit_of_the_seal_is_refused(trained: Path, part: str) -> None:
    content = (trained / "last.ckpt").read_bytes()
    sizes = {"digest": DIGEST_BYTES, "mark": len(MARK), "length": 2, "end": 20}
    last = len(content) - sum(list(sizes.values())[: list(sizes).index(part)])
    for bit in range(8 * (last - sizes[part]), 8 * last):
        Path("flipped.ckpt").write_bytes(flip(content, bit))
        with pytest.raises(InputError, match=r"damaged"), open_whole(Path("flipped.ckpt")):
            pass


@pytest.mark.parametrize("number", FLIPS)
def test_no_flipped_bit_of_a_checkpoint_without_digest_changes_its_state(trained: Path, number: int) -> None:
    content = without_digest((trained / "last.ckpt").read_bytes())
    Path("old.ckpt").write_bytes(content)
    with open_whole(Path("old.ckpt")) as (_, is_sealed):
        assert not is_sealed
    state = state_of("old.ckpt")
    refused = 0
    for bit in bits(content, number):
        Path("flipped.ckpt").write_bytes(flip(content, bit))
        with contextlib.suppress(InputError):
            refused += 1
            assert state_of("flipped.ckpt") == state
            refused -= 1
    print(f"without digest: {refused} of {number} refused, the others make no difference")
    assert refused > 0.9 * number


def test_other_programs_read_a_sealed_checkpoint(trained: Path) -> None:
    path = trained / "last.ckpt"
    assert torch.load(path, weights_only=True)["epoch"] == 0
    assert torch.load(path, weights_only=True, mmap=True)["epoch"] == 0
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.comment.startswith(MARK)


def test_a_checkpoint_cut_short_or_with_something_after_it_is_refused(trained: Path, command: Command) -> None:
    content = (trained / "last.ckpt").read_bytes()
    for changed in (content[:-1], content + b"\0", content[: len(content) // 2], content + content, b"PK\3\4"):
        Path("changed.ckpt").write_bytes(changed)
        code, out, err = command("classify", "7.png", "--ckpt_path=changed.ckpt")
        assert (code, out) == (2, "")
        assert err.startswith("mnist-lstm: error: changed.ckpt: ")
        assert "damaged" in err
