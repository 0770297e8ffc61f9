"""The weights in the package, and their card."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
from conftest import REAL_ARCHIVES, REPOSITORY, Command

from mnist_lstm.data import mnist_files
from mnist_lstm.inference import load_classifier
from mnist_lstm.inference.classifier import PRETRAINED

CARD = json.loads(PRETRAINED.with_name("card.json").read_text(encoding="utf-8"))


def test_card_describes_the_weights() -> None:
    data = PRETRAINED.read_bytes()
    assert len(data) <= 3_000_000
    assert CARD["weights"] == PRETRAINED.name
    assert CARD["sha256"] == hashlib.sha256(data).hexdigest()
    checkpoint = torch.load(PRETRAINED, weights_only=True)
    assert CARD["parameters"] == sum(weight.numel() for weight in checkpoint["state_dict"].values())
    assert CARD["recipe"]["model"] == checkpoint["hyper_parameters"]
    assert CARD["recipe"]["data"] == checkpoint["datamodule_hyper_parameters"]
    assert {str(weight.dtype) for weight in checkpoint["state_dict"].values()} == {f"torch.{CARD['stored_as']}"}
    assert 0 < CARD["epoch"] <= CARD["epochs"]
    assert CARD["training_images"] + CARD["validation_images"] == 60_000
    assert 0.995 < CARD["test_acc"] < 1


def test_checkpoint_contains_only_weights_and_options() -> None:
    checkpoint = torch.load(PRETRAINED, weights_only=True)
    assert set(checkpoint) == {
        "state_dict",
        "hyper_parameters",
        "datamodule_hyper_parameters",
        "pytorch-lightning_version",
    }


def test_weights_are_package_data() -> None:
    assert '"pretrained/*"' in (REPOSITORY / "pyproject.toml").read_text()


@pytest.mark.skipif(not REAL_ARCHIVES, reason="set MNIST_LSTM_ARCHIVES to the folder of MNIST's archives")
def test_test_accuracy_matches_the_card(real_mnist: Path) -> None:
    images, labels = mnist_files.load(real_mnist, mnist_files.TEST)
    right = (load_classifier().probabilities(images).argmax(axis=1) == labels).mean()
    assert abs(right - CARD["test_acc"]) <= 0.0002  # rounding differs between machines


def test_test_command_reads_the_pretrained_weights(command: Command, archives: Path) -> None:
    options = ["--data.archives", archives, "--trainer.accelerator", "cpu"]
    code, out, err = command("test", "--ckpt_path", PRETRAINED, *options)
    assert code == 0, err
    # the tiny MNIST of the tests consists of enlarged 8x8 digits
    accuracy = float(out.splitlines()[-1].removeprefix("test accuracy ").removesuffix(" %"))
    assert accuracy >= 80


def test_make_pretrained_writes_weights_and_card(fit: Command, archives: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(REPOSITORY / "scripts"))
    from make_pretrained import main

    code, out, err = fit("--trainer.max_epochs=1", "--trainer.log_every_n_steps=2")
    assert code == 0, err
    for expected in (0, 2):  # the second time, the folder exists
        assert main(["runs/mnist/version_0", "--output", "made"]) == expected
    card = json.loads(Path("made/card.json").read_text())
    assert card["sha256"] == hashlib.sha256(Path("made/weights.ckpt").read_bytes()).hexdigest()
    assert card["epochs"] == card["epoch"] == 1
    assert (card["training_images"], card["validation_images"]) == (350, 50)
    assert f"validation  {100 * card['val_acc']:.2f} %" in out
    assert f"test accuracy {100 * card['test_acc']:.2f} %" in out
    assert load_classifier("made/weights.ckpt").threshold == 0.5


def test_make_pretrained_in_half_precision_from_a_run_on_all_images(
    fit: Command, archives: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(REPOSITORY / "scripts"))
    from make_pretrained import main

    code, _, err = fit("--data.val_size=0", "--trainer.log_every_n_steps=2")
    assert code == 0, err
    for folder, options in (("half", ["--half"]), ("whole", [])):
        assert main(["runs/mnist/version_0", "--output", folder, *options]) == 0
    half, whole = (json.loads(Path(folder, "card.json").read_text()) for folder in ("half", "whole"))
    assert (half["stored_as"], whole["stored_as"]) == ("float16", "float32")
    assert (half["training_images"], half["validation_images"], half["val_acc"]) == (400, 0, None)
    assert half["epoch"] == half["epochs"] == 2
    assert abs(half["test_acc"] - whole["test_acc"]) <= 0.01
    sizes = [Path(folder, "weights.ckpt").stat().st_size for folder in ("half", "whole")]
    assert sizes[0] < 0.7 * sizes[1]
    assert next(load_classifier("half/weights.ckpt").network.parameters()).dtype == torch.float32
