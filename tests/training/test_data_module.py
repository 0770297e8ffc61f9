"""The data module: parts, order, batches, devices, invalid options."""

import copy
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
import torch
from conftest import TEST_SIZE, TRAIN_SIZE, write_archive

from mnist_lstm.data import mnist_files
from mnist_lstm.data.datasets import load_sklearn_digits
from mnist_lstm.data.format import MEAN, NO_DIGIT, SIZE, STD, normalise, place
from mnist_lstm.errors import InputError
from mnist_lstm.training.data_module import DigitImages, MNISTDataModule


@pytest.fixture
def data(archives: Path) -> MNISTDataModule:
    module = MNISTDataModule(archives=str(archives), batch_size=64)
    module.prepare_data()
    return module


def test_batches_are_transferred_as_uint8_and_then_normalised(data: MNISTDataModule) -> None:
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    assert (batch[0].dtype, batch[0].shape) == (torch.uint8, (64, 28, 28))
    images, labels = data.on_after_batch_transfer(batch, 0)
    assert (images.dtype, images.shape) == (torch.float32, (64, 28, 28))
    assert (labels.dtype, labels.shape) == (torch.int64, (64,))
    torch.testing.assert_close(images, (batch[0] / 255 - MEAN) / STD)


def test_a_batch_is_one_index_select() -> None:
    class Counting(torch.Tensor):
        calls: ClassVar[list[str]] = []

        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            cls.calls.append(getattr(func, "__name__", ""))
            return super().__torch_function__(func, types, args, kwargs)

    digits = DigitImages(np.zeros((10, 28, 28), np.uint8))
    digits.images = digits.images.as_subclass(Counting)
    loader = torch.utils.data.DataLoader(digits, 5, collate_fn=lambda batch: batch)
    assert [len(batch) for batch, _ in loader] == [5, 5]
    assert [name for name in Counting.calls if "index" in name or "getitem" in name] == ["index_select"] * 2


def test_training_images_are_shuffled_and_seen_once_per_epoch(data: MNISTDataModule) -> None:
    data.setup("fit")
    loader = data.train_dataloader()
    first, second = (torch.cat([images for images, _ in loader]) for _ in range(2))
    assert len(first) == TRAIN_SIZE - 50
    assert not torch.equal(first, second)

    def as_sorted_bytes(images: torch.Tensor) -> list[bytes]:
        return sorted(image.numpy().tobytes() for image in images)

    assert as_sorted_bytes(first) == as_sorted_bytes(second)


def test_all_test_images_are_loaded_in_order(data: MNISTDataModule) -> None:
    for stage in ("test", "predict"):
        data.setup(stage)
        loader = getattr(data, f"{stage}_dataloader")()
        images = torch.cat([images for images, _ in loader])
        np.testing.assert_array_equal(images.numpy(), mnist_files.load(data.data_dir, mnist_files.TEST)[0])
        assert len(images) == TEST_SIZE


def test_setup_is_repeatable(data: MNISTDataModule) -> None:
    data.setup("fit")
    first = list(data.val_dataloader())
    data.setup("fit")
    for (images, labels), (images_again, labels_again) in zip(first, list(data.val_dataloader()), strict=True):
        assert torch.equal(images, images_again)
        assert torch.equal(labels, labels_again)


