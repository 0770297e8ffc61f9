"""What a trained network does with one digit, as numbers; `mnist_lstm.explain.figures` draws them."""

import copy
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from mnist_lstm.data.format import PAPER, SIZE, STD, normalise
from mnist_lstm.explain.gradients import pixel_gradients
from mnist_lstm.explain.options import BLOCK, Ending
from mnist_lstm.network.cells import Gates, by_equations
from mnist_lstm.network.log_odds import log_odds
from mnist_lstm.network.model import RowLSTM
from mnist_lstm.network.options import Cell
from mnist_lstm.network.scan_order import to_sequence

SEGMENTS = SIZE
"""Parts that are examined one by one: a sequence's 28 steps, or 28 steps each of the 784 single pixels."""

VISIBLE = 0.5 / 255 / STD  # half a grey level; less is an effect of resampling


@dataclass(frozen=True)
class Explanation:
    """One digit and what a network computes from it. All tensors are float64, on the CPU.

    A segment is a line of `picture` and `image`, read from top to bottom. Images are transposed or permuted for that if
    the network reads columns or permuted pixels, and have no gradient features.

    Attributes:
        picture: ``(28, W)``, normalised, before deskewing.
        image: ``(28, W)``, after deskewing if the network deskews: what the recurrent layers read.
        label: the digit of `gradient` and `gradient_norms`.
        ending: what follows the segments read so far.
        prefix_probabilities: ``(28, 10)``, class probabilities after each segment of `picture`, which do not depend on
            later segments.
        gates: for each layer and direction, values ``(L, H)`` by their names in the cell's equations.
        gradient: ``(28, W)``, of the label's log-odds with respect to `image`.
        log_odds: log-odds of the prediction, with nothing occluded.
        occluded_logits: ``(29 - B, 10)``, logits with B segments of `image` replaced by blank paper, from each segment
            on.
        gradient_norms: ``(28,)``, norm of the gradient by segment, of this network and of others by name.
        segment: what a segment is: row, column, or segment if the pixels are permuted.
    """

    picture: Tensor
    image: Tensor
    label: int
    ending: Ending
    prefix_probabilities: Tensor
    gates: list[Gates]
    gradient: Tensor
    log_odds: float
    occluded_logits: Tensor
    gradient_norms: dict[str, Tensor]
    segment: str

    @property
    def prediction(self) -> int:
        """The predicted digit, after the last segment."""
        return int(self.prefix_probabilities[-1].argmax())

    @property
    def settles_at(self) -> int:
        """The segment, from 1, from which on the prediction is the final one, at half its final probability or more."""
        probability = self.prefix_probabilities[:, self.prediction]
        others = self.prefix_probabilities.argmax(dim=1) != self.prediction
        unsettled = others | (probability < probability[-1] / 2)
        return int(unsettled.nonzero()[-1]) + 2 if unsettled.any() else 1

    @property
    def block(self) -> int:
        """The number of segments that are occluded at once."""
        return SEGMENTS + 1 - len(self.occluded_logits)

    @property
    def flips(self) -> dict[int, int]:
        """First segments, from 1, of the blocks whose occlusion changes the prediction, and the new prediction."""
        predictions = self.occluded_logits.argmax(dim=1).tolist()
        return {segment: digit for segment, digit in enumerate(predictions, 1) if digit != self.prediction}

    def numbers(self) -> dict[str, Any]:
        """Return everything as plain data, rounded to 6 decimals, gradients to 6 significant digits."""
        return {
            "prediction": self.prediction,
            "probabilities": _rounded(self.prefix_probabilities[-1]),
            "label": self.label,
            "ending": self.ending,
            "settles_at": self.settles_at,
            "block": self.block,
            "flips": self.flips,
            "pixels": _rounded(self.picture),
            "image": _rounded(self.image),
            "prefix_probabilities": _rounded(self.prefix_probabilities),
            "log_odds": round(self.log_odds, 6),
            "occluded_log_odds": _rounded(log_odds(self.occluded_logits, self.prediction)),
            "gradient": _rounded(self.gradient, ".6g"),
            "gradient_norms": {name: _rounded(norms, ".6g") for name, norms in self.gradient_norms.items()},
            "gates": [{name: _rounded(values) for name, values in layer.items()} for layer in self.gates],
        }


