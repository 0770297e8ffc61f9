"""What is done to a batch of images: distort, beside libraries that do; straighten; edges; all beside a training step.

Kornia takes part where it is installed (pip install kornia). The two libraries move and bend only; neither changes the
thickness of strokes, which is part of our time.
"""

import argparse
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
from benchmarks.train import prepare
from mnist_lstm import augment
from mnist_lstm.mnist_format import normalise
from mnist_lstm.model import RowLSTM
from mnist_lstm.module import DigitClassifier
from mnist_lstm.straighten import straighten

RECORD = Path(__file__).parents[2] / "configs/record.yaml"

REPEATS = 20
"""Batches a round."""


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure, print, and return what was measured."""
    data = prepare(options.data_dir)
    data.setup("fit")
    images, labels = next(iter(data.train_dataloader()))
    assert labels is not None
    rivals: dict[str, Callable[[Tensor], Tensor]] = {
        "torchvision, one image after the other": _torchvision(),
        **_kornia(),
    }
    candidates: dict[str, Callable[[], object]] = {
        name: lambda change=change: [change(images) for _ in range(REPEATS)]  # type: ignore[misc]
        for name, change in {"distort": augment.distort, **rivals}.items()
    }
    upright = normalise(images)
    candidates["straighten"] = lambda: [straighten(upright) for _ in range(REPEATS)]
    batch = (normalise(augment.distort(images)), labels)
    step, without_edges = "a step of the record's network, bfloat16", "the same without edges"
    for name, edges in ((step, True), (without_edges, False)):
        loop = BareLoop(_record_network(edges=edges), 1e-3, "bf16-mixed", torch.device("cpu"))
        candidates[name] = lambda loop=loop: loop.run(iter([batch] * REPEATS))  # type: ignore[misc]
    with measure.threads(1):
        times = measure.interleave(candidates, options.rounds)
    print(f"{REPEATS} batches of {len(images)} images, 1 thread")
    measure.print_times(times)
    ratios = [measure.compare(times, "distort", name) for name in (*rivals, step)]
    ratios += [measure.compare(times, "straighten", step), measure.compare(times, step, without_edges)]
    measure.print_ratios(ratios)
    return {"images": len(images), "batches": REPEATS, "times": times, "ratios": ratios}


def _record_network(*, edges: bool) -> RowLSTM:
    recipe = yaml.safe_load(RECORD.read_text(encoding="utf-8"))
    return DigitClassifier(**recipe["model"] | {"edges": edges}).model


def _torchvision() -> Callable[[Tensor], Tensor]:
    change = v2.Compose(
        [
            v2.RandomAffine(
                degrees=math.degrees(augment.ROTATION),
                translate=(augment.SHIFT / 28, augment.SHIFT / 28),
                scale=(1 - augment.SCALE, 1 + augment.SCALE),
                shear=math.degrees(math.atan(augment.SHEAR)),
                interpolation=v2.InterpolationMode.BILINEAR,
            ),
            v2.ElasticTransform(alpha=20.0, sigma=4.0),
        ]
    )
    # one draw serves all that it is given, so a batch of different ones is made one by one
    return lambda images: torch.stack([change(image.unsqueeze(0).float()) for image in images])


def _kornia() -> dict[str, Callable[[Tensor], Tensor]]:
    try:
        from kornia.augmentation import AugmentationSequential, RandomAffine, RandomElasticTransform
    except ImportError:
        print("kornia is not installed, and left out")
        return {}
    change = AugmentationSequential(
        RandomAffine(
            degrees=math.degrees(augment.ROTATION),
            translate=(augment.SHIFT / 28, augment.SHIFT / 28),
            scale=(1 - augment.SCALE, 1 + augment.SCALE),
            shear=math.degrees(math.atan(augment.SHEAR)),
            p=1.0,
        ),
        RandomElasticTransform(kernel_size=(25, 25), sigma=(4.0, 4.0), alpha=(0.7, 0.7), p=1.0),
    )
    return {"kornia, the whole batch": lambda images: change(images.unsqueeze(1).float())}
