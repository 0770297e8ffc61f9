"""The digits, from disk or network to batches on the device: `MNISTDataModule`."""

import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, RandomSampler

from mnist_lstm import mnist_files
from mnist_lstm.augment import distort
from mnist_lstm.errors import InputError
from mnist_lstm.idx import read_images
from mnist_lstm.mnist_format import normalise, place
from mnist_lstm.split import stratified_split, writers_split

Batch = tuple[Tensor, Tensor | None]
"""Images ``(N, 28, 28)`` and labels ``(N,)``; the labels are None where they are not known."""

VAL_SIZE = {"mnist": 5000, "digits": 180}
"""Training images held out for validation unless told otherwise."""

EVAL_BATCH_SIZE = 1000
"""Images a batch in validation, test and prediction: no gradient is kept, so larger batches are faster and fit."""

DIGITS_TEST_SIZE = 360
DIGITS_TEST_SEED = 0
"""The embedded digits come without a test part: the same 360 of the 1,797 are set aside, whatever the options."""


BATCH_OPTIONS = ("dataset", "batch_size", "val_size", "split", "split_seed", "augment")
"""What the batches are made of, which goes into checkpoints; where a machine keeps its files does not."""


class DigitImages(Dataset[Batch]):
    """Images and labels in memory, for a `DataLoader` that takes a batch in one go.

    Args:
        images: uint8 tensor ``(N, 28, 28)``.
        labels: int64 tensor ``(N,)``, or None.
    """

    def __init__(self, images: Tensor, labels: Tensor | None = None) -> None:
        self.images = images
        self.labels = labels

    def to(self, device: torch.device) -> "DigitImages":
        """Copy to a device; return itself where it is there already."""
        if self.images.device == device:
            return self
        return DigitImages(self.images.to(device), None if self.labels is None else self.labels.to(device))

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Batch:
        return self.images[index], None if self.labels is None else self.labels[index]

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """Return a whole batch by one indexing operation; a `DataLoader` prefers this to N single items."""
        return self.take(torch.as_tensor(indices))

    def take(self, index: Tensor) -> Batch:
        """Return a batch of the images that an int64 tensor ``(N,)`` names."""
        # index_select takes 13 us for 64 images of bytes, and images[index] 56 us
        return self.images.index_select(0, index), None if self.labels is None else self.labels.index_select(0, index)


