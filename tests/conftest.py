"""Shared fixtures: a tiny MNIST, the command run in this process, a trained checkpoint, a clean environment."""

import gzip
import hashlib
import os
import re
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # as the command does; before PyTorch is imported

import numpy as np
import pytest
import torch

from mnist_lstm.cli import LIGHTNING_COMMANDS, main
from mnist_lstm.data import datasets, mnist_files
from mnist_lstm.data.datasets import load_sklearn_digits

REPOSITORY = Path(__file__).parent.parent
REAL_ARCHIVES = os.environ.get("MNIST_LSTM_ARCHIVES")
TRAIN_SIZE, VAL_SIZE, TEST_SIZE = 400, 50, 100
GPU_MARKS = (
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA GPU"),
)
"""Of tests that need one; ``pytest -m gpu`` runs these and no others."""

torch.set_num_threads(1)  # networks this small do not gain from threads


@pytest.fixture(autouse=True)
def _same_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Start every test in an empty folder, with neither archives nor a mirror set in the environment."""
    monkeypatch.delenv("MNIST_LSTM_ARCHIVES", raising=False)
    monkeypatch.delenv("MNIST_LSTM_MIRROR", raising=False)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)


def to_idx(array: np.ndarray) -> bytes:
    """Encode a uint8 array as IDX."""
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write_archive(path: Path, array: np.ndarray) -> None:
    """Write a gzipped IDX file; equal arrays give equal bytes."""
    path.write_bytes(gzip.compress(to_idx(array), mtime=0))


def publish(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the archives in a folder pass for the published ones: expect their MD5 sums instead."""
    for name in mnist_files.ARCHIVE_MD5:
        packed = (folder / f"{name}.gz").read_bytes()
        monkeypatch.setitem(mnist_files.ARCHIVE_MD5, name, hashlib.md5(packed).hexdigest())
        monkeypatch.setitem(mnist_files.UNPACKED_MD5, name, hashlib.md5(gzip.decompress(packed)).hexdigest())
    monkeypatch.setitem(datasets.VAL_SIZE, "mnist", VAL_SIZE)


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
    """A folder with the four archives of a tiny MNIST: 400 of scikit-learn's digits to train, 100 to test."""
    folder = Path(shutil.copytree(_tiny_archives, tmp_path / "archives"))
    publish(folder, monkeypatch)
    return folder


class Evil:
    """Creates the file ``it ran`` when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[[], None], tuple[()]]:
        return (Path("it ran").touch, ())


Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Run ``mnist-lstm ARGS`` in this process; returns exit code, standard output and standard error.

    Lightning's commands run on the CPU, whatever the machine has, unless a config or an argument says otherwise.
    """

    def run(*args: str | Path) -> tuple[int, str, str]:
        capsys.readouterr()
        texts = [str(arg) for arg in args]
        if texts and texts[0] in LIGHTNING_COMMANDS:
            texts.insert(1, "--trainer.accelerator=cpu")
        try:
            code = main(texts)
        except SystemExit as stop:  # how argparse ends
            code = int(stop.code or 0)
        out, err = capsys.readouterr()
        return code, out, err

    return run


def succeed(command: Command, *args: str | Path) -> tuple[str, str]:
    """Run a command that must succeed; returns standard output and standard error."""
    code, out, err = command(*args)
    assert code == 0, err
    return out, err


def fail(command: Command, *args: str | Path) -> str:
    """Run a command that must end with exit code 2 and no traceback; returns standard error."""
    code, out, err = command(*args)
    assert code == 2, err
    assert "Traceback" not in out + err
    return err


def fit_args(archives: Path, *args: str | Path) -> list[str | Path]:
    """Return arguments to fit a small network to the tiny MNIST: 2 epochs of 6 steps, no pictures."""
    small = ["--trainer.accelerator=cpu", "--model.hidden_size=16", "--data.batch_size=64", "--trainer.max_epochs=2"]
    own = sorted({module for arg in args for module in re.findall(r'"class_path": "(test_\w+)\.', str(arg))})
    allowed = [f"--allow_custom_classes={module}" for module in own]  # callbacks of the tests themselves
    return ["fit", "--data.archives", archives, *small, "--pictures_every_n_epochs=0", *args, *allowed]


@pytest.fixture
def fit(command: Command, archives: Path) -> Command:
    """Run ``mnist-lstm fit`` with the arguments of `fit_args`; later arguments override them."""
    return lambda *args: command(*fit_args(archives, *args))


@pytest.fixture(scope="session")
def _one_epoch(_tiny_archives: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("one_epoch")
    with pytest.MonkeyPatch.context() as monkeypatch:
        publish(_tiny_archives, monkeypatch)
        monkeypatch.chdir(folder)
        assert main([str(arg) for arg in fit_args(_tiny_archives, "--trainer.max_epochs=1")]) == 0
    return folder


@pytest.fixture
def trained(_one_epoch: Path, archives: Path) -> Path:
    """The checkpoints' folder of a one-epoch `fit`, whose ``runs`` and ``data`` are copied to the working folder."""
    shutil.copytree(_one_epoch, Path(), dirs_exist_ok=True)  # keeps the times, by which runs are ordered
    return Path("runs/mnist/version_0/checkpoints")


@pytest.fixture(scope="session")
def real_mnist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with the real MNIST, unpacked from the archives in MNIST_LSTM_ARCHIVES."""
    if not REAL_ARCHIVES:
        pytest.skip("set MNIST_LSTM_ARCHIVES to the folder with the four published archives to run this on real MNIST")
    data_dir = tmp_path_factory.mktemp("mnist")
    mnist_files.fetch(data_dir, Path(REAL_ARCHIVES))
    return data_dir
