"""What the CPU is good for: how many threads pay, and whether it multiplies in bfloat16."""

import os
from typing import Any

import torch

WORK_PER_THREAD = 1_000_000
"""Multiplications per step of the sequence that make another thread pay.

Measured with OMP_NUM_THREADS=1 and 2 on two cores: with 64 units, batches of 32 (0.75 million) train faster on one
thread and batches of 128 (3 million) on two; between them, two are up to 10 % faster on an idle machine and slower on a
busy one.
"""


def training_threads(batch_size: int, input_size: int, hidden_size: int) -> int:
    """Return the number of threads to train with: from 1 to PyTorch's own; its own if ``OMP_NUM_THREADS`` is set.

    Threads wait for each other after every product of a step of the sequence, so what counts is how long that takes:
    ``input_size`` values of ``batch_size`` images enter one layer of ``hidden_size`` units in one direction.
    """
    maximum = torch.get_num_threads()
    if "OMP_NUM_THREADS" in os.environ:
        return maximum
    products = batch_size * 4 * hidden_size * (input_size + hidden_size)  # 4 gates
    return min(maximum, max(1, products // WORK_PER_THREAD))


def lacks_bfloat16() -> bool:
    """Return whether this is an x86 CPU that emulates bfloat16: it has neither AMX nor AVX512-BF16."""
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # since PyTorch 2.11
    has = capabilities.get("amx_bf16") or capabilities.get("avx512_bf16")
    return capabilities.get("architecture") == "x86_64" and not has
