"""Random distortions: what varies, what stays, and reproducible draws."""

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Command, succeed
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mnist_lstm.data.datasets import load_sklearn_digits
from mnist_lstm.training import augment
from mnist_lstm.training.augment import distort

STRENGTHS = ("ROTATION", "SCALE", "SHEAR", "SHIFT", "ELASTIC", "THICKNESS")


@pytest.fixture
def images() -> torch.Tensor:
    return torch.tensor(load_sklearn_digits()[0][:64])


def test_every_image_is_distorted_differently(images: torch.Tensor) -> None:
    torch.manual_seed(0)
    same = images[:1].repeat(8, 1, 1)
    distorted = distort(same)
    assert distorted.shape == same.shape
    assert distorted.dtype == torch.float32
    assert distorted.min() >= 0
    assert distorted.max() <= 255
    assert len({image.numpy().tobytes() for image in distorted}) == 8
    assert same.float().mean() / 2 < distorted.mean() < same.float().mean() * 2, "about as much ink"


def test_the_same_seed_gives_the_same_distortions(images: torch.Tensor) -> None:
    results = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        results.append(distort(images))
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


def test_zero_strengths_change_nothing(images: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in STRENGTHS:
        monkeypatch.setattr(augment, name, 0.0)
    torch.testing.assert_close(distort(images), images.float(), atol=0.01, rtol=0)


@pytest.mark.parametrize("name", STRENGTHS)
def test_each_distortion_alone_changes_the_images(
    images: torch.Tensor, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for other in STRENGTHS:
        if other != name:
            monkeypatch.setattr(augment, other, 0.0)
    assert (distort(images) - images.float()).abs().mean() > 1


def test_shift_is_measured_in_pixels(images: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in STRENGTHS:
        monkeypatch.setattr(augment, name, 0.0)
    monkeypatch.setattr(augment, "SHIFT", 2.5)

    def centre(batch: torch.Tensor) -> torch.Tensor:
        mass = batch.float().sum(dim=(1, 2))
        return torch.stack([(batch.float().sum(dim=d) * torch.arange(28)).sum(dim=1) / mass for d in (1, 2)])

    torch.manual_seed(0)
    moved = (centre(distort(images)) - centre(images)).abs()
    assert 2 < moved.max() <= 2.6


def test_augmentation_changes_training_and_its_pictures_do_not(fit: Command) -> None:
    options = ["--data.augment=true", "--test_after_fit=false", "--trainer.log_every_n_steps=2"]
    pictures = "--pictures_every_n_epochs=5"
    # with and without the sheet of distorted digits: it must not advance the run's random generator
    for root, more in (("a", [pictures]), ("b", []), ("c", [pictures, "--data.augment=false"])):
        succeed(fit, *options, *more, "--trainer.default_root_dir", root)

    def weights(root: str) -> np.ndarray:
        checkpoint = torch.load(Path(root, "runs/mnist/version_0/checkpoints/last.ckpt"), weights_only=True)
        return torch.cat([value.flatten() for value in checkpoint["state_dict"].values()]).numpy()

    np.testing.assert_array_equal(weights("a"), weights("b"))
    assert not np.array_equal(weights("a"), weights("c"))
    for root, drawn in (("a", True), ("c", False)):
        events = EventAccumulator(f"{root}/runs/mnist/version_0").Reload()
        assert ("input/augmented" in events.Tags()["images"]) == drawn
