"""Which images are held out: a draw that is the same everywhere, by class or by writer."""

from pathlib import Path

import numpy as np
import pytest
import torch

from mnist_lstm.data import mnist_files
from mnist_lstm.data.format import normalise
from mnist_lstm.data.splits import stratified_split, writers_split
from mnist_lstm.errors import InputError
from mnist_lstm.training.data_module import MNISTDataModule


@pytest.mark.parametrize("size", [1, 9, 10, 137, 999])
def test_the_split_is_disjoint_complete_and_stratified(size: int) -> None:
    labels = np.random.default_rng(1).choice(10, 1000, p=np.arange(1, 11) / 55)
    rest, held_out = stratified_split(labels, size, seed=3)
    assert len(held_out) == size
    assert sorted([*rest, *held_out]) == list(range(1000))
    expected = np.bincount(labels, minlength=10) * size / 1000
    assert abs(np.bincount(labels[held_out], minlength=10) - expected).max() < 1


def test_the_split_depends_on_its_seed_alone() -> None:
    labels = np.tile(np.arange(10), 100)
    torch.manual_seed(0)
    np.random.seed(0)
    first = stratified_split(labels, 100, seed=0)[1]
    torch.manual_seed(1)
    np.random.seed(1)
    assert np.array_equal(first, stratified_split(labels, 100, seed=0)[1])
    assert not np.array_equal(first, stratified_split(labels, 100, seed=1)[1])


def test_the_split_of_today_is_that_of_every_machine() -> None:
    # written down once: figures of different machines and versions are figures of the same validation images
    held_out = stratified_split(np.tile(np.arange(10), 10), 12, seed=0)[1]
    assert held_out.tolist() == [2, 7, 26, 30, 51, 54, 55, 60, 71, 78, 93, 99]


@pytest.mark.parametrize("size", [0, 1, 700, 2600, 5999])
def test_the_split_by_writers_holds_out_stretches(size: int) -> None:
    rest, held_out = writers_split(6000, size, seed=3)
    assert len(held_out) == size
    assert sorted([*rest, *held_out]) == list(range(6000))
    stretches = int((np.diff(held_out) > 1).sum()) + (size > 0)
    assert stretches <= max(1, round(size / 2000))


def test_the_stretches_are_spread_over_all_images_and_lie_elsewhere_with_another_seed() -> None:
    held_out = writers_split(60_000, 10_000, seed=0)[1]
    assert np.array_equal(held_out, writers_split(60_000, 10_000, seed=0)[1])
    assert np.bincount(held_out // 12_000).tolist() == [2000] * 5
    assert not np.array_equal(held_out, writers_split(60_000, 10_000, seed=1)[1])


def test_the_split_by_writers_of_today_is_that_of_every_machine() -> None:
    assert writers_split(60_000, 6000, seed=0)[1][::2000].tolist() == [2732, 30799, 49845]


def test_the_data_module_holds_out_what_is_asked_for(archives: Path) -> None:
    held_out = {}
    for split in ("random", "writers"):
        data = MNISTDataModule(archives=str(archives), val_size=100, split=split)
        data.prepare_data()
        data.setup("fit")
        ((images, _),) = data.val_dataloader()
        everything, _ = mnist_files.load(data.data_dir, mnist_files.TRAIN)
        places = [int(np.flatnonzero((everything == image.numpy()).all(axis=(1, 2)))[0]) for image in images]
        held_out[split] = places
        assert sum(len(labels) for _, labels in data.train_dataloader()) == len(everything) - 100
    assert held_out["writers"] == list(range(held_out["writers"][0], held_out["writers"][0] + 100))
    assert held_out["random"][-1] - held_out["random"][0] > 300


def test_only_mnist_can_be_split_by_writers() -> None:
    with pytest.raises(InputError, match="split writers"):
        MNISTDataModule("digits", split="writers")
    auto = MNISTDataModule("auto", data_dir="nothing", split="writers")
    with pytest.raises(InputError, match="split writers"):
        auto.setup("fit")
    MNISTDataModule("digits", split="writers", val_size=0).setup("fit")


def test_mnist_is_in_the_order_of_its_writers(real_mnist: Path) -> None:
    """The most similar digit is far more often near by than it would be in a random order, up to some 200 places."""
    images, labels = (torch.tensor(part) for part in mnist_files.load(real_mnist, mnist_files.TRAIN))
    distances = torch.cat([distance_of_the_most_similar(images, labels == name) for name in range(10)])
    others = len(images) - 1
    factor = {}
    for first, last in [(1, 20), (21, 100), (101, 200), (201, 300), (301, 1000), (1, 100)]:
        share = float(((distances >= first) & (distances <= last)).float().mean())
        chance = 2 * (last - first + 1) / others  # but for the first and last images, which have one side only
        factor[first, last] = share / chance
        print(f"{first:4} to {last:4} places away: {share:6.2%}, in a random order {chance:6.2%}")
    assert factor[1, 100] > 10
    assert factor[101, 200] > 3
    assert factor[301, 1000] < 1.5


def distance_of_the_most_similar(images: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """Return for each chosen image how many places away the chosen image lies that is most like it."""
    places = chosen.nonzero().flatten()
    seen = torch.nn.functional.normalize(normalise(images[places]).flatten(1))
    nearest = []
    for own in torch.arange(len(places)).split(1000):
        alike = seen[own] @ seen.T
        alike[torch.arange(len(own)), own] = -2
        nearest.append(alike.argmax(dim=1))
    return (places[torch.cat(nearest)] - places).abs()