def explain(
    network: RowLSTM,
    image: Tensor,
    label: int | None = None,
    others: dict[str, RowLSTM] | None = None,
    *,
    ending: Ending = "cut",
    block: int = BLOCK,
) -> Explanation:
    """Trace one digit through a network, in float64.

    Args:
        network: for 28x28 digits.
        image: ``(28, 28)``, 0 (paper) to 255 (ink).
        label: the true digit; default: the predicted one.
        others: networks by name, to compare gradient norms with.
        ending: what follows the rows read so far: nothing, or blank paper.
        block: number of rows, or columns, that are occluded at once, 1 to 28.
    """
    twin = _in_float64(network)
    with torch.no_grad():
        picture = normalise(image.unsqueeze(0))  # (1, 28, 28)
        sequence = twin.to_sequence(picture).double()  # (1, L, W)
        prefix_logits = _classify_prefixes(twin, picture, ending)
        occluded_logits = twin.classify_steps(twin.append_features(_occluded(sequence, block)))
        traced = by_equations(twin.rnn).trace(twin.append_features(sequence))
        gates = [{name: values[0] for name, values in layer.items()} for layer in traced.gates]
    prediction = int(prefix_logits[-1].argmax())
    label = prediction if label is None else label
    gradient = _gradient(twin, picture, label)
    norms = {"this network": gradient.norm(dim=1)}
    norms |= {name: _gradient(_in_float64(other), picture, label).norm(dim=1) for name, other in (others or {}).items()}
    order = network.options.scan_order
    return Explanation(
        picture=to_sequence(picture.double(), order).reshape(SEGMENTS, -1),
        image=sequence.reshape(SEGMENTS, -1),
        label=label,
        ending=ending,
        prefix_probabilities=prefix_logits.softmax(dim=1),
        gates=gates,
        gradient=gradient,
        log_odds=float(log_odds(prefix_logits[-1], prediction)),
        occluded_logits=occluded_logits,
        gradient_norms=norms,
        segment={"columns": "column", "permuted": "segment"}.get(order, "row"),
    )


def untrained(network: RowLSTM, cell: Cell) -> RowLSTM:
    """Build an untrained network of the same sizes and another cell, with PyTorch's initialisation and a fixed seed."""
    options = asdict(network.options) | {"cell": cell, "init": "pytorch", "forget_bias": None}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return RowLSTM(**options).eval()


def _in_float64(network: RowLSTM) -> RowLSTM:
    return copy.deepcopy(network).cpu().double().requires_grad_(False).eval()


def _classify_prefixes(network: RowLSTM, picture: Tensor, ending: Ending) -> Tensor:
    """Return the logits ``(28, 10)`` after each segment of a picture ``(1, 28, 28)``, from what has been read alone."""
    read_at = to_sequence(torch.arange(SIZE * SIZE).view(1, SIZE, SIZE), network.options.scan_order).flatten()
    pixels = picture.flatten().repeat(SEGMENTS, 1)  # (28, 784)
    for index, copied in enumerate(pixels, 1):
        copied[read_at[index * SIZE :]] = PAPER
    # slant and centre are those of the rows read so far: the others are blank before deskewing
    sequences = network.to_sequence(pixels.view(SEGMENTS, SIZE, SIZE)).double()  # (28, L, W)
    if ending == "blank":
        return network.classify_steps(network.append_features(sequences))
    length = sequences.shape[1]
    # deskewing centres the ink, and so moves rows: none that has been read is cut off
    inked = ((sequences - PAPER).abs() > VISIBLE).any(dim=2)  # (28, L)
    last = (inked * torch.arange(1, length + 1)).amax(dim=1).tolist()
    ends = [max(index * length // SEGMENTS, end) for index, end in enumerate(last, 1)]
    # cut before appending features, which depend on the next row
    parts = [network.append_features(each[None, :end]) for each, end in zip(sequences, ends, strict=True)]
    return torch.cat([network.classify_steps(part) for part in parts])


def _gradient(network: RowLSTM, picture: Tensor, label: int) -> Tensor:
    """Return the gradient of the label's log-odds by pixel in the order of reading, ``(28, W)``."""
    return pixel_gradients(network, network.to_sequence(picture).double(), label).reshape(SEGMENTS, -1)


def _occluded(sequence: Tensor, block: int) -> Tensor:
    """Replace each ``block`` successive segments of ``(1, L, W)`` by paper; returns ``(29 - block, L, W)``."""
    stride = sequence.shape[1] // SEGMENTS
    copies = sequence.repeat(SEGMENTS + 1 - block, 1, 1)
    for index, copied in enumerate(copies):
        copied[index * stride : (index + block) * stride] = PAPER
    return copies


def _rounded(values: Tensor, style: str = ".6f") -> Any:
    if values.dim() > 1:
        return [_rounded(part, style) for part in values]
    return [float(format(value, style)) for value in values.tolist()]
