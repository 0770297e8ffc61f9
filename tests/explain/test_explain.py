"""Explanations report what the network computes."""

import colorsys
import json

import pytest
import torch
from torch import Tensor

from mnist_lstm.data.datasets import load_sklearn_digits
from mnist_lstm.data.format import PAPER, normalise
from mnist_lstm.explain import figures
from mnist_lstm.explain.explanation import VISIBLE, Explanation, explain, untrained
from mnist_lstm.explain.gradients import pixel_gradients
from mnist_lstm.explain.options import ENDINGS, Ending
from mnist_lstm.explain.units import agreement, by_peak, choose_units, shuffled
from mnist_lstm.network.log_odds import log_odds
from mnist_lstm.network.model import RowLSTM
from mnist_lstm.network.scan_order import ScanOrder
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


@pytest.mark.parametrize("ending", ENDINGS)
def test_last_prefix_gives_the_networks_prediction(network: RowLSTM, image: Tensor, ending: Ending) -> None:
    explanation = explain(network, image, ending=ending)
    with torch.no_grad():
        probabilities = network(normalise(image[None])).softmax(dim=1)[0].double()
    prefixes = explanation.prefix_probabilities
    assert prefixes.shape == (28, 10)
    torch.testing.assert_close(prefixes[-1], probabilities, atol=1e-5, rtol=1e-4)
    assert explanation.prediction == explanation.label == int(probabilities.argmax())
    torch.testing.assert_close(prefixes.sum(dim=1), torch.ones(28, dtype=torch.float64))


def test_prefix_is_cut_after_the_rows_read(network: RowLSTM, image: Tensor) -> None:
    if network.options.deskew:
        pytest.skip("deskewing moves rows")
    explanation = explain(network, image)
    sequence = network.to_sequence(normalise(image[None]))
    stride = sequence.shape[1] // 28
    with torch.no_grad():
        logits = network.classify_steps(network.append_features(sequence[:, : 9 * stride]))
    expected = logits.softmax(dim=1)[0].double()
    torch.testing.assert_close(explanation.prefix_probabilities[8], expected, atol=1e-5, rtol=1e-4)


