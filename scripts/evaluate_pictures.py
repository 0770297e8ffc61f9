"""Evaluate how pictures are read: photos, scans and drawings made by a program, each with its truth.

python scripts/evaluate_pictures.py
python scripts/evaluate_pictures.py --count 500 --ckpt_path best --save mistakes
python scripts/evaluate_pictures.py --count 3000 --seed 31 --part test --content empty

Half of the writers use a pen, with forms of the digits that serve for measuring alone; the others write MNIST's
validation images. Each picture is read as a user would: a single digit as one digit, the others with split=True. A
picture counts as a whole, so one wrong digit of nine makes it wrong:

right           all digits and lines are right, whether the answer is sure or not; an empty sheet is called empty
wrong and sure  the answer is sure and is not what is written; any answer on an empty sheet
unsure          not right, and marked: status unsure or several
empty           something is written, and the sheet is called empty

The same options print the same tables on any number of processes.
"""

import argparse
import multiprocessing
import os
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import torch
from scenes.scenes import CONTENTS, KINDS, Scene, draw_scene, find_scenes

from mnist_lstm.console import printable, track
from mnist_lstm.data import datasets
from mnist_lstm.data.forms import UNSEEN_FORMS
from mnist_lstm.errors import InputError
from mnist_lstm.files import empty_folder, find_checkpoint, open_new
from mnist_lstm.inference.classifier import Classifier, Prediction, load_classifier

Verdict = Literal["right", "wrong and sure", "unsure", "empty"]
VERDICTS: tuple[Verdict, ...] = ("right", "wrong and sure", "unsure", "empty")

MAX_NAME = 60
"""Maximum number of characters of a text in the name of a file."""


@dataclass(frozen=True)
class Outcome:
    """How one picture was read; ``kind`` and ``content`` are the scene's."""

    kind: str
    content: str
    verdict: Verdict


@dataclass(frozen=True)
class Reader:
    """Draws and reads pictures of one series.

    Attributes:
        classifier: reads them.
        mnist: digits of half of the writers.
        seed: of the series.
        folder: for the pictures that are not read right; None: they are not saved.
    """

    classifier: Classifier
    mnist: datasets.Digits
    seed: int
    folder: Path | None

    def read(self, number: int) -> Outcome:
        """Draw picture ``number``, read it, compare the answer with the truth, and save the picture if it is wrong."""
        scene = draw_scene(number, self.seed, self.mnist, UNSEEN_FORMS)
        split = bool(number % 2) if scene.content == "empty" else scene.content != "one"
        prediction = self.classifier(scene.image, split=split)
        verdict = judge(scene.text, prediction)
        if verdict != "right" and self.folder is not None:
            path = self.folder / file_name(scene, prediction)
            with open_new(path, "--save", binary=True) as file:
                scene.image.save(file, "PNG")
        return Outcome(scene.kind, scene.content, verdict)


_reader: Reader
"""Of this process, made by `_start`."""


def main(args: list[str] | None = None) -> int:
    """Run the script; return the exit code."""
    try:
        evaluate(_parser().parse_args(args))
    except InputError as error:
        print(f"evaluate_pictures: error: {printable(str(error))}", file=sys.stderr)
        return 2
    return 0


def evaluate(options: argparse.Namespace) -> None:
    """Draw and read the pictures, print the tables, and save what was asked for.

    Raises:
        InputError: the checkpoint or MNIST is unavailable, or ``--save`` is not an empty folder.
    """
    path = None if options.ckpt_path is None else find_checkpoint(options.ckpt_path, Path("runs")).absolute()
    load_classifier(path)  # a bad one is reported before the first picture is drawn
    mnist = load_mnist(options.data_dir, options.part)
    folder = None if options.save is None else empty_folder("--save", options.save).absolute()
    numbers: Sequence[int] = range(options.count)
    if options.content is not None:
        numbers = find_scenes(options.count, options.seed, options.content)
    outcomes = read_pictures(numbers, options.jobs, path, mnist, options.seed, folder)
    print_table("content", tuple(dict.fromkeys(CONTENTS)), outcomes)
    print()
    print_table("kind", KINDS, outcomes)
    print(_row("all", outcomes))


def load_mnist(data_dir: Path, part: Literal["val", "test"]) -> datasets.Digits:
    """Return the validation or test images of MNIST ``(N, 28, 28)`` with labels; download MNIST if it is missing.

    Raises:
        InputError: MNIST is unavailable.
    """
    data_dir = data_dir.expanduser()
    datasets.prepare("mnist", data_dir, *datasets.sources())
    return datasets.load_split("mnist", part, data_dir)


