"""`CUDAGraphs`: with a fake of PyTorch's capture on a CPU, and the real one on a GPU."""

import contextlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from conftest import GPU_MARKS, Command, succeed

from mnist_lstm.network.model import RowLSTM
from mnist_lstm.training.callbacks import graphs
from mnist_lstm.training.callbacks.graphs import CUDAGraphs
from mnist_lstm.training.data_module import MNISTDataModule


@pytest.fixture
def replayed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of the batches that a fake of `torch.cuda.make_graphed_callables` is called with."""
    sizes: list[int] = []

    def capture(network: Any, sample: tuple[torch.Tensor]) -> None:
        eager = network.forward

        def forward(images: torch.Tensor) -> torch.Tensor:
            if network.training:
                assert images.shape == sample[0].shape
                sizes.append(len(images))
            return eager(images)

        network.forward = forward

    fake = SimpleNamespace(
        cuda=SimpleNamespace(make_graphed_callables=capture),
        random=SimpleNamespace(fork_rng=lambda devices: contextlib.nullcontext()),
        zeros=lambda *shape, device: torch.zeros(*shape),
    )
    monkeypatch.setattr(graphs, "torch", fake)
    return sizes


def start(accumulate: int = 1, device: str = "cuda") -> tuple[CUDAGraphs, Any, Any]:
    precision = SimpleNamespace(train_step_context=contextlib.nullcontext)
    trainer = SimpleNamespace(
        datamodule=MNISTDataModule(batch_size=4), accumulate_grad_batches=accumulate, precision_plugin=precision
    )
    module = SimpleNamespace(model=RowLSTM(hidden_size=4), device=torch.device(device))
    callback = CUDAGraphs()
    callback.on_train_start(trainer, module)  # type: ignore[arg-type]
    return callback, trainer, module


def test_full_training_batches_are_replayed_and_nothing_else(replayed: list[int]) -> None:
    callback, trainer, module = start()
    for size in (4, 4, 3):
        assert module.model(torch.randn(size, 28, 28)).shape == (size, 10)
    module.model.eval()(torch.randn(4, 28, 28))
    assert replayed == [4, 4]
    callback.on_train_end(trainer, module)
    module.model.train()(torch.randn(4, 28, 28))
    assert replayed == [4, 4], "the network has its own forward pass back"


@pytest.mark.parametrize("options", [{"accumulate": 2}, {"device": "cpu"}, {"device": "mps"}], ids=str)
def test_nothing_is_captured_where_it_cannot_be(replayed: list[int], options: dict[str, Any]) -> None:
    _, _, module = start(**options)
    module.model(torch.randn(4, 28, 28))
    assert not replayed
    assert "forward" not in vars(module.model)


def weights(run: int) -> dict[str, torch.Tensor]:
    path = Path(f"runs/mnist/version_{run}/checkpoints/last.ckpt")
    state: dict[str, torch.Tensor] = torch.load(path, weights_only=True, map_location="cpu")["state_dict"]
    return state


@pytest.mark.parametrize("options", [(), ("--model.num_layers=2", "--model.dropout=0.1"), ("--data.on_device=true",)])
@pytest.mark.parametrize("precision", [pytest.param(name, marks=GPU_MARKS) for name in ("32-true", "bf16-mixed")])
def test_captured_passes_train_as_eager_ones(
    fit: Command, precision: str, options: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    replays: list[int] = []
    replay = torch.cuda.CUDAGraph.replay
    monkeypatch.setattr(torch.cuda.CUDAGraph, "replay", lambda graph: (replays.append(1), replay(graph))[1])
    own = ("--trainer.accelerator=gpu", f"--trainer.precision={precision}", "--trainer.max_epochs=1", *options)
    succeed(fit, *own)
    assert not replays
    succeed(fit, *own, "--trainer.callbacks+=mnist_lstm.training.callbacks.graphs.CUDAGraphs")
    assert len(replays) == 10, "forward and backward for each of five full batches of six"
    if "--model.dropout=0.1" in options:
        return  # cuDNN draws what to drop from a state of its own
    captured = weights(1)
    for name, value in weights(0).items():
        torch.testing.assert_close(captured[name], value, rtol=0, atol=5e-3)  # one step alone may move it by 6e-3