def test_only_test_and_predict_read_the_test_images(data: MNISTDataModule, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in mnist_files.TEST:
        (mnist_files.raw_folder(data.data_dir) / name).write_bytes(b"not to be read")
    data.prepare_data()
    data.setup("fit")
    data.setup("validate")
    list(data.train_dataloader())
    list(data.val_dataloader())
    for stage in ("test", "predict"):
        with pytest.raises(InputError, match=r"t10k-images"):
            data.setup(stage)


def test_fit_and_validate_use_the_same_validation_images(data: MNISTDataModule, archives: Path) -> None:
    data.setup("fit")
    other = MNISTDataModule(archives=str(archives), batch_size=7)
    other.prepare_data()
    other.setup("validate")
    images, others = (torch.cat([images for images, _ in d.val_dataloader()]) for d in (data, other))
    assert torch.equal(images, others)


def test_sklearn_digits_are_placed_as_in_mnist() -> None:
    images, labels = load_sklearn_digits()
    assert images.shape == (1797, 28, 28)
    assert np.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    rows, columns = images.any(axis=(0, 2)), images.any(axis=(0, 1))
    assert not rows[[0, -1]].any()
    assert not columns[[0, -1]].any()
    for image in images[::100]:
        filled = np.flatnonzero(image.any(axis=1)), np.flatnonzero(image.any(axis=0))
        assert max(np.ptp(where) + 1 for where in filled) == 20
        mass = image / image.sum()
        for axis in (0, 1):
            assert abs((mass.sum(axis=1 - axis) * np.arange(28)).sum() - 14) <= 0.51


def test_placing_a_blank_image_raises() -> None:
    with pytest.raises(ValueError, match="no ink"):
        place(np.zeros((8, 8), np.uint8))


@pytest.mark.parametrize("shape", [(1, 1), (1, 100), (100, 1), (300, 200)])
def test_digits_of_any_size_are_scaled_to_28x28(shape: tuple[int, int]) -> None:
    image = place(np.full(shape, 255, np.uint8))
    assert image.shape == (SIZE, SIZE)
    assert image.max() == 255


def test_the_test_set_of_digits_is_fixed() -> None:
    def test_images(**options) -> torch.Tensor:
        data = MNISTDataModule("digits", **options)
        data.prepare_data()
        data.setup("test")
        images = torch.cat([images for images, _ in data.test_dataloader()])
        return images

    reference = test_images()
    assert len(reference) == 360
    assert torch.equal(reference, test_images(split_seed=5, val_size=100))
    data = MNISTDataModule("digits", split_seed=5)
    data.setup("fit")
    seen = [image.numpy().tobytes() for part in ("train", "val") for image in data._parts[part].images]
    assert len(seen) == 1797 - 360
    assert not {image.numpy().tobytes() for image in reference} & set(seen)


def test_auto_uses_mnist_if_available(archives: Path) -> None:
    data = MNISTDataModule("auto", archives=str(archives))
    data.prepare_data()
    assert data.dataset == "mnist"
    data.setup("fit")
    assert data.hparams["dataset"] == "mnist"


def test_auto_falls_back_to_digits_with_a_warning() -> None:
    data = MNISTDataModule("auto", mirror="http://127.0.0.1:9/")
    with pytest.warns(UserWarning, match=r"MNIST is unavailable.*http://127.0.0.1:9/"):
        data.prepare_data()
    assert data.dataset == "digits"


def test_unavailable_mnist_names_the_alternatives() -> None:
    with pytest.raises(InputError) as error:
        MNISTDataModule(mirror="http://127.0.0.1:9/").prepare_data()
    for way in (
        "--data.archives",
        "MNIST_LSTM_ARCHIVES",
        "--data.mirror",
        "MNIST_LSTM_MIRROR",
        "--data.dataset digits",
    ):
        assert way in str(error.value)


def test_archives_and_mirror_default_to_environment_variables(archives: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MNIST_LSTM_ARCHIVES", str(archives))
    monkeypatch.setenv("MNIST_LSTM_MIRROR", "http://example.org/")
    data = MNISTDataModule()
    assert (data.archives, data.mirror) == (archives, "http://example.org/")
    assert MNISTDataModule(mirror="http://example.com/").mirror == "http://example.com/"
    data.prepare_data()
    assert mnist_files.is_complete(data.data_dir)


def test_predict_images_reads_a_file(tmp_path: Path) -> None:
    images = np.arange(3 * 784, dtype=np.uint8).reshape(3, 28, 28)
    write_archive(tmp_path / "mine.gz", images)
    data = MNISTDataModule(predict_images=str(tmp_path / "mine.gz"))
    data.setup("predict")
    batches = list(data.predict_dataloader())
    batch, labels = torch.cat([images for images, _ in batches]), batches[0][1]
    np.testing.assert_array_equal(batch.numpy(), images)
    assert labels is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dataset": "cifar"}, "dataset 'cifar'"),
        ({"batch_size": 0}, "batch_size 0"),
        ({"val_size": -1}, "val_size -1"),
        ({"split": "even"}, "split 'even'"),
        ({"split_seed": -1}, "split_seed -1"),
        ({"num_workers": -1}, "num_workers -1"),
    ],
)
def test_invalid_options_are_named(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        MNISTDataModule(**options)


def test_a_val_size_without_training_images_left_is_refused() -> None:
    data = MNISTDataModule("digits", val_size=1437)
    with pytest.raises(InputError, match=r"val_size 1,437: .*only 1,437"):
        data.setup("fit")


def test_shuffling_resumes_from_a_checkpoint(data: MNISTDataModule) -> None:
    data.setup("fit")
    list(data.train_dataloader())
    state = copy.deepcopy(data.state_dict())
    expected = torch.cat([labels for _, labels in data.train_dataloader()])
    data.setup("fit")
    data.load_state_dict(state)
    assert torch.equal(torch.cat([labels for _, labels in data.train_dataloader()]), expected)


def test_worker_processes_load_the_same_list(archives: Path) -> None:
    def labels(num_workers: int) -> torch.Tensor:
        data = MNISTDataModule(archives=str(archives), num_workers=num_workers)
        data.prepare_data()
        torch.manual_seed(0)
        data.setup("fit")
        loader = data.train_dataloader()
        return torch.cat([labels for _ in range(2) for _, labels in loader])

    assert torch.equal(labels(0), labels(1))


def test_loading_does_not_advance_the_global_generator(data: MNISTDataModule) -> None:
    data.setup("fit")
    before = torch.get_rng_state()
    list(data.train_dataloader())
    list(data.val_dataloader())
    assert torch.equal(torch.get_rng_state(), before)


def set_up_on(data: MNISTDataModule, device: str) -> MNISTDataModule:
    """Set up a data module for a fake trainer with these devices."""
    strategy = SimpleNamespace(root_device=torch.device(device))
    data.trainer = SimpleNamespace(strategy=strategy, world_size=1)  # type: ignore[assignment]
    data.setup("fit")
    return data


def test_on_device_requires_no_workers(data: MNISTDataModule) -> None:
    assert set_up_on(data, "meta").train_dataloader().dataset.images.device.type == "cpu"
    with pytest.raises(InputError, match="num_workers 2"):
        MNISTDataModule(on_device=True, num_workers=2)


def test_on_device_indexes_images_on_the_device(archives: Path) -> None:
    data = MNISTDataModule(archives=str(archives), on_device=True)
    data.prepare_data()
    # device "meta" has no memory: copying from it would fail
    loader = set_up_on(data, "meta").train_dataloader()
    assert len(loader) == 3
    shapes = [(images.device.type, images.shape, labels.device.type) for images, labels in loader]
    assert shapes == [("meta", (128, 28, 28), "meta")] * 2 + [("meta", (94, 28, 28), "meta")]


def test_normalised_mnist_has_mean_0_and_standard_deviation_1(real_mnist: Path) -> None:
    data = MNISTDataModule(data_dir=str(real_mnist))
    data.setup("fit")
    images = normalise(torch.cat([data._parts[part].images for part in ("train", "val")]))
    assert len(images) == 60_000
    assert abs(images.mean()) < 1e-3
    assert abs(images.std() - 1) < 1e-3


def test_drawn_images_have_their_share_of_the_training_images(archives: Path) -> None:
    plain, mixed = (
        MNISTDataModule(archives=str(archives), other_hands=hands, no_digits=none)
        for hands, none in ((0.0, 0.0), (0.25, 0.125))
    )
    for module in (plain, mixed):
        module.prepare_data()
        module.setup("fit")
    before, after = (module._parts["train"] for module in (plain, mixed))
    assert torch.equal(after.images[: len(before)], before.images)
    assert len(after) == pytest.approx(len(before) / 0.625, abs=1)
    labels = after.labels
    assert int((labels == NO_DIGIT).sum()) == pytest.approx(0.125 * len(after), abs=1)
    assert len(mixed._parts["val"]) == len(plain._parts["val"])


@pytest.mark.parametrize(("hands", "none"), [(1.0, 0.0), (-0.1, 0.0), (0.0, 1.0), (0.6, 0.4), (0.0, float("nan"))])
def test_shares_of_drawn_images_leave_some_for_the_data_set(hands: float, none: float) -> None:
    with pytest.raises(InputError, match=r"other_hands|no_digits"):
        MNISTDataModule(other_hands=hands, no_digits=none)
