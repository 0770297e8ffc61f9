"""Classify test images, in memory and as PNG files, by the public call, and by the network alone."""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from evaluate import load_test_images
from PIL import Image

from benchmarks import measure
from mnist_lstm.data.format import normalise
from mnist_lstm.inference.classifier import load_classifier
from mnist_lstm.inference.prepare import BATCH_SIZE


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

    def read_and_call() -> None:
        digits["files"] = [prediction.digit for prediction in classifier(files)]

    def decode() -> None:
        decoded = torch.from_numpy(np.stack([np.asarray(Image.open(file)) for file in files]))
        with torch.inference_mode():
            for part in torch.split(decoded, BATCH_SIZE):
                classifier.network(normalise(part))

    public, in_batches, at_once = (
        "classifier(images)",
        f"the network on batches of {BATCH_SIZE}",
        "the network on all at once",
    )
    of_files, decoded = "classifier(PNG files)", f"decoding them and the network on batches of {BATCH_SIZE}"
    candidates = {public: call, in_batches: lambda: raw(BATCH_SIZE), at_once: lambda: raw(len(images))}
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, f"{number:05}.png") for number in range(len(images))]
        for file, image in zip(files, images.numpy(), strict=True):
            Image.fromarray(image).save(file)
        times = measure.interleave({**candidates, of_files: read_and_call, decoded: decode}, options.rounds)
    agree = sum(a == b == c for a, b, c in zip(digits["call"], digits["raw"], digits["files"], strict=True))
    print(f"{len(images):,} images, {torch.get_num_threads()} threads; {agree:,} answers are the same")
    ratios = measure.report(times, [(public, in_batches), (public, at_once), (of_files, decoded)])
    return {"images": len(images), "same answers": agree, "times": times, "ratios": ratios}
