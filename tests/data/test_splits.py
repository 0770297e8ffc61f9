"""Splits by class and by writer: complete, disjoint, and the same on every machine."""

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
def test_the_stratified_split_is_complete_disjoint_and_stratified(size: int) -> None:
    labels = np.random.default_rng(1).choice(10, 1000, p=np.arange(1, 11) / 55)
    rest, held_out = stratified_split(labels, size, seed=3)
    assert len(held_out) == size
    assert sorted([*rest, *held_out]) == list(range(1000))
    expected = np.bincount(labels, minlength=10) * size / 1000
    assert abs(np.bincount(labels[held_out], minlength=10) - expected).max() < 1


def test_the_stratified_split_depends_only_on_its_seed() -> None:
    labels = np.tile(np.arange(10), 100)
    torch.manual_seed(0)
    np.random.seed(0)
    first = stratified_split(labels, 100, seed=0)[1]
    torch.manual_seed(1)
    np.random.seed(1)
    assert np.array_equal(first, stratified_split(labels, 100, seed=0)[1])
    assert not np.array_equal(first, stratified_split(labels, 100, seed=1)[1])


def test_the_stratified_split_never_changes() -> None:
    # results of different machines and versions refer to the same validation images
    held_out = stratified_split(np.tile(np.arange(10), 10), 12, seed=0)[1]
    assert held_out.tolist() == [2, 7, 26, 30, 51, 54, 55, 60, 71, 78, 93, 99]


@pytest.mark.parametrize("size", [0, 1, 700, 2600, 5999])
def test_the_writers_split_holds_out_stretches(size: int) -> None:
    rest, held_out = writers_split(6000, size, seed=3)
    assert len(held_out) == size
    assert sorted([*rest, *held_out]) == list(range(6000))
    stretches = int((np.diff(held_out) > 1).sum()) + (size > 0)
    assert stretches <= max(1, round(size / 2000))


def test_stretches_are_spread_evenly_and_depend_on_the_seed() -> None:
    held_out = writers_split(60_000, 10_000, seed=0)[1]
    assert np.array_equal(held_out, writers_split(60_000, 10_000, seed=0)[1])
    assert np.bincount(held_out // 12_000).tolist() == [2000] * 5
    assert not np.array_equal(held_out, writers_split(60_000, 10_000, seed=1)[1])


def test_the_writers_split_never_changes() -> None:
    assert writers_split(60_000, 6000, seed=0)[1][::2000].tolist() == [2732, 30799, 49845]


def test_the_data_module_applies_val_size_and_split(archives: Path) -> None:
    held_out = {}
    for split in ("random", "writers"):
        data = MNISTDataModule(archives=str(archives), val_size=100, split=split)
        data.prepare_data()
        data.setup("fit")
        images = torch.cat([images for images, _ in data.val_dataloader()])
        everything, _ = mnist_files.load(data.data_dir, mnist_files.TRAIN)
        indices = [int(np.flatnonzero((everything == image.numpy()).all(axis=(1, 2)))[0]) for image in images]
        held_out[split] = indices
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


def test_mnist_is_ordered_by_writers(real_mnist: Path) -> None:
    """The nearest neighbour of an image is within some 200 positions far more often than in a random order."""
    images, labels = (torch.tensor(part) for part in mnist_files.load(real_mnist, mnist_files.TRAIN))
    distances = torch.cat([positions_to_nearest_neighbours(images, labels == digit) for digit in range(10)])
    others = len(images) - 1
    factor = {}
    for first, last in [(1, 20), (21, 100), (101, 200), (201, 300), (301, 1000), (1, 100)]:
        share = float(((distances >= first) & (distances <= last)).float().mean())
        chance = 2 * (last - first + 1) / others  # ignores that the first and last images have one side only
        factor[first, last] = share / chance
        print(f"{first:4} to {last:4} positions away: {share:6.2%}, in a random order {chance:6.2%}")
    assert factor[1, 100] > 10
    assert factor[101, 200] > 3
    assert factor[301, 1000] < 1.5


def positions_to_nearest_neighbours(images: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """Return how many positions each chosen image is from the most similar chosen one, by cosine similarity."""
    positions = chosen.nonzero().flatten()
    vectors = torch.nn.functional.normalize(normalise(images[positions]).flatten(1))
    nearest = []
    for rows in torch.arange(len(positions)).split(1000):
        similarity = vectors[rows] @ vectors.T
        similarity[torch.arange(len(rows)), rows] = -2
        nearest.append(similarity.argmax(dim=1))
    return (positions[torch.cat(nearest)] - positions).abs()