class Batches:
    """The batches of images that lie in memory: nothing has to be loaded, and a `DataLoader` takes 60 us to do that.

    Args:
        dataset: the images.
        batch_size: images a batch; the last batch has what is left.
        shuffling: draws a new order for each epoch, on the CPU, so that it is the same on every device; the order goes
            to the images' device in one copy. Default: the images in order.
    """

    def __init__(self, dataset: DigitImages, batch_size: int, shuffling: torch.Generator | None = None) -> None:
        self.dataset = dataset
        self.batch_size = batch_size
        self.shuffling = shuffling

    def __len__(self) -> int:
        return -(-len(self.dataset) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        number = len(self.dataset)
        order = torch.arange(number) if self.shuffling is None else torch.randperm(number, generator=self.shuffling)
        for index in torch.split(order.to(self.dataset.images.device), self.batch_size):
            yield self.dataset.take(index)


class _Shuffled(RandomSampler):
    """The order that `Batches` draws; PyTorch's own sampler draws a second one each time and throws it away."""

    def __iter__(self) -> Iterator[int]:
        yield from torch.randperm(len(self.data_source), generator=self.generator).tolist()


def load_digits() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Read the embedded set: scikit-learn's 1,797 handwritten digits (UCI, Alpaydin & Kaynak 1998), laid out as MNIST.

    Returns:
        uint8 images ``(1797, 28, 28)`` and uint8 labels ``(1797,)``.
    """
    # scikit-learn takes a second to import; only this data set needs it
    import sklearn.datasets

    pixels, labels = sklearn.datasets.load_digits(return_X_y=True)  # (1797, 64), 0 to 16
    ink = np.rint(pixels * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8)
    return np.stack([place(digit) for digit in ink]), labels.astype(np.uint8)


class MNISTDataModule(LightningDataModule):
    """Handwritten digits in batches: float32 images ``(N, 28, 28)``, normalised, and int64 labels ``(N,)``.

    The images stay uint8 in memory and on the way to the device, and are normalised there.

    Args:
        dataset: mnist: the 70,000 digits of MNIST, or an error that says how to get them. digits: 1,797 real digits
            that come with scikit-learn, no network needed. auto: mnist if it is there or can be had, else digits,
            with a warning.
        data_dir: Folder that MNIST lies in or is unpacked into (55 MB), as torchvision lays it out.
        archives: Folder with the four published .gz archives, for work without a network; default: the environment
            variable MNIST_LSTM_ARCHIVES.
        mirror: Web address below which the four archives lie, instead of torchvision's mirrors; default: the
            environment variable MNIST_LSTM_MIRROR.
        batch_size: Training images a step, at least 1. Larger is faster an epoch and learns less an epoch.
        val_size: Training images held out for validation; default: 5,000 of MNIST's 60,000, 180 of the 1,437 embedded
            ones. 0: train on all of them, validate nothing and keep the last epoch, for when every choice has been
            made.
        split: How they are drawn. random: at random, every class in its share. writers: in stretches of about 2,000
            consecutive images, so that few writers are on both sides, as with the test images; for MNIST only, which is
            in the order of its writers.
        split_seed: Seed of that draw. It is apart from seed_everything, so that runs with several seeds are compared
            on the same validation images.
        augment: Distort the training images at random, a new draw for every image in every epoch, so that a long
            training does not come to know them by heart.
        on_device: Keep all images where the network is, so that no batch has to be copied: for one GPU (47 MB).
        num_workers: Processes that load batches. 0 is fastest here: a batch is one indexing operation in memory.
        predict_images: IDX file (.gz too) of 28x28 images for predict; default: the test images.
    """

    def __init__(
        self,
        dataset: Literal["mnist", "digits", "auto"] = "mnist",
        data_dir: str = "data",
        archives: str | None = None,
        mirror: str | None = None,
        batch_size: int = 128,
        val_size: int | None = None,
        split: Literal["random", "writers"] = "random",
        split_seed: int = 0,
        augment: bool = False,
        on_device: bool = False,
        num_workers: int = 0,
        predict_images: str | None = None,
    ) -> None:
        super().__init__()
        if dataset not in ("mnist", "digits", "auto"):
            raise InputError(f"dataset {dataset!r}: must be mnist, digits or auto")
        if batch_size < 1:
            raise InputError(f"batch_size {batch_size}: must be at least 1")
        if val_size is not None and val_size < 0:
            raise InputError(f"val_size {val_size}: must be at least 0")
        if split not in ("random", "writers"):
            raise InputError(f"split {split!r}: must be random or writers")
        if not 0 <= split_seed < 2**32:
            raise InputError(f"split_seed {split_seed}: must lie between 0 and {2**32 - 1}")
        if num_workers < 0:
            raise InputError(f"num_workers {num_workers}: must be at least 0")
        if on_device and num_workers:
            raise InputError(
                f"num_workers {num_workers}: images that are kept on the device are not loaded by processes"
            )
        self.save_hyperparameters(*BATCH_OPTIONS, logger=False)
        self._check_split(dataset)
        self.data_dir = Path(data_dir).expanduser()
        self.archives = _path_or_none(archives or os.environ.get("MNIST_LSTM_ARCHIVES"))
        self.mirror = mirror or os.environ.get("MNIST_LSTM_MIRROR") or None
        self.on_device = on_device
        self.num_workers = num_workers
        self.predict_images = _path_or_none(predict_images)
        self._shuffling = torch.Generator()
        self._sets: dict[str, DigitImages] = {}

    @property
    def dataset(self) -> str:
        """Name of the data set; after `prepare_data` or `setup` the real one, never auto."""
        return str(self.hparams["dataset"])

    def prepare_data(self) -> None:
        """Fetch and check MNIST if it is not there yet; settle what auto means.

        Raises:
            InputError: MNIST is asked for and cannot be had.
        """
        if self.dataset == "digits" or self._predicts_a_file():
            return
        try:
            mnist_files.fetch(self.data_dir, self.archives, self.mirror)
        except InputError as error:
            if self.dataset == "mnist":
                raise
            rank_zero_warn(
                f"MNIST is not at hand, so the embedded digits take its place. {error}", category=UserWarning
            )
        self._settle_auto()

    def setup(self, stage: str) -> None:
        """Load what ``stage`` (fit, validate, test or predict) reads and nothing else."""
        self._settle_auto()
        if stage == "fit":
            self._shuffling.manual_seed(torch.initial_seed())
        if stage in ("fit", "validate") and "train" not in self._sets:
            self._sets["train"], self._sets["val"] = self._load_train_and_val()
        if stage == "test" and "test" not in self._sets:
            self._sets["test"] = self._load_test()
        if stage == "predict" and "predict" not in self._sets:
            if self.predict_images is None:
                self._sets["predict"] = self._load_test()
            else:
                self._sets["predict"] = DigitImages(torch.tensor(read_images(self.predict_images)))

    def train_dataloader(self) -> "Loader":
        """Return shuffled batches of the training images; the order is drawn from the data module's own generator."""
        return self._loader("train", self.hparams["batch_size"], shuffle=True)

    def val_dataloader(self) -> "Loader":
        """Return the validation images in order."""
        return self._loader("val", EVAL_BATCH_SIZE)

    def test_dataloader(self) -> "Loader":
        """Return all test images in the published order."""
        return self._loader("test", EVAL_BATCH_SIZE)

    def predict_dataloader(self) -> "Loader":
        """Return the images to predict in the order of their file."""
        return self._loader("predict", EVAL_BATCH_SIZE)

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Copy a batch to the device, if it is not there; Lightning's own looks into anything that a batch may be."""
        images, labels = batch
        if images.device == device:
            return batch
        return images.to(device, non_blocking=True), None if labels is None else labels.to(device, non_blocking=True)

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Normalise the images on the device that they are on: uint8 to float32."""
        images, labels = batch
        if self.hparams["augment"] and self.trainer is not None and self.trainer.training:
            images = distort(images)
        return normalise(images), labels

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint needs for the run to go on as if it had not been interrupted."""
        return {"shuffling": self._shuffling.get_state()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on shuffling where the checkpoint's run stopped."""
        self._shuffling.set_state(state_dict["shuffling"])

    def _predicts_a_file(self) -> bool:
        return self.predict_images is not None and self.trainer is not None and self.trainer.predicting

    def _settle_auto(self) -> None:
        # looks at the disk alone, so that every process of a run comes to the same answer
        if self.dataset == "auto":
            dataset = "mnist" if mnist_files.is_complete(self.data_dir) else "digits"
            self._check_split(dataset)
            self.hparams["dataset"] = dataset

    def _check_split(self, dataset: str) -> None:
        if dataset == "digits" and self.hparams["split"] == "writers" and self.hparams["val_size"] != 0:
            raise InputError(
                "split writers: is for MNIST, which is in the order of its writers, and not for the embedded digits; "
                "take --data.split random"
            )

    def _load_train_and_val(self) -> tuple[DigitImages, DigitImages]:
        if self.dataset == "mnist":
            images, labels = _to_tensors(mnist_files.load(self.data_dir, mnist_files.TRAIN))
        else:
            images, labels = _digits_part(test=False)
        size = VAL_SIZE[self.dataset] if self.hparams["val_size"] is None else self.hparams["val_size"]
        if size >= len(labels):
            raise InputError(
                f"val_size {size:,}: {self.dataset} has only {len(labels):,} training images to hold some out of"
            )
        seed = self.hparams["split_seed"]
        if self.hparams["split"] == "writers":
            train, val = writers_split(len(labels), size, seed)
        else:
            train, val = stratified_split(labels, size, seed)
        return DigitImages(images[train], labels[train]), DigitImages(images[val], labels[val])

    def _load_test(self) -> DigitImages:
        if self.dataset == "mnist":
            return DigitImages(*_to_tensors(mnist_files.load(self.data_dir, mnist_files.TEST)))
        return DigitImages(*_digits_part(test=True))

    def _loader(self, part: str, batch_size: int, *, shuffle: bool = False) -> "Loader":
        if part not in self._sets:
            raise RuntimeError(f"call setup() before asking for the {part} batches")
        digits = self._sets[part]
        device, processes = torch.device("cpu"), 1
        if self.trainer is not None:
            device, processes = self.trainer.strategy.root_device, self.trainer.world_size
        if self.on_device and processes > 1:
            raise InputError(f"--data.on_device true: is for one device, and this run has {processes}")
        if self.on_device or (device.type == "cpu" and processes == 1 and self.num_workers == 0):
            return Batches(digits.to(device), batch_size, self._shuffling if shuffle else None)
        # Lightning advises worker processes, which would be slower here
        warnings.filterwarnings("ignore", message=".*does not have many workers")
        return DataLoader(
            digits,
            batch_size=batch_size,
            sampler=_Shuffled(digits, generator=self._shuffling) if shuffle else None,
            # loading draws seeds for worker processes; they must come neither from the shuffling nor from the generator
            # that dropout uses, or a resumed run would differ
            generator=torch.Generator(),
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=device.type == "cuda",
            collate_fn=_identity,
        )


Loader = Batches | DataLoader[Batch]
"""What yields batches: the images in memory, or a `DataLoader` where these must travel between processes or devices."""


def _identity(batch: Any) -> Any:
    """Leave a batch as `DigitImages.__getitems__` made it (a named function, so that worker processes can load it)."""
    return batch


def _path_or_none(path: str | None) -> Path | None:
    return Path(path).expanduser() if path else None


def _to_tensors(arrays: mnist_files.Arrays) -> tuple[Tensor, Tensor]:
    images, labels = arrays
    return torch.tensor(images), torch.tensor(labels, dtype=torch.int64)


def _digits_part(*, test: bool) -> tuple[Tensor, Tensor]:
    images, labels = _to_tensors(load_digits())
    rest, held_out = stratified_split(labels, DIGITS_TEST_SIZE, DIGITS_TEST_SEED)
    index = held_out if test else rest
    return images[index], labels[index]
