"""``mnist-lstm explain``: figures and numbers of what the network does with a digit."""

import argparse
import json
import sys
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING

from mnist_lstm.console import printable, track
from mnist_lstm.errors import InputError
from mnist_lstm.files import find_checkpoint, results_folder
from mnist_lstm.inference.cli import tolerate_odd_files

if TYPE_CHECKING:
    from torch import Tensor

    from mnist_lstm.explain.explanation import Explanation
    from mnist_lstm.inference.classifier import Classifier

DESCRIPTION = """\
Show what the network does with a digit, row by row, in the order in which it reads. If the network deskews digits, as
that of this package does, the rows are those of the deskewed digit.

Files in the output folder:
  predictions.png  class probabilities after each row
  gates-*.png      gates, cell state and hidden state of every unit at every row
  rows-*.png       gradient of the loss by pixel and by row, compared with an untrained LSTM and an untrained RNN of the
                   same sizes; and the prediction with each row occluded
  numbers.json     all numbers in these figures
"""

EPILOG = """\
examples:
  mnist-lstm explain seven.jpg
  mnist-lstm explain t10k-images-idx3-ubyte.gz --limit 10
  mnist-lstm explain seven.jpg --ckpt_path best --compare runs/mnist/version_0/checkpoints/best.ckpt
"""

DPI = 90
MAX_DIGITS = 20  # as many as fit into a readable figure
# largest network that is drawn and computed in float64; layers are counted once per direction
MAX_LAYERS, MAX_WEIGHTS = 16, 20_000_000


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    layout = argparse.RawDescriptionHelpFormatter
    result = argparse.ArgumentParser(
        "mnist-lstm explain", description=DESCRIPTION, epilog=EPILOG, formatter_class=layout, allow_abbrev=False
    )
    add = result.add_argument
    add("pictures", nargs="+", metavar="PICTURE", help="file, folder, array file, or -, as for classify")
    weights = "checkpoint of mnist-lstm fit, or last or best of the newest run; default: the weights of this package"
    add("--ckpt_path", metavar="FILE", help=weights)
    add("--compare", metavar="FILE", help="another checkpoint, to compare its gradient by row")
    true_digit = "true digit of the pictures, for the loss that is differentiated; default: the predicted digit"
    add("--label", type=int, choices=range(10), metavar="D", help=true_digit)
    limits = range(1, MAX_DIGITS + 1)
    first = f"number of pictures to read, up to {MAX_DIGITS}; default: 10"
    add("--limit", type=int, choices=limits, default=10, metavar="N", help=first)
    folder = "new or empty folder; default: explained/PICTURE/version_N, a new one for each run"
    add("--output", metavar="DIR", help=folder)
    return result


def run(args: list[str]) -> int:
    """Explain pictures with the arguments after ``explain``; return 0, or 2 if a picture cannot be read."""
    options = parser().parse_args(args)

    from mnist_lstm.explain import figures
    from mnist_lstm.explain.explanation import explain, untrained

    tolerate_odd_files()
    classifier = _load(options.ckpt_path, "--ckpt_path")
    network = classifier.network
    others = {"untrained LSTM": untrained(network, "lstm"), "untrained RNN": untrained(network, "rnn")}
    if options.compare is not None:
        other = _load(options.compare, "--compare").network
        ours, theirs = network.options.scan_order, other.options.scan_order
        if theirs != ours:
            raise InputError(f"--compare {options.compare}: its scan order is {theirs}, but the network's is {ours}")
        others[printable(options.compare)] = other
    digits, failed = _find_digits(classifier, options.pictures, options.limit)
    if not digits:
        raise InputError("no digit to explain")
    stem = "".join(c if c.isalnum() else "_" for c in Path(digits[0][0].partition("[")[0]).stem).strip("_")[:60]
    folder = results_folder(options.output, "explained", stem or "picture")
    names = [name for name, _ in digits]
    explanations = [explain(network, image, options.label, others) for _, image in track(digits, "explaining")]
    sheet = figures.predictions_sheet(explanations, [_shortened(name, 16) for name in names])
    sheet.savefig(folder / "predictions.png", dpi=DPI)
    directions = 2 if network.rnn.bidirectional else 1
    for index, explanation in enumerate(track(explanations, "drawing")):
        probability = explanation.prefix_probabilities[-1].max()
        title = f"{_shortened(names[index], 60)}: {explanation.prediction} ({probability:.2%})"
        figures.gates_sheet(explanation, directions, title).savefig(folder / f"gates-{index:02d}.png", dpi=DPI)
        figures.rows_sheet(explanation, title).savefig(folder / f"rows-{index:02d}.png", dpi=DPI)
    explained = list(zip(names, explanations, strict=True))
    numbers = [{"picture": name, **explanation.numbers()} for name, explanation in explained]
    (folder / "numbers.json").write_text(json.dumps(numbers) + "\n", encoding="utf-8")
    for name, explanation in explained:
        print(*_summary(name, explanation), "", sep="\n", flush=True)
    print(f"figures     {printable(str(folder))}")
    return 2 if failed else 0


