"""Digits drawn with a pen: each form is one digit of the wanted height; none serves for training and for measuring."""

import numpy as np
import pytest
from scipy import ndimage

from mnist_lstm.data import pens
from mnist_lstm.data.forms import FORMS, UNSEEN_FORMS, Form
from mnist_lstm.data.pens import Hand

STEADY = Hand(slant=0, stretch=1, jitter=0, turn=0, choice=0)


@pytest.mark.parametrize("forms", [FORMS, UNSEEN_FORMS], ids=["training", "unseen"])
@pytest.mark.parametrize("digit", range(10))
def test_every_form_is_one_glyph_of_the_wanted_height(digit: int, forms: dict[int, tuple[Form, ...]]) -> None:
    assert len(forms[digit]) >= 2
    for form in forms[digit]:
        for seed in range(5):
            rng = np.random.default_rng(seed)
            paths = pens.strokes(digit, pens.draw_hand(rng), rng, {digit: (form,)})
            ink = pens.draw(paths, height=60, width=6, rng=rng)
            assert ink.dtype == np.float32
            assert 0 <= ink.min() < ink.max() == 1
            rows, columns = np.flatnonzero((ink > 0.3).any(axis=1)), np.flatnonzero((ink > 0.3).any(axis=0))
            assert 58 <= rows[-1] - rows[0] + 1 <= len(ink) <= 61
            assert 4 <= columns[-1] - columns[0] + 1 <= ink.shape[1] <= 120
            sizes = np.bincount(ndimage.label(ink > 0.3, np.ones((3, 3)))[0].ravel())[1:]
            assert len(sizes) <= 2
            assert sizes.max() > 0.6 * sizes.sum(), "a stroke may stand apart, as the bar of a 5"


def test_both_sets_have_all_digits_and_share_no_form() -> None:
    assert list(FORMS) == list(UNSEEN_FORMS) == list(range(10))
    for digit in range(10):
        forms = FORMS[digit] + UNSEEN_FORMS[digit]
        assert len(set(forms)) == len(forms)


def test_forms_fit_a_box_of_height_1() -> None:
    for forms in (*FORMS.values(), *UNSEEN_FORMS.values()):
        for form in forms:
            x, y = np.array([point for stroke in form for point in stroke]).T
            assert 0.9 <= np.ptp(y) <= 1.01
            assert np.ptp(x) <= 0.9
            assert all(len(stroke) >= 2 for stroke in form)


@pytest.mark.parametrize("digit", range(10))
def test_strokes_have_height_1_and_depend_on_the_seed(digit: int) -> None:
    def write(seed: int) -> list[np.ndarray]:
        rng = np.random.default_rng(seed)
        return pens.strokes(digit, pens.draw_hand(rng), rng)

    first = np.concatenate(write(1))
    assert first.min(axis=0) == pytest.approx([0, 0])
    assert first[:, 1].max() == pytest.approx(1)
    assert np.array_equal(first, np.concatenate(write(1)))
    assert not np.array_equal(first, np.concatenate(write(2)))


@pytest.mark.parametrize(("height", "width"), [(12, 1), (28, 3), (90, 14), (400, 20)])
def test_a_digit_has_the_height_and_its_pen_the_width_in_pixels(height: int, width: int) -> None:
    rng = np.random.default_rng(0)
    upright = ((0.1, 0.0), (0.1, 0.0), (0.1, 1.0), (0.1, 1.0))
    ink = pens.draw(pens.strokes(1, STEADY, rng, {1: ((upright,),)}), height, width, rng)
    assert ink.shape == pytest.approx((height, width), abs=1)
    inked = ink.sum() / height  # pixels per row
    assert 0.7 * width <= inked <= 1.1 * width, "the pressure varies by up to a fifth"


def test_a_corner_is_sharp_and_a_curve_is_smooth() -> None:
    rng = np.random.default_rng(0)

    def largest_turn(stroke: tuple[pens.Point, ...]) -> float:
        (path,) = pens.strokes(7, STEADY, rng, {7: ((stroke,),)})
        directions = np.diff(path, axis=0)
        angles = np.unwrap(np.arctan2(directions[:, 1], directions[:, 0]))
        return float(np.degrees(np.abs(np.diff(angles)).max()))

    start, corner, end = (0.0, 0.0), (0.6, 0.0), (0.3, 1.0)
    assert largest_turn((start, start, corner, corner, end, end)) == pytest.approx(106.7, abs=0.1)
    assert largest_turn((start, corner, end)) < 45


def test_a_hand_slants_and_widens_its_digits() -> None:
    def path(**changed: float) -> np.ndarray:
        hand = Hand(**{**vars(STEADY), **changed})
        return np.concatenate(pens.strokes(1, hand, np.random.default_rng(0), {1: FORMS[1][:1]}))

    upright, slanted = path(), path(slant=0.3)
    assert np.ptp(upright[:, 0]) == pytest.approx(0)
    assert slanted[0, 0] - slanted[-1, 0] == pytest.approx(0.3), "the top is farther to the right"
    wide = pens.strokes(0, Hand(**{**vars(STEADY), "stretch": 2}), np.random.default_rng(0))
    plain = pens.strokes(0, STEADY, np.random.default_rng(0))
    assert np.ptp(wide[0][:, 0]) == pytest.approx(2 * np.ptp(plain[0][:, 0]))


def test_a_hand_prefers_one_form_of_a_digit() -> None:
    rng = np.random.default_rng(0)
    written = [len(np.concatenate(pens.strokes(1, STEADY, rng))) for _ in range(200)]
    lengths, counts = np.unique(written, return_counts=True)
    assert len(lengths) > 1, "now and then it takes another"
    assert counts.max() > 150
    chosen = {len(np.concatenate(pens.strokes(1, pens.draw_hand(rng), rng))) for _ in range(200)}
    assert len(chosen) >= 4, "other hands prefer others"
