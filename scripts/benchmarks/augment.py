"""Time distorting, deskewing and gradient features per batch, against libraries that distort and a training step.

Kornia takes part if it is installed (pip install kornia). torchvision and Kornia move and bend; they do not change the
thickness of strokes, which is part of our time.
"""

import argparse
import functools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor
from torchvision.transforms import v2

from benchmarks import measure
from benchmarks.rivals import BareLoop
from mnist_lstm.data import datasets
from mnist_lstm.data.format import normalise
from mnist_lstm.network.deskew import deskew
from mnist_lstm.network.model import RowLSTM
from mnist_lstm.training import augment
from mnist_lstm.training.module import DigitClassifier

RECORD = Path(__file__).parents[2] / "configs" / "record.yaml"
BATCH_SIZE = 128
REPEATS = 20
"""Batches per round."""


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure and print; return the results."""
    datasets.prepare("mnist", options.data_dir, *datasets.sources())
    digits = datasets.load_split("mnist", "train", options.data_dir, val_size=0)
    images, labels = (torch.tensor(array[:BATCH_SIZE]) for array in digits)
    normalised, distorted = normalise(images), normalise(augment.distort(images))
    rivals = {"torchvision, one image after the other": _torchvision(), **_kornia()}
    candidates: dict[str, Callable[[], object]] = {
        name: functools.partial(_repeat, change, images)
        for name, change in {"distort": augment.distort, **rivals}.items()
    }
    candidates["deskew"] = functools.partial(_repeat, deskew, normalised)
    step, without = "a step of the record's network, bfloat16", "the same without gradient features"
    for name, gradient_features in ((step, True), (without, False)):
        network = _record_network(gradient_features=gradient_features)
        loop = BareLoop(network, 1e-3, "bf16-mixed", torch.device("cpu"))
        candidates[name] = lambda loop=loop: loop.run(iter([(distorted, labels)] * REPEATS))  # type: ignore[misc]
    with measure.threads(1):
        times = measure.interleave(candidates, options.rounds)
    print(f"{REPEATS} batches of {len(images)} images, 1 thread")
    pairs = [*(("distort", name) for name in (*rivals, step)), ("deskew", step), (step, without)]
    return {"images": len(images), "batches": REPEATS, "times": times, "ratios": measure.report(times, pairs)}


def _repeat(change: Callable[[Tensor], Tensor], images: Tensor) -> None:
    for _ in range(REPEATS):
        change(images)


def _record_network(*, gradient_features: bool) -> RowLSTM:
    recipe = yaml.safe_load(RECORD.read_text(encoding="utf-8"))
    return DigitClassifier(**recipe["model"] | {"gradient_features": gradient_features}).model


def _affine() -> dict[str, Any]:
    """Return our strengths as arguments of both libraries."""
    return {
        "degrees": math.degrees(augment.ROTATION),
        "translate": (augment.SHIFT / 28, augment.SHIFT / 28),
        "scale": (1 - augment.SCALE, 1 + augment.SCALE),
        "shear": math.degrees(math.atan(augment.SHEAR)),
    }


def _torchvision() -> Callable[[Tensor], Tensor]:
    affine = v2.RandomAffine(**_affine(), interpolation=v2.InterpolationMode.BILINEAR)
    change = v2.Compose([affine, v2.ElasticTransform(alpha=20.0, sigma=4.0)])
    # it distorts all images of a call alike
    return lambda images: torch.stack([change(image.unsqueeze(0).float()) for image in images])


def _kornia() -> dict[str, Callable[[Tensor], Tensor]]:
    try:
        from kornia.augmentation import AugmentationSequential, RandomAffine, RandomElasticTransform
    except ImportError:
        print("kornia is not installed and is left out")
        return {}
    change = AugmentationSequential(
        RandomAffine(**_affine(), p=1.0),
        RandomElasticTransform(kernel_size=(25, 25), sigma=(4.0, 4.0), alpha=(0.7, 0.7), p=1.0),
    )
    return {"kornia, the whole batch": lambda images: change(images.unsqueeze(1).float())}
