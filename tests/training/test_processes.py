"""Several processes do what one does: real ones, started by torchrun, with gloo."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import several
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import FSDPStrategy

from mnist_lstm.errors import InputError
from mnist_lstm.training import processes
from mnist_lstm.training.callbacks import within_epochs
from mnist_lstm.training.module import DigitClassifier

PROGRAM = Path(several.__file__)
REPOSITORY = PROGRAM.parents[2]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, Any]]]:
    """What one process does."""
    before, look_every_s = dict(os.environ), within_epochs.LOOK_EVERY_S
    folder = tmp_path_factory.mktemp("alone")
    yield folder, several.all_of(1, folder)
    within_epochs.LOOK_EVERY_S = look_every_s
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="module", params=[2, pytest.param(4, marks=pytest.mark.slow)])
def together(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """What several processes do."""
    folder = tmp_path_factory.mktemp("together")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(REPOSITORY), *sys.path]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(folder), str(request.param)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    results = folder / "results.json"  # gloo may abort when all is done
    assert results.is_file(), done.stderr
    return folder, json.loads(results.read_text())


Result = tuple[Path, dict[str, Any]]


def test_evaluation_is_that_of_one_process_to_the_last_digit(alone: Result, together: Result) -> None:
    assert together[1]["evaluated"] == json.loads(json.dumps(alone[1]["evaluated"]))
    assert sum(map(sum, together[1]["evaluated"]["confusion"])) == 360


def test_each_image_is_trained_on_once_and_distorted_as_in_one_process(alone: Result, together: Result) -> None:
    images = together[1]["images"]
    assert images == alone[1]["images"]
    assert sum(map(len, images)) == 2 * 1257


def test_shares_differ_by_one_image_at_most(together: Result) -> None:
    steps = list(zip(*together[1]["shares"], strict=True))
    assert len(steps) == 26
    assert all(max(shares) - min(shares) <= 1 for shares in steps)
    assert any(max(shares) > min(shares) for shares in steps)


def test_the_loss_curve_and_the_log_are_those_of_one_process(alone: Result, together: Result) -> None:
    difference = max(abs(one - other) for one, other in zip(alone[1]["losses"], together[1]["losses"], strict=True))
    print(f"{len(together[1]['shares'])} processes: largest difference of the loss {difference:.1e}")
    assert together[1]["losses"] == pytest.approx(alone[1]["losses"], abs=1e-5)
    names = ("train/loss", "train/acc", "train/grad_norm", "val/loss", "val/acc")
    for name in names:
        assert together[1]["metrics"][name] == pytest.approx(alone[1]["metrics"][name], abs=1e-4), name


def test_processes_draw_dropout_of_their_own_and_share_all_else(alone: Result, together: Result) -> None:
    ((without_dropout, _),) = alone[1]["masks"]
    shared, masks = zip(*together[1]["masks"], strict=True)
    assert all(states == without_dropout for states in shared)
    drawn = [tuple(mask) for process in masks for mask in process]
    assert len(set(drawn)) == len(drawn) == 3 * len(shared)
    assert {value for mask in drawn for value in mask} == {0.0, 2.0}


def test_predictions_are_in_order_and_written_by_the_first_process(alone: Result, together: Result) -> None:
    files = sorted(together[0].glob("predictions-*.csv"))
    assert files[0].read_text() == (alone[0] / "predictions-0.csv").read_text()
    assert [file.stat().st_size for file in files[1:]] == [0] * (len(files) - 1)
    assert len(files) > 1


@pytest.mark.filterwarnings("ignore:The dirpath has changed")
def test_a_checkpoint_within_an_epoch_is_resumed_by_another_number_of_processes(
    alone: Result, together: Result, tmp_path: Path
) -> None:
    # a signal to the last process had it saved
    checkpoint = together[0] / "within.ckpt"
    step = torch.load(checkpoint, weights_only=True)["global_step"]
    assert step in (5, 6)
    (tmp_path / "resumed").mkdir()
    record, metrics = several.train(1, tmp_path / "resumed", checkpoint)
    assert record.images == alone[1]["images"][step:]
    assert record.losses == pytest.approx(alone[1]["losses"][step:], abs=1e-5)
    assert metrics["train/acc"] == pytest.approx(alone[1]["metrics"]["train/acc"], abs=1e-4)


@pytest.mark.parametrize(
    ("environment", "first", "wanted"),
    [
        ({"TORCHELASTIC_RUN_ID": "a", "WORLD_SIZE": "6", "LOCAL_WORLD_SIZE": "2", "RANK": "2"}, False, (2, 3)),
        ({"SLURM_NTASKS": "8", "SLURM_NNODES": "2", "SLURM_PROCID": "0", "SLURM_JOB_NAME": "fit"}, True, (4, 2)),
        ({"SLURM_NTASKS": "8", "SLURM_NNODES": "2", "SLURM_PROCID": "0", "SLURM_JOB_NAME": "bash"}, True, None),
        ({"TORCHELASTIC_RUN_ID": "a", "WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "1", "RANK": "0"}, True, None),
        ({"LOCAL_RANK": "1"}, False, None),
        ({"LOCAL_RANK": "0", "NODE_RANK": "1"}, False, None),
    ],
)
def test_processes_of_a_launcher_are_counted(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], first: bool, wanted: tuple[int, int] | None
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert processes.launched() == wanted
    assert processes.is_first() is first
    options = {} if wanted is None else {"devices": wanted[0], "num_nodes": wanted[1]}
    assert processes.launched_devices("auto", 1) == options
    if wanted is not None:
        with pytest.raises(InputError, match=r"--trainer\.devices 3: torchrun or srun has started"):
            processes.launched_devices(3, 1)


def test_other_strategies_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = Trainer(accelerator="cpu", devices=2, logger=False, enable_checkpointing=False)
    processes.check_strategy(trainer)
    monkeypatch.setattr(trainer.strategy, "__class__", FSDPStrategy)
    with pytest.raises(InputError, match=r"2 processes by FSDPStrategy: take --config configs/ddp\.yaml"):
        processes.check_strategy(trainer)


def test_the_network_has_no_buffers() -> None:
    # DDP would exchange them before each batch, and processes evaluate different numbers of batches
    assert not list(DigitClassifier().buffers())
