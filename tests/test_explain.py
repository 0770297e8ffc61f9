"""Explanations: what is told of a digit is what the network does with it."""

import json

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mnist_lstm.data import load_digits
from mnist_lstm.explain import figures
from mnist_lstm.explain.explanation import Explanation, explain, untrained
from mnist_lstm.mnist_format import PAPER, normalise
from mnist_lstm.model import RowLSTM

NETWORKS = {
    "tutorial": {},
    "record": {"num_layers": 2, "bidirectional": True, "readout": "mean_max", "straighten": True, "edges": True},
    "gru": {"cell": "gru", "bidirectional": True},
    "rnn": {"cell": "rnn"},
    "columns": {"scan": "columns"},
    "pixels": {"scan": "pixels"},
    "permuted": {"scan": "permuted", "cell": "gru"},
}


@pytest.fixture
def image() -> Tensor:
    return torch.tensor(load_digits()[0][3])


@pytest.fixture(params=NETWORKS)
def network(request: pytest.FixtureRequest) -> RowLSTM:
    torch.manual_seed(0)
    return RowLSTM(hidden_size=6, **NETWORKS[request.param]).eval()


def test_the_last_belief_is_the_answer(network: RowLSTM, image: Tensor) -> None:
    explanation = explain(network, image)
    with torch.no_grad():
        probabilities = network(normalise(image[None])).softmax(dim=1)[0].double()
    assert explanation.belief.shape == explanation.without.shape == (28, 10)
    torch.testing.assert_close(explanation.belief[-1], probabilities, atol=1e-5, rtol=1e-4)
    assert explanation.answer == explanation.label == int(probabilities.argmax())
    torch.testing.assert_close(explanation.belief.sum(dim=1), torch.ones(28, dtype=torch.float64))


def test_a_belief_is_the_answer_to_the_rows_so_far(network: RowLSTM, image: Tensor) -> None:
    explanation = explain(network, image)
    strips = network.lay_out(normalise(image[None]))
    stride = strips.shape[1] // 28
    with torch.no_grad():
        early = network.answer(network.add_edges(strips[:, : 9 * stride])).softmax(dim=1)[0].double()
    torch.testing.assert_close(explanation.belief[8], early, atol=1e-5, rtol=1e-4)


def test_a_belief_knows_nothing_of_the_rows_to_come(image: Tensor) -> None:
    torch.manual_seed(0)
    network = RowLSTM(hidden_size=6, bidirectional=True, readout="mean_max", edges=True).eval()
    scribbled = image.clone()
    scribbled[9:] = torch.randint(256, (19, 28), dtype=torch.uint8)
    belief, other = explain(network, image).belief, explain(network, scribbled).belief
    assert torch.equal(belief[:9], other[:9])
    assert not torch.allclose(belief[9:], other[9:])


def test_gates_and_gradient_are_the_networks(network: RowLSTM, image: Tensor) -> None:
    explanation = explain(network, image, label=7)
    strips = network.lay_out(normalise(image[None])).double().requires_grad_()
    twin = network.double()
    steps = twin.add_edges(strips)
    outputs, _ = twin.rnn(steps)
    directions = 2 if network.rnn.bidirectional else 1
    shown = torch.cat([of["h"] for of in explanation.gates[-directions:]], dim=1)
    torch.testing.assert_close(shown, outputs[0].detach())
    F.cross_entropy(twin.answer(steps), torch.tensor([7])).backward()
    torch.testing.assert_close(explanation.gradient, strips.grad.reshape(28, -1))
    torch.testing.assert_close(explanation.norms["this network"], explanation.gradient.norm(dim=1))
    assert explanation.label == 7


def test_a_strip_that_is_taken_away_is_paper(network: RowLSTM, image: Tensor) -> None:
    explanation = explain(network, image)
    strips = network.lay_out(normalise(image[None])).double()
    stride = strips.shape[1] // 28
    strips[:, 12 * stride : 13 * stride] = PAPER
    with torch.no_grad():
        without = network.double().answer(network.add_edges(strips)).softmax(dim=1)[0]
    torch.testing.assert_close(explanation.without[12], without)


