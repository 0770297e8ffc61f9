"""Tests on the real MNIST, if MNIST_LSTM_ARCHIVES names it: the published files, and the accuracy that runs reach."""

import re
import statistics
from pathlib import Path

import numpy as np
import pytest
from conftest import REPOSITORY, Command

from mnist_lstm.data.datasets import load_split, load_train_and_val


def accuracy_of(run: tuple[int, str, str]) -> float:
    code, out, err = run
    assert code == 0, err
    (accuracy,) = re.findall(r"^test accuracy (\d+\.\d\d) %$", out, flags=re.MULTILINE)
    return float(accuracy)


def test_published_files_are_read(real_mnist: Path) -> None:
    images, labels = load_split("mnist", "test", real_mnist)
    assert images.shape == (10_000, 28, 28)
    assert labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]


def test_split_holds_out_5000_images_by_class(real_mnist: Path) -> None:
    train, val = load_train_and_val("mnist", real_mnist)
    assert (len(train.images), len(val.images)) == (len(train.labels), len(val.labels)) == (55_000, 5_000)
    assert train.images.dtype == np.uint8
    counts = np.bincount(np.concatenate([train.labels, val.labels]))
    assert np.abs(np.bincount(val.labels) - counts / 12).max() < 1


def test_quickstart_trains_on_mnist_if_it_is_available(real_mnist: Path, command: Command) -> None:
    config = REPOSITORY / "configs/quickstart.yaml"
    quick = ["--model.hidden_size=64", "--trainer.max_epochs=1", "--trainer.limit_train_batches=150"]
    quick += ["--trainer.accelerator=cpu", "--pictures_every_n_epochs=0"]
    run = command("fit", "--config", config, "--data.data_dir", real_mnist, *quick)
    assert accuracy_of(run) > 90
    assert "dataset     mnist\n" in run[1]


@pytest.mark.slow
def test_cpu_config_reaches_its_accuracy(real_mnist: Path, command: Command) -> None:
    run = command("fit", "--config", REPOSITORY / "configs/cpu.yaml", "--data.data_dir", real_mnist)
    assert accuracy_of(run) >= 98.8


@pytest.mark.slow
def test_tutorial_network_reaches_its_accuracy(real_mnist: Path, command: Command) -> None:
    options = [
        "--data.batch_size=64",
        "--model.hidden_size=64",
        "--model.bidirectional=false",
        "--model.init=pytorch",
        "--model.optimizer=adam",
        "--model.learning_rate=0.01",
        "--trainer.max_epochs=1",
        "--trainer.accelerator=cpu",
    ]
    runs = [command("fit", "--data.data_dir", real_mnist, *options, f"--seed_everything={n}") for n in range(3)]
    assert statistics.median(map(accuracy_of, runs)) >= 95.5
