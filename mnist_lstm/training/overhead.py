"""Optional: cut what Lightning adds to each step of a small network. Module and data module do not depend on it.

`reduce_overhead` is called once, in `mnist_lstm.training.run.fit`; without that line everything works the same. What
each part buys was timed on one core of an AMD EPYC (Zen 5), as many times as it happens per step; a step of 64 units
and batches of 64 takes about 4 ms.

Setting attributes: 58 us
    Lightning sets ``_current_fx_name`` of the module 45 times per step. `nn.Module.__setattr__` takes 1.3 us, since it
    looks for weights and submodules first. Needless once Lightning keeps that name outside of the module.

A profiler that does nothing: 45 us
    Lightning opens a context of its profiler around every hook of every callback, about 60 times per step, and
    `PassThroughProfiler.profile` is a generator. Needless once that returns `contextlib.nullcontext`.

Looking for a GPU by NVML: 38 us
    The optimizer calls `torch.cuda.is_available` at every step. Lightning sets PYTORCH_NVML_BASED_CUDA_CHECK=1, for
    programs that fork, and then the answer takes 38.7 us instead of 0.6. Needless once PyTorch caches it.
"""

import contextlib
import os
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.profilers import PassThroughProfiler

_NOTHING = contextlib.nullcontext()


def reduce_overhead(trainer: Trainer, model: LightningModule) -> None:
    """Take out of each step what costs time and is not used; a profiler of the user's stays."""
    if type(trainer.profiler) is PassThroughProfiler:  # type: ignore[attr-defined]
        trainer.profiler = NoProfiler()  # type: ignore[attr-defined]
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "0"
    if not isinstance(model, _FastAttribute):
        own = type(model)
        model.__class__ = type(own.__name__, (_FastAttribute, own), {"__module__": own.__module__})


class NoProfiler(PassThroughProfiler):
    """Profile nothing, in no time."""

    def profile(self, action_name: str) -> Any:
        """Return a context that does nothing."""
        return _NOTHING


class _FastAttribute:
    def __setattr__(self, name: str, value: Any) -> None:
        if name == "_current_fx_name":
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)
