"""Evaluate checkpoints on the 10,000 test images of MNIST, one by one and as an ensemble.

python scripts/evaluate.py runs/mnist/version_0/checkpoints/best.ckpt
python scripts/evaluate.py runs/mnist/version_{0,1,2}/checkpoints/best.ckpt --sheet mistakes.png --output results.json

The ensemble averages the probabilities. Each accuracy has its 95 % confidence interval. Errors are also counted on the
two halves of the test set, which are by different writers, and on the 15 contested labels of Northcutt et al. (2021).
"""

import argparse
import json
import math
import statistics
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from matplotlib.figure import Figure

from mnist_lstm.console import printable
from mnist_lstm.data import datasets
from mnist_lstm.data.format import CLASS_NAMES
from mnist_lstm.errors import InputError
from mnist_lstm.files import find_checkpoint, open_new, refuse_existing
from mnist_lstm.inference.classifier import load_classifier
from mnist_lstm.plots.digits import digit_sheet

CONTESTED = (947, 1621, 1901, 2130, 2462, 2597, 2654, 3520, 3558, 5937, 6651, 6783, 8527, 9679, 9729)
"""Test images whose published label is doubtful or wrong: a prediction that differs from it may be right.

Of the label errors that cleanlab suspects, they are those in which at most 2 of 5 people chose the published label
(Northcutt, Athalye & Mueller 2021, "Pervasive Label Errors in Test Sets Destabilize Machine Learning Benchmarks"; votes
in github.com/cleanlab/label-errors, mturk/mnist_mturk.json).
"""

HALF = 5000
"""First image of the second half.

QMNIST's extended labels (Yadav & Bottou 2019, "Cold Case: The Lost MNIST Digits") name the writers: 249 high-school
students for images 0 to 5000 (NIST's series hsf_4), 48 employees of the Census Bureau for 5001 to 9999 (hsf_0). MNIST's
page has it the other way round: "The first 5000 are cleaner and easier than the last 5000".
"""

Probabilities = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]


