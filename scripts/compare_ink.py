"""Compare ways of finding ink, on generated pictures: this project's, and those of scikit-image and OpenCV.

python scripts/compare_ink.py --count 60 --first 1000

Each way makes masks of dark and of light ink, for wide and for narrow strokes, which take the place of the project's.
What follows (parts, lines, network) is the same for all. Something is written on each picture, and the sheet fills it.

F1       of the pixels of the best of these masks against what was written; printed lines count as errors
right    pictures in which all digits and lines are right
masks    time of making them, as a ratio to the project's own: median of the pictures
reading  the same of reading the picture, which takes longer if noise is taken for ink
"""

import argparse
import importlib.util
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import cv2
import numpy as np
import torch
from evaluate_pictures import judge, load_mnist, positive, whole
from PIL import Image
from scenes import scenes

from mnist_lstm.console import printable, track
from mnist_lstm.data.datasets import Digits
from mnist_lstm.data.forms import UNSEEN_FORMS
from mnist_lstm.errors import InputError
from mnist_lstm.files import find_checkpoint
from mnist_lstm.inference import picture
from mnist_lstm.inference.classifier import Classifier, load_classifier
from mnist_lstm.inference.picture import ink as own
from mnist_lstm.inference.picture.ink import Grey, Ink, measure_ink
from mnist_lstm.inference.picture.morphology import Mask, label
from mnist_lstm.inference.read import WORK_SIDE, from_image


@dataclass(frozen=True)
class View:
    """A picture, which ink to find in it, and how wide its strokes may be, as `measure_ink` takes them."""

    grey: Grey
    light: bool
    widest: float

    @property
    def dark(self) -> Grey:
        """The picture with dark ink, without grain that is finer than a stroke: smoothed as `measure_ink` does."""
        dark, side = 1 - self.grey if self.light else self.grey, max(self.grey.shape)
        return cv2.GaussianBlur(dark, (0, 0), side / (2 * own.SMOOTH_SIDE)) if side > own.SMOOTH_SIDE else dark

    def window(self, widths: float) -> int:
        """Return the odd side of a window as large as ``widths`` of the widest strokes, in pixels."""
        return max(3, int(widths * self.widest * max(self.grey.shape)) | 1)


def closing(view: View, which: str = "both") -> Mask:
    """Find ink as the project does; ``which``: threshold, weak, strong or both."""
    ink = measure_ink(view.grey, view.light, view.widest)
    if ink is None:
        return np.zeros(view.grey.shape, dtype=bool)
    mask: Mask = ink.strength > (ink.strong if which == "strong" else ink.weak)
    if which == "both":
        labels, _ = label(mask)
        mask = np.isin(labels, labels[ink.strength >= ink.strong])
    return mask


def median(view: View, window: float, share: float) -> Mask:
    """Take a large median for the ground, and a share of Otsu's threshold of the ink on it."""
    dark = view.dark
    small = own.shrink(dark, max(1.0, max(dark.shape) / own.GROUND_SIDE))
    levels = cv2.medianBlur(np.rint(small * 255).astype(np.uint8), View(small, False, view.widest).window(window))
    ground: Grey = cv2.resize(levels.astype(np.float32) / 255, dark.shape[::-1], interpolation=cv2.INTER_LINEAR)
    strength = (ground - dark) / np.maximum(ground, 0.2)
    inked = strength[strength > own.MIN_CONTRAST]
    return strength > max(own.MIN_CONTRAST, share * own.otsu(inked) if inked.size else 0)


def local(view: View, name: str, window: float, k: float, **options: float) -> Mask:
    """Apply a local threshold of scikit-image, Niblack's (1986) or Sauvola's (Sauvola & Pietikäinen 2000)."""
    dark = view.dark
    threshold: Grey = getattr(importlib.import_module("skimage.filters"), name)(dark, view.window(window), k, **options)
    return dark < threshold


