"""Pictures made for measuring: the same seed draws the same picture, and what is written is what the truth says."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import REPOSITORY
from PIL import Image

from mnist_lstm.data import pens
from mnist_lstm.data.datasets import load_sklearn_digits
from mnist_lstm.data.forms import FORMS, UNSEEN_FORMS


@pytest.fixture
def scenes(monkeypatch: pytest.MonkeyPatch):
    """The module that draws pictures."""
    monkeypatch.syspath_prepend(str(REPOSITORY / "scripts"))
    from scenes import scenes

    return scenes


@pytest.fixture
def truths(scenes, monkeypatch: pytest.MonkeyPatch) -> list:
    """Scenes 0 to 1399 of a series, with what is written but without the pictures, which take long."""
    monkeypatch.setattr(scenes, "_draw", lambda *_: Image.new("RGB", (1, 1)))
    return list(scenes.draw_scenes(1400, seed=1, mnist=None))


@pytest.fixture
def writing(scenes):
    """The module that writes numbers, with a pen in a steady hand as ``pen``."""
    from scenes import writing

    hand = pens.Hand(slant=0, stretch=1, jitter=0.01, turn=0, choice=0.5)
    pen = writing.Writer(None, hand, UNSEEN_FORMS, 0.08)
    return SimpleNamespace(**vars(writing), pen=pen)


def test_every_kind_is_drawn_without_mnist(scenes, monkeypatch: pytest.MonkeyPatch) -> None:
    def half_sizes(*args: object) -> tuple[float, tuple[int, int]]:  # which take a quarter of the time
        height, (rows, columns) = sizes(*args)
        return height / 2, (rows // 2, columns // 2)

    sizes = scenes._sizes
    monkeypatch.setattr(scenes, "_sizes", half_sizes)
    drawn = list(scenes.draw_scenes(14, seed=2, mnist=None))
    assert [scene.number for scene in drawn] == list(range(14))
    assert tuple(scene.kind for scene in drawn) == scenes.KINDS
    for scene in drawn:
        assert scene.image.mode == "RGB"
        assert 20 <= min(scene.image.size) <= max(scene.image.size) <= 6000
        grey = np.asarray(scene.image.convert("L"), float)
        assert np.ptp(grey) > 40, scene.kind


@pytest.mark.parametrize("number", [0, 12, 13])
def test_a_picture_depends_on_its_seed_and_number_alone(scenes, number: int) -> None:
    def draw(number: int, seed: int):
        return scenes.draw_scene(number, seed, load_sklearn_digits(), UNSEEN_FORMS)

    def pixels(scene) -> tuple:
        return scene.image.size, scene.image.tobytes()

    first = draw(number, seed=1)
    again = draw(number, seed=1)
    assert (first.kind, first.content, first.text) == (again.kind, again.content, again.text)
    assert pixels(first) == pixels(again)
    assert pixels(first) != pixels(draw(number, seed=2))
    assert pixels(first) != pixels(draw(number + 14, seed=1))


def test_kinds_take_turns(scenes, truths: list) -> None:
    assert len(scenes.KINDS) == len(set(scenes.KINDS)) == 14
    assert [scene.kind for scene in truths] == list(scenes.KINDS) * 100


def test_truth_fits_the_content(scenes, truths: list) -> None:
    for scene in truths:
        lines = scene.text.split("\n")
        assert "".join(lines).isdecimal() or scene.content == "empty"
        if scene.content == "empty":
            assert scene.text == ""
        elif scene.content == "one":
            assert len(scene.text) == 1
        elif scene.content == "touching":
            assert 2 <= len(scene.text) <= 5
        elif scene.content == "line":
            assert len(lines) == 1
            assert 2 <= len(scene.text) <= 9
        else:
            assert scene.content == "lines"
            assert 2 <= len(lines) <= 5
            assert all(2 <= len(line) <= 9 for line in lines)


def test_contents_and_digits_are_as_frequent_as_meant(scenes, truths: list) -> None:
    sheets = [scene.content for scene in truths if scene.kind in scenes.SHEETS]
    for content in set(scenes.CONTENTS):
        expected = len(sheets) * scenes.CONTENTS.count(content) / len(scenes.CONTENTS)
        assert sheets.count(content) == pytest.approx(expected, abs=4 * expected**0.5)
    digits = "".join(scene.text for scene in truths).replace("\n", "")
    counts = np.array([digits.count(str(digit)) for digit in range(10)])
    assert abs(counts / counts.mean() - 1).max() < 0.15
    assert {scene.content for scene in truths if scene.kind in ("tight", "screen")} == {"one", "empty"}
    assert "touching" not in {scene.content for scene in truths if scene.kind == "boxes"}


def test_an_empty_sheet_has_no_ink(scenes, monkeypatch: pytest.MonkeyPatch) -> None:
    def darkest(content: str) -> float:
        monkeypatch.setattr(scenes, "CONTENTS", (content,))
        scene = scenes.draw_scene(0, 5, None, UNSEEN_FORMS)
        grey = np.asarray(scene.image.convert("L"), float)
        return float(grey.min() / np.median(grey))

    assert darkest("empty") > 0.7 > darkest("one")


def test_digits_are_written_apart_and_in_order(writing) -> None:
    lines = ["120", "98"]
    ink, layers = writing.write_lines(lines, 50.0, writing.pen, np.random.default_rng(0))
    assert len(layers) == 5
    assert all(layer.shape == ink.shape and 0 <= layer.min() < layer.max() <= 1 for layer in layers)
    assert np.array_equal(np.maximum.reduce(layers), ink)
    assert np.sum(layers, axis=0).max() <= 1 + 1e-6, "no digit lies on another"
    boxes = [(np.flatnonzero(layer.any(axis=1)), np.flatnonzero(layer.any(axis=0))) for layer in layers]
    for row in (boxes[:3], boxes[3:]):
        assert all(one[1][-1] + 3 < other[1][0] for one, other in itertools.pairwise(row))
    assert max(rows[-1] for rows, _ in boxes[:3]) < min(rows[0] for rows, _ in boxes[3:])
    assert all(rows[-1] - rows[0] + 1 == pytest.approx(50, rel=0.3) for rows, _ in boxes)


def test_only_the_first_two_digits_touch(writing) -> None:
    _, layers = writing.write_lines(["0000"], 60.0, writing.pen, np.random.default_rng(0), touching=True)
    left = [int(np.flatnonzero(layer.any(axis=0))[0]) for layer in layers]
    right = [int(np.flatnonzero(layer.any(axis=0))[-1]) for layer in layers]
    assert [start <= end for end, start in zip(right, left[1:], strict=False)] == [True, False, False]


@pytest.mark.parametrize("height", [20.0, 90.0])
def test_digits_of_mnist_have_the_wanted_height(writing, height: int) -> None:
    digits = load_sklearn_digits()
    rng = np.random.default_rng(0)
    writer = writing.Writer(digits, writing.pen.hand, UNSEEN_FORMS, 0.08)
    for digit in range(10):
        ink = writer.write(digit, height, rng)
        assert len(ink) == pytest.approx(height, rel=0.2)
        assert 0 <= ink.min() < 0.5 < ink.max() <= 1
        assert all(edge.max() > 0.3 for edge in (ink[0], ink[-1], ink[:, 0], ink[:, -1])), "no margin"


def test_half_of_the_writers_write_as_in_mnist(writing) -> None:
    rng = np.random.default_rng(0)
    digits = load_sklearn_digits()
    number = sum(writing.draw_writer(rng, digits, FORMS).mnist is not None for _ in range(1000))
    assert 440 < number < 560
    assert all(writing.draw_writer(rng, None, FORMS).mnist is None for _ in range(20))


@pytest.mark.parametrize("pen", ["felt", "ball", "pencil", "chalk"])
def test_pens_leave_ink_where_they_were_and_nowhere_else(writing, pen: str) -> None:
    rng = np.random.default_rng(0)
    ink, _ = writing.write_lines(["8"], 80.0, writing.pen, rng)
    worn = writing.wear(ink, pen, 80.0, rng)
    assert worn.dtype == np.float32
    assert (worn[ink == 0] == 0).all()
    assert 0.5 < worn.sum() / ink.sum() <= 1
    assert worn.max() <= 1
