"""A tiny MNIST, the command in this process, and an environment that is the same everywhere."""

import gzip
import hashlib
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # as the command sets it, and before PyTorch is imported

import numpy as np
import pytest
import torch

from mnist_lstm.cli import main
from mnist_lstm.data import datasets, mnist_files
from mnist_lstm.data.datasets import load_sklearn_digits

REPOSITORY = Path(__file__).parent.parent
REAL_ARCHIVES = os.environ.get("MNIST_LSTM_ARCHIVES")
TRAIN_SIZE, TEST_SIZE = 400, 100

torch.set_num_threads(1)  # the networks here are so small that threads only wait for each other


@pytest.fixture(autouse=True)
def _same_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Start every test in an empty folder, without archives or mirrors named by the environment."""
    monkeypatch.delenv("MNIST_LSTM_ARCHIVES", raising=False)
    monkeypatch.delenv("MNIST_LSTM_MIRROR", raising=False)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)


def to_idx(array: np.ndarray) -> bytes:
    """Put an array of bytes into the IDX format."""
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write_archive(path: Path, array: np.ndarray) -> None:
    """Write an IDX archive that is the same, byte for byte, for the same array."""
    path.write_bytes(gzip.compress(to_idx(array), mtime=0))


def publish(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the archives in a folder for the published ones: put their MD5 sums in the place of the real ones."""
    for name in mnist_files.ARCHIVE_MD5:
        packed = (folder / f"{name}.gz").read_bytes()
        monkeypatch.setitem(mnist_files.ARCHIVE_MD5, name, hashlib.md5(packed).hexdigest())
        monkeypatch.setitem(mnist_files.UNPACKED_MD5, name, hashlib.md5(gzip.decompress(packed)).hexdigest())


@pytest.fixture(scope="session")
def _tiny_archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archives")
    images, labels = load_sklearn_digits()
    train, test = slice(0, TRAIN_SIZE), slice(TRAIN_SIZE, TRAIN_SIZE + TEST_SIZE)
    for pair, part in ((mnist_files.TRAIN, train), (mnist_files.TEST, test)):
        write_archive(folder / f"{pair.images}.gz", images[part])
        write_archive(folder / f"{pair.labels}.gz", labels[part].astype(np.uint8))
    return folder


@pytest.fixture
def archives(_tiny_archives: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the four archives of a tiny MNIST of real digits: 400 to train, 100 to test."""
    folder = Path(shutil.copytree(_tiny_archives, tmp_path / "archives"))
    publish(folder, monkeypatch)
    monkeypatch.setitem(datasets.VAL_SIZE, "mnist", 50)
    return folder


Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Run ``mnist-lstm ARGS`` in this process; returns exit code, standard output and standard error."""

    def run(*args: str | Path) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            code = main([str(arg) for arg in args])
        except SystemExit as stop:  # how argparse ends
            code = int(stop.code or 0)
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def fit(command: Command, archives: Path) -> Command:
    """Run ``mnist-lstm fit`` on the tiny MNIST with a small network: one epoch is 6 steps, unless told otherwise."""

    def run(*args: str | Path) -> tuple[int, str, str]:
        small = ["--trainer.accelerator=cpu", "--model.hidden_size=16", "--data.batch_size=64"]
        return command("fit", "--data.archives", archives, *small, "--trainer.max_epochs=2", *args)

    return run


@pytest.fixture(scope="session")
def real_mnist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with the real MNIST, from the archives that MNIST_LSTM_ARCHIVES named when the tests began."""
    if not REAL_ARCHIVES:
        pytest.skip("set MNIST_LSTM_ARCHIVES to the folder with the four published archives to run this on real MNIST")
    data_dir = tmp_path_factory.mktemp("mnist")
    mnist_files.fetch(data_dir, Path(REAL_ARCHIVES))
    return data_dir
