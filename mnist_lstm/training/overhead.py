"""Optional: cut what Lightning adds to each step. The module and the data module do not depend on it.

`reduce_overhead` is called once, in `mnist_lstm.training.run.fit`; without that line everything works the same. Times
are per step, on one core of an AMD EPYC (Zen 5), from `python scripts/benchmark.py train` with and without.

A profiler that does nothing: 45 us
    Lightning opens a context of its profiler around every hook of every callback, about 60 times per step, and
    `PassThroughProfiler.profile` is a generator. Needless once that returns `contextlib.nullcontext`.

Looking for a GPU by NVML: 44 us
    The optimizer asks at every step whether CUDA is available. Lightning sets PYTORCH_NVML_BASED_CUDA_CHECK=1 for
    programs that fork; without a driver that look-up is not cached. Needless once `torch.cuda.is_available` caches it.
"""

import contextlib
import os
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.profilers import PassThroughProfiler

_NOTHING = contextlib.nullcontext()


class NoProfiler(PassThroughProfiler):
    """Profile nothing, in no time."""

    def profile(self, action_name: str) -> Any:
        """Return a context that does nothing."""
        return _NOTHING


def reduce_overhead(trainer: Trainer) -> None:
    """Take out of a trainer what costs time at every step and is not used; a profiler of the user's stays."""
    if type(trainer.profiler) is PassThroughProfiler:  # type: ignore[attr-defined]
        trainer.profiler = NoProfiler()  # type: ignore[attr-defined]
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "0"
