"""``mnist-lstm explain``: figures and numbers of what the network does with a digit."""

import argparse
import json
import sys
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING

from mnist_lstm.console import printable, track
from mnist_lstm.errors import InputError
from mnist_lstm.explain.options import BLOCK, ENDINGS, UNITS
from mnist_lstm.files import find_checkpoint, open_new, results_folder
from mnist_lstm.inference.cli import tolerate_odd_files

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

    from mnist_lstm.explain.explanation import Explanation
    from mnist_lstm.explain.units import Units
    from mnist_lstm.inference.classifier import Classifier
    from mnist_lstm.network.model import RowLSTM

DESCRIPTION = """\
Show what the network does with a digit, row by row, in the order in which it reads.

Files in the output folder:
  predictions.png  class probabilities after each row of the picture, from the rows read so far alone
  gates-*.png      gates, candidate, cell state and hidden state of some units at every step
  rows-*.png       gradient of the log-odds of the digit by pixel and by row, compared with an untrained LSTM and an
                   untrained RNN of the same sizes; and the log-odds with some rows occluded
  numbers.json     all numbers in these figures, and the gates of all units

If the network deskews digits, as that of this package does, gates-*.png and rows-*.png show the deskewed digit.
"""

EPILOG = """\
examples:
  mnist-lstm explain seven.jpg
  mnist-lstm explain t10k-images-idx3-ubyte.gz --limit 10
  mnist-lstm explain seven.jpg --ending blank --block 1 --layer 0 --direction both --units 0
  mnist-lstm explain seven.jpg --ckpt_path best --compare runs/mnist/version_0/checkpoints/best.ckpt
"""

DPI = 90
MAX_DIGITS = 20  # as many as fit into a readable figure
# largest network that is drawn and computed in float64; layers are counted once per direction
MAX_LAYERS, MAX_WEIGHTS = 16, 20_000_000
MAX_BLOCK = 14  # rows
OTHERS = 100  # of scikit-learn's digits, by which the units to draw are chosen


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
    true_digit = "digit whose log-odds are differentiated; default: the predicted digit"
    add("--label", type=int, choices=range(10), metavar="D", help=true_digit)
    ending = "what follows the rows read so far: cut: nothing, the sequence ends; blank: blank paper; default: cut"
    add("--ending", choices=tuple(ENDINGS), default="cut", help=ending)
    block = f"number of rows that are occluded at once, 1 to {MAX_BLOCK}; default: {BLOCK}"
    add("--block", type=int, choices=range(1, MAX_BLOCK + 1), default=BLOCK, metavar="N", help=block)
    add("--layer", type=int, default=1, metavar="N", help="layer whose gates are drawn, 0 for all; default: 1")
    directions = "direction whose gates are drawn; default: forward"
    add("--direction", choices=("forward", "backward", "both"), default="forward", help=directions)
    units = f"number of units that are drawn, those whose hidden state varies most, 0 for all; default: {UNITS}"
    add("--units", type=int, default=UNITS, metavar="N", help=units)
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
    chosen = _choose_units(network, options)
    digits, failed = _find_digits(classifier, options.pictures, options.limit)
    if not digits:
        raise InputError("no digit to explain")
    stem = "".join(c if c.isalnum() else "_" for c in Path(digits[0][0].partition("[")[0]).stem).strip("_")[:60]
    folder = results_folder(options.output, "explained", stem or "picture")
    names = [name for name, _ in digits]
    explanations = [
        explain(network, image, options.label, others, ending=options.ending, block=options.block)
        for _, image in track(digits, "explaining")
    ]
    sheet = figures.predictions_sheet(explanations, [_shortened(name, 16) for name in names])
    _save(sheet, folder / "predictions.png")
    for index, explanation in enumerate(track(explanations, "drawing")):
        probability = explanation.prefix_probabilities[-1].max()
        title = f"{_shortened(names[index], 60)}: {explanation.prediction} ({probability:.2%})"
        _save(figures.gates_sheet(explanation, chosen, title), folder / f"gates-{index:02d}.png")
        _save(figures.rows_sheet(explanation, title), folder / f"rows-{index:02d}.png")
    explained = list(zip(names, explanations, strict=True))
    numbers = [{"picture": name, **explanation.numbers()} for name, explanation in explained]
    with open_new(folder / "numbers.json", "--output") as file:
        file.write(json.dumps(numbers) + "\n")
    for name, explanation in explained:
        print(*_summary(name, explanation), "", sep="\n", flush=True)
    print(f"figures     {printable(str(folder))}")
    return 2 if failed else 0


def _save(sheet: "Figure", path: Path) -> None:
    with open_new(path, "--output", binary=True) as file:
        sheet.savefig(file, format="png", dpi=DPI)


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


def _choose_units(network: "RowLSTM", options: argparse.Namespace) -> "list[Units]":
    """Choose the units to draw by other digits than the pictures; refuse layers and directions that are not there."""
    import torch

    from mnist_lstm.data.datasets import load_sklearn_digits
    from mnist_lstm.explain.units import choose_units

    layers = network.rnn.num_layers
    if not 0 <= options.layer <= layers:
        raise InputError(f"--layer {options.layer}: the network has {layers}; give 1 to {layers}, or 0 for all")
    if options.units < 0:
        raise InputError(f"--units {options.units}: must be 0, for all, or more")
    if options.direction == "backward" and not network.rnn.bidirectional:
        raise InputError("--direction backward: the network reads forward only")
    chosen = range(1, layers + 1) if options.layer == 0 else (options.layer,)
    directions = ("forward", "backward") if options.direction == "both" else (options.direction,)
    images = torch.tensor(load_sklearn_digits()[0][:OTHERS])
    return choose_units(network, images, chosen, directions, options.units)


def _summary(name: str, explanation: "Explanation") -> list[str]:
    """Return the explanation in five lines of text."""
    from mnist_lstm.network.log_odds import log_odds

    probabilities, segment, block = explanation.prefix_probabilities, explanation.segment, explanation.block
    before = probabilities.argmax(dim=1)[: explanation.settles_at - 1].tolist()
    changes = [str(digit) for digit, _ in groupby(before)]
    lowest = log_odds(explanation.occluded_logits, explanation.prediction)
    row = int(lowest.argmin()) + 1

    def span(first: int) -> str:
        return f"{segment} {first}" if block == 1 else f"{segment}s {first}-{first + block - 1}"

    flips = ", ".join(f"{span(first)} -> {digit}" for first, digit in explanation.flips.items())
    unchanged = f"no {segment} changes" if block == 1 else f"no {block} successive {segment}s change"
    return [
        f"picture     {printable(name)}",
        f"prediction  {explanation.prediction}  ({probabilities[-1].max():.2%})",
        f"settles     at {segment} {explanation.settles_at} of {len(probabilities)}, if {ENDINGS[explanation.ending]}"
        + (f"; before: {', '.join(changes)}" if changes else ""),
        f"log-odds    {explanation.log_odds:.1f}; {float(lowest[row - 1]):.1f} without {span(row)}, the lowest",
        f"occlusion   {flips or f'{unchanged} the prediction'}",
    ]


def _find_digits(classifier: "Classifier", names: list[str], limit: int) -> "tuple[list[tuple[str, Tensor]], int]":
    """Return the digit in each of the first pictures; report errors of the others, and count them."""
    import torch

    from mnist_lstm.inference.prepare import prepare
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
