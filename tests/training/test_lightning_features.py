"""What a user of Lightning expects to work: its callbacks, loggers and options."""

import builtins
import csv
import re
from pathlib import Path

import pytest
import torch
from conftest import Command
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import DeviceStatsMonitor
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mnist_lstm.files import new_run
from mnist_lstm.training.callbacks.tensorboard import RunLogger
from mnist_lstm.training.data_module import MNISTDataModule
from mnist_lstm.training.module import DigitClassifier
from mnist_lstm.training.run import fit as fit_run
from mnist_lstm.training.run import run_callbacks
from mnist_lstm.training.run import test_checkpoint as evaluate

QUICK = ("--trainer.max_epochs=1", "--test_after_fit=false", "--pictures_every_n_epochs=0")


def hyper_parameters(name: str = "hyper_parameters") -> dict:
    (path,) = Path("runs").glob("*/*/checkpoints/last.ckpt")
    return torch.load(path, weights_only=True)[name]


def test_learning_rate_finder_sets_the_rate_that_is_trained_with(fit: Command) -> None:
    finder = ("--trainer.callbacks+=LearningRateFinder", "--trainer.callbacks.num_training_steps=60")
    code, _, err = fit(*QUICK[1:], *finder, "--trainer.max_epochs=10")
    assert code == 0, err
    found = hyper_parameters()["learning_rate"]
    assert found != 0.006
    (path,) = Path("runs").glob("*/*/checkpoints/last.ckpt")
    (group,) = torch.load(path, weights_only=True)["optimizer_states"][0]["param_groups"]
    assert group["initial_lr"] == found
    assert group["lr"] < found


def test_batch_size_finder_sets_the_batch_size_and_the_schedule_follows(fit: Command) -> None:
    options = ("--trainer.callbacks+=BatchSizeFinder", "--trainer.callbacks.max_trials=2", "--data.batch_size=16")
    code, out, err = fit(*QUICK, *options, "--trainer.callbacks.init_val=16")
    assert code == 0, err
    assert hyper_parameters("datamodule_hyper_parameters")["batch_size"] == 32
    assert "11 steps in" in out, "350 images in batches of 32"
    (path,) = Path("runs").glob("*/*/checkpoints/last.ckpt")
    (group,) = torch.load(path, weights_only=True)["optimizer_states"][0]["param_groups"]
    assert group["lr"] < 1e-4, "one cycle has ended after as many steps as there were"


@pytest.mark.filterwarnings("ignore:SWA is currently only supported every epoch")
def test_stochastic_weight_averaging_runs(fit: Command) -> None:
    code, _, err = fit("--trainer.callbacks+=StochasticWeightAveraging", "--trainer.callbacks.swa_lrs=0.01")
    assert code == 0, err


def test_early_stopping_stops(fit: Command) -> None:
    stop = '{"class_path": "EarlyStopping", "init_args": {"monitor": "val/loss", "divergence_threshold": 0.0}}'
    code, out, err = fit("--trainer.max_epochs=5", f"--trainer.callbacks+={stop}")
    assert code == 0, err
    assert "1 epochs in all" in out


def test_gradients_are_accumulated(fit: Command) -> None:
    code, out, err = fit(*QUICK, "--trainer.accumulate_grad_batches=2")
    assert code == 0, err
    assert "training    3 steps" in out
    assert "train/loss" in out


