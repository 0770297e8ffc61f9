"""Several processes that train or test one network: which there are, and what they tell each other.

One process needs none of this: all functions then return what they are given.
"""

import os
from typing import Any

import torch
import torch.distributed as dist
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor

from mnist_lstm.console import is_first_of_host, is_srun
from mnist_lstm.errors import InputError

LOST = ("gloo", "Connection", "connection", "Socket", "socket", "NCCL", "timed out", "Timed out")
"""In messages of PyTorch's errors when a process does not answer any more; they have no class of their own."""


def count() -> int:
    """Return the number of processes that work together, 1 before they have met."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Return this process's place among them, from 0."""
    return dist.get_rank() if count() > 1 else 0


def total(values: Tensor) -> Tensor:
    """Return the sum of a tensor over all processes; all must call this, with the same shape."""
    return _reduced(values, dist.ReduceOp.SUM)


def maximum(values: list[int]) -> list[int]:
    """Return the maximum of each number over all processes; all must call this."""
    largest: list[int] = _reduced(torch.tensor(values), dist.ReduceOp.MAX).tolist()
    return largest


def gather(value: Any) -> list[Any]:
    """Return what each process has, by rank; all must call this."""
    if count() == 1:
        return [value]
    values = [None] * count()
    dist.all_gather_object(values, value)
    return values


def _reduced(values: Tensor, operation: Any) -> Tensor:
    if count() == 1:
        return values
    device = "cuda" if dist.get_backend() == "nccl" else "cpu"
    shared = values.to(device, copy=True)
    dist.all_reduce(shared, operation)
    return shared.to(values.device)


def part_together() -> None:
    """Wait for all processes, and end their work together."""
    if count() > 1:
        dist.barrier()
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def launched() -> tuple[int, int] | None:
    """Return processes per host and hosts if torchrun or srun has started several processes, else None."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        processes, per_host = int(os.environ["WORLD_SIZE"]), int(os.environ["LOCAL_WORLD_SIZE"])
    elif is_srun():
        processes = int(os.environ["SLURM_NTASKS"])
        per_host = processes // int(os.environ.get("SLURM_NNODES", "1"))
    else:
        return None
    return (per_host, processes // per_host) if processes > 1 else None


def launched_devices(devices: Any, num_nodes: int) -> dict[str, int]:
    """Return the trainer's options for the processes that torchrun or srun has started, {} without these.

    What is given must be theirs, or the default.
    """
    started = launched()
    if started is None:
        return {}
    for name, given, there in (("devices", devices, started[0]), ("num_nodes", num_nodes, started[1])):
        if str(given) not in ("1", "-1", "auto", str(there)):
            raise InputError(f"--trainer.{name} {given}: torchrun or srun has started {there}; leave the option out")
    return dict(zip(("devices", "num_nodes"), started, strict=True))


def is_first() -> bool:
    """Return whether this is the first process of all, by the environment: before they have met."""
    if "RANK" in os.environ:
        return os.environ["RANK"] == "0"
    if is_srun():
        return os.environ["SLURM_PROCID"] == "0"
    return is_first_of_host() and os.environ.get("NODE_RANK", "0") == "0"


def check_strategy(trainer: Trainer) -> None:
    """Refuse several processes by another strategy than DDP: processes evaluate different numbers of batches."""
    if trainer.world_size > 1 and type(trainer.strategy) is not DDPStrategy:
        raise InputError(
            f"{trainer.world_size} processes by {type(trainer.strategy).__name__}: take --config configs/ddp.yaml, and "
            "leave out --trainer.strategy"
        )


def is_lost_contact(error: BaseException) -> bool:
    """Return whether an error of PyTorch says that another process does not answer."""
    return isinstance(error, RuntimeError) and count() > 1 and any(word in str(error) for word in LOST)


def describe_loss(error: BaseException) -> str:
    """Return in one line that contact has been lost."""
    reason = " ".join(str(error).split("\n")[0].split())[:200]
    return (
        f"process {rank()} of {count()} has lost contact with another one, which has ended, or whose host cannot be "
        f"reached ({reason})"
    )
