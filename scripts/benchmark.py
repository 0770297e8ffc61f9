"""Measure how fast this project is, beside loops that do less: every command runs both sides in turn.

python scripts/benchmark.py train                                              64 units, batches of 64, float32
python scripts/benchmark.py train --batch_size 256 --precision bf16-mixed
python scripts/benchmark.py train --hidden_size 128 --bidirectional --batch_size 128     the network of fit
python scripts/benchmark.py race                                               to the tutorials' accuracy
python scripts/benchmark.py infer                                              10,000 images
python scripts/benchmark.py augment                                            distort images, straighten, edges
python scripts/benchmark.py startup                                            processes, from start to end
python scripts/benchmark.py scale --plot scale.png                             what grows with what
python scripts/benchmark.py gpu                                                one CUDA GPU

Ratios are medians over rounds, with the smallest and the largest. --output FILE also writes all times as JSON.
"""

import argparse
import importlib
import os
import sys
from pathlib import Path

os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # as mnist_lstm.cli sets it, and before PyTorch is imported

from mnist_lstm.errors import InputError, TrainingError, printable
from mnist_lstm.outputs import refuse_existing


def main(args: list[str] | None = None) -> int:
    """Run the script; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    subjects = parser.add_subparsers(dest="subject", required=True)
    for name, text in (
        ("train", "an epoch of fit beside a bare loop, its limit, and the tutorials' loop"),
        ("race", "fit to the accuracy that the tutorials' loop has after an epoch"),
        ("infer", "classify many images beside the network alone"),
        ("augment", "distort, straighten, edges; beside torchvision, Kornia and a step of training"),
        ("startup", "start programs beside import torch"),
        ("scale", "time and memory against batch, units, layers, steps, images"),
        ("gpu", "train on a CUDA GPU"),
    ):
        subject = subjects.add_parser(name, help=text, description=text)
        subject.add_argument("--rounds", type=_positive, default=3 if name == "scale" else 5, help="rounds that count")
        subject.add_argument("--output", type=Path, metavar="FILE", help="write all that was measured, as JSON")
        if name not in ("startup", "scale"):
            subject.add_argument("--data_dir", default="data", help="folder that MNIST lies in or is unpacked into")
        if name in ("train", "gpu"):
            subject.add_argument("--hidden_size", type=_positive, default=64, help="units (64)")
            subject.add_argument("--batch_size", type=_positive, default=64, help="images a step (64)")
            subject.add_argument("--bidirectional", action="store_true", help="read in both directions")
            subject.add_argument("--steps", type=_positive, help="steps an epoch (all)")
        if name == "train":
            subject.add_argument("--precision", choices=("32-true", "bf16-mixed"), default="32-true", help="of fit")
            subject.add_argument("--no-tutorial", dest="tutorial", action="store_false", help="leave that rival out")
        if name == "gpu":
            subject.set_defaults(tutorial=False)
        if name in ("infer", "scale"):
            subject.add_argument("--ckpt_path", metavar="FILE", help="checkpoint (the weights of the package)")
        if name == "infer":
            subject.add_argument("--images", type=_positive, default=10_000, help="how many (10,000)")
        if name == "scale":
            subject.add_argument("--plot", type=Path, metavar="FILE", help="draw the curves into this PNG file")
            subject.add_argument("--quick", action="store_true", help="few points, to try it out")
    options = parser.parse_args(args)

    from benchmarks import measure

    try:
        if options.output is not None:
            refuse_existing(options.output, "--output")
        if options.subject == "scale" and options.plot is not None:
            refuse_existing(options.plot, "--plot")
        print(", ".join(f"{name} {fact}" for name, fact in measure.machine().items() if fact), flush=True)
        results = importlib.import_module(f"benchmarks.{options.subject}").run(options)
        measure.write({"subject": options.subject, **results}, options.output)
    except InputError as error:
        print(f"benchmark: error: {printable(str(error))}", file=sys.stderr)
        return 2
    except TrainingError as error:
        print(f"benchmark: error: {printable(str(error))}", file=sys.stderr)
        return 1
    return 0


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: must be a whole number of at least 1")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