def read_pictures(
    numbers: Sequence[int], jobs: int, path: Path | None, mnist: datasets.Digits, seed: int, folder: Path | None
) -> list[Outcome]:
    """Draw and read pictures of a series in ``jobs`` processes, with one thread each.

    Args:
        numbers: of the pictures.
        jobs: number of processes; 1: this one.
        path: of the checkpoint; None: the weights of the package.
        mnist: digits of half of the writers.
        seed: of the series.
        folder: for the pictures that are not read right, or None.

    Returns:
        The outcomes in the order of the pictures, the same for any number of processes.
    """
    what = "reading pictures"
    if jobs == 1 or len(numbers) <= 1:
        _start(path, mnist, seed, folder)
        return [_read(number) for number in track(numbers, what)]
    # a forked process would inherit PyTorch's threads in whatever state they are
    pool = ProcessPoolExecutor(
        min(jobs, len(numbers)), multiprocessing.get_context("spawn"), _start, (path, mnist, seed, folder)
    )
    try:
        return [future.result() for future in track([pool.submit(_read, number) for number in numbers], what)]
    finally:
        pool.shutdown(cancel_futures=True)


def judge(truth: str, prediction: Prediction) -> Verdict:
    """Return how good an answer is.

    Args:
        truth: the digits, lines separated by a newline; "" for an empty sheet.
        prediction: of the picture.
    """
    if not truth:
        return "right" if prediction.status == "empty" else "wrong and sure"
    if prediction.status == "empty":
        return "empty"
    if prediction.digit is not None and str(prediction.digit) == truth:
        return "right"
    return "wrong and sure" if prediction.status == "ok" else "unsure"


def file_name(scene: Scene, prediction: Prediction) -> str:
    """Return NUMBER-KIND-TRUTH-ANSWER.png; lines are separated by underscores, long texts end in a plus sign."""
    answer = prediction.status if prediction.digit is None else str(prediction.digit)
    texts = [text.replace("\n", "_") for text in (scene.text or "empty", answer)]
    truth, answer = (text if len(text) <= MAX_NAME else f"{text[:MAX_NAME]}+" for text in texts)
    return f"{scene.number:05}-{scene.kind}-{truth}-{answer}.png"


def print_table(attribute: Literal["content", "kind"], names: Iterable[str], outcomes: list[Outcome]) -> None:
    """Print one line per value of an attribute, with the number of pictures and the percentage of each verdict."""
    print(f"{attribute:<10}  pictures" + "".join(f"  {verdict:>{_width(verdict)}}" for verdict in VERDICTS))
    for name in names:
        print(_row(name, [outcome for outcome in outcomes if getattr(outcome, attribute) == name]))


def _row(name: str, outcomes: list[Outcome]) -> str:
    cells = []
    for verdict in VERDICTS:
        number = sum(outcome.verdict == verdict for outcome in outcomes)
        share = f"{100 * number / len(outcomes):.1f} %" if outcomes else "-"
        cells.append(f"  {share:>{_width(verdict)}}")
    return f"{name:<10}  {len(outcomes):8}" + "".join(cells)


def _width(verdict: str) -> int:
    return max(len(verdict), len("100.0 %"))


def _start(path: Path | None, mnist: datasets.Digits, seed: int, folder: Path | None) -> None:
    """Make the reader of this process."""
    global _reader
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    _reader = Reader(load_classifier(path), mnist, seed, folder)


def _read(number: int) -> Outcome:
    return _reader.read(number)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--count", type=positive, default=2000, metavar="N", help="pictures in the series (%(default)s)")
    names = tuple(dict.fromkeys(CONTENTS))
    add("--content", choices=names, help="only those of the pictures with this content (all)")
    add("--seed", type=whole, default=1, metavar="N", help="of the pictures (%(default)s)")
    add("--part", choices=("val", "test"), default="val", help="MNIST's images for half of the writers (%(default)s)")
    add("--data_dir", type=Path, default="data", metavar="DIR", help="folder of MNIST, filled if need be (data)")
    add(
        "--ckpt_path", metavar="FILE", help="checkpoint, or last or best of the newest run (the weights of the package)"
    )
    add("--jobs", type=positive, default=os.cpu_count() or 1, metavar="N", help="number of processes (all cores)")
    add("--save", metavar="DIR", help="new or empty folder: each picture that is not read right")
    return parser


def positive(text: str) -> int:
    """Parse a number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: must be a whole number of at least 1")
    return int(text)


def whole(text: str) -> int:
    """Parse a number of at least 0."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text}: must be a whole number of at least 0")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
