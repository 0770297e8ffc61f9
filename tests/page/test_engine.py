"""The page's network answers as PyTorch does."""

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from node import needs_node, run_node

from mnist_lstm.data import mnist_files
from mnist_lstm.data.datasets import load_sklearn_digits
from mnist_lstm.data.format import PAPER, STD, normalise
from mnist_lstm.explain.explanation import explain
from mnist_lstm.inference.classifier import load_classifier
from mnist_lstm.network.cells import by_equations
from mnist_lstm.network.model import RowLSTM
from mnist_lstm.page import build
from mnist_lstm.page.build import GATES, describe

pytestmark = needs_node


@pytest.fixture(autouse=True)
def _no_order_of_units(monkeypatch: pytest.MonkeyPatch) -> None:
    """Save the time that it takes; it does not matter for what the network answers."""
    monkeypatch.setattr(build, "_order_units", lambda network: [])


READ = Path(__file__).parent / "read.js"
CHOICES = {
    "cell": ("lstm", "gru", "rnn"),
    "num_layers": (1, 2),
    "bidirectional": (True, False),
    "pooling": ("final", "avgmax"),
    "deskew": (False, True),
    "scan_order": ("rows", "columns"),
    "gradient_features": (False, True),
}
EVERY = [dict(zip(CHOICES, values, strict=True)) for values in product(*CHOICES.values())]


def random_network(seed: int, **options: Any) -> RowLSTM:
    """Return a network that is sure of its answers, with weights that are the same in float16."""
    torch.manual_seed(seed)
    network = RowLSTM(hidden_size=7, init="pytorch", **options)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            # larger weights of the recurrent layers would make them chaotic, and rounding errors would grow
            weight.mul_(6 if name.startswith("head") else 1.5)
            weight.copy_(weight.half())
    return network.requires_grad_(False).eval()


def some_digits(number: int, seed: int = 0) -> torch.Tensor:
    """Return digits, and images that are harder to deskew: blank, full, noise, a corner, a level bar."""
    odd = np.zeros((5, 28, 28), dtype=np.uint8)
    odd[1] = 255
    odd[2] = np.random.default_rng(seed).integers(0, 256, (28, 28))
    odd[3, :3, 25:] = 200
    odd[4, 20:22, 1:20] = 255
    return torch.tensor(np.concatenate([load_sklearn_digits()[0][seed : seed + number], odd]))


def read(
    folder: Path,
    networks: list[RowLSTM],
    images: torch.Tensor,
    temperature: float = 1.0,
    *,
    only_probabilities: bool = False,
) -> Any:
    digits = images.flatten(1).tolist()
    nothing = np.zeros((0, 28, 28), dtype=np.uint8)
    cases = [
        {"model": describe(network, {}, nothing, temperature), "images": digits, "short": only_probabilities}
        for network in networks
    ]
    return run_node(folder / "static", READ, cases)


def test_probabilities_and_gates_are_those_of_pytorch_for_every_option(tmp_path: Path) -> None:
    networks = [random_network(seed, **options) for seed, options in enumerate(EVERY)]
    images = some_digits(2)
    largest = 0.0
    for network, answers in zip(networks, read(tmp_path, networks, images), strict=True):
        sequences = network.to_sequence(normalise(images))
        probabilities = network(normalise(images)).softmax(dim=1)
        gates = by_equations(network.rnn).trace(network.append_features(sequences)).gates
        for number, answer in enumerate(answers):
            torch.testing.assert_close(torch.tensor(answer["probabilities"]), probabilities[number], rtol=0, atol=1e-5)
            difference = torch.tensor(answer["probabilities"]) - probabilities[number]
            largest = max(largest, float(difference.abs().max()))
            assert np.argmax(answer["probabilities"]) == int(probabilities[number].argmax())
            sequence = torch.tensor(answer["sequence"]).view(28, 28)
            torch.testing.assert_close(sequence, sequences[number], rtol=0, atol=2e-5)
            assert len(answer["places"]) == len(gates)
            for place, values in zip(answer["places"], gates, strict=True):
                assert "".join(place["values"]) == GATES[network.options.cell]
                for name, traced in place["values"].items():
                    shown = torch.tensor(traced).view(place["steps"], place["units"])
                    torch.testing.assert_close(shown, values[name][number], rtol=0, atol=1e-4)
    print(f"largest difference of a probability over {len(EVERY)} networks: {largest:.1e}")


@pytest.mark.parametrize("scan_order", ["rows", "columns"])
@pytest.mark.parametrize("deskew", [False, True])
def test_predictions_are_those_of_explain(tmp_path: Path, deskew: bool, scan_order: str) -> None:
    options = [o for o in EVERY if o["deskew"] == deskew and o["scan_order"] == scan_order]
    networks = [random_network(seed, **each) for seed, each in enumerate(options[:: 5 if deskew else 11])]
    images = some_digits(1, seed=3)
    for network, answers in zip(networks, read(tmp_path, networks, images), strict=True):
        for image, answer in zip(images, answers, strict=True):
            explanation = explain(network, image)
            predictions = torch.tensor(answer["predictions"], dtype=torch.float64).view(28, 10)
            torch.testing.assert_close(predictions, explanation.prefix_probabilities, rtol=0, atol=1e-5)
            assert answer["settles"] == explanation.settles_at


def test_temperature_divides_the_logits(tmp_path: Path) -> None:
    network = random_network(0)
    images = some_digits(1)
    (answers,) = read(tmp_path, [network], images, temperature=1.7)
    expected = (network(normalise(images)) / 1.7).softmax(dim=1)
    torch.testing.assert_close(torch.tensor([a["probabilities"] for a in answers]), expected, rtol=0, atol=1e-5)


def test_ink_that_is_shown_is_the_deskewed_digit_upright(tmp_path: Path) -> None:
    network = random_network(0, deskew=True, scan_order="columns")
    images = some_digits(2)
    (answers,) = read(tmp_path, [network], images)
    expected = ((network.to_sequence(normalise(images)).transpose(1, 2) - PAPER) * STD).clamp(0, 1)
    shown = torch.tensor([answer["ink"] for answer in answers]).view(-1, 28, 28)
    torch.testing.assert_close(shown, expected, rtol=0, atol=1e-5)


def test_weights_of_the_package_answer_as_in_pytorch(tmp_path: Path, real_mnist: Path) -> None:
    images = torch.tensor(mnist_files.load(real_mnist, mnist_files.TEST)[0][:1000])
    classifier = load_classifier()
    (answers,) = read(tmp_path, [classifier.network], images, classifier.temperature, only_probabilities=True)
    with torch.no_grad():
        expected = (classifier.network(normalise(images)) / classifier.temperature).softmax(dim=1)
    found = torch.tensor([answer["probabilities"] for answer in answers])
    print(
        f"largest difference of a probability on {len(images)} test images: {float((found - expected).abs().max()):.1e}"
    )
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert torch.equal(found.argmax(dim=1), expected.argmax(dim=1))
