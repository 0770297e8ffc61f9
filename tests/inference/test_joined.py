"""Digits that are joined into one wide part: read, or doubted, but never taken for nothing."""

import math
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from drawing import draw
from PIL import Image, ImageDraw, ImageFont

from mnist_lstm.inference.classifier import Classifier, load_classifier

FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return load_classifier()


@pytest.mark.parametrize("size", [12, 14, 16, 20, 24])
@pytest.mark.parametrize("font", ["DejaVuSans", "DejaVuSans-Bold", "DejaVuSansMono-Bold", "DejaVuSerif-Bold"])
def test_small_bold_print_is_read(classifier: Classifier, font: str, size: int) -> None:
    picture = Image.new("L", (120, 60), 255)
    letters = ImageFont.truetype(FONTS / f"{font}.ttf", size)
    ImageDraw.Draw(picture).text((30, 20), "3807", font=letters, fill=0)
    assert classifier(picture, split=True).digit == "3807"


@pytest.mark.parametrize("digits", ["33334", "232334", "23342334"])
def test_a_row_of_touching_digits_is_doubted_if_it_is_not_read(classifier: Classifier, digits: str) -> None:
    size = (160, 110 + 44 * len(digits))
    picture = np.minimum.reduce(
        [draw(int(digit), size=size, at=(35, 30 + 44 * place)) for place, digit in enumerate(digits)]
    )
    prediction = classifier(picture, split=True)
    assert prediction.digit == digits or prediction.status == "unsure"


def test_a_wavy_line_is_no_sure_digit(classifier: Classifier) -> None:
    picture = Image.new("L", (240, 80), 250)
    points = [(20 + x, 40 + 6 * math.sin(x / 2)) for x in range(200)]
    ImageDraw.Draw(picture).line(points, fill=20, width=3)
    assert classifier(picture, split=True).status in ("unsure", "empty")
