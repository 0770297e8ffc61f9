"""`CUDAGraphs`: with a fake of the capture on a CPU, and the real one on a GPU."""

from pathlib import Path

import pytest
import torch
from conftest import GPU_MARKS, REPOSITORY, Command, succeed

from mnist_lstm.training.augment import distort
from mnist_lstm.training.callbacks import graphs

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


def weights(run: int) -> dict[str, torch.Tensor]:
    path = Path(f"runs/mnist/version_{run}/checkpoints/last.ckpt")
    state: dict[str, torch.Tensor] = torch.load(path, weights_only=True, map_location="cpu")["state_dict"]
    return state


def test_full_training_batches_are_replayed_and_nothing_else(fit: Command, replays: list[int]) -> None:
    options = ("--model.dropout=0.1", "--model.num_layers=2", "--data.augment=true")
    succeed(fit, *options)
    assert not replays
    succeed(fit, *options, GRAPHS)
    assert replays == [64] * 2 * 10, "distortion and step of five full batches of six, in two epochs"
    captured = weights(1)
    assert all(torch.equal(value, captured[name]) for name, value in weights(0).items())


def test_what_is_no_digit_has_its_loss_in_the_replay(fit: Command, replays: list[int]) -> None:
    options = ("--data.no_digits=0.2", "--model.no_digit_weight=0.5", "--trainer.max_epochs=1")
    succeed(fit, *options)
    succeed(fit, *options, GRAPHS)
    assert replays
    captured = weights(1)
    assert all(torch.equal(value, captured[name]) for name, value in weights(0).items())


@pytest.mark.parametrize(
    "options",
    [
        ("--trainer.accumulate_grad_batches=2",),
        pytest.param(("--trainer.accelerator=gpu", "--trainer.precision=16-mixed"), marks=GPU_MARKS),
    ],
)
def test_nothing_is_captured_where_it_cannot_be(
    fit: Command, options: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graphs, "DEVICE", "cuda" if "--trainer.accelerator=gpu" in options else "cpu")
    monkeypatch.setattr(graphs, "capture", lambda run: pytest.fail("captured"))
    succeed(fit, "--trainer.max_epochs=1", *options, GRAPHS)


def test_nothing_is_captured_on_a_cpu(fit: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "capture", lambda run: pytest.fail("captured"))
    succeed(fit, "--trainer.max_epochs=1", GRAPHS)


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
