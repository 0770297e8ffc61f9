"""Drawn training images: MNIST's form, every class alike, the same on every machine, and no digit among the others."""

import numpy as np
import pytest

from mnist_lstm.data import drawn, shapes
from mnist_lstm.data.datasets import Digits, load_sklearn_digits, load_split
from mnist_lstm.data.format import NO_DIGIT
from mnist_lstm.data.forms import FORMS, UNSEEN_FORMS
from mnist_lstm.inference import load_classifier
from mnist_lstm.inference.picture import is_mnist


@pytest.fixture(scope="module")
def digits() -> Digits:
    return load_sklearn_digits()


def test_pens_draw_as_many_of_each_class_in_mnists_form() -> None:
    images, labels = drawn.draw_digits(200)
    assert (images.dtype, images.shape, labels.dtype) == (np.uint8, (200, 28, 28), np.int64)
    assert np.bincount(labels).tolist() == [20] * 10
    assert is_mnist(images).mean() > 0.98
    assert len(np.unique(images.reshape(200, -1), axis=0)) == 200


def test_drawings_depend_on_the_seed_alone(digits: Digits) -> None:
    for draw in (
        lambda seed: drawn.draw_digits(20, seed=seed),
        lambda seed: drawn.draw_no_digits(20, digits, seed=seed),
    ):
        first, again, other = draw(0), draw(0), draw(1)
        assert np.array_equal(first.images, again.images)
        assert not np.array_equal(first.images, other.images)


def test_pens_of_the_training_are_read_and_so_are_unseen_forms() -> None:
    classifier = load_classifier()
    for forms in (FORMS, UNSEEN_FORMS):
        images, labels = drawn.draw_digits(300, forms, seed=1)
        assert (classifier.probabilities(images).argmax(axis=1) == labels).mean() > 0.97


def test_the_network_doubts_what_is_no_digit(digits: Digits) -> None:
    images, _ = drawn.draw_no_digits(400, digits, seed=1)
    assert (load_classifier().probabilities(images).max(axis=1) < 0.5).mean() > 0.9


def test_other_hands_have_the_embedded_training_digits_once_each() -> None:
    train, test = (load_split("digits", part, val_size=0) for part in ("train", "test"))
    images, labels = drawn.draw_other_hands(12_000)
    assert (len(images), len(labels)) == (12_000, 12_000)
    assert np.array_equal(images[: len(train.images)], train.images)
    held_out = {image.tobytes() for image in test.images}
    assert not any(image.tobytes() in held_out for image in images)
    few, _ = drawn.draw_other_hands(80)
    assert np.array_equal(few[:10], train.images[:10])
    assert not np.array_equal(few[10], train.images[10])
    assert len(drawn.draw_other_hands(0).labels) == 0


def test_no_digits_are_labelled_so_and_differ(digits: Digits) -> None:
    images, labels = drawn.draw_no_digits(200, digits)
    assert (images.dtype, images.shape) == (np.uint8, (200, 28, 28))
    assert labels.tolist() == [NO_DIGIT] * 200
    assert images.reshape(200, -1).any(axis=1).all()
    assert len(np.unique(images.reshape(200, -1), axis=0)) > 190
    assert len(drawn.draw_no_digits(0, digits).images) == 0


@pytest.mark.parametrize("name", shapes.LETTERS)
def test_letters_are_no_form_of_a_digit(name: str) -> None:
    form = shapes.LETTERS[name]
    assert all(form not in forms for forms in (*FORMS.values(), *UNSEEN_FORMS.values()))
    for stroke in form:
        assert all(0 <= x <= 1.6 and 0 <= y <= 1 for x, y in stroke)
