"""Replay training steps on a CUDA GPU as graphs: a few launches per step instead of hundreds."""

from collections.abc import Callable

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.strategies import SingleDeviceStrategy
from torch import Tensor

from mnist_lstm.data.format import SIZE
from mnist_lstm.errors import TrainingError
from mnist_lstm.training.augment import distort
from mnist_lstm.training.data_module import Batch, MNISTDataModule
from mnist_lstm.training.module import DigitClassifier

DEVICE = "cuda"
"""Type of the device that can capture."""

WARM_UP = 3
"""Runs before a capture, in which libraries set themselves up."""

Outputs = tuple[Tensor, ...]


class CUDAGraphs(Callback):
    """Capture loss and gradients of a full training batch, and its distortion, and replay them.

    A GPU computes a step of a network this small faster than Python launches its kernels one by one. Results are the
    same. The last batch of an epoch, if it is smaller, and validation run as they do without this callback. So does
    everything on other devices, on several devices, with ``accumulate_grad_batches``, with ``detect_anomaly``, with the
    loss scale of 16-mixed, and with a subclass of `DigitClassifier` that has a training step of its own.

    A capture that fails, as for want of memory, is a `TrainingError`.
    """

    def __init__(self) -> None:
        self._is_replayed = False  # the gradients of the present batch are there already

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Capture; the random numbers of training stay those of a run without graphs."""
        data = trainer.datamodule  # type: ignore[attr-defined]
        if (
            not isinstance(data, MNISTDataModule)
            or not isinstance(pl_module, DigitClassifier)
            or type(pl_module).training_step is not DigitClassifier.training_step
            or pl_module.device.type != DEVICE
            or not isinstance(trainer.strategy, SingleDeviceStrategy)
            or trainer.accumulate_grad_batches != 1
            or torch.is_anomaly_enabled()  # reads each gradient, which a capture cannot
            or getattr(trainer.precision_plugin, "scaler", None) is not None
        ):
            return
        try:
            with torch.random.fork_rng([pl_module.device]):
                self._capture_step(trainer, pl_module, data.hparams["batch_size"])
                if data.hparams["augment"]:
                    data.distort = _capture_distort(data.hparams["batch_size"], pl_module.device)
        except RuntimeError as error:
            reason = str(error).partition("\n")[0]
            raise TrainingError(
                f"CUDA graphs: a training step could not be captured: {reason}; if memory is short, try a smaller "
                "--data.batch_size, else leave CUDAGraphs out (--trainer.callbacks null leaves out all callbacks)"
            ) from error

    def _capture_step(self, trainer: Trainer, module: DigitClassifier, size: int) -> None:
        """Replace how the module computes the loss of a batch, and how it propagates it back."""
        images = torch.zeros(size, SIZE, SIZE, device=module.device)
        labels = torch.zeros(size, dtype=torch.long, device=module.device)
        weights = [weight for weight in module.parameters() if weight.requires_grad]
        compute_eagerly, propagate_eagerly = module.compute_loss, module.backward

        def run() -> Outputs:
            with trainer.precision_plugin.train_step_context():
                loss, logits, _ = compute_eagerly((images, labels))
            return loss.detach(), logits.detach(), *torch.autograd.grad(loss, weights)

        replay, (loss, logits, *gradients) = capture(run)

        def compute_loss(batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
            new_images, new_labels = batch
            accumulates = trainer.accumulate_grad_batches != 1  # a callback may start it in a later epoch
            self._is_replayed = False
            if not module.training or accumulates or len(new_images) != size or new_labels is None:
                return compute_eagerly(batch)
            images.copy_(new_images)
            labels.copy_(new_labels)
            replay()
            self._is_replayed = True
            return loss, logits, new_labels

        def backward(loss: Tensor) -> None:
            if not self._is_replayed:
                propagate_eagerly(loss)
                return
            for weight, gradient in zip(weights, gradients, strict=True):
                weight.grad = gradient

        vars(module).update(compute_loss=compute_loss, backward=backward)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Give module and data module their own methods back."""
        for name in ("compute_loss", "backward"):
            vars(pl_module).pop(name, None)
        if isinstance(trainer.datamodule, MNISTDataModule):  # type: ignore[attr-defined]
            trainer.datamodule.distort = distort  # type: ignore[attr-defined]

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Give module and data module their own methods back."""
        self.on_train_end(trainer, pl_module)


def _capture_distort(size: int, device: torch.device) -> Callable[[Tensor], Tensor]:
    images = torch.zeros(size, SIZE, SIZE, dtype=torch.uint8, device=device)
    replay, (distorted,) = capture(lambda: (distort(images),))

    def distort_batch(batch: Tensor) -> Tensor:
        """Distort; the next batch overwrites the result."""
        if len(batch) != size:
            return distort(batch)
        images.copy_(batch)
        replay()
        return distorted

    return distort_batch


def capture(run: Callable[[], Outputs]) -> tuple[Callable[[], None], Outputs]:
    """Capture what a function does on the GPU; return a function that repeats it, and the outputs that it overwrites.

    PyTorch's `torch.cuda.make_graphed_callables` captures a network alone. It keeps the graph of automatic
    differentiation, and with it the stream of the capture, so that every later backward pass has to wait for that
    stream.
    """
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP):
            run()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        outputs = run()
    return graph.replay, outputs