def _shortened(name: str, length: int) -> str:
    """Return the end of a name that is too long for a caption."""
    return name if len(name) <= length else f"…{name[1 - length :]}"


def _load(name: str | None, option: str) -> "Classifier":
    """Load a classifier from a checkpoint; refuse a network that is too large."""
    from mnist_lstm.inference.classifier import load_classifier

    classifier = load_classifier(None if name is None else find_checkpoint(name, Path("runs"), option))
    rnn = classifier.network.rnn
    layers = rnn.num_layers * (2 if rnn.bidirectional else 1)
    weights = sum(weight.numel() for weight in rnn.parameters())
    if layers > MAX_LAYERS or weights > MAX_WEIGHTS:
        size = f"{layers} layers, counted once per direction, and {weights:,} weights"
        raise InputError(f"{option} {name}: has {size}; the limits are {MAX_LAYERS} and {MAX_WEIGHTS:,}")
    return classifier


def _summary(name: str, explanation: "Explanation") -> list[str]:
    """Return the explanation in five lines of text."""
    probabilities, segment = explanation.prefix_probabilities, explanation.segment
    before = probabilities.argmax(dim=1)[: explanation.settles_at - 1].tolist()
    changes = [str(digit) for digit, _ in groupby(before)]
    largest = explanation.gradient_norms["this network"].argsort(descending=True)[:3] + 1
    flips = ", ".join(f"{segment} {place} -> {digit}" for place, digit in explanation.flips.items())
    return [
        f"picture     {printable(name)}",
        f"prediction  {explanation.prediction}  ({probabilities[-1].max():.2%})",
        f"settles     at {segment} {explanation.settles_at} of {len(probabilities)}"
        + (f"; before: {', '.join(changes)}" if changes else ""),
        f"gradient    largest at {segment}s {', '.join(map(str, largest.tolist()))}",
        f"occlusion   {flips or f'no {segment} changes the prediction'}",
    ]


def _find_digits(classifier: "Classifier", names: list[str], limit: int) -> "tuple[list[tuple[str, Tensor]], int]":
    """Return the digit in each of the first pictures; report errors of the others, and count them."""
    import torch

    from mnist_lstm.inference.classifier import prepare
    from mnist_lstm.inference.sources import expand, read

    digits, failed = [], 0
    for source in islice(read(expand(names), limit), limit):
        message = source.message
        if source.levels is not None:
            (prediction,) = classifier.predict([prepare(source.levels)])
            if len(prediction.seen) == 1:
                digits.append((source.name, torch.tensor(prediction.seen[0])))
                continue
            message = f"holds {len(prediction.seen) or 'no'} digits; explain takes pictures of one"
        failed += 1
        print(f"mnist-lstm: error: {source.name}: {printable(message)}", file=sys.stderr)
    return digits, failed
