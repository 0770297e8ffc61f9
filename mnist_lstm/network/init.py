"""How weights and biases of recurrent layers start."""

from typing import Literal

import torch
from torch import Tensor, nn

Init = Literal["orthogonal", "pytorch", "chrono"]


@torch.no_grad()
def initialise(rnn: nn.RNNBase, init: Init, forget_bias: float | None, steps: int) -> None:
    """Set weights and biases as `NetworkOptions` describes it; a sequence has so many ``steps``."""
    if init != "pytorch":
        _set_orthogonal(rnn)
        forget_bias = 1.0 if forget_bias is None else forget_bias
    if not isinstance(rnn, nn.LSTM):
        return
    for name, _ in rnn.named_parameters():
        if name.startswith("bias_ih"):  # one of each layer and direction
            suffix = name.removeprefix("bias_ih")
            if init == "chrono":
                set_biases(rnn, *chrono_biases(rnn.hidden_size, steps), suffix)
            elif forget_bias is not None:
                set_biases(rnn, torch.full((rnn.hidden_size,), forget_bias), None, suffix)


def chrono_biases(hidden_size: int, longest: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
    """Draw biases ``(H,)`` of forget and of input gates, for memories of 2 to ``longest`` steps.

    A unit whose forget gate has the bias b remembers for 1 + e^b steps. These are uniform, and the input gate is as far
    closed as the forget gate is open (Tallec & Ollivier 2018, "Can recurrent neural networks warp time?").
    """
    forget = torch.empty(hidden_size).uniform_(1, max(longest - 1, 1), generator=generator).log()
    return forget, -forget


@torch.no_grad()
def set_biases(rnn: nn.RNNBase, forget: Tensor, inputs: Tensor | None, suffix: str = "_l0") -> None:
    """Set the biases ``(H,)`` of an LSTM's forget gates and, unless None, of its input gates.

    ``suffix`` is that of the names of a layer's weights: ``_l1_reverse`` means the second layer, backwards.
    """
    # PyTorch has two biases per gate, which it adds; gates are in the order i, f, g, o
    for part, values in enumerate((inputs, forget)):
        if values is not None:
            rows = slice(part * len(values), (part + 1) * len(values))
            rnn.get_parameter(f"bias_ih{suffix}")[rows] = values
            rnn.get_parameter(f"bias_hh{suffix}")[rows] = 0


def _set_orthogonal(rnn: nn.RNNBase) -> None:
    for name, parameter in rnn.named_parameters():
        if name.startswith("weight_hh"):
            for gate in torch.split(parameter, rnn.hidden_size):  # (H, H) of (gates * H, H)
                nn.init.orthogonal_(gate)
        elif name.startswith("weight_ih"):
            nn.init.xavier_uniform_(parameter)
        else:
            nn.init.zeros_(parameter)
