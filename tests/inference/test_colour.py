"""Ink of any colour is told from its ground."""

import numpy as np
import pytest
from drawing import draw

from mnist_lstm.inference import Classifier, load_classifier


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return load_classifier()


def write(digits: str, inks: list[tuple[int, int, int]], paper: tuple[int, int, int]) -> np.ndarray:
    """Write digits side by side, each in a colour of its own: uint8 ``(height, width, 3)``."""
    page = np.empty((160, 120 * len(digits), 3), np.float64)
    page[:] = paper
    for number, (digit, ink) in enumerate(zip(digits, inks, strict=True)):
        share = draw(int(digit), size=(160, 120), height=90, width=11, ink=255, paper=0)[..., None] / 255
        page[:, 120 * number : 120 * (number + 1)] += share * (np.array(ink) - paper)
    return np.rint(page).astype(np.uint8)


@pytest.mark.parametrize(
    ("inks", "paper"),
    [
        ([(20, 20, 160), (255, 240, 40), (0, 220, 240), (60, 60, 60)], (255, 255, 255)),
        ([(230, 20, 20), (90, 240, 10), (20, 20, 20), (255, 240, 40)], (240, 240, 235)),
        ([(255, 255, 255), (60, 40, 220), (255, 230, 60), (220, 30, 30)], (25, 30, 28)),
    ],
)
def test_pale_ink_beside_dark_ink_is_read(
    classifier: Classifier, inks: list[tuple[int, int, int]], paper: tuple[int, int, int]
) -> None:
    prediction = classifier(write("3274", inks, paper), split=True)
    assert (prediction.digit, prediction.status) == ("3274", "ok")


def test_a_yellow_mark_does_not_hide_what_is_marked(classifier: Classifier) -> None:
    page = write("3274", [(40, 40, 40)] * 4, (250, 250, 250))
    page[25:135, 110:250] = np.minimum(page[25:135, 110:250], (255, 240, 60))
    prediction = classifier(page, split=True)
    assert (prediction.digit, prediction.status) == ("3274", "ok")
