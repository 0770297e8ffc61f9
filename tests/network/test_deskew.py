"""Deskewing: slanted and shifted digits become alike; upright ones stay as they are."""

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
    """Return each image's centre (x, y), in pixels from the middle, and slant, in float64."""
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


def test_deskewed_ink_is_centred_and_upright(images: Tensor) -> None:
    x, y, slant = moments(deskew(images))
    assert max(x.abs().max(), y.abs().max()) < 0.1
    assert slant.abs().max() < 0.03
    assert moments(images)[2].abs().max() > 0.3, "some of these digits are slanted"


def test_slanted_and_shifted_digits_become_alike(images: Tensor) -> None:
    upright, slanted = deskew(images), deskew(sheared(images, 0.3, 1.5, -2.0))
    inked = (upright - PAPER).abs().mean()
    assert (upright - slanted).abs().mean() < 0.15 * inked  # resampled twice instead of once
    assert (images - sheared(images, 0.3, 1.5, -2.0)).abs().mean() > 0.7 * inked


def test_deskewing_twice_changes_little(images: Tensor) -> None:
    once = deskew(images)
    assert (deskew(once) - once).abs().mean() < 0.02 * (once - PAPER).abs().mean()


def test_images_without_a_defined_slant_stay_finite() -> None:
    empty, full, line = torch.full((28, 28), PAPER), torch.full((28, 28), 2.8), torch.full((28, 28), PAPER)
    line[20] = 2.8  # a flat line below the centre
    shown = deskew(torch.stack([empty, full, line]))
    torch.testing.assert_close(shown[0], empty)
    torch.testing.assert_close(shown[1], full, atol=1e-3, rtol=0)
    assert torch.isfinite(shown).all()
    assert int(shown[2].mean(dim=1).argmax()) in (13, 14)


def test_images_are_deskewed_independently_and_in_float32(images: Tensor) -> None:
    with torch.autocast("cpu", torch.bfloat16):  # moments in bfloat16 are off by a third of a pixel
        mixed = deskew(images)
    assert torch.equal(mixed, deskew(images))
    torch.testing.assert_close(deskew(images[7:8])[0], mixed[7])
    assert deskew(images[:0]).shape == (0, 28, 28)


def test_the_network_reads_deskewed_images(images: Tensor) -> None:
    torch.manual_seed(0)
    upright = RowLSTM(hidden_size=8, deskew=True)
    plain = RowLSTM(hidden_size=8)
    plain.load_state_dict(upright.state_dict())
    torch.testing.assert_close(upright(images), plain(deskew(images)))
    assert not torch.allclose(upright(images), plain(images), atol=1e-3)
