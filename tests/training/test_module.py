"""Training from Python, without the command."""

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
    # LightningCLI filters these for the command, see lightning_cli.quiet_lightning
    pytest.mark.filterwarnings("ignore:.*isinstance.treespec, LeafSpec"),
    # six batches a epoch are fewer than the trainer logs after; these tests look at weights, not at logs
    pytest.mark.filterwarnings("ignore:The number of training batches"),
    # Lightning's own checkpoint callback, when a run is resumed elsewhere; the command has one that does not
    pytest.mark.filterwarnings("ignore:The dirpath has changed"),
    pytest.mark.filterwarnings("ignore:Be aware that when using .ckpt_path., callbacks"),
]


def trainer(folder: Path | None = None, **options) -> Trainer:
    options = {"max_epochs": 2, "callbacks": [], **options}
    if folder is not None:
        # every epoch, so that a run can be resumed from any
        options["callbacks"] += [ModelCheckpoint(folder, "{epoch}", save_top_k=-1, monitor="val/loss")]
    return Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=folder is not None,
        enable_progress_bar=False,
        enable_model_summary=False,
        gradient_clip_val=1.0,
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


def test_one_batch_is_learnt_by_heart() -> None:
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
def test_the_same_seed_gives_the_same_weights_to_the_bit(data: MNISTDataModule, callbacks) -> None:
    first = fit(data, callbacks=callbacks())
    assert torch.equal(first, fit(data, callbacks=callbacks()))
    assert not torch.equal(first, fit(data, seed=1, callbacks=callbacks()))


@pytest.mark.parametrize("callbacks", [list, lambda: [EMAWeightAveraging(decay=0.9)]], ids=["plain", "EMA"])
def test_a_resumed_run_is_the_run_that_was_not_interrupted(data: MNISTDataModule, tmp_path: Path, callbacks) -> None:
    whole = fit(data, folder=tmp_path / "a", max_epochs=3, callbacks=callbacks())
    checkpoint = tmp_path / "a" / "epoch=0.ckpt"
    # another seed: what follows must come from the checkpoint alone
    resumed = fit(data, seed=7, folder=tmp_path / "b", max_epochs=3, callbacks=callbacks(), ckpt_path=checkpoint)
    assert torch.equal(whole, resumed)


def test_options_given_on_resuming_beat_those_of_the_checkpoint(data: MNISTDataModule, tmp_path: Path) -> None:
    fit(data, folder=tmp_path / "a", max_epochs=1)
    model = classifier(learning_rate=1e-5, schedule="constant", weight_decay=0.5, optimizer="adam")
    runner = trainer(max_epochs=2)
    runner.fit(model, data, ckpt_path=tmp_path / "a" / "epoch=0.ckpt", weights_only=True)
    (group,) = runner.optimizers[0].param_groups
    assert (group["lr"], group["initial_lr"], group["weight_decay"]) == (1e-5, 1e-5, 0.5)
    assert not group["decoupled_weight_decay"], "adam, not adamw"


def test_a_run_can_be_resumed_for_more_epochs(data: MNISTDataModule, tmp_path: Path) -> None:
    fit(data, folder=tmp_path / "a", max_epochs=1)
    runner = trainer(max_epochs=4)
    runner.fit(classifier(), data, ckpt_path=tmp_path / "a" / "epoch=0.ckpt", weights_only=True)
    assert runner.global_step == 4 * 6
    # the schedule is that of four epochs, at its end
    assert runner.optimizers[0].param_groups[0]["lr"] < 1e-6


def test_a_checkpoint_is_plain_data_and_builds_the_same_classifier(data: MNISTDataModule, tmp_path: Path) -> None:
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
    }
    model = DigitClassifier.load_from_checkpoint(path, weights_only=True)
    assert model.hparams["hidden_size"] == 16
    assert torch.equal(weights(model), expected)


def test_the_data_sets_real_name_is_kept() -> None:
    model = classifier()
    data = MNISTDataModule("auto", mirror="http://127.0.0.1:9/")
    with pytest.warns(UserWarning, match=r"MNIST is unavailable"):
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


def test_a_schedule_must_know_where_training_ends(data: MNISTDataModule) -> None:
    with pytest.raises(InputError, match=r"schedule one_cycle: needs an end"):
        trainer(max_epochs=-1).fit(classifier(), data)
    runner = trainer(max_epochs=-1, max_steps=7)
    runner.fit(classifier(), data)
    assert runner.global_step == 7


def test_a_loss_that_is_not_finite_ends_the_run(data: MNISTDataModule) -> None:
    class Breaking(DigitClassifier):
        def _step(self, batch):
            loss, logits, labels = super()._step(batch)
            return (loss * float("nan") if self.global_step == 3 else loss), logits, labels

    with pytest.raises(TrainingError, match=r"became nan at step 4 \(epoch 1\)"):
        trainer().fit(Breaking(hidden_size=8), data)


@pytest.mark.parametrize("options", [{"log_every_n_steps": 0}, {"accumulate_grad_batches": 4, "log_every_n_steps": 1}])
def test_what_is_kept_for_the_log_does_not_pile_up(data: MNISTDataModule, options: dict) -> None:
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


def test_a_clip_value_that_is_not_positive_clips_nothing(data: MNISTDataModule) -> None:
    def fitted(clip: float | None) -> torch.Tensor:
        seed_everything(0)
        model = classifier()
        runner = trainer(max_epochs=1)
        runner.gradient_clip_val = clip
        runner.fit(model, data)
        return weights(model)

    assert torch.equal(fitted(-1.0), fitted(None))


@pytest.mark.parametrize("algorithm", ["norm", "value"])
def test_gradients_are_clipped_as_the_trainer_is_told(data: MNISTDataModule, algorithm: str) -> None:
    seen: list[torch.Tensor] = []

    class Watching(DigitClassifier):
        def on_before_zero_grad(self, optimizer) -> None:
            # what the optimiser has just used; nothing before the first step
            gradients = [p.grad.flatten() for p in self.parameters() if p.grad is not None]
            seen.extend([torch.cat(gradients)] if gradients else [])

    runner = Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        max_epochs=1,
        log_every_n_steps=3,
        gradient_clip_val=1e-3,
        gradient_clip_algorithm=algorithm,
    )
    runner.fit(Watching(hidden_size=8), data)
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
def test_bad_arguments_are_refused_by_name(arguments: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        DigitClassifier(**arguments)
