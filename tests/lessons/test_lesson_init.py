"""The claims of the lesson `init`, each for every one of several seeds, and its quantities by other means."""

import json
import math

import numpy as np
import pytest
import torch
from torch import nn

from mnist_lstm.errors import InputError
from mnist_lstm.lessons import Result, gradients, init, memory

SEEDS = 3
GATED = ("GRU, PyTorch", "GRU, orthogonal", "GRU, open gates", "LSTM, PyTorch", "LSTM, orthogonal")


@pytest.fixture(scope="module")
def result() -> Result:
    return init.run(init.Options(seeds=SEEDS))


def all_errors(result: Result, predictor: str, *names: str) -> list[float]:
    return [error for name in names or gradients.STARTS for error in result.numbers["errors"][name][predictor]]


def test_gradient_of_a_linear_rnn_is_predicted_at_every_distance(result: Result) -> None:
    for ones in result.numbers["linear"].values():
        for one in ones:
            assert one["difference"] < 1e-10
            assert one["measured"] == pytest.approx(one["radius"], rel=0.05)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_factor_of_a_linear_rnn_tends_to_the_radius(seed: int) -> None:
    one = init.measure_linear("pytorch", 1.0, seed, init.Options(length=400))
    assert one["measured"] == pytest.approx(one["radius"], rel=0.003)


@pytest.mark.parametrize(("name", "scale"), [("orthogonal", 1), ("orthogonal times 0.9", 0.9)])
def test_scaled_orthogonal_matrices_scale_the_norm(result: Result, name: str, scale: float) -> None:
    for one in result.numbers["linear"][name]:
        # the weights are float32, so that U is orthogonal up to 1e-7
        assert one["norms"] == pytest.approx([one["norms"][0] * scale**k for k in range(100)], rel=1e-4)


def test_linear_gradients_are_powers_of_the_matrix() -> None:
    generator = torch.Generator().manual_seed(0)
    u, w = (torch.randn(5, size, generator=generator, dtype=torch.float64) / 5**0.5 for size in (5, 4))
    sequence, direction = memory.draw(1, 30, generator)[0][0].double(), torch.randn(5, generator=generator).double()
    powers = np.stack([np.linalg.matrix_power(u.numpy().T, k) @ direction.numpy() for k in range(30)])
    for gradients_ in (
        init.linear_gradients(u, w, sequence, direction),
        init.predicted_gradients(u, direction, 30),
    ):
        np.testing.assert_allclose(gradients_.numpy(), powers, atol=1e-12 * np.abs(powers).max())
    assert init.radius(u) == pytest.approx(np.abs(np.linalg.eigvals(u.numpy())).max(), rel=1e-12)


def test_radius_of_pytorchs_weights_does_not_depend_on_the_width(result: Result) -> None:
    for radius in result.numbers["widths"]["512"]:
        assert radius == pytest.approx(3**-0.5, rel=0.05)
    assert len({*result.numbers["widths"]["512"]}) == SEEDS, "each seed has its own weights"


def test_tanh_makes_gradients_shrink_faster_than_the_radius(result: Result) -> None:
    assert min(all_errors(result, "radius of U", "RNN, PyTorch", "RNN, orthogonal")) > 0.5


def test_with_gates_the_radius_says_little(result: Result) -> None:
    assert min(all_errors(result, "radius of U", "GRU, orthogonal")) > 10
    assert max(all_errors(result, "radius of U", "GRU, open gates", "LSTM, open gates")) < -15


def test_rule_of_thumb_holds_while_the_state_is_near_zero(result: Result) -> None:
    assert max(map(abs, all_errors(result, "rule of thumb", *GATED))) < 3
    assert min(all_errors(result, "rule of thumb", "LSTM, open gates")) > 3
    assert result.numbers["starts"]["RNN, PyTorch"]["rule of thumb"] == pytest.approx(
        result.numbers["starts"]["RNN, PyTorch"]["radius of U"], rel=1e-5
    )


def test_average_step_is_right_within_a_factor_of_ten_over_100_steps(result: Result) -> None:
    assert max(map(abs, all_errors(result, "average step"))) < 1


def test_open_lstm_explodes_a_little_though_its_matrix_is_small(result: Result) -> None:
    opened = result.numbers["starts"]["LSTM, open gates"]
    assert min(opened["measured"]) > 1
    assert max(opened["radius of U"]) < 0.75


