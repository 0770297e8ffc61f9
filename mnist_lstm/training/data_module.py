"""`MNISTDataModule`: from the arrays of a data set to batches on the device."""

import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from lightning.pytorch import LightningDataModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from mnist_lstm.data import datasets, drawn
from mnist_lstm.data.format import normalise
from mnist_lstm.data.idx import read_images
from mnist_lstm.errors import InputError
from mnist_lstm.training import processes
from mnist_lstm.training.augment import distort
from mnist_lstm.training.shuffling import EveryNthBatch, ResumableLoader, ShuffledSampler, Shuffling

Batch = tuple[Tensor, Tensor | None]
"""Images ``(N, 28, 28)`` and labels ``(N,)``; labels are None where they are unknown."""

EVAL_BATCH_SIZE = 1000
"""Maximum number of images per batch in validation, test and prediction, which keep no gradients."""

EVAL_BATCHES = 8
"""Minimum number of them, so that up to 8 processes have some, and the same ones in all."""

BATCH_OPTIONS = ("dataset", "batch_size", "val_size", "split", "split_seed", "augment", "other_hands", "no_digits")
"""Options that checkpoints keep: what batches are made of, not where a machine keeps its files."""


class DigitImages(Dataset[Batch]):
    """Images ``(N, 28, 28)`` and labels ``(N,)`` in the memory of a device."""

    def __init__(
        self,
        images: npt.NDArray[np.uint8],
        labels: npt.NDArray[np.int64] | None = None,
        device: torch.device | None = None,
    ) -> None:
        self.images = torch.tensor(images, device=device)
        self.labels = None if labels is None else torch.tensor(labels, device=device)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Batch:
        return self.images[index], None if self.labels is None else self.labels[index]

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """Return a whole batch by one indexing operation; `DataLoader` prefers this to N single items."""
        index = torch.from_numpy(np.array(indices))
        if self.images.is_cuda:
            index = index.pin_memory().to(self.images.device, non_blocking=True)  # without waiting for the steps before
        return self.images.index_select(0, index), None if self.labels is None else self.labels.index_select(0, index)


