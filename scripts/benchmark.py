"""Measure speed against programs that do less, both sides in turn.

python scripts/benchmark.py train                                              64 units, batches of 64, float32
python scripts/benchmark.py train --batch_size 256 --precision bf16-mixed
python scripts/benchmark.py train --hidden_size 128 --bidirectional --batch_size 128     the default network
python scripts/benchmark.py train --accelerator gpu --hidden_size 128 --bidirectional --batch_size 1024
python scripts/benchmark.py goal --config configs/gpu_mixed.yaml               seconds to 99 %
python scripts/benchmark.py race                                               to the tutorials' accuracy
python scripts/benchmark.py infer                                              10,000 images
python scripts/benchmark.py augment                                            distort, deskew, gradient features
python scripts/benchmark.py startup --onnx digits.onnx                         whole processes
python scripts/benchmark.py scale --plot scale.png                             time and memory against size
python scripts/benchmark.py scaling --processes 2 4                            fit by several processes
python scripts/benchmark.py serve                                              requests to a server on this machine

Ratios are medians over rounds, with minimum and maximum. --output FILE also writes all times as JSON.
"""

import argparse
import importlib
import os
import sys
from pathlib import Path

os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # as mnist_lstm.cli sets it, and before PyTorch is imported

from mnist_lstm.console import printable
from mnist_lstm.errors import InputError, TrainingError
from mnist_lstm.files import refuse_existing

SUBJECTS = {
    "train": "an epoch of fit against a bare loop, its limit, and the tutorials' loop",
    "goal": "seconds of training to 99 % validation accuracy",
    "race": "fit to the accuracy of one epoch of the tutorials' loop",
    "infer": "classify many images against the network alone",
    "augment": "distort, deskew and gradient features against torchvision, Kornia and a training step",
    "startup": "whole processes against import torch",
    "scale": "time and memory against batch, units, layers, steps and images",
    "scaling": "fit by several processes on this machine against one",
    "serve": "answers of a server to one client, to many at once, and at a steady rate",
}


def main(args: list[str] | None = None) -> int:
    """Run the script; return the exit code."""
    options = _parser().parse_args(args)

    from benchmarks import measure

    try:
        for name in ("output", "plot"):
            if getattr(options, name, None) is not None:
                refuse_existing(getattr(options, name), f"--{name}")
        print(", ".join(f"{name} {fact}" for name, fact in measure.machine().items() if fact), flush=True)
        results = importlib.import_module(f"benchmarks.{options.subject}").run(options)
        measure.write({"subject": options.subject, **results}, options.output)
    except (InputError, TrainingError) as error:
        print(f"benchmark: error: {printable(str(error))}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    subjects = parser.add_subparsers(dest="subject", required=True)
    for name, text in SUBJECTS.items():
        add = subjects.add_parser(name, help=text, description=text).add_argument
        add(
            "--rounds",
            type=_positive,
            default=3 if name in ("goal", "scale", "scaling") else 5,
            help="measured rounds (%(default)s)",
        )
        add("--output", type=Path, metavar="FILE", help="new JSON file for all times")
        if name not in ("startup", "scale", "serve"):
            add("--data_dir", type=_folder, default="data", help="folder of MNIST, filled if need be (data)")
        if name in ("train", "scaling"):
            add("--hidden_size", type=_positive, default=64, help="units (64)")
            add("--batch_size", type=_positive, default=64, help="images per step (64)")
            add("--bidirectional", action="store_true", help="read in both directions")
            add(
                "--precision",
                choices=("32-true", "bf16-mixed"),
                default="32-true",
                help="of fit, and the bare loop if any",
            )
        if name == "scaling":
            add("--processes", type=_positive, nargs="+", default=[2, 4], metavar="N", help="numbers (2 4)")
            add("--steps", type=_positive, default=60, help="per run at most (%(default)s)")
            add("--dataset", choices=("mnist", "digits"), default="mnist", help="for a trial without MNIST: digits")
        if name == "train":
            add("--steps", type=_positive, help="steps per epoch (all)")
            add("--accelerator", choices=("cpu", "gpu"), default="cpu", help="gpu: by configs/gpu*.yaml (cpu)")
            add("--no-tutorial", dest="tutorial", action="store_false", help="leave the tutorials' loop out")
        if name == "goal":
            add("--config", action="append", default=[], metavar="FILE", help="as of fit, also several times")
            add("--share", type=float, default=0.99, help="accuracy to reach (0.99)")
        if name in ("infer", "scale"):
            add("--ckpt_path", metavar="FILE", help="checkpoint (the weights of the package)")
        if name == "startup":
            add("--onnx", metavar="FILE", help="file of mnist-lstm export, to classify with as well")
        if name == "infer":
            add("--images", type=_positive, default=10_000, help="number of test images (10,000)")
        if name == "serve":
            add("--clients", type=_positive, default=32, help="that ask at once (%(default)s)")
            add("--requests", type=_positive, default=2000, help="in each measurement at most (%(default)s)")
            add("--seconds", type=_positive, default=10, help="of each measurement at most (%(default)s)")
            add("--rate", type=_positive, help="requests per second at a steady rate (half of what many clients get)")
        if name == "scale":
            add("--plot", type=Path, metavar="FILE", help="new PNG file for the curves")
            add("--quick", action="store_true", help="two points per curve, for a trial")
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: must be a whole number of at least 1")
    return int(text)


def _folder(text: str) -> Path:
    return Path(text).expanduser()


if __name__ == "__main__":
    sys.exit(main())