def main(args: list[str] | None = None) -> int:
    """Run the script; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "checkpoints", nargs="+", metavar="CKPT", help="checkpoint files, or last or best of the newest run in runs"
    )
    parser.add_argument("--data_dir", type=Path, default="data", help="folder of MNIST, filled if need be (data)")
    parser.add_argument("--sheet", type=Path, metavar="FILE", help="new PNG file: the ensemble's errors as pictures")
    parser.add_argument("--output", type=Path, metavar="FILE", help="new JSON file: the table and each wrong image")
    try:
        evaluate(parser.parse_args(args))
    except InputError as error:
        print(f"evaluate: error: {printable(str(error))}", file=sys.stderr)
        return 2
    return 0


def evaluate(options: argparse.Namespace) -> None:
    """Run the checkpoints, print the table, and write what was asked for.

    Raises:
        InputError: a checkpoint or MNIST is unavailable, or an output file exists.
    """
    for option, file in (("--sheet", options.sheet), ("--output", options.output)):
        if file is not None:
            refuse_existing(file, option)
    paths = [find_checkpoint(name, Path("runs"), "checkpoint") for name in options.checkpoints]
    classifiers = [load_classifier(path) for path in paths]  # a bad one is reported before the first has run
    images, labels = load_test_images(options.data_dir)

    probabilities = [classifier.probabilities(images) for classifier in classifiers]
    results = [{"checkpoint": str(path), **score(own, labels)} for path, own in zip(paths, probabilities, strict=True)]
    ensemble = np.mean(probabilities, axis=0)
    if len(paths) > 1:
        results.append({"checkpoint": f"mean of these {len(paths)}", **score(ensemble, labels)})
    print_table(results)
    if len(paths) > 1:
        single = [100 * result["accuracy"] for result in results[:-1]]
        print(f"single: median {statistics.median(single):.2f} %, min {min(single):.2f} %, max {max(single):.2f} %")
    if options.sheet is not None:
        with open_new(options.sheet, "--sheet", binary=True) as file:
            draw_errors(images, labels, ensemble).savefig(file, format="png", dpi=80)
    if options.output is not None:
        with open_new(options.output, "--output") as file:
            file.write(json.dumps(results, indent=2) + "\n")


def load_test_images(data_dir: Path) -> datasets.Digits:
    """Return the test images ``(10000, 28, 28)`` and labels ``(10000,)``; download MNIST if it is missing.

    Raises:
        InputError: MNIST is unavailable.
    """
    data_dir = data_dir.expanduser()
    datasets.prepare("mnist", data_dir, *datasets.sources())
    return datasets.load_split("mnist", "test", data_dir)


def score(probabilities: Probabilities, labels: Labels) -> dict[str, Any]:
    """Compute accuracy and loss, and count the errors by where they are.

    Args:
        probabilities: ``(N, 10)``.
        labels: ``(N,)``.

    Returns:
        Plain data: accuracy, 0 to 1, with its ``accuracy_95`` interval; loss, the mean cross-entropy; numbers of
        errors; ``wrong``, the indices of the errors.
    """
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != labels)
    right = len(labels) - len(wrong)
    of_label = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return {
        "accuracy": right / len(labels),
        "accuracy_95": wilson_interval(right, len(labels)),
        "loss": float(-np.log(of_label.clip(np.finfo(np.float32).tiny)).mean()),
        "errors": len(wrong),
        "errors_before_5000": int((wrong < HALF).sum()),
        "errors_from_5000": int((wrong >= HALF).sum()),
        "errors_on_contested_labels": int(np.isin(wrong, CONTESTED).sum()),
        "wrong": wrong.tolist(),
    }


def wilson_interval(right: int, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the score interval of a binomial proportion (Wilson 1927), 0 to 1.

    It holds for new images of the same kind and says nothing about another seed.

    Args:
        right: number of successes.
        total: number of trials, at least 1.
        confidence: probability that the interval covers the true proportion.
    """
    z = statistics.NormalDist().inv_cdf((1 + confidence) / 2)
    share = right / total
    centre = share + z**2 / (2 * total)
    half_width = z * math.sqrt(share * (1 - share) / total + z**2 / (4 * total**2))
    scale = 1 + z**2 / total
    return max(0.0, (centre - half_width) / scale), min(1.0, (centre + half_width) / scale)


def print_table(results: list[dict[str, Any]]) -> None:
    """Print one line per result."""
    names = [printable(result["checkpoint"]) for result in results]
    width = max(map(len, [*names, "checkpoint"]))
    print(f"{'checkpoint':<{width}}  accuracy (95 % interval)    loss  errors  0-4999  5000-9999  contested")
    for name, result in zip(names, results, strict=True):
        low, high = (100 * limit for limit in result["accuracy_95"])
        interval = f"({low:.2f} to {high:.2f})"
        print(
            f"{name:<{width}}  {100 * result['accuracy']:6.2f} % {interval:<17} {result['loss']:.4f}  "
            f"{result['errors']:6}  {result['errors_before_5000']:6}  {result['errors_from_5000']:9}  "
            f"{result['errors_on_contested_labels']:9}"
        )


def draw_errors(images: npt.NDArray[np.uint8], labels: Labels, probabilities: Probabilities) -> Figure:
    """Draw each misclassified image with its index, label, prediction and probability; a star: contested label."""
    predicted = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    captions = [
        f"{index}{'*' if index in CONTESTED else ''}\n{CLASS_NAMES[labels[index]]}, not "
        f"{CLASS_NAMES[predicted[index]]}\n{probabilities[index, predicted[index]]:.0%}"
        for index in wrong
    ]
    title = f"{len(wrong)} of {len(labels):,} test images are misclassified (* contested label)"
    return digit_sheet(torch.from_numpy(images[wrong]), captions, title, columns=10)


if __name__ == "__main__":
    sys.exit(main())
