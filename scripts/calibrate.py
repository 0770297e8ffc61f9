"""Measure how far the probabilities of answers can be trusted, and fit the temperature that makes them right.

python scripts/calibrate.py
python scripts/calibrate.py --part test --seed 2 --figure reliability.png
python scripts/calibrate.py --fit 1000 --seed 3 --ckpt_path pretrained/weights.ckpt

The first two measure on pictures with one digit (photos, scans and drawings of evaluate_pictures.py) and on MNIST's
images: of the answers with a probability of 90 %, are 90 % right? The expected calibration error is the mean distance
between the two, in 15 bins (Guo et al. 2017, "On Calibration of Modern Neural Networks"). Then they read what is no
digit: letters of fonts that no pen of the training draws, and two touching digits in a picture of one. A good reader
doubts these, and is sure of the digits that it reads right.

--fit chooses the temperature by which logits are divided, on pictures with one digit, so that the right digits are as
probable as can be (least negative log-likelihood), and writes it into card.json beside the checkpoint.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import matplotlib
import numpy as np
import numpy.typing as npt
import torch
from evaluate_pictures import load_mnist, positive, whole
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont
from scenes.scenes import Scene, draw_scene
from torch import Tensor
from torchmetrics.functional.classification import multiclass_calibration_error

from mnist_lstm.console import printable, track
from mnist_lstm.data.datasets import Digits
from mnist_lstm.data.forms import UNSEEN_FORMS
from mnist_lstm.errors import InputError
from mnist_lstm.files import find_checkpoint, open_new, refuse_existing, write
from mnist_lstm.inference.classifier import PRETRAINED, Classifier, Prediction, load_classifier
from mnist_lstm.inference.torch_backend import TorchBackend
from mnist_lstm.plots.style import BLUE, ORANGE, finish

BINS = 15
LETTERS = "ABEFHKMNPRTUVWXadefhkmnpruwx?&#%"
"""Characters that nobody writes like a digit."""

HERSHEY = (
    cv2.FONT_HERSHEY_SIMPLEX,
    cv2.FONT_HERSHEY_DUPLEX,
    cv2.FONT_HERSHEY_COMPLEX,
    cv2.FONT_HERSHEY_TRIPLEX,
    cv2.FONT_HERSHEY_SCRIPT_SIMPLEX,
    cv2.FONT_HERSHEY_SCRIPT_COMPLEX,
)
DEJAVU = ("DejaVuSans.ttf", "DejaVuSans-Oblique.ttf", "DejaVuSerif.ttf", "DejaVuSansMono-Bold.ttf")
"""Fonts of OpenCV and of Matplotlib."""

Picture = npt.NDArray[np.uint8] | Image.Image


class Answers(NamedTuple):
    """Probabilities ``(N, 10)`` of pictures with one digit, and what it is ``(N,)``."""

    probabilities: Tensor
    labels: Tensor

    def at(self, temperature: float) -> Tensor:
        """Return the probabilities after division of the logits by a temperature."""
        return (self.probabilities.clamp(min=1e-30).log() / temperature).softmax(dim=1)

    def calibration_error(self, temperature: float = 1.0) -> float:
        """Return the expected calibration error, 0 to 1."""
        return float(multiclass_calibration_error(self.at(temperature), self.labels, self.at(1).shape[1], n_bins=BINS))


def main(args: list[str] | None = None) -> int:
    """Run the script; return the exit code."""
    try:
        calibrate(_parser().parse_args(args))
    except InputError as error:
        print(f"calibrate: error: {printable(str(error))}", file=sys.stderr)
        return 2
    return 0


def calibrate(options: argparse.Namespace) -> None:
    """Measure, or fit the temperature.

    Raises:
        InputError: the checkpoint, its card or MNIST is unavailable, or ``--figure`` exists.
    """
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    path = PRETRAINED if options.ckpt_path is None else find_checkpoint(options.ckpt_path, Path("runs"))
    classifier = load_classifier(path)
    mnist = load_mnist(options.data_dir, options.part)
    if options.fit:
        card = path.with_name("card.json")
        if not card.is_file():
            raise InputError(f"{card}: no such file; scripts/make_pretrained.py makes a card")
        plain = Classifier(TorchBackend(classifier.network), classifier.threshold)
        temperature = fit_temperature(read_photos(plain, options.fit, options.seed, mnist)[0])
        content = json.loads(card.read_text(encoding="utf-8"))
        write(card, (json.dumps(content | {"temperature": temperature}, indent=2) + "\n").encode())
        print(f"temperature {temperature}")
        return
    if options.figure is not None:
        refuse_existing(options.figure, "--figure")
    photos, sheet = read_photos(classifier, options.count, options.seed, mnist)
    images = Answers(torch.tensor(classifier.probabilities(mnist.images)), torch.tensor(mnist.labels))
    undo = 1 / classifier.temperature
    print(f"temperature {classifier.temperature:g}")
    print("calibration error          pictures  accuracy  mean probability    error  without temperature")
    sets = {"pictures of one digit": photos, f"MNIST's {options.part} images": images}
    for name, answers in sets.items():
        top = answers.probabilities.max(dim=1)
        accuracy = (top.indices == answers.labels).double().mean()
        errors = f"{answers.calibration_error():8.2%}  {answers.calibration_error(undo):19.2%}"
        print(f"{name:<25}  {len(answers.labels):8}  {accuracy:8.2%}  {top.values.mean():16.2%} {errors}")
    print()
    print_statuses(classifier, options, mnist, sheet, images)
    if options.figure is not None:
        with open_new(options.figure, "--figure", binary=True) as file:
            draw_reliability(sets).savefig(file, format="png", dpi=100)


def read_photos(
    classifier: Classifier, count: int, seed: int, mnist: Digits
) -> tuple[Answers, list[tuple[str, Prediction]]]:
    """Draw and read ``count`` pictures of one digit: those in which one was read, and every answer with the truth."""
    probabilities, labels, answers = [], [], []
    for number in track(range(count), "reading pictures"):
        scene = _of_one_digit(number, count, seed, mnist)
        prediction = classifier(scene.image)
        answers.append((scene.text, prediction))
        if isinstance(prediction.digit, int):
            probabilities.append(prediction.probabilities)
            labels.append(int(scene.text))
    return Answers(torch.tensor(probabilities), torch.tensor(labels)), answers


def fit_temperature(answers: Answers) -> float:
    """Return the temperature with the least negative log-likelihood, to three digits."""
    log_temperature = torch.zeros((), requires_grad=True)
    logits = answers.probabilities.clamp(min=1e-30).log()
    optimizer = torch.optim.LBFGS([log_temperature], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = torch.nn.functional.cross_entropy(logits / log_temperature.exp(), answers.labels)
        value.backward()
        return value

    optimizer.step(loss)
    return float(f"{float(log_temperature.detach().exp()):.3g}")


def print_statuses(
    classifier: Classifier, options: argparse.Namespace, mnist: Digits, photos: list[tuple[str, Prediction]],
    images: Answers,
) -> None:  # fmt: skip
    """Print which status digits that are read right get, and what is no digit."""
    names = ("ok", "unsure", "several", "empty")
    print("status                     pictures" + "".join(f"{name:>9}" for name in names))

    def show(what: str, statuses: list[str]) -> None:
        counts = Counter(statuses)
        shares = "".join(f"{counts[name] / max(1, len(statuses)):9.1%}" for name in names)
        print(f"{what:<25}  {len(statuses):8}{shares}")

    right = images.probabilities.max(dim=1)
    sure = right.values[right.indices == images.labels] >= classifier.threshold
    show("MNIST's digits, right", ["ok" if is_sure else "unsure" for is_sure in sure.tolist()])
    show("pictures of digits, right", [p.status for text, p in photos if str(p.digit) == text])
    rng = np.random.default_rng(options.seed)
    pairs = [draw_pair(mnist, rng) for _ in range(options.count // 2)]
    for what, pictures in (("letters", list(draw_letters(rng))), ("two digits in one", pairs)):
        show(what, [classifier(picture).status for picture in pictures])


def draw_letters(rng: np.random.Generator) -> Iterator[Picture]:
    """Draw each letter in each font, black on white, 30 to 120 pixels high."""
    for letter in LETTERS:
        for font in HERSHEY:
            scale = rng.uniform(1.5, 5)
            thickness = round(scale * rng.uniform(0.8, 3))
            (width, height), below = cv2.getTextSize(letter, font, scale, thickness)
            canvas = np.full((height + below + 60, width + 60), 255, np.uint8)
            cv2.putText(canvas, letter, (30, height + 30), font, scale, 0, thickness, cv2.LINE_AA)
            yield canvas
        for file in DEJAVU:
            size = int(rng.integers(40, 160))
            picture = Image.new("L", (2 * size, 2 * size), 255)
            folder = Path(matplotlib.get_data_path(), "fonts", "ttf")
            ImageDraw.Draw(picture).text((size // 2, size // 3), letter, 0, ImageFont.truetype(folder / file, size))
            yield picture


def draw_pair(mnist: Digits, rng: np.random.Generator) -> Picture:
    """Draw two of MNIST's digits that touch or overlap by one to three pixels, four times enlarged, black on white."""
    halves = []
    for index in rng.integers(len(mnist.labels), size=2):
        image = mnist.images[index]
        columns = np.flatnonzero(image.any(axis=0))
        halves.append(image[:, columns[0] : columns[-1] + 1])
    left, right = halves
    overlap = int(rng.integers(1, 4))
    canvas = np.zeros((40, left.shape[1] + right.shape[1] - overlap + 12), np.uint8)
    canvas[6:34, 6 : 6 + left.shape[1]] = left
    part = canvas[6:34, 6 + left.shape[1] - overlap :][:, : right.shape[1]]
    np.maximum(part, right, out=part)
    return Image.fromarray(255 - canvas).resize((4 * canvas.shape[1], 160), Image.Resampling.BICUBIC)


