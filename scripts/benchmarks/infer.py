"""Classify the 10,000 test images by the public call, and by the network alone."""

import argparse
from typing import Any

import torch

from benchmarks import measure
from benchmarks.train import prepare
from mnist_lstm.inference.classify import BATCH_SIZE, load_classifier
from mnist_lstm.mnist_format import normalise


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure, print, and return what was measured."""
    data = prepare(options.data_dir)
    data.setup("test")
    images = data._sets["test"].images[: options.images]
    classifier = load_classifier(options.ckpt_path)
    digits: dict[str, list[int]] = {}

    def call() -> None:
        digits["call"] = [prediction.digit for prediction in classifier(images)]

    def raw(size: int) -> None:
        with torch.inference_mode():
            logits = torch.cat([classifier.network(normalise(part)) for part in torch.split(images, size)])
            digits["raw"] = logits.softmax(dim=1).argmax(dim=1).tolist()

    in_batches = f"the network on batches of {BATCH_SIZE}"
    times = measure.interleave(
        {
            "classifier(images)": call,
            in_batches: lambda: raw(BATCH_SIZE),
            "the network on all at once": lambda: raw(len(images)),
        },
        options.rounds,
    )
    agree = sum(a == b for a, b in zip(digits["call"], digits["raw"], strict=True))
    print(f"{len(images):,} images, {torch.get_num_threads()} threads; {agree:,} answers are the same")
    measure.print_times(times)
    rivals = (in_batches, "the network on all at once")
    ratios = [measure.compare(times, "classifier(images)", rival) for rival in rivals]
    measure.print_ratios(ratios)
    return {"images": len(images), "same answers": agree, "times": times, "ratios": ratios}