def wolf(view: View, window: float, k: float) -> Mask:
    """Apply Wolf's local threshold (Wolf, Jolion & Chassaing 2002): Sauvola's, relative to the picture's contrast."""
    dark, size = view.dark, (view.window(window),) * 2
    mean: Grey = cv2.blur(dark, size)
    deviation: Grey = np.sqrt(np.maximum(cv2.sqrBoxFilter(dark, cv2.CV_32F, size) - mean**2, 0))
    mask: Mask = dark < mean - k * (1 - deviation / max(deviation.max(), 1e-6)) * (mean - dark.min())
    return mask


def adaptive(view: View, window: float, below: float) -> Mask:
    """Apply OpenCV's adaptive threshold: ``below`` the mean of a window, in grey levels of 255."""
    kinds = cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY_INV
    levels = np.rint(view.dark * 255).astype(np.uint8)
    return np.asarray(cv2.adaptiveThreshold(levels, 1, *kinds, view.window(window), below), dtype=bool)


def otsu(view: View) -> Mask:
    """Apply one threshold to the whole picture (Otsu 1979)."""
    dark = view.dark
    return dark <= own.otsu(dark)


def mser(view: View, delta: int, variation: float) -> Mask:
    """Take all maximally stable extremal regions (Matas et al. 2002) of at most a fifth of the picture."""
    # OpenCV 5.0.0 drops the most stable regions unless min_diversity is 0: https://github.com/opencv/opencv/issues/29652
    finder = cv2.MSER.create(delta, 10, view.grey.size // 5, variation, min_diversity=0)
    finder.setPass2Only(True)  # bright regions alone
    mask = np.zeros(view.grey.shape, dtype=bool)
    for x, y in map(np.transpose, finder.detectRegions(np.rint(255 - view.dark * 255).astype(np.uint8))[0]):
        mask[y, x] = True
    return mask


Way = Callable[[View], Mask]
OWN = "closing, two thresholds (ours)"
WAYS: dict[str, Way] = {
    OWN: closing,
    "closing, the weak one alone": partial(closing, which="weak"),
    "closing, the strong one alone": partial(closing, which="strong"),
    "large median": partial(median, window=2, share=1),
    "Sauvola": partial(local, name="threshold_sauvola", r=0.5, window=0.5, k=0.2),
    "Niblack": partial(local, name="threshold_niblack", window=2, k=2.5),
    "Wolf": partial(wolf, window=0.25, k=0.5),
    "OpenCV's adaptive": partial(adaptive, window=1, below=40),
    "Otsu, one threshold": otsu,
    "MSER": partial(mser, delta=5, variation=0.5),
}


class MaskedInk(Ink):
    """Ink by another mask: ``weak`` is an array that all strengths exceed in the mask, and none outside."""

    def firm(self) -> "MaskedInk":
        """Return the ink itself: the mask has no weaker part."""
        return self

    def darkest(self) -> None:
        """Return nothing: the mask has no darker part either."""

    def without(self, removed: Mask) -> "MaskedInk":
        """Return the rest of the ink."""
        weak: Any = np.where(removed, np.inf, self.weak)
        return replace(self, strength=np.where(removed, 0, self.strength), weak=weak, removed=self.removed | removed)


@dataclass(frozen=True)
class Example:
    """A picture, its grey levels at the working size, and the mask of what is written there."""

    scene: scenes.Scene
    grey: Grey
    truth: Mask

    def masks(self, way: Way) -> list[Mask]:
        """Return those of dark and light ink, for wide and narrow strokes."""
        return [way(View(self.grey, light, widest)) for light in (False, True) for widest in (own.WIDE, own.NARROW)]

    def f1(self, masks: list[Mask]) -> float:
        """Return the best harmonic mean of the precision and recall of the pixels."""
        return max(float(2 * (mask & self.truth).sum() / (mask.sum() + self.truth.sum())) for mask in masks)

    def is_read(self, classifier: Classifier, way: Way) -> bool:
        """Return whether the digits are read with the ink that a way finds."""

        def measure(grey: Grey, light: bool, widest: float = own.WIDE) -> Ink | None:
            ink = measure_ink(grey, light, widest)
            weak: Any = np.where(way(View(grey, light, widest)), -np.inf, np.inf)
            return None if ink is None else MaskedInk(**{**vars(ink), "weak": weak, "strong": 0})

        with mock.patch.object(picture, "measure_ink", measure_ink if way is closing else measure):
            return judge(self.scene.text, classifier(self.scene.image, split=self.scene.content != "one")) == "right"


def draw_examples(first: int, seed: int, mnist: Digits) -> Iterator[Example]:
    """Yield the pictures of `scenes.draw_scene` from number ``first`` that have writing on a sheet that fills them."""
    for number in (n for n in range(first, sys.maxsize) if scenes.KINDS[n % len(scenes.KINDS)] in scenes.SHEETS):
        with mock.patch.object(scenes, "_write", wraps=scenes._write) as write:
            scene = scenes.draw_scene(number, seed, mnist, UNSEEN_FORMS)
        if scene.text:
            written = Image.fromarray(write.call_args.args[1]).reduce(-(-max(scene.image.size) // WORK_SIDE))
            grey = from_image(scene.image.copy())[0].astype(np.float32) / np.float32(255)
            yield Example(scene, grey, np.asarray(written) > 0.5)


def compare(ways: dict[str, Way], examples: Iterator[Example], count: int, classifier: Classifier) -> None:
    """Let every way find the ink of ``count`` pictures; print a line for each, and one about outlines."""
    rows: dict[str, list[Any]] = {name: [] for name in ways}  # ((F1, right), (seconds of finding, of reading))
    outlines = []
    for _, example in zip(track(range(count), "pictures"), examples, strict=False):
        for name, way in ways.items():
            start = time.perf_counter()
            masks = example.masks(way)
            found = time.perf_counter()
            right = 100 * example.is_read(classifier, way)
            times = found - start, time.perf_counter() - found
            rows[name].append(((example.f1(masks), right), times))
        outlines.append(compare_outlines(example.masks(closing)[0]))
    print(f"{'ink by':<30}     F1    right  masks  reading")
    for name in ways:
        scores, times = np.array(rows[name]).swapaxes(0, 1)
        (f1, right), (finding, reading) = scores.mean(axis=0), np.median(times / np.array(rows[OWN])[:, 1], axis=0)
        print(f"{name:<30}  {f1:.3f}  {right:5.1f} %  {finding:5.2f}  {reading:7.2f}")
    alike, ratios = np.transpose(outlines)
    print(f"outlines of our ink: boxes alike in {alike.sum():.0f} of {count}, time {np.median(ratios):.2f}")


def compare_outlines(mask: Mask) -> tuple[bool, float]:
    """Return whether outlines have the same boxes as connected parts, and the time of finding them as a ratio."""
    start = time.perf_counter()
    boxes = label(mask)[1][1:, :4].tolist()
    middle = time.perf_counter()
    found, tree = cv2.findContours(mask.view(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    outer = [list(cv2.boundingRect(found[i])) for i in np.flatnonzero(tree[0, :, 3] < 0).tolist()] if found else []
    return sorted(outer) == sorted(boxes), (time.perf_counter() - middle) / (middle - start)


def main(args: list[str] | None = None) -> int:
    """Run the script; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--count", type=positive, default=200, metavar="N", help="number of pictures (%(default)s)")
    add("--first", type=whole, default=0, metavar="N", help="number of the first one (%(default)s)")
    add("--seed", type=whole, default=1, metavar="N", help="of the pictures (%(default)s)")
    add("--data_dir", type=Path, default="data", metavar="DIR", help="folder of MNIST, filled if need be (data)")
    add("--ckpt_path", metavar="FILE", help="checkpoint, or last or best of the newest run (the package's weights)")
    options = parser.parse_args(args)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    left_out = () if importlib.util.find_spec("skimage") else ("Sauvola", "Niblack")
    if left_out:
        print("Sauvola and Niblack are left out: they need scikit-image (pip install scikit-image)")
    try:
        path = None if options.ckpt_path is None else find_checkpoint(options.ckpt_path, Path("runs"))
        classifier, mnist = load_classifier(path), load_mnist(options.data_dir, "val")
        ways = {name: way for name, way in WAYS.items() if name not in left_out}
        compare(ways, draw_examples(options.first, options.seed, mnist), options.count, classifier)
    except InputError as error:
        print(f"compare_ink: error: {printable(str(error))}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