def draw_reliability(sets: dict[str, Answers]) -> Figure:
    """Draw the accuracy in each bin of the probability."""
    figure = Figure(figsize=(5, 4.5), layout="constrained")
    axis = figure.subplots()
    axis.plot([0, 1], [0, 1], color="0.6", linewidth=1)
    for (name, answers), colour, marker in zip(sets.items(), (ORANGE, BLUE), "os", strict=True):
        top = answers.probabilities.max(dim=1)
        bins = (top.values * BINS).long().clamp(max=BINS - 1)
        points = []
        for place in bins.unique().tolist():
            chosen = bins == place
            accuracy = (top.indices == answers.labels)[chosen].double().mean()
            points.append((float(top.values[chosen].mean()), float(accuracy), int(chosen.sum())))
        x, y, numbers = zip(*points, strict=True)
        size = [8 + 12 * np.log10(number) for number in numbers]
        axis.scatter(x, y, s=size, color=colour, marker=marker, label=f"{name} ({len(answers.labels):,})", zorder=3)
    finish(axis, xlabel="probability of the answer", ylabel="share of right answers", aspect="equal")
    return figure


def _of_one_digit(number: int, count: int, seed: int, mnist: Digits) -> Scene:
    """Draw the first picture of one digit among ``number``, ``number`` + ``count`` and so on of a series."""
    while True:
        scene = draw_scene(number, seed, mnist, UNSEEN_FORMS)
        if scene.content == "one":
            return scene
        number += count


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--count", type=positive, default=500, metavar="N", help="pictures of one digit (%(default)s)")
    add("--seed", type=whole, default=1, metavar="N", help="of the pictures (%(default)s)")
    add("--part", choices=("val", "test"), default="val", help="MNIST's images (%(default)s)")
    add("--data_dir", type=Path, default="data", metavar="DIR", help="folder of MNIST, filled if need be (data)")
    add(
        "--ckpt_path", metavar="FILE", help="checkpoint, or last or best of the newest run (the weights of the package)"
    )
    add("--figure", type=Path, metavar="FILE", help="new PNG file: reliability diagram")
    add("--fit", type=positive, metavar="N", help="fit the temperature on N pictures, write it into the card, and stop")
    return parser


if __name__ == "__main__":
    sys.exit(main())
