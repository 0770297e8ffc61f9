"""The weights that come with the package, and their card."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
from conftest import REAL_ARCHIVES, REPOSITORY, Command

from mnist_lstm import mnist_files
from mnist_lstm.inference import load_classifier
from mnist_lstm.inference.checkpoint import read_checkpoint
from mnist_lstm.inference.classify import PRETRAINED

CARD = json.loads(PRETRAINED.with_name("card.json").read_text(encoding="utf-8"))


def test_the_card_is_that_of_the_weights() -> None:
    data = PRETRAINED.read_bytes()
    assert len(data) <= 3_000_000
    assert CARD["weights"] == PRETRAINED.name
    assert CARD["sha256"] == hashlib.sha256(data).hexdigest()
    checkpoint = read_checkpoint(PRETRAINED)
    assert CARD["parameters"] == sum(weight.numel() for weight in checkpoint["state_dict"].values())
    assert CARD["recipe"]["model"] == checkpoint["hyper_parameters"]
    assert CARD["recipe"]["data"] == checkpoint["datamodule_hyper_parameters"]
    assert CARD["seed"] == 0
    assert 0 < CARD["best_epoch"] <= CARD["epochs"]
    assert 0.99 < CARD["test_acc"] <= CARD["val_acc"] + 0.01 <= 1.01


def test_the_file_holds_weights_and_nothing_of_the_run() -> None:
    checkpoint = torch.load(PRETRAINED, weights_only=True)
    assert set(checkpoint) == {
        "state_dict",
        "hyper_parameters",
        "datamodule_hyper_parameters",
        "pytorch-lightning_version",
    }


def test_they_come_with_the_package() -> None:
    assert '"pretrained/*"' in (REPOSITORY / "pyproject.toml").read_text()


@pytest.mark.skipif(not REAL_ARCHIVES, reason="needs the real MNIST, see MNIST_LSTM_ARCHIVES")
def test_the_test_accuracy_is_that_on_the_card(real_mnist: Path) -> None:
    images, labels = mnist_files.load(real_mnist, mnist_files.TEST)
    right = (load_classifier().probabilities(images).argmax(axis=1) == labels).mean()
    assert abs(right - CARD["test_acc"]) <= 0.0002  # another machine rounds in another way


def test_the_other_commands_take_them_too(command: Command, archives: Path) -> None:
    code, out, err = command("test", "--ckpt_path", PRETRAINED, "--data.archives", archives)
    assert code == 0, err
    # the tiny MNIST of the tests is made of 8x8 digits
    accuracy = float(out.splitlines()[-1].removeprefix("test accuracy ").removesuffix(" %"))
    assert accuracy >= 80


def test_the_script_makes_them(fit: Command, archives: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import runpy
    import sys

    assert fit("--trainer.max_epochs=1", "--trainer.log_every_n_steps=2")[0] == 0
    script = REPOSITORY / "scripts/make_pretrained.py"
    monkeypatch.setattr(sys, "argv", [str(script), "runs/mnist/version_0", "--output", "made"])
    for code, message in ((0, ""), (2, "exists already")):
        with pytest.raises(SystemExit) as stop:
            runpy.run_path(str(script), run_name="__main__")
        assert stop.value.code == code, message
    card = json.loads(Path("made/card.json").read_text())
    assert card["sha256"] == hashlib.sha256(Path("made/weights.ckpt").read_bytes()).hexdigest()
    assert card["epochs"] == card["best_epoch"] == 1
    best = float(
        fit("--trainer.max_epochs=1", "--trainer.log_every_n_steps=2")[1].split("validation  ")[1].split(" ")[0]
    )
    assert round(100 * card["val_acc"], 2) == best
    assert load_classifier("made/weights.ckpt").threshold == 0.5
