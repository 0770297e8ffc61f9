"""Classify test images by the public call, and by the network alone."""

import argparse
from typing import Any

import torch
from evaluate import load_test_images

from benchmarks import measure
from mnist_lstm.data.format import normalise
from mnist_lstm.inference.classifier import BATCH_SIZE, load_classifier


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure and print; return the results."""
    images = torch.tensor(load_test_images(options.data_dir).images[: options.images])
    classifier = load_classifier(options.ckpt_path)
    digits: dict[str, list[int]] = {}

    def call() -> None:
        digits["call"] = [prediction.digit for prediction in classifier(images)]

    def raw(size: int) -> None:
        with torch.inference_mode():
            logits = torch.cat([classifier.network(normalise(part)) for part in torch.split(images, size)])
            digits["raw"] = logits.softmax(dim=1).argmax(dim=1).tolist()

    public, in_batches, at_once = (
        "classifier(images)",
        f"the network on batches of {BATCH_SIZE}",
        "the network on all at once",
    )
    times = measure.interleave(
        {public: call, in_batches: lambda: raw(BATCH_SIZE), at_once: lambda: raw(len(images))}, options.rounds
    )
    agree = sum(a == b for a, b in zip(digits["call"], digits["raw"], strict=True))
    print(f"{len(images):,} images, {torch.get_num_threads()} threads; {agree:,} answers are the same")
    ratios = measure.report(times, [(public, in_batches), (public, at_once)])
    return {"images": len(images), "same answers": agree, "times": times, "ratios": ratios}
