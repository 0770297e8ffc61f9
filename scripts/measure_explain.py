"""Measure what mnist-lstm explain shows on many validation digits: the figures of mnist_lstm/explain/README.md.

python scripts/measure_explain.py
python scripts/measure_explain.py --count 20 --ckpt_path best

When does the prediction settle with either ending? How often does a block of occluded rows change it? How far do the
units of a digit peak in the order that was found on other digits?
"""

import argparse
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from mnist_lstm.console import printable, track
from mnist_lstm.data import datasets
from mnist_lstm.errors import InputError
from mnist_lstm.explain.explanation import Explanation, explain
from mnist_lstm.explain.options import BLOCK, ENDINGS
from mnist_lstm.explain.units import agreement, choose_units, shuffled
from mnist_lstm.files import find_checkpoint
from mnist_lstm.inference.classifier import load_classifier

BLOCKS = range(1, 7)
OTHERS = 100  # of scikit-learn's digits, as in mnist-lstm explain


def main(args: list[str] | None = None) -> int:
    """Run the script; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=50, metavar="N", help="first validation images of MNIST (50)")
    weights = "checkpoint of mnist-lstm fit, or last or best of the newest run (the package's weights)"
    parser.add_argument("--ckpt_path", metavar="FILE", help=weights)
    parser.add_argument("--data_dir", type=Path, default="data", help="folder of MNIST, filled if need be (data)")
    try:
        measure(parser.parse_args(args))
    except InputError as error:
        print(f"measure_explain: error: {printable(str(error))}", file=sys.stderr)
        return 2
    return 0


def measure(options: argparse.Namespace) -> None:
    """Explain the images and print what they have in common.

    Raises:
        InputError: the checkpoint or MNIST is unavailable, or there are fewer images.
    """
    path = None if options.ckpt_path is None else find_checkpoint(options.ckpt_path, Path("runs"), "--ckpt_path")
    network = load_classifier(path).network
    data_dir = options.data_dir.expanduser()
    datasets.prepare("mnist", data_dir, *datasets.sources())
    _, validation = datasets.load_train_and_val("mnist", data_dir)
    if not 1 <= options.count <= len(validation.images):
        raise InputError(f"--count {options.count}: must be 1 to {len(validation.images):,}")
    images = torch.tensor(validation.images[: options.count])
    (units,) = choose_units(network, torch.tensor(datasets.load_sklearn_digits()[0][:OTHERS]))

    settled: dict[str, list[int]] = {ending: [] for ending in ENDINGS}
    flipped: dict[int, int] = dict.fromkeys(BLOCKS, 0)
    order, control = [], []
    for image in track(images, "explaining"):
        explanations: dict[str, Explanation] = {ending: explain(network, image, ending=ending) for ending in ENDINGS}
        for ending, explanation in explanations.items():
            settled[ending].append(explanation.settles_at)
        flipped[BLOCK] += bool(explanations["cut"].flips)
        for block in set(BLOCKS) - {BLOCK}:
            flipped[block] += bool(explain(network, image, ending="blank", block=block).flips)  # the faster ending
        states = explanations["cut"].gates[units.place]["h"][:, units.units]
        order.append(agreement(states))
        control.append(agreement(shuffled(states)))

    print(f"{len(images)} validation images of MNIST")
    for ending, rows in settled.items():
        print(f"settles, if {ENDINGS[ending]}: row {statistics.median(rows):g} ({min(rows)} to {max(rows)})")  # type: ignore[index]
    apart = [abs(cut - blank) for cut, blank in zip(settled["cut"], settled["blank"], strict=True)]
    print(f"at the same row with both endings: {_share(apart, 0, 0)}; at rows that differ by three or more: "
          f"{_share(apart, 3, 28)}")  # fmt: skip
    changes = ", ".join(f"{block}: {count / len(images):.0%}" for block, count in flipped.items())
    print(f"a block of so many occluded rows changes the prediction: {changes}")
    for name, values in (("hidden states", order), ("hidden states, steps shuffled", control)):
        print(f"rank correlation with the order of other digits, {name}: {statistics.median(values):.2f} "
              f"({min(values):.2f} to {max(values):.2f})")  # fmt: skip


def _share(values: Sequence[int], low: int, high: int) -> str:
    return f"{sum(low <= value <= high for value in values) / len(values):.0%}"


if __name__ == "__main__":
    sys.exit(main())
