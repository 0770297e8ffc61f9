"""`RowLSTM`: recurrent layers that read an image row by row, and a linear head that names its class.

network = RowLSTM(hidden_size=64)
logits = network(normalise(images))  # (N, 28, 28) -> (N, 10)
"""

from typing import Any

import torch
from torch import Tensor, nn

from mnist_lstm.errors import InputError
from mnist_lstm.network.deskew import deskew
from mnist_lstm.network.gradient_features import VALUES_PER_PIXEL, append_gradient_features
from mnist_lstm.network.init import initialise
from mnist_lstm.network.options import NetworkOptions
from mnist_lstm.network.scan_order import is_by_pixel, to_sequence

CELLS: dict[str, type[nn.LSTM] | type[nn.GRU] | type[nn.RNN]] = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}


class RowLSTM(nn.Module):
    """Read a sequence step by step and classify it from the hidden states.

    Sequences of other lengths and widths work too: ``RowLSTM(input_size=1, num_classes=2)`` classifies ``(N, L, 1)``.
    Arguments are the fields of `NetworkOptions`.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.options = own = NetworkOptions(**options)
        pixels_per_step = 1 if is_by_pixel(own.scan_order) else own.input_size
        self.rnn = CELLS[own.cell](
            pixels_per_step * (VALUES_PER_PIXEL if own.gradient_features else 1),
            own.hidden_size,
            own.num_layers,
            batch_first=True,
            dropout=own.dropout,
            bidirectional=own.bidirectional,
        )
        states = (2 if own.bidirectional else 1) * (2 if own.pooling == "avgmax" else 1)
        self.head = nn.Linear(states * own.hidden_size, own.num_classes)
        steps = own.input_size**2 if is_by_pixel(own.scan_order) else own.input_size  # of a square image
        initialise(self.rnn, own.init, own.forget_bias, steps)

    def forward(self, images: Tensor) -> Tensor:
        """Classify sequences ``(N, L, input_size)``, such as normalised images; returns logits ``(N, num_classes)``."""
        check_shape(images, self.options.input_size)
        return self.classify_steps(self.append_features(self.to_sequence(images)))

    def to_sequence(self, images: Tensor) -> Tensor:
        """Deskew images if the network does, and put them into its scan order: ``(N, H, W)`` to ``(N, L, pixels)``."""
        return to_sequence(deskew(images) if self.options.deskew else images, self.options.scan_order)

    def append_features(self, sequence: Tensor) -> Tensor:
        """Append gradient features if the network reads them: ``(N, L, pixels)`` to ``(N, L, values per step)``."""
        return append_gradient_features(sequence) if self.options.gradient_features else sequence

    def classify_steps(self, steps: Tensor) -> Tensor:
        """Classify ``(N, L, values per step)``; returns logits ``(N, num_classes)``."""
        outputs, state = self.rnn(steps)  # (N, L, directions * H)
        if self.options.pooling == "avgmax":
            summary = torch.cat([outputs.mean(dim=1), outputs.amax(dim=1)], dim=1)  # (N, 2 * directions * H)
        else:
            hidden = state[0] if isinstance(state, tuple) else state  # (num_layers * directions, N, H)
            # forward: the state after step L; backward: after step 1. outputs[:, -1] has a backward state of one step
            summary = torch.cat([hidden[-2], hidden[-1]], dim=1) if self.rnn.bidirectional else hidden[-1]
        logits: Tensor = self.head(summary)
        return logits


def check_shape(images: Tensor, width: int, length: int | None = None) -> None:
    """Refuse images that are not ``(N, length, width)``; by default of any length."""
    shape = tuple(images.shape)
    if len(shape) == 3 and shape[2] == width and length in (None, shape[1]):
        return
    hints = {2: "; add the batch with images.unsqueeze(0)", 4: "; remove the channel with images.squeeze(1)"}
    if len(shape) == 3 and (shape[0], shape[2]) == (length, width):
        hints[3] = "; the batch comes first: images.transpose(0, 1)"
    raise InputError(f"images of the shape {shape}: expected (N, {length or 'L'}, {width}){hints.get(len(shape), '')}")