def test_a_missing_requirement_is_named_with_its_installation(fit: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def without_psutil(*args: object, **kwargs: object) -> None:
        raise ModuleNotFoundError("`DeviceStatsMonitor` needs it. Requirement 'psutil' not met. HINT: ...")

    monkeypatch.setattr(DeviceStatsMonitor, "setup", without_psutil)
    code, _, err = fit(*QUICK, "--trainer.callbacks+=DeviceStatsMonitor")
    assert code == 2
    assert err.splitlines()[-1] == "mnist-lstm: error: this needs psutil, which is not installed: pip install 'psutil'"


def test_wandb_without_wandb_names_its_installation(fit: Command) -> None:
    try:
        builtins.__import__("wandb")
    except ImportError:
        code, _, err = fit(*QUICK, "--trainer.logger=WandbLogger")
        assert code == 2
        assert "pip install 'wandb" in err
        assert not list(Path().glob("runs/*/*"))
    else:
        pytest.skip("wandb is installed")


def test_csv_logs_are_named_in_the_summary(fit: Command) -> None:
    code, out, err = fit(*QUICK, "--trainer.logger=CSVLogger", "--trainer.logger.save_dir=mine")
    assert code == 0, err
    (logs,) = re.findall(r"^logs +(.*)$", out, re.MULTILINE)
    rows = list(csv.DictReader(Path(logs).read_text().splitlines()))
    assert {"train/loss", "train/acc", "val/loss", "val/acc"} <= set(rows[0])
    assert "tensorboard" not in out


def test_an_epoch_shorter_than_the_log_interval_is_logged(fit: Command) -> None:
    code, out, err = fit("--trainer.max_epochs=2")
    assert code == 0, err
    assert len(re.findall(r"^epoch ./2 .*train/loss .*train/acc", out, re.MULTILINE)) == 2
    assert "Warning" not in err
    events = EventAccumulator("runs/mnist/version_0")
    events.Reload()
    assert [event.step for event in events.Scalars("train/loss")] == [5, 11]


def test_the_data_set_is_named_at_start_and_end(fit: Command) -> None:
    _, out, _ = fit(*QUICK)
    lines = [line for line in out.splitlines() if line.startswith("dataset")]
    assert lines == ["dataset     mnist"] * 2
    assert out.startswith("dataset")


def test_hparams_hold_seed_epochs_precision_and_batch_size(fit: Command) -> None:
    fit(*QUICK, "--seed_everything=7")
    events = EventAccumulator("runs/mnist/version_0")
    events.Reload()
    content = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    for name in (b"seed", b"max_epochs", b"precision", b"batch_size", b"hidden_size", b"learning_rate"):
        assert name in content


def test_a_resumed_run_says_where_its_options_come_from(fit: Command) -> None:
    fit(*QUICK, "--model.label_smoothing=0.1")
    code, _, err = fit(*QUICK, "--ckpt_path=last", "--trainer.max_epochs=2", "--model.learning_rate=0.001")
    assert code == 0, err
    assert re.search(r"^checkpoint's +model.label_smoothing 0.1$", err, re.MULTILINE)
    assert re.search(r"^given now +model.learning_rate 0.001 \(was 0.006\)$", err, re.MULTILINE)


def test_last_means_the_run_whose_config_is_given(fit: Command, command: Command) -> None:
    fit(*QUICK)
    fit(*QUICK)
    first = Path("runs/mnist/version_0")
    code, _, err = command(
        "fit", "--config", first / "config.yaml", "--ckpt_path", "last", "--trainer.max_epochs=2", *QUICK[1:]
    )
    assert code == 0, err
    assert f"checkpoint  {first}/checkpoints/last.ckpt" in err
    (first / "checkpoints/best.ckpt").unlink()
    code, _, err = command("fit", "--config", first / "config.yaml", "--ckpt_path", "best")
    assert code == 2
    assert f"{first}, has no such checkpoint" in err


def test_finders_are_refused_for_a_resumed_run(fit: Command) -> None:
    fit(*QUICK)
    code, _, err = fit(*QUICK, "--ckpt_path=last", "--trainer.max_epochs=2", "--trainer.callbacks+=LearningRateFinder")
    assert code == 2
    assert "LearningRateFinder" in err


@pytest.mark.parametrize(
    ("option", "suggestion"),
    [
        ("--model.hiden_size=3", "--model.hidden_size"),
        ("--model.straighten=true", "--model.deskew"),
        ("--trainer.max_epoch=3", "--trainer.max_epochs"),
        ("--data.batchsize=3", "--data.batch_size"),
    ],
)
def test_a_misspelt_option_is_one_line_with_a_suggestion(command: Command, option: str, suggestion: str) -> None:
    code, out, err = command("fit", option)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert option.split("=")[0] in err
    assert suggestion in err


@pytest.fixture
def _gpu_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Lightning believe that there is a GPU, where it decides whether to warn of one that is not used."""

    class Seen:
        is_available = staticmethod(lambda: True)

    monkeypatch.setattr("lightning.pytorch.trainer.setup.CUDAAccelerator", Seen)


@pytest.mark.usefixtures("_gpu_is_seen")
def test_training_on_the_cpu_of_a_machine_with_a_gpu_warns_of_nothing(fit: Command) -> None:
    code, _, err = fit("--trainer.max_epochs=1")
    assert code == 0, err
    assert "GPU available but not used" not in err


@pytest.mark.filterwarnings("ignore:The number of training batches")
def test_a_run_needs_no_command_line(archives: Path) -> None:
    folder = new_run(Path("runs"), "mnist")
    data = MNISTDataModule(archives=str(archives), batch_size=64)
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=1,
        enable_progress_bar=False,
        enable_model_summary=False,
        logger=RunLogger(folder.parent, "", folder.name),
        callbacks=run_callbacks(folder, pictures_every_n_epochs=0),
    )
    result = fit_run(trainer, DigitClassifier(hidden_size=8), data, folder)
    assert (result.steps, result.epochs) == (6, 1)
    assert result.checkpoint is not None
    assert result.checkpoint.name == "best.ckpt"
    assert result.val_acc is not None
    assert (folder / "curves.png").is_file()
    assert 0 <= evaluate(trainer, data, result.checkpoint, "cpu") <= 1
