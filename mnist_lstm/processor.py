"""What the CPU is good for: how many threads pay, and whether it has products in bfloat16."""

import os
from typing import Any

import torch

THREAD_WORK = 1_000_000
"""Multiplications of one step of the sequence that make a thread worth waking up.

Tried with OMP_NUM_THREADS=1 and 2 on two cores: with 64 units, batches of 32 (0.75 million) train faster on one thread,
those of 128 (3 million) on two; between them, two are up to 10 % faster on an idle machine and slower on a busy one.
"""


def training_threads(batch_size: int, input_size: int, hidden_size: int) -> int:
    """Tell how many of PyTorch's threads to train with.

    The threads meet after every product of a step of the sequence, so what counts is how long one of these takes.

    Args:
        batch_size: images a step.
        input_size: numbers a step of the sequence.
        hidden_size: units of one layer in one direction.

    Returns:
        At least 1 and at most as many as PyTorch would take; as many where ``OMP_NUM_THREADS`` says how many.
    """
    most = torch.get_num_threads()
    if "OMP_NUM_THREADS" in os.environ:
        return most
    products = batch_size * 4 * hidden_size * (input_size + hidden_size)  # 4 gates
    return min(most, max(1, products // THREAD_WORK))


def lacks_bfloat16() -> bool:
    """Tell whether this is an x86 processor that must emulate bfloat16: it has neither AMX nor AVX512-BF16."""
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # since PyTorch 2.11
    has = capabilities.get("amx_bf16") or capabilities.get("avx512_bf16")
    return capabilities.get("architecture") == "x86_64" and not has
