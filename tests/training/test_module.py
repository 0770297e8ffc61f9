"""Training `DigitClassifier` from Python, without the command."""

from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.callbacks import EMAWeightAveraging, ModelCheckpoint

from mnist_lstm.errors import InputError, TrainingError
from mnist_lstm.training.callbacks.monitor import TrainingMonitor
from mnist_lstm.training.data_module import DigitImages, MNISTDataModule
from mnist_lstm.training.module import DigitClassifier

pytestmark = [
    # the command filters it, see mnist_lstm.training.quiet
    pytest.mark.filterwarnings("ignore:.*isinstance.treespec, LeafSpec"),
    # an epoch of six batches is shorter than the log interval; these tests check weights, not logs
    pytest.mark.filterwarnings("ignore:The number of training batches"),
    # Lightning's own checkpoint callback, when a run resumes in another folder; the command's does not warn
    pytest.mark.filterwarnings("ignore:The dirpath has changed"),
    pytest.mark.filterwarnings("ignore:Be aware that when using .ckpt_path., callbacks"),
]


def trainer(folder: Path | None = None, **options) -> Trainer:
    options = {"max_epochs": 2, "callbacks": [], "gradient_clip_val": 1.0, **options}
    if folder is not None:
        # one per epoch, so that a run can resume from any
        options["callbacks"] += [ModelCheckpoint(folder, "{epoch}", save_top_k=-1, monitor="val/loss")]
    return Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=folder is not None,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )


def classifier(**options) -> DigitClassifier:
    return DigitClassifier(**{"hidden_size": 16, "num_layers": 2, "dropout": 0.3, **options})


@pytest.fixture
def data(archives: Path) -> MNISTDataModule:
    return MNISTDataModule(archives=str(archives), batch_size=64)


def weights(model: DigitClassifier) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def fit(data: MNISTDataModule, seed: int = 0, ckpt_path: Path | None = None, **options) -> torch.Tensor:
    seed_everything(seed)
    model = classifier()
    trainer(**options).fit(model, data, ckpt_path=ckpt_path, weights_only=True)
    return weights(model)


def test_one_batch_is_overfitted() -> None:
    seed_everything(0)
    data = MNISTDataModule("digits", batch_size=32)
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    data._parts["train"] = DigitImages(*(part.numpy() for part in batch))
    images, labels = data.on_after_batch_transfer(batch, 0)
    model = DigitClassifier(hidden_size=32, schedule="constant")
    assert (model(images).argmax(dim=1) == labels).float().mean() < 0.5
    trainer(max_epochs=40).fit(model, data)
    assert (model(images).argmax(dim=1) == labels).all()


@pytest.mark.parametrize("callbacks", [list, lambda: [EMAWeightAveraging(decay=0.9)]], ids=["plain", "EMA"])
def test_the_same_seed_gives_bit_identical_weights(data: MNISTDataModule, callbacks) -> None:
    first = fit(data, callbacks=callbacks())
    assert torch.equal(first, fit(data, callbacks=callbacks()))
    assert not torch.equal(first, fit(data, seed=1, callbacks=callbacks()))


@pytest.mark.parametrize("callbacks", [list, lambda: [EMAWeightAveraging(decay=0.9)]], ids=["plain", "EMA"])
def test_a_resumed_run_equals_an_uninterrupted_one(data: MNISTDataModule, tmp_path: Path, callbacks) -> None:
    whole = fit(data, folder=tmp_path / "a", max_epochs=3, callbacks=callbacks())
    checkpoint = tmp_path / "a" / "epoch=0.ckpt"
    # another seed: the random state must come from the checkpoint
    resumed = fit(data, seed=7, folder=tmp_path / "b", max_epochs=3, callbacks=callbacks(), ckpt_path=checkpoint)
    assert torch.equal(whole, resumed)


def test_options_override_the_checkpoints_on_resume(data: MNISTDataModule, tmp_path: Path) -> None:
    fit(data, folder=tmp_path / "a", max_epochs=1)
    model = classifier(learning_rate=1e-5, schedule="constant", weight_decay=0.5, optimizer="adam")
    runner = trainer(max_epochs=2)
    runner.fit(model, data, ckpt_path=tmp_path / "a" / "epoch=0.ckpt", weights_only=True)
    (group,) = runner.optimizers[0].param_groups
    assert (group["lr"], group["initial_lr"], group["weight_decay"]) == (1e-5, 1e-5, 0.5)
    assert not group["decoupled_weight_decay"], "adam, not adamw"


def test_resuming_for_more_epochs_extends_the_schedule(data: MNISTDataModule, tmp_path: Path) -> None:
    fit(data, folder=tmp_path / "a", max_epochs=1)
    runner = trainer(max_epochs=4)
    runner.fit(classifier(), data, ckpt_path=tmp_path / "a" / "epoch=0.ckpt", weights_only=True)
    assert runner.global_step == 4 * 6
    # the end of a schedule over four epochs
    assert runner.optimizers[0].param_groups[0]["lr"] < 1e-6


