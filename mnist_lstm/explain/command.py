"""``mnist-lstm explain``: figures and numbers of what the network does with a digit."""

import argparse
import io
import json
import sys
import warnings
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from mnist_lstm.errors import InputError, printable

if TYPE_CHECKING:
    from torch import Tensor

    from mnist_lstm.explain.explanation import Explanation
    from mnist_lstm.inference.classify import Classifier

DESCRIPTION = """\
Show what the network does with a digit, row by row, in the order in which it reads: one that brings digits upright
first, as that of this package does, reads the rows of the upright digit.

Writes into a folder:
  belief.png    how probable each digit is to the network after each row: when does it know?
  gates-*.png   gates, cell state and hidden state of every unit at every row
  rows-*.png    gradient of the loss by pixel and by row, beside that of untrained networks of the same sizes,
                an LSTM and a plain RNN; and the answer with each row made paper
  numbers.json  all the numbers in these figures
"""

EPILOG = """\
examples:
  mnist-lstm explain seven.jpg
  mnist-lstm explain t10k-images-idx3-ubyte.gz --limit 10
  mnist-lstm explain seven.jpg --ckpt_path best --compare runs/mnist/version_0/checkpoints/best.ckpt
"""

DPI = 90

MOST_LAYERS, MOST_WEIGHTS = 16, 20_000_000

