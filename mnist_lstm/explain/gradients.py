"""How a network's output changes with each pixel.

The output is the log-odds of a digit, log(p / (1 - p)). The loss of a digit that the network is sure of is nearly 0,
and so is its gradient, whatever the pixels do; log-odds keep growing.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from mnist_lstm.network.log_odds import log_odds
from mnist_lstm.network.model import RowLSTM


def pixel_gradients(network: RowLSTM, sequences: Tensor, digit: int) -> Tensor:
    """Return the gradient of the log-odds with respect to each pixel of sequences ``(N, L, pixels)``, same shape.

    It is the limit of central differences. On flat paper all gradient features are at the kink of their ReLU, where it
    differs from PyTorch's gradient.
    """
    sequences = sequences.detach().requires_grad_()
    with _HalfSlopeAtZero():
        steps = network.append_features(sequences)
    (gradients,) = torch.autograd.grad(log_odds(network.classify_steps(steps), digit).sum(), sequences)
    return gradients


class _HalfSlopeAtZero(TorchFunctionMode):
    """Give ReLU the derivative 1/2 at 0, as central differences do; PyTorch gives it 0. Values stay the same."""

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if function is Tensor.relu:
            return (args[0] + args[0].abs()) / 2  # the derivative of abs at 0 is 0
        return function(*args, **(kwargs or {}))
