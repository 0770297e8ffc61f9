"""`CUDAGraphs`: with a fake of the capture on a CPU, and the real one on a GPU."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from conftest import GPU_MARKS, REPOSITORY, Command, succeed
from lightning.pytorch import Trainer, seed_everything
from test_cli_fit import stop_after

from mnist_lstm.training.augment import distort
from mnist_lstm.training.callbacks import graphs
from mnist_lstm.training.data_module import MNISTDataModule
from mnist_lstm.training.module import DigitClassifier

GRAPHS = "--trainer.callbacks+=mnist_lstm.training.callbacks.graphs.CUDAGraphs"


@pytest.fixture
def replays(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let the CPU pass for a GPU; returns the sizes of the batches that a fake of `graphs.capture` computes."""
    sizes: list[int] = []

    def capture(run):
        outputs = run()

        def replay() -> None:
            sizes.append(len(outputs[0]) if outputs[0].ndim else len(outputs[1]))
            for output, value in zip(outputs, run(), strict=True):
                output.copy_(value)

        return replay, outputs

    fork_rng = torch.random.fork_rng
    monkeypatch.setattr(graphs, "DEVICE", "cpu")
    monkeypatch.setattr(graphs, "capture", capture)
    monkeypatch.setattr(torch.random, "fork_rng", lambda devices: fork_rng([]))
    return sizes


