"""A digit that is drawn in the page has the same answer as a picture of the drawing that `classify` reads."""

import base64
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawing import draw
from node import needs_node, run_node
from PIL import Image

from mnist_lstm.data import pens
from mnist_lstm.data.forms import FORMS, UNSEEN_FORMS
from mnist_lstm.inference.classifier import Classifier, Prediction, load_classifier
from mnist_lstm.page import build

pytestmark = needs_node

DRAW = Path(__file__).parent / "draw.js"


@pytest.fixture(autouse=True)
def _no_order_of_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "_order_units", lambda network: [])


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return load_classifier()


def drawing(seed: int) -> np.ndarray:
    """Draw the last digit of the seed with a round pen somewhere on a canvas: ink, uint8 ``(side, side)``."""
    rng = np.random.default_rng(seed)
    side = int(rng.choice([280, 360, 420, 560]))
    both = {digit: FORMS[digit] + UNSEEN_FORMS[digit] for digit in FORMS}
    paths = pens.strokes(seed % 10, pens.draw_hand(rng), rng, both)
    widest = max(np.ptp(np.concatenate(paths)[:, 0]), 1)
    ink = pens.draw(paths, side * rng.uniform(0.4, 0.8) / widest, side * rng.uniform(0.04, 0.08), rng)
    top, left = (int(rng.integers(0, side - length + 1)) for length in ink.shape)
    canvas = np.zeros((side, side), dtype=np.uint8)
    canvas[top : top + ink.shape[0], left : left + ink.shape[1]] = np.rint(255 * ink)
    return canvas


def read(folder: Path, classifier: Classifier, drawings: list[np.ndarray]) -> Any:
    nothing = np.zeros((0, 28, 28), dtype=np.uint8)
    model = build.describe(classifier.network, {}, nothing, classifier.temperature)
    given = [
        {"width": ink.shape[1], "height": ink.shape[0], "ink": base64.b64encode(ink.tobytes()).decode()}
        for ink in drawings
    ]
    return run_node(folder / "static", DRAW, {"model": model, "drawings": given})


def save_and_classify(folder: Path, classifier: Classifier, ink: np.ndarray) -> Prediction:
    Image.fromarray(255 - ink).save(folder / "canvas.png")
    prediction = classifier(folder / "canvas.png")
    assert isinstance(prediction, Prediction)
    return prediction


def test_drawings_are_read_as_pictures_of_them_are(tmp_path: Path, classifier: Classifier) -> None:
    drawings = [drawing(seed) for seed in range(100)]
    right = same = 0
    largest = 0.0
    for seed, (ink, answer) in enumerate(zip(drawings, read(tmp_path, classifier, drawings), strict=True)):
        assert answer["status"] in ("ok", "unsure"), seed
        right += int(np.argmax(answer["probabilities"])) == seed % 10
        prediction = save_and_classify(tmp_path, classifier, ink)
        assert answer["status"] == prediction.status, seed
        assert np.argmax(answer["probabilities"]) == prediction.digit, seed
        np.testing.assert_allclose(answer["probabilities"], prediction.probabilities, rtol=0, atol=0.05)
        largest = max(largest, float(np.abs(np.subtract(answer["probabilities"], prediction.probabilities)).max()))
        same += np.array_equal(np.reshape(answer["image"], (28, 28)), prediction.seen[0])
    print(
        f"{len(drawings)} drawings: {right} right, largest difference from classify {largest:.3f}, {same} equal images"
    )
    assert right >= 97
    assert same >= 40


def test_what_is_no_single_digit_is_seen_as_such(tmp_path: Path, classifier: Classifier) -> None:
    def ink(digit: int, **options: Any) -> np.ndarray:
        return draw(digit, ink=0, paper=0xFF, **options) ^ 0xFF

    two = np.hstack([ink(3), ink(4)])
    three = np.hstack([ink(2), ink(3), ink(7)])
    speck = ink(3)
    speck[20:24, 20:24] = 255
    dot = np.zeros((300, 300), np.uint8)
    dot[140:150, 140:150] = 255
    joined = np.maximum.reduce(
        [ink(d, size=(160, 460), at=(35, 30 + 44 * n)) for n, d in enumerate((2, 3, 3, 4, 2, 3, 3, 4))]
    )
    slab = np.zeros((300, 300), np.uint8)
    slab[70:230, 110:190] = 255
    drawings = {
        "joined": joined,
        "slab": slab,
        "blank": np.zeros((300, 300), np.uint8),
        "dot": dot,
        "two": two,
        "three": three,
        "speck": speck,
        "cut": ink(3)[:, 70:],
        "rows": np.vstack([ink(2), ink(7)]),
        "tiny": ink(2, height=30, width=3),
    }
    answers = read(tmp_path, classifier, list(drawings.values()))
    for (name, canvas), answer in zip(drawings.items(), answers, strict=True):
        prediction = save_and_classify(tmp_path, classifier, canvas)
        assert answer["status"] == prediction.status, name
        if prediction.status in ("ok", "unsure"):
            np.testing.assert_allclose(answer["probabilities"], prediction.probabilities, rtol=0, atol=0.05)