@pytest.mark.parametrize(
    ("said", "known_from"), [([7] * 28, 1), ([1] * 10 + [7] * 18, 11), ([7] * 5 + [1] * 22 + [7], 28)]
)
def test_what_is_concluded_follows_from_the_numbers(said: list[int], known_from: int) -> None:
    sure = torch.eye(10, dtype=torch.float64)
    without = sure[[7] * 28]
    without[[3, 20]] = sure[[2, 9]]
    nothing = torch.zeros(28, 28, dtype=torch.float64)
    explanation = Explanation(nothing, 7, sure[said], [], nothing, without, {}, "row")
    assert explanation.answer == 7
    assert explanation.known_from == known_from
    assert explanation.needed == {4: 2, 21: 9}


def test_a_guess_is_no_knowledge() -> None:
    belief = torch.full((28, 10), 0.08, dtype=torch.float64)
    belief[:, 7] = torch.tensor([0.28] * 6 + [0.6] * 22)
    nothing = torch.zeros(28, 28, dtype=torch.float64)
    assert Explanation(nothing, 7, belief, [], nothing, belief, {}, "row").known_from == 7


def test_the_numbers_are_rounded(image: Tensor) -> None:
    explanation = explain(RowLSTM(hidden_size=6), image)
    numbers = json.loads(json.dumps(explanation.numbers(), allow_nan=False))
    assert numbers["belief"][5] == pytest.approx(explanation.belief[5].tolist(), abs=1e-6)
    assert numbers["gates"][0]["f"][3] == pytest.approx(explanation.gates[0]["f"][3].tolist(), abs=1e-6)
    assert numbers["gradient"][9] == pytest.approx(explanation.gradient[9].tolist(), rel=1e-5)


def test_the_network_stays_as_it_was(network: RowLSTM, image: Tensor) -> None:
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = torch.get_rng_state()
    twins = {cell: untrained(network, cell) for cell in ("lstm", "rnn")}
    explanation = explain(network, image, others=twins)
    assert torch.equal(torch.get_rng_state(), state)
    assert list(explanation.norms) == ["this network", "lstm", "rnn"]
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])
        assert value.dtype == torch.float32
    assert type(twins["rnn"].rnn) is torch.nn.RNN
    assert twins["lstm"].rnn.hidden_size == 6


def test_units_are_ordered_by_when_they_are_most_active() -> None:
    states = torch.zeros(5, 4)
    for unit, step in enumerate((3, 0, 4, 1)):
        states[step, unit] = -1.0
    assert figures.by_activity(states).tolist() == [1, 3, 0, 2]
    states[3, 2], states[4, 2] = 2.0, 0.0  # two at one step: the stronger first
    assert figures.by_activity(states).tolist() == [1, 3, 2, 0]


def test_figures_of_any_network(network: RowLSTM, image: Tensor) -> None:
    explanation = explain(network, image, others={"an untrained RNN": untrained(network, "rnn")})
    directions = 2 if network.rnn.bidirectional else 1
    gates = figures.gates_sheet(explanation, directions, "title")
    names = 5 if network.rnn.mode == "LSTM" else 4 if network.rnn.mode == "GRU" else 1
    assert len([axis for axis in gates.axes if axis.images]) == names * len(explanation.gates)
    rows = figures.rows_sheet(explanation, "title")
    lines = [line for axis in rows.axes for line in axis.lines if len(line.get_xdata()) == 28]
    assert len(lines) == 2
    (beliefs,) = (
        axis.images[0].get_array()
        for axis in figures.belief_sheet([explanation], ["a"]).axes
        if axis.images and axis.images[0].get_array().shape == (28, 10)
    )
    assert beliefs.tolist() == explanation.belief.tolist()
