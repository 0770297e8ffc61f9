"""Tell what checkpoints are worth on the 10,000 test images of MNIST, each by itself and all together.

python scripts/evaluate.py runs/mnist/version_0/checkpoints/best.ckpt
python scripts/evaluate.py runs/mnist/version_{0,1,2}/checkpoints/best.ckpt --sheet mistakes.png --output results.json

Together they answer with the mean of their probabilities. Errors are counted apart for the images before 5000 and from
it on, which are by different writers, the first the harder to read, and for 15 labels that are contested.
"""

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from matplotlib.figure import Figure

from mnist_lstm import figures
from mnist_lstm.data import MNISTDataModule
from mnist_lstm.errors import InputError, printable
from mnist_lstm.inference.classify import load_classifier
from mnist_lstm.inference.picture import Images
from mnist_lstm.mnist_format import CLASS_NAMES
from mnist_lstm.outputs import open_new, refuse_existing
from mnist_lstm.runs import find_checkpoint

CONTESTED = (947, 1621, 1901, 2130, 2462, 2597, 2654, 3520, 3558, 5937, 6651, 6783, 8527, 9679, 9729)
"""Test images whose published label is doubtful or wrong: an answer that differs from it is not always a mistake."""

FIRST_HALF = 5000
"""Images before this one are by other writers than those from it on."""

Probabilities = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]


def main(args: list[str] | None = None) -> int:
    """Run the script; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "checkpoints", nargs="+", metavar="CKPT", help="files of mnist-lstm fit, or last or best of the newest run here"
    )
    parser.add_argument("--data_dir", default="data", help="folder that MNIST lies in or is unpacked into (data)")
    parser.add_argument("--sheet", type=Path, metavar="FILE", help="draw all mistakes (of all together) into a new PNG")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write everything, with the ids, into a new JSON")
    options = parser.parse_args(args)
    try:
        evaluate(options)
    except InputError as error:
        print(f"evaluate: error: {printable(str(error))}", file=sys.stderr)
        return 2
    return 0


def evaluate(options: argparse.Namespace) -> None:
    """Measure, print, draw and write.

    Raises:
        InputError: a checkpoint or MNIST cannot be had, or an output is there already.
    """
    for option, file in (("--sheet", options.sheet), ("--output", options.output)):
        if file is not None:
            refuse_existing(file, option)
    paths = [find_checkpoint(name, Path("runs"), "checkpoint") for name in options.checkpoints]
    classifiers = [load_classifier(path) for path in paths]  # a bad one shows before the first has been run
    images, labels = test_images(options.data_dir)

    probabilities = [classifier.probabilities(images) for classifier in classifiers]
    results = [{"checkpoint": str(path), **score(own, labels)} for path, own in zip(paths, probabilities, strict=True)]
    together = np.mean(probabilities, axis=0)
    if len(results) > 1:
        results.append({"checkpoint": f"mean of these {len(results)}", **score(together, labels)})
    print_table(results)
    if len(paths) > 1:
        accuracies = [100 * result["accuracy"] for result in results[:-1]]
        print(
            f"single: median {statistics.median(accuracies):.2f} %, min {min(accuracies):.2f} %, "
            f"max {max(accuracies):.2f} %"
        )
    if options.sheet is not None:
        with open_new(options.sheet, "--sheet", binary=True) as file:
            draw_mistakes(images, labels, together).savefig(file, format="png", dpi=80)
    if options.output is not None:
        with open_new(options.output, "--output") as file:
            file.write(json.dumps(results, indent=2) + "\n")


def test_images(data_dir: str) -> tuple[Images, Labels]:
    """Return the test images ``(10000, 28, 28)`` and their labels ``(10000,)``, fetched if need be.

    Raises:
        InputError: they cannot be had.
    """
    data = MNISTDataModule("mnist", data_dir)
    data.prepare_data()
    data.setup("test")
    images, labels = zip(*data.test_dataloader(), strict=True)
    return torch.cat(images).numpy(), torch.cat(labels).numpy()


def score(probabilities: Probabilities, labels: Labels) -> dict[str, Any]:
    """Count what is right and where the rest lies.

    Args:
        probabilities: ``(N, 10)``.
        labels: ``(N,)``.
    """
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != labels)
    of_label = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return {
        "accuracy": 1 - len(wrong) / len(labels),
        "loss": float(-np.log(of_label.clip(np.finfo(np.float32).tiny)).mean()),
        "errors": len(wrong),
        "errors_before_5000": int((wrong < FIRST_HALF).sum()),
        "errors_from_5000": int((wrong >= FIRST_HALF).sum()),
        "errors_on_contested_labels": int(np.isin(wrong, CONTESTED).sum()),
        "wrong": wrong.tolist(),
    }


def print_table(results: list[dict[str, Any]]) -> None:
    """Print a line for each checkpoint."""
    names = [printable(result["checkpoint"]) for result in results]
    wide = max(map(len, [*names, "checkpoint"]))
    print(f"{'checkpoint':<{wide}}  accuracy    loss  errors  0-4999  5000-9999  contested")
    for name, result in zip(names, results, strict=True):
        print(
            f"{name:<{wide}}  {100 * result['accuracy']:6.2f} %  {result['loss']:.4f}  {result['errors']:6}  "
            f"{result['errors_before_5000']:6}  {result['errors_from_5000']:9}  "
            f"{result['errors_on_contested_labels']:9}"
        )


def draw_mistakes(images: Images, labels: Labels, probabilities: Probabilities) -> Figure:
    """Lay out every image that was not taken for its label; contested labels have a star."""
    predicted = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    captions = [
        f"{index}{'*' if index in CONTESTED else ''}\n{CLASS_NAMES[labels[index]]}, not "
        f"{CLASS_NAMES[predicted[index]]}\n{probabilities[index, predicted[index]]:.0%}"
        for index in wrong
    ]
    title = f"{len(wrong)} of {len(labels):,} test images were not taken for their label (* contested)"
    return figures.digit_sheet(torch.from_numpy(images[wrong]), captions, title, columns=10)


if __name__ == "__main__":
    sys.exit(main())
