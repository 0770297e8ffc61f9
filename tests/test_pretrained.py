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
    assert {str(weight.dtype) for weight in checkpoint["state_dict"].values()} == {f"torch.{CARD['stored_as']}"}
    assert 0 < CARD["epoch"] <= CARD["epochs"]
    assert CARD["training_images"] + CARD["validation_images"] == 60_000
    assert 0.995 < CARD["test_acc"] < 1


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
    monkeypatch.syspath_prepend(str(REPOSITORY / "scripts"))
    from make_pretrained import main

    code, out, err = fit("--trainer.max_epochs=1", "--trainer.log_every_n_steps=2")
    assert code == 0, err
    for expected in (0, 2):  # the second time it exists already
        assert main(["runs/mnist/version_0", "--output", "made"]) == expected
    card = json.loads(Path("made/card.json").read_text())
    assert card["sha256"] == hashlib.sha256(Path("made/weights.ckpt").read_bytes()).hexdigest()
    assert card["epochs"] == card["epoch"] == 1
    assert (card["training_images"], card["validation_images"]) == (350, 50)
    assert f"validation  {100 * card['val_acc']:.2f} %" in out
    assert f"test accuracy {100 * card['test_acc']:.2f} %" in out
    assert load_classifier("made/weights.ckpt").threshold == 0.5


def test_weights_in_half_precision_and_of_all_images(
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