def test_rule_of_thumb_is_exact_at_the_state_zero() -> None:
    torch.manual_seed(0)
    keep, zeros = 1 / (1 + math.exp(-2.0)), torch.zeros(1, 6, dtype=torch.float64)
    for cell, through in ((nn.LSTMCell(3, 6), 0.25), (nn.GRUCell(3, 6), (1 - keep) / 2), (nn.RNNCell(3, 6), 1.0)):
        cell = cell.double()
        with torch.no_grad():
            cell.bias_ih.zero_()
            cell.bias_hh.zero_()
            cell.bias_ih[6:12] = 2.0
        size = 2 if isinstance(cell, nn.LSTMCell) else 1

        def step(state: torch.Tensor, cell: nn.Module = cell, size: int = size) -> torch.Tensor:
            new = cell(zeros[:, :3], state.view(1, 6) if size == 1 else tuple(state.view(2, 1, 6)))
            return new[0] if size == 1 else torch.cat(new, dim=1)[0]

        jacobian = torch.autograd.functional.jacobian(step, torch.zeros(6 * size, dtype=torch.float64))
        block = cell.weight_hh.detach().split(6)[0 if isinstance(cell, nn.RNNCell) else 2]
        expected = np.abs((0 if isinstance(cell, nn.RNNCell) else keep) + through * np.linalg.eigvals(block.numpy()))
        found = np.sort(np.abs(np.linalg.eigvals(jacobian.numpy())))[::-1]
        np.testing.assert_allclose(found[:6], np.sort(expected)[::-1], rtol=1e-12)
        # zero six times: an eigenvalue that is not simple is found to fewer digits
        np.testing.assert_allclose(found[6:], 0, atol=1e-7)


@pytest.mark.parametrize("name", ["RNN, PyTorch", "GRU, orthogonal", "LSTM, open gates"])
def test_average_step_is_the_mean_of_jacobians_of_pytorchs_layer(name: str) -> None:
    model, generator = gradients.build(gradients.STARTS[name], 0, 3)
    sequences = memory.draw(2, 13, generator)[0]
    found = init.average_step(model, sequences)
    assert model.rnn.weight_hh_l0.dtype == torch.float32, "the model is left as it was"
    layer = model.rnn.double()
    jacobians = []
    for sequence in sequences.double():
        for t in range(1, 13 - init.SKIP):
            state = layer(sequence[:t])[1]
            flat = torch.cat(state, dim=1)[0] if isinstance(state, tuple) else state[0]

            def step(flat: torch.Tensor, row: torch.Tensor = sequence[t : t + 1]) -> torch.Tensor:
                parts = flat.view(-1, 1, 3)
                new = layer(row, tuple(parts) if len(parts) > 1 else parts[0])[1]
                return torch.cat(new, dim=1)[0] if isinstance(new, tuple) else new[0]

            jacobians.append(torch.autograd.functional.jacobian(step, flat.detach()))
    torch.testing.assert_close(found, torch.stack(jacobians).mean(dim=0), rtol=1e-12, atol=1e-14)


def test_factor_is_that_of_a_geometric_sequence() -> None:
    norms = [0.8**k for k in range(30)][::-1]
    assert init.factor(norms) == pytest.approx(0.8, rel=1e-12)
    assert init.factor([1e5, *norms[1:20], *[1e5] * 10]) == pytest.approx(0.8, rel=1e-12), "both ends are left out"
    assert init.decades(0.9, 0.9) == 0
    assert init.decades(10**0.02, 1.0) == pytest.approx(2)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"length": 19}, "--length 19: .*20 to 400"), ({"length": 401}, "401"), ({"hidden_size": 257}, "at most 256")],
)
def test_sizes_out_of_range_are_refused(options: dict[str, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        init.run(init.Options(**options))


def test_text_measures_and_figures(result: Result) -> None:
    json.dumps(result.numbers, allow_nan=False)
    assert "3 seeds: median (lowest to highest)" in result.lines[0]
    assert all(len(measure.values) == SEEDS for measure in result.measures)
    assert [axis.get_title() for axis in result.figure.axes] == list(init.PREDICTORS)
    assert [text.get_text() for text in result.figure.legends[0].get_texts()] == list(gradients.STARTS)
    assert all(axis.get_ylabel() and axis.get_legend() for axis in result.more["linear"].axes)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_exercise_which_forget_bias_keeps_the_gradient_with_orthogonal_weights(seed: int) -> None:
    """By the rule of thumb sigmoid(bias) + 1/4 = 1, so bias = log(3) = 1.10; measured, it is just below 1."""
    factors = []
    for bias in (1.0, math.log(3)):
        start = gradients.Start("lstm", "orthogonal", bias)
        model, generator = gradients.build(start, seed, 32)
        factors.append(init.factor(gradients.gradient_norms(model, *memory.draw(64, 100, generator))))
    assert init.rule_of_thumb(model, start) == pytest.approx(1, abs=0.005)
    assert factors[0] < factors[1]
    assert 0.98 < factors[1] < 1


def test_a_gradient_of_0_is_refused_by_name() -> None:
    with pytest.raises(InputError, match=r"--length 20.*fewer steps"):
        init.factor([1.0] * 19 + [0.0])