def test_prefix_that_ends_blank_is_the_picture_with_later_rows_blank(image: Tensor) -> None:
    torch.manual_seed(0)
    network = RowLSTM(hidden_size=6, deskew=True, gradient_features=True, pooling="avgmax").eval()
    explanation = explain(network, image, ending="blank")
    blanked = image.clone()
    blanked[12:] = 0
    with torch.no_grad():
        expected = network(normalise(blanked[None])).softmax(dim=1)[0].double()
    torch.testing.assert_close(explanation.prefix_probabilities[11], expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("scan_order", ["rows", "columns"])
def test_prefix_probabilities_do_not_depend_on_later_rows(image: Tensor, ending: Ending, scan_order: ScanOrder) -> None:
    torch.manual_seed(0)
    network = RowLSTM(
        hidden_size=6, pooling="avgmax", deskew=True, gradient_features=True, scan_order=scan_order
    ).eval()
    mirrored, blanked = image.clone(), image.clone()
    # read by columns, the transposed pictures are these
    mirrored[11:] = image[11:].flip(1)
    blanked[11:] = 0
    pictures = [each if scan_order == "rows" else each.T for each in (image, mirrored, blanked)]
    ours, *others = (explain(network, each, ending=ending).prefix_probabilities for each in pictures)
    for other in others:
        torch.testing.assert_close(ours[:11], other[:11], atol=1e-12, rtol=0)
        assert (ours[14:] - other[14:]).abs().max() > 1e-6


def test_ink_that_deskewing_moves_down_is_not_cut_off() -> None:
    torch.manual_seed(0)
    network = RowLSTM(hidden_size=6, bidirectional=False, deskew=True).eval()
    image = torch.zeros(28, 28, dtype=torch.uint8)
    image[2:6, 10:18] = 255
    sequence = network.to_sequence(normalise(image[None]))
    end = int(((sequence - PAPER).abs() > VISIBLE).any(dim=2)[0].nonzero().max()) + 1
    assert end > 12, "the bar lies in the middle"
    with torch.no_grad():
        expected = network.classify_steps(sequence[:, :end]).softmax(dim=1)[0].double()
    torch.testing.assert_close(explain(network, image).prefix_probabilities[5], expected, atol=1e-5, rtol=1e-4)


def test_gates_and_gradient_are_those_of_the_network(network: RowLSTM, image: Tensor) -> None:
    explanation = explain(network, image, label=7)
    sequence = network.to_sequence(normalise(image[None])).double().requires_grad_()
    twin = network.double()
    steps = twin.append_features(sequence)
    outputs, _ = twin.rnn(steps)
    directions = 2 if network.rnn.bidirectional else 1
    states = torch.cat([layer["h"] for layer in explanation.gates[-directions:]], dim=1)
    torch.testing.assert_close(states, outputs[0].detach())
    if not network.options.gradient_features:
        log_odds(twin.classify_steps(steps), 7).sum().backward()
        torch.testing.assert_close(explanation.gradient, sequence.grad.reshape(28, -1))
    torch.testing.assert_close(explanation.gradient_norms["this network"], explanation.gradient.norm(dim=1))
    assert explanation.label == 7


def test_log_odds_are_those_of_the_probability() -> None:
    logits = torch.randn(5, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(log_odds(logits, 3), logits.softmax(dim=1)[:, 3].logit())
    logits[:, 3] = 100  # 1 - p is rounded to 0
    assert log_odds(logits, 3).isfinite().all()


def test_gradient_is_the_central_difference_also_on_flat_paper() -> None:
    torch.manual_seed(0)
    network = RowLSTM(hidden_size=6, gradient_features=True).eval().double()
    image = torch.zeros(28, 28)
    image[9:20, 12:16] = 255  # ink that is flat inside
    sequence = normalise(image[None]).double()
    gradient = pixel_gradients(network, sequence, 7)[0]
    size = 1e-5
    for row, column in ((2, 5), (25, 20), (14, 3), (9, 12), (14, 13)):
        change = torch.zeros_like(sequence)
        change[0, row, column] = size
        with torch.no_grad():
            both = log_odds(network(torch.cat([sequence + change, sequence - change])), 7)
        difference = (both[0] - both[1]) / (2 * size)
        torch.testing.assert_close(gradient[row, column], difference, rtol=1e-4, atol=1e-9)
        assert difference != 0


def test_occluded_rows_are_blank_paper(network: RowLSTM, image: Tensor) -> None:
    explanation = explain(network, image, block=5)
    assert explanation.occluded_logits.shape == (24, 10)
    assert explanation.block == 5
    sequence = network.to_sequence(normalise(image[None])).double()
    stride = sequence.shape[1] // 28
    sequence[:, 12 * stride : 17 * stride] = PAPER
    with torch.no_grad():
        expected = network.double().classify_steps(network.append_features(sequence))[0]
    torch.testing.assert_close(explanation.occluded_logits[12], expected)


def made_up(prefixes: Tensor, occluded: Tensor) -> Explanation:
    """Return an explanation of a 7 with these prefix probabilities and occluded logits."""
    zeros = torch.zeros(28, 28, dtype=torch.float64)
    return Explanation(zeros, zeros, 7, "cut", prefixes, [], zeros, 1.0, occluded, {}, "row")


@pytest.mark.parametrize(
    ("predictions", "settles_at"), [([7] * 28, 1), ([1] * 10 + [7] * 18, 11), ([7] * 5 + [1] * 22 + [7], 28)]
)
def test_summary_follows_from_the_probabilities(predictions: list[int], settles_at: int) -> None:
    certain = torch.eye(10, dtype=torch.float64)
    occluded = certain[[7] * 28]
    occluded[[3, 20]] = certain[[2, 9]]
    explanation = made_up(certain[predictions], occluded)
    assert explanation.prediction == 7
    assert explanation.settles_at == settles_at
    assert explanation.flips == {4: 2, 21: 9}


def test_settled_prediction_has_half_its_final_probability() -> None:
    probabilities = torch.full((28, 10), 0.08, dtype=torch.float64)
    probabilities[:, 7] = torch.tensor([0.28] * 6 + [0.6] * 22)
    assert made_up(probabilities, probabilities).settles_at == 7


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
    sizes = torch.zeros(5, 4)
    for unit, step in enumerate((3, 0, 4, 1)):
        sizes[step, unit] = 1.0
    assert by_peak(sizes).tolist() == [1, 3, 0, 2]
    sizes[3, 2], sizes[4, 2] = 2.0, 0.0  # two peaks at one step: the larger first
    assert by_peak(sizes).tolist() == [1, 3, 2, 0]


def test_order_of_other_digits_is_compared_with_that_of_shuffled_steps() -> None:
    states = torch.zeros(28, 20)
    for unit in range(20):
        states[unit + 3, unit] = -1.0  # units peak one after the other
    assert agreement(states) == pytest.approx(1)
    assert agreement(states.flip(1)) == pytest.approx(-1)
    control = shuffled(states)
    assert abs(agreement(control)) < 0.5
    assert control.sum(dim=0).tolist() == states.sum(dim=0).tolist(), "each unit keeps its values"
    assert torch.equal(control, shuffled(states)), "always in the same way"


def test_units_that_vary_most_are_drawn() -> None:
    torch.manual_seed(0)
    network = RowLSTM(hidden_size=8, num_layers=2).eval()
    images = torch.tensor(load_sklearn_digits()[0][:6])
    (chosen,) = choose_units(network, images, [2], ["backward"], 3)
    assert (chosen.place, chosen.layer, chosen.direction) == (3, 2, "backward")
    with torch.no_grad():
        outputs, _ = network.rnn(normalise(images))
    varied = outputs[:, :, 8:].flatten(0, 1).var(dim=0)
    assert set(chosen.units.tolist()) == set(varied.argsort(descending=True)[:3].tolist())
    everything = choose_units(network, images, [1, 2], ["forward", "backward"], 0)
    assert [len(each.units) for each in everything] == [8] * 4
    assert [each.place for each in everything] == [0, 1, 2, 3]


def test_figures_show_every_network(network: RowLSTM, image: Tensor) -> None:
    explanation = explain(network, image, others={"untrained RNN": untrained(network, "rnn")})
    chosen = choose_units(network, image[None], number=4)
    gates = figures.gates_sheet(explanation, chosen, "title")
    drawn = [axis.images[0].get_array() for axis in gates.axes if axis.images]
    names = {"LSTM": "ifgoch", "GRU": "rznh"}.get(network.rnn.mode, "h")
    steps = 784 if network.options.scan_order in ("pixels", "permuted") else 28
    assert [values.shape for values in drawn[1:]] == [(steps, 4)] * (len(names) + 1)
    states = explanation.gates[0]["h"][:, chosen[0].units]
    assert drawn[-2].tolist() == states.tolist()
    assert drawn[-1].tolist() == shuffled(states).tolist()
    rows = figures.rows_sheet(explanation, "title")
    lines = [line for axis in rows.axes for line in axis.lines if len(line.get_xdata()) == 28]
    assert len(lines) == 2
    (probabilities,) = (
        axis.images[0].get_array()
        for axis in figures.predictions_sheet([explanation], ["a"]).axes
        if axis.images and axis.images[0].get_array().shape == (28, 10)
    )
    assert probabilities.tolist() == explanation.prefix_probabilities.tolist()


def test_panels_share_their_rows(image: Tensor) -> None:
    torch.manual_seed(0)
    network = RowLSTM(hidden_size=4).eval()
    explanation = explain(network, image)
    units = choose_units(network, image[None])
    sheets = {
        4: figures.rows_sheet(explanation, "title"),
        2: figures.predictions_sheet([explanation], ["a"]),
        8: figures.gates_sheet(explanation, units, "title"),
    }
    for panels, figure in sheets.items():
        figure.draw_without_rendering()
        places = {(*axis.get_position().intervaly.round(6), *axis.get_ylim()) for axis in figure.axes[:panels]}
        assert len(places) == 1
        assert places.pop()[2:] == (28.5, 0.5)


@pytest.mark.parametrize("ending", ENDINGS)
def test_figure_and_numbers_say_what_follows_the_rows(image: Tensor, ending: Ending) -> None:
    torch.manual_seed(0)
    explanation = explain(RowLSTM(hidden_size=4).eval(), image, ending=ending)
    assert explanation.numbers()["ending"] == ending
    assert ENDINGS[ending] in figures.predictions_sheet([explanation], ["a"]).get_suptitle()


def test_large_values_of_either_sign_differ_in_hue() -> None:
    low, high = (colorsys.rgb_to_hsv(*DIVERGING(end)[:3]) for end in (0.0, 1.0))
    assert 0.25 < abs(low[0] - high[0]) < 0.75  # hues are a circle of length 1
    assert min(low[1], high[1], low[2], high[2]) > 0.5, "neither is nearly black or grey"
