"""The data sets by name, as arrays: MNIST, and scikit-learn's digits for machines without MNIST or a network.

train, val = load_train_and_val("mnist", "data")
test = load_split("mnist", "test", "data")
"""

import functools
import os
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from mnist_lstm.data import mnist_files
from mnist_lstm.data.format import place
from mnist_lstm.data.splits import Indices, stratified_split, writers_split
from mnist_lstm.errors import InputError

Name = Literal["mnist", "digits"]
Request = Literal["mnist", "digits", "auto"]
Part = Literal["train", "val", "test"]
Split = Literal["random", "writers"]

VAL_SIZE = {"mnist": 5000, "digits": 180}
"""Default number of training images held out for validation."""

DIGITS_TEST_SIZE = 360
DIGITS_TEST_SEED = 0
"""scikit-learn's digits have no published test set: the same 360 of the 1,797 are always set aside."""


class Digits(NamedTuple):
    """uint8 images ``(N, 28, 28)``, 0 (paper) to 255 (ink), and their int64 labels ``(N,)``."""

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]

    def select(self, indices: Indices) -> "Digits":
        """Return the images at ``indices``, with their labels."""
        return Digits(self.images[indices], self.labels[indices])


def load_split(name: Name, part: Part, data_dir: str | Path = "data", **options: Any) -> Digits:
    """Load one part of a data set; options and errors are those of `load_train_and_val`.

    The test set is loaded by ``part="test"`` and by nothing else.
    """
    if part == "test":
        return _load(name, data_dir, is_test=True)
    train, val = load_train_and_val(name, data_dir, **options)
    return train if part == "train" else val


def load_train_and_val(
    name: Name,
    data_dir: str | Path = "data",
    *,
    val_size: int | None = None,
    split: Split = "random",
    split_seed: int = 0,
) -> tuple[Digits, Digits]:
    """Load the training images, some of them held out for validation.

    Args:
        name: mnist or digits.
        data_dir: folder of MNIST, filled by `prepare`.
        val_size: images to hold out; default: `VAL_SIZE`.
        split: random: by class; writers: in runs of consecutive images (see `mnist_lstm.data.splits`).
        split_seed: of the split.

    Raises:
        InputError: MNIST is missing or damaged, or there are too few images to hold that many out.
    """
    check_split(name, split, val_size)
    digits = _load(name, data_dir, is_test=False)
    total = len(digits.labels)
    size = VAL_SIZE[name] if val_size is None else val_size
    if size >= total:
        raise InputError(f"val_size {size:,}: {name} has only {total:,} training images")
    if split == "writers":
        train, val = writers_split(total, size, split_seed)
    else:
        train, val = stratified_split(digits.labels, size, split_seed)
    return digits.select(train), digits.select(val)


def prepare(
    request: Request, data_dir: str | Path = "data", archives: Path | None = None, mirror: str | None = None
) -> tuple[Name, str]:
    """Make a data set available in ``data_dir``: unpack MNIST if it is missing, as `mnist_files.fetch` does.

    Return its name, and why it is not MNIST if auto fell back to digits, else "".
    """
    if request == "digits":
        return "digits", ""
    try:
        mnist_files.fetch(Path(data_dir), archives, mirror)
    except InputError as error:
        if request == "mnist":
            raise
        return "digits", f"MNIST is unavailable; falling back to scikit-learn's digits. {error}"
    return "mnist", ""


def sources(archives: str | None = None, mirror: str | None = None) -> tuple[Path | None, str | None]:
    """Return where `prepare` takes MNIST from: as given, or as the environment says."""
    folder = archives or os.environ.get("MNIST_LSTM_ARCHIVES")
    return Path(folder).expanduser() if folder else None, mirror or os.environ.get("MNIST_LSTM_MIRROR") or None


def resolve(request: Request, data_dir: str | Path) -> Name:
    """Return the data set that ``request`` means after `prepare`, from the disk alone: the same in every process."""
    if request == "auto":
        return "mnist" if mnist_files.is_complete(Path(data_dir)) else "digits"
    return request


def check_split(name: Request, split: Split, val_size: int | None) -> None:
    """Refuse a split by writers of a data set that is not ordered by writer."""
    if name == "digits" and split == "writers" and val_size != 0:
        raise InputError(
            "split writers: needs images ordered by writer, as MNIST's are; scikit-learn's digits are not; "
            "take --data.split random"
        )


@functools.cache
def load_sklearn_digits() -> Digits:
    """Load scikit-learn's 1,797 handwritten digits (UCI; Alpaydin & Kaynak 1998), converted to MNIST's format.

    The arrays are shared between callers and read-only.
    """
    # scikit-learn takes a second to import
    import sklearn.datasets

    pixels, labels = sklearn.datasets.load_digits(return_X_y=True)  # (1797, 64), 0 to 16
    ink = np.rint(pixels * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8)
    digits = Digits(np.stack([place(digit) for digit in ink]), labels.astype(np.int64))
    for array in digits:
        array.flags.writeable = False
    return digits


def _load(name: Name, data_dir: str | Path, *, is_test: bool) -> Digits:
    """Load all training images of a data set, or its test images."""
    if name == "mnist":
        images, labels = mnist_files.load(Path(data_dir), mnist_files.TEST if is_test else mnist_files.TRAIN)
        return Digits(images, labels.astype(np.int64))
    digits = load_sklearn_digits()
    rest, held_out = stratified_split(digits.labels, DIGITS_TEST_SIZE, DIGITS_TEST_SEED)
    return digits.select(held_out if is_test else rest)
