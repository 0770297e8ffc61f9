"""Gradient features: projections of the ink's gradient on eight directions, appended to each row."""

import math

import pytest
import torch
from torch import Tensor

from mnist_lstm.data.datasets import load_sklearn_digits
from mnist_lstm.data.format import PAPER, normalise
from mnist_lstm.errors import InputError
from mnist_lstm.network.gradient_features import append_gradient_features
from mnist_lstm.network.model import RowLSTM

DIRECTIONS = [(0, 1), (1, 1), (1, 0), (-1, 1), (0, -1), (-1, -1), (-1, 0), (1, -1)]
"""Down and right, in the order of the features."""


@pytest.fixture
def images() -> Tensor:
    return normalise(torch.tensor(load_sklearn_digits()[0][:50]))


def features(rows: Tensor) -> Tensor:
    """Return the gradient features alone, ``(N, 8, H, W)``."""
    return append_gradient_features(rows).unflatten(2, (9, -1)).transpose(1, 2)[:, 1:]


def by_definition(image: Tensor) -> Tensor:
    """Compute the features ``(8, H, W)`` pixel by pixel."""
    height, width = image.shape
    ink = [[PAPER] * (width + 2), *([PAPER, *line, PAPER] for line in image.tolist()), [PAPER] * (width + 2)]
    found = torch.zeros(8, height, width)
    for y in range(height):
        for x in range(width):
            down, right = (ink[y + 2][x + 1] - ink[y][x + 1]) / 2, (ink[y + 1][x + 2] - ink[y + 1][x]) / 2
            for index, (a, b) in enumerate(DIRECTIONS):
                found[index, y, x] = max(0.0, (a * down + b * right) / math.hypot(a, b))
    return found


def test_features_are_projections_on_eight_directions(images: Tensor) -> None:
    for image, found in zip(images[:3], features(images[:3]), strict=True):
        torch.testing.assert_close(found, by_definition(image))
    oblong = torch.randn(1, 5, 3)
    torch.testing.assert_close(features(oblong)[0], by_definition(oblong[0]))


def test_the_rows_come_first_and_are_unchanged(images: Tensor) -> None:
    seen = append_gradient_features(images)
    assert seen.shape == (50, 28, 252)
    assert torch.equal(seen[:, :, :28], images)
    assert append_gradient_features(images.double()).dtype == torch.float64
    assert append_gradient_features(images[:0]).shape == (0, 28, 252)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_blank_page_has_zero_features_and_zero_gradients(dtype: torch.dtype) -> None:
    page = normalise(torch.zeros(1, 28, 28)).to(dtype).requires_grad_()
    found = features(page)
    found.sum().backward()
    assert not found.any()
    assert page.grad is not None
    assert not page.grad.any()


def test_the_border_is_padded_with_paper() -> None:
    assert not features(torch.full((1, 28, 28), PAPER)).any()
    full = features(torch.full((1, 28, 28), 2.8))[0]
    assert not full[:, 1:-1, 1:-1].any(), "the ink is constant inside"
    assert full[0, 5, 0] == full[4, 5, -1] == full[2, 0, 5] == full[6, -1, 5] == pytest.approx((2.8 - PAPER) / 2)


def test_transposed_images_have_transposed_features(images: Tensor) -> None:
    upright, transposed = features(images), features(images.transpose(1, 2))
    swapped = [DIRECTIONS.index((right, down)) for down, right in DIRECTIONS]
    torch.testing.assert_close(transposed, upright[:, swapped].transpose(2, 3))


def test_the_network_reads_rows_or_columns_with_gradient_features(images: Tensor) -> None:
    torch.manual_seed(0)
    for order, laid_out in (("rows", images), ("columns", images.transpose(1, 2))):
        network = RowLSTM(hidden_size=8, bidirectional=False, scan_order=order, gradient_features=True)
        assert network.rnn.input_size == 252
        states = network.rnn(append_gradient_features(laid_out))[0]
        torch.testing.assert_close(network(images), network.head(states[:, -1]))


@pytest.mark.parametrize("order", ["pixels", "permuted"])
def test_scan_orders_by_pixel_are_refused(order: str) -> None:
    with pytest.raises(InputError, match=f"gradient_features.*{order}"):
        RowLSTM(scan_order=order, gradient_features=True)
