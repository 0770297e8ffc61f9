"""Explanations report what the network computes."""

import colorsys
import json

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mnist_lstm.data.datasets import load_sklearn_digits
from mnist_lstm.data.format import PAPER, normalise
from mnist_lstm.explain import figures
from mnist_lstm.explain.explanation import Explanation, explain, untrained
from mnist_lstm.network.model import RowLSTM
from mnist_lstm.plots.style import DIVERGING

NETWORKS = {
    "tutorial": {"bidirectional": False},
    "record": {"num_layers": 2, "pooling": "avgmax", "deskew": True, "gradient_features": True},
    "gru": {"cell": "gru"},
    "rnn": {"cell": "rnn", "bidirectional": False},
    "columns": {"scan_order": "columns", "bidirectional": False},
    "pixels": {"scan_order": "pixels", "bidirectional": False},
    "permuted": {"scan_order": "permuted", "cell": "gru", "bidirectional": False},
}


@pytest.fixture
def image() -> Tensor:
    return torch.tensor(load_sklearn_digits()[0][3])


@pytest.fixture(params=NETWORKS)
def network(request: pytest.FixtureRequest) -> RowLSTM:
    torch.manual_seed(0)
    return RowLSTM(hidden_size=6, **NETWORKS[request.param]).eval()


def test_last_prefix_gives_the_networks_prediction(network: RowLSTM, image: Tensor) -> None:
    explanation = explain(network, image)
    with torch.no_grad():
        probabilities = network(normalise(image[None])).softmax(dim=1)[0].double()
    prefixes = explanation.prefix_probabilities
    assert prefixes.shape == explanation.occluded_probabilities.shape == (28, 10)
    torch.testing.assert_close(prefixes[-1], probabilities, atol=1e-5, rtol=1e-4)
    assert explanation.prediction == explanation.label == int(probabilities.argmax())
    torch.testing.assert_close(prefixes.sum(dim=1), torch.ones(28, dtype=torch.float64))


def test_prefix_probabilities_are_those_of_the_first_segments(network: RowLSTM, image: Tensor) -> None:
    explanation = explain(network, image)
    sequence = network.to_sequence(normalise(image[None]))
    stride = sequence.shape[1] // 28
    with torch.no_grad():
        logits = network.classify_steps(network.append_features(sequence[:, : 9 * stride]))
    expected = logits.softmax(dim=1)[0].double()
    torch.testing.assert_close(explanation.prefix_probabilities[8], expected, atol=1e-5, rtol=1e-4)


def test_prefix_probabilities_do_not_depend_on_later_rows(image: Tensor) -> None:
    torch.manual_seed(0)
    network = RowLSTM(hidden_size=6, pooling="avgmax", gradient_features=True).eval()
    scribbled = image.clone()
    scribbled[9:] = torch.randint(256, (19, 28), dtype=torch.uint8)
    ours, other = (explain(network, each).prefix_probabilities for each in (image, scribbled))
    assert torch.equal(ours[:9], other[:9])
    assert not torch.allclose(ours[9:], other[9:])


def test_gates_and_gradient_are_those_of_the_network(network: RowLSTM, image: Tensor) -> None:
    explanation = explain(network, image, label=7)
    sequence = network.to_sequence(normalise(image[None])).double().requires_grad_()
    twin = network.double()
    steps = twin.append_features(sequence)
    outputs, _ = twin.rnn(steps)
    directions = 2 if network.rnn.bidirectional else 1
    states = torch.cat([layer["h"] for layer in explanation.gates[-directions:]], dim=1)
    torch.testing.assert_close(states, outputs[0].detach())
    F.cross_entropy(twin.classify_steps(steps), torch.tensor([7])).backward()
    torch.testing.assert_close(explanation.gradient, sequence.grad.reshape(28, -1))
    torch.testing.assert_close(explanation.gradient_norms["this network"], explanation.gradient.norm(dim=1))
    assert explanation.label == 7


def test_occluded_segment_is_blank_paper(network: RowLSTM, image: Tensor) -> None:
    explanation = explain(network, image)
    sequence = network.to_sequence(normalise(image[None])).double()
    stride = sequence.shape[1] // 28
    sequence[:, 12 * stride : 13 * stride] = PAPER
    with torch.no_grad():
        expected = network.double().classify_steps(network.append_features(sequence)).softmax(dim=1)[0]
    torch.testing.assert_close(explanation.occluded_probabilities[12], expected)