MOST = 20
"""Digits at once; more do not fit into a figure that can be read."""


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    result = argparse.ArgumentParser(
        "mnist-lstm explain",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    result.add_argument(
        "pictures", nargs="+", metavar="PICTURE", help="what classify takes: file, folder, array file, or -"
    )
    result.add_argument(
        "--ckpt_path",
        metavar="FILE",
        help="checkpoint of mnist-lstm fit, or last or best of the newest run; default: the weights of this package",
    )
    result.add_argument(
        "--compare", metavar="FILE", help="another checkpoint, whose gradient by row is to stand beside this one's"
    )
    result.add_argument(
        "--label",
        type=int,
        choices=range(10),
        metavar="D",
        help="the true digit of the pictures, whose loss is differentiated; default: the answer",
    )
    result.add_argument(
        "--limit",
        type=int,
        choices=range(1, MOST + 1),
        default=10,
        metavar="N",
        help=f"first N pictures (10; up to {MOST})",
    )
    result.add_argument(
        "--output", metavar="DIR", help="new or empty folder; default: explained/PICTURE/version_N, a new one each time"
    )
    return result


def run(args: list[str]) -> int:
    """Explain.

    Args:
        args: the command line behind ``explain``.

    Returns:
        0, or 2 if any picture could not be read.

    Raises:
        InputError: a checkpoint or the folder cannot be used, or there is no digit at all.
    """
    options = parser().parse_args(args)

    from mnist_lstm.explain import figures
    from mnist_lstm.explain.explanation import explain, untrained
    from mnist_lstm.progress import track
    from mnist_lstm.report import print_lines
    from mnist_lstm.runs import empty_folder, new_run

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file's name may not be in the terminal's alphabet
    warnings.filterwarnings("ignore", module=r"PIL\.")  # oddities in files that can be read all the same
    classifier = _load(options.ckpt_path, "--ckpt_path")
    network = classifier.network
    others = {"an untrained LSTM": untrained(network, "lstm"), "an untrained RNN": untrained(network, "rnn")}
    if options.compare is not None:
        other = _load(options.compare, "--compare").network
        if other.scan != network.scan:
            raise InputError(f"--compare {options.compare}: reads by {other.scan}, and the network by {network.scan}")
        others[printable(options.compare)] = other

    digits, failed = _find(classifier, options.pictures, options.limit)
    if not digits:
        raise InputError("there is no digit to explain")
    if options.output is None:
        stem = "".join(c if c.isalnum() else "_" for c in Path(digits[0][0].partition("[")[0]).stem).strip("_")[:60]
        folder = new_run(Path("explained"), stem or "picture", "--output")
    else:
        folder = empty_folder("--output", options.output)
    explanations = [
        explain(network, image, options.label, others) for _, image in track(digits, "following the digits")
    ]
    names = [name for name, _ in digits]
    figures.belief_sheet(explanations, [_short(name, 16) for name in names]).savefig(folder / "belief.png", dpi=DPI)
    directions = 2 if network.rnn.bidirectional else 1
    for index, explanation in enumerate(track(explanations, "drawing")):
        title = f"{_short(names[index], 60)}: {explanation.answer} ({explanation.belief[-1].max():.2%})"
        figures.gates_sheet(explanation, directions, title).savefig(folder / f"gates-{index:02d}.png", dpi=DPI)
        figures.rows_sheet(explanation, title).savefig(folder / f"rows-{index:02d}.png", dpi=DPI)
    told = list(zip(names, explanations, strict=True))
    numbers = [{"picture": name, **explanation.numbers()} for name, explanation in told]
    (folder / "numbers.json").write_text(json.dumps(numbers) + "\n", encoding="utf-8")
    for name, explanation in told:
        print_lines(_account(name, explanation))
        print()
    print_lines({"figures": str(folder)})
    return 2 if failed else 0


def _short(name: str, most: int) -> str:
    """Return the end of a name that is too long for a caption."""
    return name if len(name) <= most else f"…{name[1 - most :]}"


def _load(name: str | None, option: str) -> "Classifier":
    """Load a checkpoint, if it is not too large to be drawn and to be repeated in float64."""
    from mnist_lstm.inference.classify import load_classifier
    from mnist_lstm.runs import find_checkpoint

    classifier = load_classifier(None if name is None else find_checkpoint(name, Path("runs"), option))
    rnn = classifier.network.rnn
    layers = rnn.num_layers * (2 if rnn.bidirectional else 1)
    weights = sum(weight.numel() for weight in rnn.parameters())
    if layers > MOST_LAYERS or weights > MOST_WEIGHTS:
        raise InputError(
            f"{option} {name}: has {layers} layers in all directions and {weights:,} weights; explained are networks "
            f"of up to {MOST_LAYERS} and {MOST_WEIGHTS:,}"
        )
    return classifier


def _account(name: str, explanation: "Explanation") -> "dict[str, str]":
    """Tell the same in five lines."""
    belief, strip = explanation.belief, explanation.strip
    before = belief.argmax(dim=1)[: explanation.known_from - 1].tolist()
    said = [str(digit) for index, digit in enumerate(before) if index == 0 or digit != before[index - 1]]
    strongest = explanation.norms["this network"].argsort(descending=True)[:3] + 1
    needed = ", ".join(f"{strip} {place} ({digit} without it)" for place, digit in explanation.needed.items())
    return {
        "picture": name,
        "answer": f"{explanation.answer}  ({belief[-1].max():.2%})",
        "knows it": f"from {strip} {explanation.known_from} of {len(belief)} on"
        + (f"; guesses before: {', '.join(said)}" if said else ""),
        "gradient": f"largest at {strip}s {', '.join(map(str, strongest.tolist()))}",
        "needs": needed or f"no single {strip}: with any one made paper, the answer is the same",
    }


def _find(classifier: "Classifier", names: list[str], limit: int) -> "tuple[list[tuple[str, Tensor]], int]":
    """Find the digit in each of the first pictures; say what is wrong with the others, and count these."""
    import torch

    from mnist_lstm.inference.classify import prepare
    from mnist_lstm.inference.sources import expand, read

    digits = []
    failed = 0
    for source in islice(read(expand(names), limit), limit):
        message = source.message
        if source.levels is not None:
            (prediction,) = classifier.predict([prepare(source.levels)])
            if len(prediction.seen) == 1:
                digits.append((source.name, torch.tensor(prediction.seen[0])))
                continue
            several = f"it holds {len(prediction.seen)} digits; give a picture of one"
            message = several if prediction.status == "several" else prediction.message
        failed += 1
        print(f"mnist-lstm: error: {source.name}: {printable(message)}", file=sys.stderr)
    return digits, failed