class MNISTDataModule(LightningDataModule):
    """Batches of handwritten digits: float32 images ``(N, 28, 28)``, normalised, and int64 labels ``(N,)``.

    Images are uint8 in memory and on the way to the device, and are normalised there.

    Several processes all load the same training batches, distort them as one process would, and take their shares; of
    validation, test and prediction, each takes whole batches in turn. No image is left out or taken twice.

    Args:
        dataset: mnist: the 70,000 digits of MNIST. digits: 1,797 real digits that come with scikit-learn; needs no
            network. auto: mnist if it can be had, else digits, with a warning.
        data_dir: Folder of MNIST, unpacked (55 MB) as torchvision does.
        archives: Folder with the four published .gz archives, for work without a network; default: the environment
            variable MNIST_LSTM_ARCHIVES.
        mirror: Web address below which the four archives lie, instead of torchvision's mirrors; default: the
            environment variable MNIST_LSTM_MIRROR.
        batch_size: Training images per step, of all processes together.
        val_size: Training images held out for validation; default: 5,000 of MNIST's 60,000, 180 of the 1,437 of
            digits. 0: train on all, validate nothing and keep the last epoch, once every choice has been made.
        split: random: hold out at random, every class by its share. writers: hold out stretches of about 2,000
            consecutive images, so that few writers are on both sides; MNIST only.
        split_seed: Seed of the split, separate from seed_everything, so that runs with several seeds are compared on
            the same validation images.
        augment: Distort the training images at random, each image anew in each epoch.
        other_hands: Share of the training images, less than 1, that are in other hands than MNIST's: drawn by pens, and
            the digits of digits.
        no_digits: Share of the training images, less than 1, that are letters, scribbles, blots, two digits in one and
            parts of digits, with the label -1; see no_digit_weight.
        on_device: Keep all images on the device, so that no batch is copied; for GPUs, 47 MB on each.
        num_workers: Processes that load batches. 0 is fastest here: a batch is one indexing operation.
        predict_images: IDX file (.gz too) of 28x28 images for predict; default: the test images.
    """

    def __init__(
        self,
        dataset: datasets.Request = "mnist",
        data_dir: str = "data",
        archives: str | None = None,
        mirror: str | None = None,
        batch_size: int = 128,
        val_size: int | None = None,
        split: datasets.Split = "random",
        split_seed: int = 0,
        augment: bool = False,
        other_hands: float = 0.0,
        no_digits: float = 0.0,
        on_device: bool = False,
        num_workers: int = 0,
        predict_images: str | None = None,
    ) -> None:
        super().__init__()
        for name, value, accepted, wanted in (
            ("dataset", dataset, dataset in ("mnist", "digits", "auto"), "mnist, digits or auto"),
            ("batch_size", batch_size, batch_size >= 1, "at least 1"),
            ("val_size", val_size, val_size is None or val_size >= 0, "at least 0"),
            ("split", split, split in ("random", "writers"), "random or writers"),
            ("split_seed", split_seed, 0 <= split_seed < 2**32, f"from 0 to {2**32 - 1}"),
            ("other_hands", other_hands, 0 <= other_hands < 1, "at least 0 and less than 1"),
            ("no_digits", no_digits, 0 <= no_digits < 1 - other_hands, "at least 0, and with other_hands less than 1"),
            ("num_workers", num_workers, num_workers >= 0, "at least 0"),
            ("num_workers", num_workers, not (on_device and num_workers), "0 with on_device: nothing is loaded"),
        ):
            if not accepted:
                raise InputError(f"{name} {value!r}: must be {wanted}")
        datasets.check_split(dataset, split, val_size)
        self.save_hyperparameters(*BATCH_OPTIONS, logger=False)
        self.data_dir = Path(data_dir).expanduser()
        self.archives, self.mirror = datasets.sources(archives, mirror)
        self.on_device = on_device
        self.num_workers = num_workers
        self.predict_images = Path(predict_images).expanduser() if predict_images else None
        self.fallback_reason = ""  # why auto fell back to digits, if it did
        self.distort: Callable[[Tensor], Tensor] = distort  # what augment does; CUDAGraphs replaces it
        self.between_steps: Callable[[], None] = lambda: None  # what happens there; WithinEpochs replaces it
        self._shuffling = Shuffling()
        self._parts: dict[str, DigitImages] = {}

    @property
    def dataset(self) -> str:
        """Name of the data set; mnist or digits, never auto, after `prepare_data` or `setup`."""
        return str(self.hparams["dataset"])

    def prepare_data(self) -> None:
        """Download and check MNIST if it is missing; resolve auto, with a warning if MNIST is unavailable."""
        if self.predict_images is not None and self.trainer is not None and self.trainer.predicting:
            return
        request = self.hparams["dataset"]
        name, self.fallback_reason = datasets.prepare(request, self.data_dir, self.archives, self.mirror)
        if self.fallback_reason:
            rank_zero_warn(self.fallback_reason, category=UserWarning)
        self._resolve(name)

    def setup(self, stage: str) -> None:
        """Load what ``stage`` (fit, validate, test or predict) reads, and nothing else."""
        self._resolve(datasets.resolve(self.hparams["dataset"], self.data_dir))
        if stage == "fit":
            self._shuffling.seed(torch.initial_seed())
        device = self._device()
        if stage in ("fit", "validate") and "train" not in self._parts:
            options = {name: self.hparams[name] for name in ("val_size", "split", "split_seed")}
            train, val = datasets.load_train_and_val(self.hparams["dataset"], self.data_dir, **options)
            self._parts |= {
                "train": DigitImages(*_with_drawn(self.hparams, train), device),
                "val": DigitImages(*val, device),
            }
        if stage == "predict" and self.predict_images is not None:
            self._parts[stage] = DigitImages(read_images(self.predict_images), device=device)
        elif stage in ("test", "predict") and stage not in self._parts:
            test = datasets.load_split(self.hparams["dataset"], "test", self.data_dir)
            self._parts[stage] = DigitImages(*test, device)

    def train_dataloader(self) -> DataLoader[Batch]:
        """Return shuffled batches of the training images."""
        return self._loader("train", shuffle=True)

    def val_dataloader(self) -> DataLoader[Batch]:
        """Return the validation images in order."""
        return self._loader("val")

    def test_dataloader(self) -> DataLoader[Batch]:
        """Return all test images in the published order."""
        return self._loader("test")

    def predict_dataloader(self) -> DataLoader[Batch]:
        """Return the images to predict in the order of their file."""
        return self._loader("predict")

    def on_before_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Call `between_steps`: the last step has been logged, and no random number of the next one has been drawn."""
        if self.trainer is not None and self.trainer.training:
            self.between_steps()
        return batch

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Copy a batch to the device; Lightning's own looks into anything that a batch may be."""
        images, labels = batch
        return images.to(device, non_blocking=True), None if labels is None else labels.to(device, non_blocking=True)

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Distort and normalise the images on their device, uint8 to float32; in training, leave this process's share.

        The share of the last batch may be empty.
        """
        images, labels = batch
        if self.trainer is not None and self.trainer.training:
            if self.hparams["augment"]:
                images = self.distort(images)
            share = slice(processes.rank(), None, processes.count())
            images, labels = images[share], None if labels is None else labels[share]
        return normalise(images), labels

    def state_dict(self) -> dict[str, Any]:
        """Return the state of shuffling, so that a resumed run draws the orders of an uninterrupted one."""
        return self._shuffling.state_dict(_batches_done(self.trainer) * self.hparams["batch_size"])

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue shuffling from a checkpoint."""
        self._shuffling.load_state_dict(state_dict)

    def _resolve(self, name: datasets.Name) -> None:
        datasets.check_split(name, self.hparams["split"], self.hparams["val_size"])
        self.hparams["dataset"] = name

    def _device(self) -> torch.device | None:
        if not self.on_device or self.trainer is None:
            return None
        return self.trainer.strategy.root_device

    def _loader(self, part: str, *, shuffle: bool = False) -> DataLoader[Batch]:
        if part not in self._parts:
            raise RuntimeError(f"call setup() before asking for the {part} batches")
        images = self._parts[part]
        count = processes.count()
        sampler: Sampler[int]
        if shuffle:
            batch_size, sampler = self.hparams["batch_size"], ShuffledSampler(len(images), self._shuffling)
        else:
            batch_size = min(EVAL_BATCH_SIZE, max(1, len(images) // max(EVAL_BATCHES, count)))
            sampler = EveryNthBatch(len(images), batch_size, processes.rank(), count)
        if count > 1 and self.trainer is not None and self.trainer._accelerator_connector.use_distributed_sampler:
            raise InputError("several processes: give Trainer(use_distributed_sampler=False), since batches are shared")
        if 0 < len(images) < count:
            raise InputError(f"{len(images)} {part} images for {count} processes: each needs one")
        is_cuda = self.trainer is not None and self.trainer.strategy.root_device.type == "cuda"
        return (ResumableLoader if shuffle else DataLoader)(
            images,
            batch_size=batch_size,
            sampler=sampler,
            # seeds of worker processes come from a generator of their own: neither shuffling nor dropout depends on it
            generator=torch.Generator(),
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=is_cuda and not self.on_device,
            collate_fn=_identity,
            worker_init_fn=_ignore_signals,
        )


def _ignore_signals(worker: int) -> None:
    """Leave signals to the main process: those for the whole group would end the worker before the run is saved."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)


def _batches_done(trainer: Trainer | None) -> int:
    """Return how many batches of the present epoch have been trained on; 0 between two epochs."""
    if trainer is None:
        return 0
    loop = trainer.fit_loop
    epoch: Any = loop.epoch_progress.current
    batches: Any = loop.epoch_loop.batch_progress.current
    is_within = epoch.ready != epoch.processed and batches.processed < trainer.num_training_batches
    return int(batches.processed) if is_within else 0


def _with_drawn(options: Mapping[str, Any], digits: datasets.Digits) -> datasets.Digits:
    """Add the images that are drawn, so that they have their share of all."""
    other_hands, no_digits = options["other_hands"], options["no_digits"]
    if not other_hands + no_digits:
        return digits
    total = len(digits.labels) / (1 - other_hands - no_digits)
    more = drawn.draw_other_hands(round(total * other_hands))
    return drawn.join(digits, more, drawn.draw_no_digits(round(total * no_digits), drawn.join(digits, more)))


def _identity(batch: Any) -> Any:
    """Leave a batch as `DigitImages.__getitems__` made it (a named function, so that worker processes can load it)."""
    return batch
