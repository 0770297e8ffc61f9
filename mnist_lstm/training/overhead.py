"""Optional: cut what Lightning adds to each step of a small network. Module and data module do not depend on it.

`reduce_overhead` is called once, in `mnist_lstm.training.run.fit`; without that line everything works the same, to the
bit. What each part buys was timed on one core of an AMD EPYC (Zen 5), as many times as it happens per step; a step of
64 units and batches of 64 takes about 4 ms.

Setting attributes: 58 us
    Lightning sets ``_current_fx_name`` of the module 45 times per step. `nn.Module.__setattr__` takes 1.3 us, since it
    looks for weights and submodules first. Needless once Lightning keeps that name outside of the module.

A profiler that does nothing: 45 us
    Lightning opens a context of its profiler around every hook of every callback, about 60 times per step, and
    `PassThroughProfiler.profile` is a generator. Needless once that returns `contextlib.nullcontext`.

Clipping what is not too long: 40 us
    `clip_grad_norm_` takes 56 us, also where it changes nothing, as at most steps; the norm alone 15. On a CPU only: a
    GPU would have to be waited for. Needless once PyTorch skips a factor of 1 on CPUs.

Looking for a GPU by NVML: 38 us
    The optimizer calls `torch.cuda.is_available` at every step. Lightning sets PYTORCH_NVML_BASED_CUDA_CHECK=1, for
    programs that fork, and then the answer takes 38.7 us instead of 0.6. Needless once PyTorch caches it.

Names of checkpoint callbacks: 13 us
    Lightning asks for the ``state_key`` of each callback at each hook, and that of `ModelCheckpoint` is composed anew
    each time, 12 times per step. Needless once it is cached.
"""

import contextlib
import os
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.profilers import PassThroughProfiler

from mnist_lstm.training.metrics import logs_at

_NOTHING = contextlib.nullcontext()


def reduce_overhead(trainer: Trainer, model: LightningModule) -> None:
    """Take out of each step what costs time and is not used; a profiler of the user's stays."""
    if type(trainer.profiler) is PassThroughProfiler:  # type: ignore[attr-defined]
        trainer.profiler = NoProfiler()  # type: ignore[attr-defined]
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "0"
    if not isinstance(model, _LeanModule):
        _extend(model, (_LeanModule,), {})
    for callback in trainer.checkpoint_callbacks:
        _extend(callback, (), {"state_key": callback.state_key})


class NoProfiler(PassThroughProfiler):
    """Profile nothing, in no time."""

    def profile(self, action_name: str) -> Any:
        """Return a context that does nothing."""
        return _NOTHING


class _LeanModule(LightningModule):
    def __setattr__(self, name: str, value: Any) -> None:
        if name == "_current_fx_name":
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip only what may be too long, and what is logged."""
        is_logged = logs_at(self.trainer, self.trainer.global_step + 1)
        if gradient_clip_val and gradient_clip_algorithm != "value" and self.device.type == "cpu" and not is_logged:
            weights = optimizer.param_groups[0]["params"]
            gradients = [weight.grad.flatten() for weight in weights if weight.grad is not None]
            if torch.linalg.vector_norm(torch.cat(gradients)) < 0.999 * gradient_clip_val:
                return
        super().configure_gradient_clipping(optimizer, gradient_clip_val, gradient_clip_algorithm)


def _extend(thing: Any, bases: tuple[type, ...], attributes: dict[str, Any]) -> None:
    """Give one object, not its class, other methods or attributes."""
    own = type(thing)
    names = {name: getattr(own, name) for name in ("__module__", "__qualname__", "__doc__")}
    thing.__class__ = type(own.__name__, (*bases, own), names | attributes)