@pytest.fixture
def no_capture(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the CPU pass for a GPU, on which nothing may be captured."""
    monkeypatch.setattr(graphs, "DEVICE", "cpu")
    monkeypatch.setattr(graphs, "capture", lambda run: pytest.fail("captured"))


def weights(run: int) -> dict[str, torch.Tensor]:
    path = Path(f"runs/mnist/version_{run}/checkpoints/last.ckpt")
    state: dict[str, torch.Tensor] = torch.load(path, weights_only=True, map_location="cpu")["state_dict"]
    return state


def assert_same_weights(first: int, second: int) -> None:
    expected, found = weights(first), weights(second)
    assert all(torch.equal(value, found[name]) for name, value in expected.items())


@pytest.mark.parametrize(
    "clipping",
    [
        (),
        ("--trainer.gradient_clip_val=0.01",),
        ("--trainer.gradient_clip_val=1e-3", "--trainer.gradient_clip_algorithm=value"),
    ],
    ids=["default", "norm", "value"],
)
def test_full_training_batches_are_replayed_and_nothing_else(
    fit: Command, replays: list[int], clipping: tuple[str, ...]
) -> None:
    options = ("--model.dropout=0.1", "--model.num_layers=2", "--data.augment=true", *clipping)
    succeed(fit, *options)
    assert not replays
    succeed(fit, *options, GRAPHS)
    assert replays == [64] * 2 * 10, "distortion and step of five full batches of six, in two epochs"
    assert_same_weights(0, 1)


def test_a_resumed_run_captures_anew_and_equals_an_uninterrupted_one(fit: Command, replays: list[int]) -> None:
    options = ("--model.dropout=0.1", "--model.num_layers=2", GRAPHS)
    succeed(fit, *options)
    replays.clear()
    code, _, _ = fit(*options, *stop_after(1))
    assert code == 1
    succeed(fit, GRAPHS, "--ckpt_path=last", "--seed_everything=5")
    assert replays == [64] * 2 * 5
    assert_same_weights(0, 2)


def test_steps_are_launched_one_by_one_from_the_epoch_in_which_gradients_accumulate(
    fit: Command, replays: list[int]
) -> None:
    accumulation = "lightning.pytorch.callbacks.GradientAccumulationScheduler"
    later = f'--trainer.callbacks+={{"class_path": "{accumulation}", "init_args": {{"scheduling": {{"1": 2}}}}}}'
    succeed(fit, later)
    succeed(fit, later, GRAPHS)
    assert replays == [64] * 5, "of the first epoch"
    assert_same_weights(0, 1)


def test_a_second_fit_captures_its_own_shapes(replays: list[int]) -> None:
    def train(*callbacks: graphs.CUDAGraphs) -> DigitClassifier:
        seed_everything(0, verbose=False)
        module = DigitClassifier(hidden_size=8)
        for size in (64, 48):
            trainer = Trainer(
                accelerator="cpu",
                max_epochs=1,
                limit_train_batches=3,
                limit_val_batches=0,
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                callbacks=list(callbacks),
            )
            data = MNISTDataModule("digits", batch_size=size, augment=True)
            trainer.fit(module, data)
            assert data.distort is distort
            assert not {"compute_loss", "backward"} & set(vars(module))
        return module

    expected = train().state_dict()
    assert not replays
    found = train(graphs.CUDAGraphs()).state_dict()
    assert replays == [64] * 6 + [48] * 6
    assert all(torch.equal(value, found[name]) for name, value in expected.items())


def test_a_loss_that_becomes_nan_is_found_at_the_same_step(fit: Command, replays: list[int]) -> None:
    diverging = ("--model.learning_rate=1e30", "--model.schedule=constant", "--trainer.gradient_clip_val=null")
    found = []
    for options in ((), (GRAPHS,)):
        code, _, err = fit(*diverging, "--model.cell=rnn", *options)
        assert code == 1
        found += re.findall(r"loss became .* at step \d+", err)
    assert replays
    assert len(found) == 2
    assert found[0] == found[1]


def test_a_capture_that_fails_is_one_line(fit: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def run_out(run):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB\nmore")

    monkeypatch.setattr(graphs, "DEVICE", "cpu")
    monkeypatch.setattr(graphs, "capture", run_out)
    fork_rng = torch.random.fork_rng
    monkeypatch.setattr(torch.random, "fork_rng", lambda devices: fork_rng([]))
    code, _, err = fit(GRAPHS)
    assert code == 1
    assert "CUDA graphs: " in err.splitlines()[-1]
    assert "out of memory. Tried to allocate 9 GiB; " in err.splitlines()[-1]
    succeed(fit, GRAPHS, "--trainer.callbacks=null")


def test_what_is_no_digit_has_its_loss_in_the_replay(fit: Command, replays: list[int]) -> None:
    options = ("--data.no_digits=0.2", "--model.no_digit_weight=0.5", "--trainer.max_epochs=1")
    succeed(fit, *options)
    succeed(fit, *options, GRAPHS)
    assert replays
    assert_same_weights(0, 1)


@pytest.mark.usefixtures("no_capture")
@pytest.mark.parametrize("option", ["--trainer.accumulate_grad_batches=2", "--trainer.detect_anomaly=true"])
def test_nothing_is_captured_where_it_cannot_be(fit: Command, option: str) -> None:
    succeed(fit, "--trainer.max_epochs=1", option, GRAPHS)


@pytest.mark.parametrize("precision", [pytest.param("16-mixed", marks=GPU_MARKS)])
def test_a_loss_scale_is_not_captured(fit: Command, precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "capture", lambda run: pytest.fail("captured"))
    gpu = ("--trainer.accelerator=gpu", f"--trainer.precision={precision}")
    succeed(fit, "--trainer.max_epochs=1", *gpu, GRAPHS)


@pytest.mark.usefixtures("no_capture")
@pytest.mark.parametrize("options", [{"devices": 2}, {"devices": 1, "strategy": "ddp"}], ids=["two", "one of ddp"])
def test_nothing_is_captured_where_processes_may_be_several(options: dict) -> None:
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, **options)
    stand_in = SimpleNamespace(
        datamodule=MNISTDataModule("digits"),
        strategy=trainer.strategy,
        accumulate_grad_batches=1,
        precision_plugin=trainer.precision_plugin,
    )
    graphs.CUDAGraphs().on_train_start(stand_in, DigitClassifier(hidden_size=8))  # type: ignore[arg-type]


@pytest.mark.usefixtures("no_capture")
def test_a_training_step_of_a_subclass_is_not_captured() -> None:
    class Own(DigitClassifier):
        def training_step(self, batch, batch_idx):
            return 2 * super().training_step(batch, batch_idx)

    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = Trainer(accelerator="cpu", fast_dev_run=True, callbacks=[graphs.CUDAGraphs()], **quiet)
    trainer.fit(Own(hidden_size=8), MNISTDataModule("digits"))


@pytest.mark.parametrize("config", ["gpu", "gpu_mixed"])
def test_nothing_is_captured_on_a_cpu(fit: Command, monkeypatch: pytest.MonkeyPatch, config: str) -> None:
    monkeypatch.setattr(graphs, "capture", lambda run: pytest.fail("captured"))
    succeed(
        fit, "--config", REPOSITORY / f"configs/{config}.yaml", "--trainer.accelerator=cpu", "--trainer.max_epochs=1"
    )


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--model.num_layers=2", "--model.dropout=0.1"),
        ("--data.on_device=true",),
        ("--data.no_digits=0.2", "--model.no_digit_weight=0.5", "--data.augment=true"),
        ("--model.scan_order=permuted", "--model.bidirectional=false"),
        ("--config", REPOSITORY / "configs/record.yaml", "--data.val_size=50"),
    ],
    ids=["plain", "dropout", "on-device", "augment", "permuted", "record"],
)
@pytest.mark.parametrize("precision", [pytest.param(name, marks=GPU_MARKS) for name in ("32-true", "bf16-mixed")])
def test_captured_steps_train_as_eager_ones(
    fit: Command, precision: str, options: tuple[str | Path, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    replays: list[int] = []
    replay = torch.cuda.CUDAGraph.replay
    monkeypatch.setattr(torch.cuda.CUDAGraph, "replay", lambda graph: (replays.append(1), replay(graph))[1])
    own = (*options, "--trainer.accelerator=gpu", f"--trainer.precision={precision}", "--trainer.max_epochs=1")
    succeed(fit, *own)
    assert not replays
    succeed(fit, *own, GRAPHS)
    assert replays
    if {"--model.dropout=0.1", "--config", "--model.scan_order=permuted"} & set(options):
        return  # cuDNN draws what to drop from a state of its own; rounding adds up over 784 steps
    captured = weights(1)
    for name, value in weights(0).items():
        torch.testing.assert_close(captured[name], value, rtol=0, atol=5e-3)  # one step alone may move it by 6e-3


@pytest.mark.parametrize("device", [pytest.param("cuda", marks=GPU_MARKS)])
def test_a_captured_distortion_draws_anew_as_the_eager_one(device: str) -> None:
    images = (255 * torch.rand(8, 28, 28, device=device)).to(torch.uint8)
    captured = graphs._capture_distort(8, torch.device(device))
    torch.manual_seed(1)
    expected = [distort(images) for _ in range(2)]
    torch.manual_seed(1)
    for value in expected:
        torch.testing.assert_close(captured(images), value)
    assert not torch.equal(*expected)
