"""scripts/calibrate.py: calibration errors, statuses of what is no digit, and a temperature that fits."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import REPOSITORY

from mnist_lstm.inference import load_classifier
from mnist_lstm.inference.classifier import PRETRAINED


@pytest.fixture
def calibrate(monkeypatch: pytest.MonkeyPatch, archives: Path):
    """The script as a module, with few letters; it finds the tiny MNIST."""
    monkeypatch.syspath_prepend(str(REPOSITORY / "scripts"))
    monkeypatch.setenv("MNIST_LSTM_ARCHIVES", str(archives))
    import calibrate

    monkeypatch.setattr(calibrate, "LETTERS", "AK")
    return calibrate


def test_measures_pictures_mnist_and_what_is_no_digit(calibrate, capsys: pytest.CaptureFixture) -> None:
    options = ["--count", "4", "--figure", "reliability.png"]
    assert calibrate.main(options) == 0
    out = capsys.readouterr().out
    lines = {line[:25].strip(): line[25:].split() for line in out.splitlines()}
    assert lines["temperature 1"] == []
    assert lines["MNIST's val images"][0] == "50"
    assert 1 <= int(lines["pictures of one digit"][0]) <= 4
    assert lines["letters"][0] == "20", "two letters in ten fonts"
    assert lines["two digits in one"][0] == "2"
    shares = [float(share.rstrip("%")) for share in lines["letters"][1:]]
    assert sum(shares) == pytest.approx(100, abs=0.2)
    assert shares[0] < 50, "most letters are doubted"
    assert Path("reliability.png").read_bytes().startswith(b"\x89PNG")
    assert calibrate.main(options) == 2
    assert "--figure" in capsys.readouterr().err


def test_fit_writes_the_temperature_into_the_card(calibrate, capsys: pytest.CaptureFixture) -> None:
    weights = Path("w/weights.ckpt")
    weights.parent.mkdir()
    weights.write_bytes(PRETRAINED.read_bytes())
    assert calibrate.main(["--fit", "3", "--ckpt_path", str(weights)]) == 2
    assert "card.json" in capsys.readouterr().err
    card = weights.with_name("card.json")
    card.write_text(json.dumps({"weights": "weights.ckpt", "seed": 7}))
    assert calibrate.main(["--fit", "3", "--ckpt_path", str(weights)]) == 0
    content = json.loads(card.read_text())
    assert content["seed"] == 7
    assert load_classifier(weights).temperature == content["temperature"] > 0


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_fitted_temperature_undoes_a_wrong_one(calibrate, temperature: float) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(20_000, 10, generator=generator)
    labels = torch.multinomial(logits.softmax(dim=1), 1, generator=generator).flatten()
    answers = calibrate.Answers((logits * temperature).softmax(dim=1), labels)
    assert calibrate.fit_temperature(answers) == pytest.approx(temperature, rel=0.05)
    assert answers.calibration_error(temperature) < 0.015
    if temperature != 1:
        assert answers.calibration_error() > 0.03


def test_letters_and_pairs_are_pictures_with_ink(calibrate) -> None:
    rng = np.random.default_rng(0)
    for picture in calibrate.draw_letters(rng):
        ink = 255 - np.asarray(picture)
        assert ink.max() == 255
        assert ink[0].max() == ink[:, 0].max() == 0, "the letter is whole"
    digits = calibrate.load_mnist(Path("data"), "val")
    for _ in range(5):
        assert 255 - np.asarray(calibrate.draw_pair(digits, rng)).min() > 200
