"""Turn a network into an ONNX model: uint8 images ``(N, 28, 28)`` in, probabilities ``(N, 10)`` out.

PyTorch's exporter turns everything but the recurrent layers into ONNX operators: it would write out an RNN step by
step, and takes minutes to follow the 784 steps of a network that reads pixels. `OnnxLayers` stands in for them.
"""

import copy
import json
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor, nn

from mnist_lstm.data.format import CLASS_NAMES, SIZE, normalise
from mnist_lstm.errors import InputError
from mnist_lstm.inference import THRESHOLD
from mnist_lstm.inference.onnx_backend import INPUT, MAX_BYTES, OUTPUT, PRODUCER
from mnist_lstm.inference.torch_backend import TorchBackend
from mnist_lstm.network.scan_order import permutation

GATE_ORDER = {"LSTM": (0, 3, 1, 2), "GRU": (1, 0, 2), "RNN_TANH": (0,)}
"""Where PyTorch has the gates that ONNX has in the order i, o, f, c (LSTM), z, r, h (GRU) and h (RNN)."""

EXAMPLES = 4
"""Images in the example batch; the exporter takes a batch of 1 for a constant."""


class OnnxLayer(nn.Module):
    """One layer of a recurrent network, in one or both directions, as one ONNX operator.

    It can be exported, but not run: outside of an export its outputs are zeros. ``weights`` are those of each direction
    in PyTorch's order: input, hidden, and their biases.
    """

    def __init__(self, mode: str, weights: Sequence[Sequence[Tensor]]) -> None:
        super().__init__()
        order = GATE_ORDER[mode]
        both = [[_reorder(weight, order) for weight in direction] for direction in weights]
        self.w = nn.Parameter(torch.stack([w for w, _, _, _ in both]))  # (directions, gates * H, inputs)
        self.r = nn.Parameter(torch.stack([r for _, r, _, _ in both]))  # (directions, gates * H, H)
        self.b = nn.Parameter(torch.stack([torch.cat([b, d]) for _, _, b, d in both]))  # (directions, 2 * gates * H)
        self.operator = mode.removesuffix("_TANH")
        self.attributes: dict[str, Any] = {
            "hidden_size": self.r.shape[2],
            "direction": "bidirectional" if len(both) == 2 else "forward",
        }
        if self.operator == "GRU":
            self.attributes["linear_before_reset"] = 1  # PyTorch's equations, see mnist_lstm.network.cells

    def forward(self, steps: Tensor) -> tuple[Tensor, Tensor]:
        """Turn ``(L, N, values)`` into outputs ``(L, N, directions * H)`` and last states ``(directions, N, H)``."""
        directions, _, size = self.r.shape
        length, number = steps.shape[:2]
        outputs, hidden = torch.onnx.ops.symbolic_multi_out(
            self.operator,
            (steps, self.w, self.r, self.b),
            attrs=self.attributes,
            dtypes=(torch.float32, torch.float32),
            shapes=((length, directions, number, size), (directions, number, size)),
        )
        return outputs.transpose(1, 2).flatten(2), hidden


class OnnxLayers(nn.Module):
    """An ``nn.LSTM``, ``nn.GRU`` or ``nn.RNN`` with ``batch_first`` as ONNX operators; see `OnnxLayer`."""

    def __init__(self, rnn: nn.RNNBase) -> None:
        super().__init__()
        self.bidirectional = rnn.bidirectional
        step = 2 if rnn.bidirectional else 1
        weights = rnn.all_weights
        self.layers = nn.ModuleList(OnnxLayer(rnn.mode, weights[i : i + step]) for i in range(0, len(weights), step))

    def forward(self, steps: Tensor) -> tuple[Tensor, Tensor]:
        """Return outputs ``(N, L, directions * H)`` and last states ``(layers * directions, N, H)``."""
        steps = steps.transpose(0, 1)  # (L, N, values)
        last = []
        for layer in self.layers:
            steps, hidden = layer(steps)
            last.append(hidden)
        return steps.transpose(0, 1), torch.cat(last)


def _reorder(weight: Tensor, order: tuple[int, ...]) -> Tensor:
    """Put the gates of a weight or bias, ``(gates * H, ...)``, into another order."""
    gates = weight.detach().chunk(len(order))
    return torch.cat([gates[place] for place in order])


class Probabilities(nn.Module):
    """What the file computes: uint8 images ``(N, 28, 28)`` to float32 probabilities ``(N, 10)``."""

    def __init__(self, backend: TorchBackend) -> None:
        super().__init__()
        self.network = copy.deepcopy(backend.network)
        self.network.rnn = OnnxLayers(backend.network.rnn)  # type: ignore[assignment]
        self.temperature = backend.temperature

    def forward(self, images: Tensor) -> Tensor:
        """Normalise, classify, and divide the logits by the temperature."""
        logits: Tensor = self.network(normalise(images))
        return (logits / self.temperature).softmax(dim=1)


def build_onnx(backend: TorchBackend, accuracy: float | None = None) -> bytes:
    """Return the ONNX file of a network for digits.

    Its metadata are ``version`` (of this package), ``class_names`` (JSON), ``temperature``, ``threshold``, and
    ``test_acc`` if the accuracy on MNIST's test images is known, 0 to 1.

    Raises:
        InputError: the file would be too large.
    """
    size = sum(weight.nbytes for weight in backend.network.parameters())
    if size > 0.9 * MAX_BYTES:
        raise InputError(f"the network's weights take {size:,} bytes; an ONNX file here has {MAX_BYTES:,} at most")
    # kept for later calls on this device; one first made during an export would hold no numbers
    permutation(SIZE**2, torch.device("cpu"))
    with warnings.catch_warnings():
        # of PyTorch about itself; what counts is whether the file gives the same answers
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            Probabilities(backend).eval(),
            (torch.zeros(EXAMPLES, SIZE, SIZE, dtype=torch.uint8),),
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes={"images": {0: torch.export.Dim("N", min=1)}},
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        del part.metadata_props[:]  # the exporter's notes, such as lines of source with the folders of this machine
    del graph.value_info[:]  # shapes in between, which every reader finds out by itself
    model.producer_name, model.producer_version = PRODUCER, version("mnist-lstm")
    facts = {
        "version": version("mnist-lstm"),
        "class_names": json.dumps(CLASS_NAMES),
        "temperature": str(backend.temperature),
        "threshold": str(THRESHOLD),
    }
    if accuracy is not None:
        facts["test_acc"] = str(accuracy)
    for name, value in facts.items():
        model.metadata_props.add(key=name, value=value)
    return bytes(model.SerializeToString())