def test_a_checkpoint_is_plain_data_and_rebuilds_the_classifier(data: MNISTDataModule, tmp_path: Path) -> None:
    expected = fit(data, folder=tmp_path / "a")
    path = tmp_path / "a" / "epoch=1.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    assert all(isinstance(v, int | float | str | bool | None) for v in checkpoint["hyper_parameters"].values())
    assert checkpoint["datamodule_hyper_parameters"] == {
        "dataset": "mnist",
        "batch_size": 64,
        "val_size": None,
        "split": "random",
        "split_seed": 0,
        "augment": False,
        "other_hands": 0.0,
        "no_digits": 0.0,
    }
    model = DigitClassifier.load_from_checkpoint(path, weights_only=True)
    assert model.hparams["hidden_size"] == 16
    assert torch.equal(weights(model), expected)


def test_hparams_store_the_resolved_data_set() -> None:
    model = classifier()
    data = MNISTDataModule("auto", mirror="http://127.0.0.1:9/")
    with pytest.warns(UserWarning, match="MNIST is unavailable"):
        trainer(max_epochs=1, limit_train_batches=1, limit_val_batches=1).fit(model, data)
    assert data.hparams["dataset"] == "digits"


@pytest.mark.parametrize("schedule", ["one_cycle", "cosine", "constant"])
@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
def test_every_optimizer_and_schedule_trains(data: MNISTDataModule, optimizer: str, schedule: str) -> None:
    seed_everything(0)
    model = classifier(optimizer=optimizer, schedule=schedule, label_smoothing=0.1, dropout=0.0)
    before = weights(model)
    runner = trainer(max_epochs=1)
    runner.fit(model, data)
    assert not torch.equal(weights(model), before)
    assert runner.optimizers[0].__class__.__name__.lower() == optimizer


def test_a_schedule_needs_max_epochs_or_max_steps(data: MNISTDataModule) -> None:
    with pytest.raises(InputError, match=r"schedule one_cycle: .*end"):
        trainer(max_epochs=-1).fit(classifier(), data)
    runner = trainer(max_epochs=-1, max_steps=7)
    runner.fit(classifier(), data)
    assert runner.global_step == 7


def test_a_non_finite_loss_ends_the_run(data: MNISTDataModule) -> None:
    class Breaking(DigitClassifier):
        def compute_loss(self, batch):
            loss, logits, labels = super().compute_loss(batch)
            return (loss * float("nan") if self.global_step == 3 else loss), logits, labels

    with pytest.raises(TrainingError, match=r"nan at step 4 \(epoch 1\)"):
        trainer().fit(Breaking(hidden_size=8), data)


@pytest.mark.parametrize("options", [{"log_every_n_steps": 0}, {"accumulate_grad_batches": 4, "log_every_n_steps": 1}])
def test_losses_kept_for_logging_do_not_accumulate(data: MNISTDataModule, options: dict) -> None:
    model = classifier()
    runner = trainer(**options)
    runner.fit(model, data)
    (monitor,) = (c for c in runner.callbacks if isinstance(c, TrainingMonitor))
    assert len(monitor._losses) < 6


def test_a_module_can_be_fitted_twice(data: MNISTDataModule) -> None:
    model = classifier()
    for _ in range(2):
        runner = trainer(max_epochs=1, log_every_n_steps=6)
        runner.fit(model, data)
        assert "train/loss" in runner.callback_metrics


def test_a_negative_clip_value_disables_clipping(data: MNISTDataModule) -> None:
    def fitted(clip: float | None) -> torch.Tensor:
        seed_everything(0)
        model = classifier()
        runner = trainer(max_epochs=1)
        runner.gradient_clip_val = clip
        runner.fit(model, data)
        return weights(model)

    assert torch.equal(fitted(-1.0), fitted(None))


@pytest.mark.parametrize("algorithm", ["norm", "value"])
def test_gradients_are_clipped_by_the_trainers_algorithm(data: MNISTDataModule, algorithm: str) -> None:
    seen: list[torch.Tensor] = []

    class Recording(DigitClassifier):
        def on_before_zero_grad(self, optimizer) -> None:
            # the gradients of the last step; none before the first one
            gradients = [p.grad.flatten() for p in self.parameters() if p.grad is not None]
            seen.extend([torch.cat(gradients)] if gradients else [])

    runner = trainer(max_epochs=1, log_every_n_steps=3, gradient_clip_val=1e-3, gradient_clip_algorithm=algorithm)
    runner.fit(Recording(hidden_size=8), data)
    assert len(seen) == 5
    for gradient in seen:
        size = gradient.norm() if algorithm == "norm" else gradient.abs().max()
        assert size == pytest.approx(1e-3, rel=1e-3)
    assert runner.callback_metrics["train/grad_norm"] > 0.01, "the norm before clipping"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"learning_rate": 0.0}, "learning_rate 0.0"),
        ({"learning_rate": float("nan")}, "learning_rate nan"),
        ({"weight_decay": -1.0}, "weight_decay -1.0"),
        ({"label_smoothing": 1.0}, "label_smoothing 1.0"),
        ({"optimizer": "sgd"}, "optimizer 'sgd'"),
        ({"schedule": "linear"}, "schedule 'linear'"),
        ({"hidden_size": 0}, "hidden_size 0"),
    ],
)
def test_invalid_arguments_are_named(arguments: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        DigitClassifier(**arguments)