@pytest.mark.parametrize(
    ("predictions", "settles_at"), [([7] * 28, 1), ([1] * 10 + [7] * 18, 11), ([7] * 5 + [1] * 22 + [7], 28)]
)
def test_summary_follows_from_the_probabilities(predictions: list[int], settles_at: int) -> None:
    certain = torch.eye(10, dtype=torch.float64)
    occluded = certain[[7] * 28]
    occluded[[3, 20]] = certain[[2, 9]]
    zeros = torch.zeros(28, 28, dtype=torch.float64)
    explanation = Explanation(zeros, 7, certain[predictions], [], zeros, occluded, {}, "row")
    assert explanation.prediction == 7
    assert explanation.settles_at == settles_at
    assert explanation.flips == {4: 2, 21: 9}


def test_settled_prediction_has_half_its_final_probability() -> None:
    probabilities = torch.full((28, 10), 0.08, dtype=torch.float64)
    probabilities[:, 7] = torch.tensor([0.28] * 6 + [0.6] * 22)
    zeros = torch.zeros(28, 28, dtype=torch.float64)
    assert Explanation(zeros, 7, probabilities, [], zeros, probabilities, {}, "row").settles_at == 7


def test_numbers_are_rounded(image: Tensor) -> None:
    explanation = explain(RowLSTM(hidden_size=6), image)
    numbers = json.loads(json.dumps(explanation.numbers(), allow_nan=False))
    expected = explanation.prefix_probabilities[5].tolist()
    assert numbers["prefix_probabilities"][5] == pytest.approx(expected, abs=1e-6)
    assert numbers["gates"][0]["f"][3] == pytest.approx(explanation.gates[0]["f"][3].tolist(), abs=1e-6)
    assert numbers["gradient"][9] == pytest.approx(explanation.gradient[9].tolist(), rel=1e-5)


def test_explain_leaves_network_and_generator_unchanged(network: RowLSTM, image: Tensor) -> None:
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = torch.get_rng_state()
    others = {cell: untrained(network, cell) for cell in ("lstm", "rnn")}
    explanation = explain(network, image, others=others)
    assert torch.equal(torch.get_rng_state(), state)
    assert list(explanation.gradient_norms) == ["this network", "lstm", "rnn"]
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])
        assert value.dtype == torch.float32
    assert type(others["rnn"].rnn) is torch.nn.RNN
    assert others["lstm"].rnn.hidden_size == 6


def test_units_are_ordered_by_the_step_of_their_peak() -> None:
    states = torch.zeros(5, 4)
    for unit, step in enumerate((3, 0, 4, 1)):
        states[step, unit] = -1.0
    assert figures.by_activity(states).tolist() == [1, 3, 0, 2]
    states[3, 2], states[4, 2] = 2.0, 0.0  # two peaks at one step: the larger first
    assert figures.by_activity(states).tolist() == [1, 3, 2, 0]


def test_figures_show_every_network(network: RowLSTM, image: Tensor) -> None:
    explanation = explain(network, image, others={"untrained RNN": untrained(network, "rnn")})
    directions = 2 if network.rnn.bidirectional else 1
    gates = figures.gates_sheet(explanation, directions, "title")
    names = 5 if network.rnn.mode == "LSTM" else 4 if network.rnn.mode == "GRU" else 1
    assert len([axis for axis in gates.axes if axis.images]) == names * len(explanation.gates)
    rows = figures.rows_sheet(explanation, "title")
    lines = [line for axis in rows.axes for line in axis.lines if len(line.get_xdata()) == 28]
    assert len(lines) == 2
    (probabilities,) = (
        axis.images[0].get_array()
        for axis in figures.predictions_sheet([explanation], ["a"]).axes
        if axis.images and axis.images[0].get_array().shape == (28, 10)
    )
    assert probabilities.tolist() == explanation.prefix_probabilities.tolist()


def test_large_values_of_either_sign_differ_in_hue() -> None:
    low, high = (colorsys.rgb_to_hsv(*DIVERGING(end)[:3]) for end in (0.0, 1.0))
    assert 0.25 < abs(low[0] - high[0]) < 0.75  # hues are a circle of length 1
    assert min(low[1], high[1], low[2], high[2]) > 0.5, "neither is nearly black or grey"
