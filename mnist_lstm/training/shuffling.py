"""The order of the training images in each epoch, where in it a run is, and which images a process evaluates."""

from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader, RandomSampler, Sampler


class Shuffling:
    """Draws an order for each epoch, and continues one in its middle after a resume."""

    def __init__(self) -> None:
        self._generator = torch.Generator()
        self._before = self._generator.get_state()  # the present epoch's order was drawn
        self._start = 0  # images of the coming order to leave out

    def seed(self, seed: int) -> None:
        """Start anew from a seed."""
        self._generator.manual_seed(seed)
        self._start = 0

    def draw(self, size: int) -> list[int]:
        """Return the order of the next epoch; the first one after a resume lacks what has been trained on."""
        self._before = self._generator.get_state()
        start, self._start = self._start, 0
        return torch.randperm(size, generator=self._generator)[start:].tolist()

    def state_dict(self, images_done: int) -> dict[str, Any]:
        """Return the state after so many images of the present epoch; 0: between two epochs."""
        return {"shuffling": self._before if images_done else self._generator.get_state(), "images_done": images_done}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint; older ones were all written between two epochs."""
        self._generator.set_state(state["shuffling"])
        self._start = state.get("images_done", 0)


class ShuffledSampler(RandomSampler):
    """A new order each epoch; PyTorch's own draws a second one each time and discards it."""

    def __init__(self, size: int, shuffling: Shuffling) -> None:
        super().__init__(range(size))
        self._shuffling = shuffling

    def __iter__(self) -> Iterator[int]:
        yield from self._shuffling.draw(len(self))


class EveryNthBatch(Sampler[int]):
    """Indices of the batches that one of several processes evaluates: whole batches, each in one process only.

    The same images are computed together for any number of processes, and so round in the same way.
    """

    def __init__(self, size: int, batch_size: int, rank: int, count: int) -> None:
        starts = range(rank * batch_size, size, count * batch_size)
        self._indices = [index for start in starts for index in range(start, min(size, start + batch_size))]

    def __len__(self) -> int:
        return len(self._indices)

    def __iter__(self) -> Iterator[int]:
        yield from self._indices


class ResumableLoader(DataLoader[Any]):
    """A loader that continues within an epoch; its state is that of `Shuffling`, which the data module keeps.

    Lightning warns of loaders without these two methods. It also drops what they return if
    ``estimated_stepping_batches`` was asked for before a run is resumed, as the schedule here does.
    """

    def state_dict(self) -> dict[str, Any]:
        """Return nothing."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load nothing."""
