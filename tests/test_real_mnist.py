"""Real MNIST, where MNIST_LSTM_ARCHIVES names it: the files as published, and what a run on them must reach."""

import re
import statistics
from pathlib import Path

import pytest
import torch
from conftest import REPOSITORY, Command

from mnist_lstm import mnist_files
from mnist_lstm.data import MNISTDataModule


def accuracy_of(run: tuple[int, str, str]) -> float:
    code, out, err = run
    assert code == 0, err
    (accuracy,) = re.findall(r"^test accuracy (\d+\.\d\d) %$", out, flags=re.MULTILINE)
    return float(accuracy)


def test_the_published_files_are_read(real_mnist: Path) -> None:
    images, labels = mnist_files.load(real_mnist, mnist_files.TEST)
    assert images.shape == (10_000, 28, 28)
    assert labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]


def test_the_split_is_5000_images_by_class(real_mnist: Path) -> None:
    data = MNISTDataModule(data_dir=str(real_mnist))
    data.setup("fit")
    train, val = data._sets["train"], data._sets["val"]
    assert (len(train), len(val)) == (55_000, 5_000)
    assert train.images.dtype == torch.uint8
    counts = torch.bincount(torch.cat([train.labels, val.labels]))
    assert (torch.bincount(val.labels) - counts / 12).abs().max() < 1


def test_quickstart_trains_on_mnist_where_it_is(real_mnist: Path, command: Command) -> None:
    config = REPOSITORY / "configs/quickstart.yaml"
    options = ["--data.data_dir", real_mnist, "--trainer.max_epochs=1", "--trainer.limit_train_batches=150"]
    run = command("fit", "--config", config, *options, "--trainer.accelerator=cpu")
    assert accuracy_of(run) > 90
    assert "dataset     mnist\n" in run[1]


@pytest.mark.slow
def test_the_cpu_config_reaches_what_the_readme_says(real_mnist: Path, command: Command) -> None:
    run = command("fit", "--config", REPOSITORY / "configs/cpu.yaml", "--data.data_dir", real_mnist)
    assert accuracy_of(run) >= 98.8


@pytest.mark.slow
def test_the_tutorials_network_reaches_what_the_readme_says(real_mnist: Path, command: Command) -> None:
    options = [
        "--data.batch_size=64",
        "--model.hidden_size=64",
        "--model.bidirectional=false",
        "--model.init=pytorch",
        "--model.optimizer=adam",
        "--model.learning_rate=0.01",
        "--trainer.max_epochs=1",
    ]
    runs = [command("fit", "--data.data_dir", real_mnist, *options, f"--seed_everything={n}") for n in range(3)]
    assert statistics.median(map(accuracy_of, runs)) >= 95.5
