"""Straightening: leaning and misplaced digits come out alike, and nothing else changes."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mnist_lstm.data.datasets import load_sklearn_digits
from mnist_lstm.data.format import PAPER, normalise
from mnist_lstm.network.deskew import deskew
from mnist_lstm.network.model import RowLSTM


@pytest.fixture
def images() -> Tensor:
    return normalise(torch.tensor(load_sklearn_digits()[0][:200]))


def moments(images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return centre (x, y), in pixels from the middle, and slant of each image, in float64."""
    weight = (images.double() - PAPER).clamp(min=0)
    weight /= weight.sum(dim=(1, 2), keepdim=True)
    y, x = torch.meshgrid(torch.arange(28.0), torch.arange(28.0), indexing="ij")
    x_mean, y_mean = (weight * x).sum(dim=(1, 2)), (weight * y).sum(dim=(1, 2))
    x, y = x - x_mean.view(-1, 1, 1), y - y_mean.view(-1, 1, 1)
    return x_mean - 13.5, y_mean - 13.5, (weight * x * y).sum(dim=(1, 2)) / (weight * y * y).sum(dim=(1, 2))


def sheared(images: Tensor, slant: float, right: float, down: float) -> Tensor:
    matrix = torch.tensor([[1, slant, -right / 14], [0, 1, -down / 14]]).expand(len(images), 2, 3)
    grid = F.affine_grid(matrix, [len(images), 1, 28, 28], align_corners=False)
    return F.grid_sample((images - PAPER).unsqueeze(1), grid, align_corners=False).squeeze(1) + PAPER


def test_ink_is_centred_and_upright(images: Tensor) -> None:
    x, y, slant = moments(deskew(images))
    assert max(x.abs().max(), y.abs().max()) < 0.1
    assert slant.abs().max() < 0.03
    assert moments(images)[2].abs().max() > 0.3, "some of these digits lean"


def test_leaning_and_misplaced_digits_come_out_alike(images: Tensor) -> None:
    upright, leaning = deskew(images), deskew(sheared(images, 0.3, 1.5, -2.0))
    inked = (upright - PAPER).abs().mean()
    assert (upright - leaning).abs().mean() < 0.15 * inked  # resampled twice instead of once
    assert (images - sheared(images, 0.3, 1.5, -2.0)).abs().mean() > 0.7 * inked


def test_what_is_upright_stays(images: Tensor) -> None:
    once = deskew(images)
    assert (deskew(once) - once).abs().mean() < 0.02 * (once - PAPER).abs().mean()


def test_pictures_without_a_slant_of_their_own() -> None:
    empty, full, line = torch.full((28, 28), PAPER), torch.full((28, 28), 2.8), torch.full((28, 28), PAPER)
    line[20] = 2.8  # flat, and below the middle
    shown = deskew(torch.stack([empty, full, line]))
    torch.testing.assert_close(shown[0], empty)
    torch.testing.assert_close(shown[1], full, atol=1e-3, rtol=0)
    assert torch.isfinite(shown).all()
    assert int(shown[2].mean(dim=1).argmax()) in (13, 14)


def test_each_image_is_straightened_by_itself_and_in_float32(images: Tensor) -> None:
    with torch.autocast("cpu", torch.bfloat16):  # moments in bfloat16 would be wrong by a third of a pixel
        mixed = deskew(images)
    assert torch.equal(mixed, deskew(images))
    torch.testing.assert_close(deskew(images[7:8])[0], mixed[7])
    assert deskew(images[:0]).shape == (0, 28, 28)


def test_the_network_reads_what_is_straightened(images: Tensor) -> None:
    torch.manual_seed(0)
    upright = RowLSTM(hidden_size=8, deskew=True)
    plain = RowLSTM(hidden_size=8)
    plain.load_state_dict(upright.state_dict())
    torch.testing.assert_close(upright(images), plain(deskew(images)))
    assert not torch.allclose(upright(images), plain(images), atol=1e-3)
