"""What a machine with Apple's MPS would refuse, checked on a CPU: MPS has no float64."""

from collections.abc import Iterator

import pytest
import torch
from conftest import REPOSITORY, Command, succeed
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class DtypesSeen(TorchDispatchMode):
    """Collects the dtypes of all tensors that operations take and return."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: dict[torch.dtype, set[str]] = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves((args, kwargs, result)):
            if isinstance(leaf, torch.Tensor):
                self.operations.setdefault(leaf.dtype, set()).add(str(func))
        return result


@pytest.fixture
def seen() -> Iterator[DtypesSeen]:
    with DtypesSeen() as mode:
        yield mode


def test_the_record_recipe_computes_nothing_in_float64(fit: Command, seen: DtypesSeen) -> None:
    succeed(fit, "--config", REPOSITORY / "configs/record.yaml", "--data.val_size=50", "--trainer.max_epochs=1")
    assert "aten.grid_sampler_2d.default" in seen.operations[torch.float32], "operations are seen"
    assert torch.float64 not in seen.operations
