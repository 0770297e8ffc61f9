"""More images to train on: digits in other hands than MNIST's, and what is no digit."""

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from mnist_lstm.data import pens, shapes
from mnist_lstm.data.datasets import Digits, load_split
from mnist_lstm.data.format import CLASS_NAMES, NO_DIGIT, place
from mnist_lstm.data.forms import FORMS, Form

SEED = 0
"""Of all drawings: runs with several seeds train on the same images."""

HEIGHT = 60  # pixels, before a drawing is reduced to MNIST's size
EMBEDDED = 8  # one image in 8 is one of scikit-learn's digits, as far as they go

Ink = npt.NDArray[np.uint8]


def draw_digits(count: int, forms: dict[int, tuple[Form, ...]] = FORMS, seed: int = SEED) -> Digits:
    """Draw digits with pens in many hands, as many of each class as of any other."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.int64) % len(CLASS_NAMES)
    images = [place(_draw(pens.strokes(int(digit), pens.draw_hand(rng), rng, forms), rng)) for digit in labels]
    return Digits(_stack(images), labels)


def draw_other_hands(count: int) -> Digits:
    """Return digits in other hands than MNIST's: by pens, and scikit-learn's 1,437 training digits, enlarged."""
    embedded = load_split("digits", "train", val_size=0)
    embedded = embedded.select(np.arange(min(count // EMBEDDED, len(embedded.labels))))
    return join(embedded, draw_digits(count - len(embedded.labels)))


def draw_no_digits(count: int, digits: Digits, seed: int = SEED) -> Digits:
    """Draw letters, signs, scribbles, lines, blots, two digits in one, and parts of digits: labels `NO_DIGIT`.

    ``digits`` are those that are put together and cut.
    """
    rng = np.random.default_rng(seed)
    kinds = (_letter, _letter, _letter, _pair, _pair, _part, _part, _scribble, _line, _blot)
    images: list[Ink] = []
    while len(images) < count:
        ink = kinds[len(images) % len(kinds)](digits, rng)
        if ink.any():
            images.append(place(ink))
    return Digits(_stack(images), np.full(count, NO_DIGIT))


def join(*parts: Digits) -> Digits:
    """Put the images of several sets together."""
    return Digits(np.concatenate([p.images for p in parts]), np.concatenate([p.labels for p in parts]))


def _draw(paths: pens.Strokes, rng: np.random.Generator) -> Ink:
    drawn = pens.draw(paths, HEIGHT, HEIGHT * float(rng.uniform(0.06, 0.2)), rng)
    return np.rint(255 * drawn).astype(np.uint8)


def _letter(digits: Digits, rng: np.random.Generator) -> Ink:
    return _draw(shapes.letter(pens.draw_hand(rng), rng), rng)


def _scribble(digits: Digits, rng: np.random.Generator) -> Ink:
    draw = shapes.scribble if rng.random() < 0.6 else shapes.zigzag
    return _draw(draw(pens.draw_hand(rng), rng), rng)


def _line(digits: Digits, rng: np.random.Generator) -> Ink:
    return _draw(shapes.dash(pens.draw_hand(rng), rng), rng)


def _blot(digits: Digits, rng: np.random.Generator) -> Ink:
    """Draw one to three filled ellipses, or as many as a spray."""
    picture = Image.new("L", (HEIGHT, HEIGHT))
    number = rng.integers(1, 4) if rng.random() < 0.6 else rng.integers(6, 20)
    for _ in range(number):
        size = rng.uniform(0.5, 1.0, 2) * HEIGHT * (0.7 if number < 4 else 0.15)
        corner = rng.random(2) * (HEIGHT - size)
        ImageDraw.Draw(picture).ellipse([*corner, *(corner + size)], fill=255)
    return np.asarray(picture)


def _pair(digits: Digits, rng: np.random.Generator) -> Ink:
    """Put two digits side by side, so that they nearly touch, touch, or overlap by a stroke."""
    left, right = (_any(digits, rng) for _ in range(2))
    gap, drop = int(rng.integers(-3, 5)), int(rng.integers(-3, 4))
    picture = np.zeros((HEIGHT, HEIGHT), np.uint8)
    top = 10
    picture[top : top + left.shape[0], : left.shape[1]] = left
    start = max(0, left.shape[1] + gap)
    place_for = picture[top + drop : top + drop + right.shape[0], start : start + right.shape[1]]
    np.maximum(place_for, right, out=place_for)
    return picture


# parts that look like no other digit: a 0 cut in two leaves brackets, but the right half of a 4 is a 1
_LEFT, _RIGHT = (0, 2, 3, 4, 5, 8, 9), (0, 2, 3, 5, 6, 8)


def _part(digits: Digits, rng: np.random.Generator) -> Ink:
    """Cut a digit in two from top to bottom, and keep the smaller part."""
    is_left = rng.random() < 0.5
    ink = _any(digits, rng, _LEFT if is_left else _RIGHT)
    width = round(ink.shape[1] * rng.uniform(0.3, 0.5))
    part = ink[:, :width] if is_left else ink[:, -width:]
    return part if part.shape[1] > 0.25 * part.shape[0] else np.zeros_like(part)


def _any(digits: Digits, rng: np.random.Generator, classes: tuple[int, ...] = tuple(range(10))) -> Ink:
    """Return the ink of a digit of some classes, without its margin."""
    while True:
        index = rng.integers(len(digits.labels))
        if digits.labels[index] in classes:
            break
    image = digits.images[index]
    rows, columns = np.flatnonzero(image.any(axis=1)), np.flatnonzero(image.any(axis=0))
    ink: Ink = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return ink


def _stack(images: list[Ink]) -> npt.NDArray[np.uint8]:
    return np.stack(images) if images else np.zeros((0, 28, 28), np.uint8)
