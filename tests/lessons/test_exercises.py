"""Solutions of the exercises in mnist_lstm/lessons/README.md; those of newer lessons stand beside their tests."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from mnist_lstm.lessons import bptt, by_hand, forget_bias, gates, load, memory, scratch, sine, surgery
from mnist_lstm.network.cells import by_equations
from mnist_lstm.network.model import RowLSTM
from mnist_lstm.network.scan_order import to_sequence


def test_exercise_gates_a_firmness_that_keeps_nine_tenths_over_28_steps() -> None:
    """f ** 28 = 0.9, so f = 0.9 ** (1 / 28), and firmness is the logit of f."""
    kept = 0.9 ** (1 / 28)
    firmness = math.log(kept / (1 - kept))
    assert firmness == pytest.approx(5.58, abs=0.01)
    layer = nn.LSTM(1, 1).double()
    with torch.no_grad():
        for name, weight in layer.named_parameters():
            weight.zero_()
            if name == "bias_ih_l0":
                weight[1] = firmness  # of the gates i, f, g, o
        state = (torch.zeros(1, 1).double(), torch.ones(1, 1).double())
        _, (_, c), _ = by_equations(layer).trace(torch.zeros(28, 1).double(), state)
    assert c.item() == pytest.approx(0.9)
    assert gates.run(gates.Options(firmness=5.58)).numbers["change_while_kept"] > 0.01, "inputs leak in as well"


def test_exercise_by_hand_dz_f_from_four_numbers_of_the_sheet() -> None:
    """dz_f = dc * c' * f * (1 - f)."""
    numbers = by_hand.run(by_hand.Options(seeds=1)).numbers
    forward, backward = numbers["forward"][2], numbers["backward"][2]
    c, f = np.array(forward["c'"]), np.array(forward["f"])
    # the dc of the sheet is what arrives from the next row and from h: df = dc * c'
    dc = np.array(backward["df"]) / c
    assert backward["dc"] == pytest.approx(dc)
    assert backward["dz_f"] == pytest.approx(dc * c * f * (1 - f))


def test_exercise_scratch_weights_of_32_units() -> None:
    """4 * (32 * 28 + 32 * 32 + 2 * 32) of the LSTM and 10 * 32 + 10 of the head."""
    options = scratch.Options(hidden_size=32, updates=1, batch_size=8, dataset="digits", seeds=1)
    trained = scratch.run(options).numbers["trained_weights"]
    assert trained["nn.LSTM"] == 4 * (32 * 28 + 32 * 32 + 2 * 32) + 10 * 32 + 10 == 8_266
    assert trained["weights not parameters"] == 10 * 32 + 10


def test_exercise_toy_more_units_memorise_sooner() -> None:
    toy = load("toy")
    slow, fast = (
        np.median(toy.run(toy.Options(seeds=6, hidden_size=units)).numbers["updates_to_learn"]) for units in (16, 256)
    )
    assert fast < slow / 2


def test_exercise_sine_without_noise_two_values_are_enough() -> None:
    """sin(t + w) = 2 cos(w) sin(t) - sin(t - w): a linear model is exact at any number of steps ahead."""
    errors = sine.run(sine.Options(noise=0, seeds=1, epochs=2)).numbers["held_out_mse"]
    assert max(error for values in errors["linear, 4 values"].values() for error in values) < 1e-6
    assert min(error for values in errors["LSTM, 4 values"].values() for error in values) > 1e-5
    values = torch.sin(0.01 * torch.arange(1, 1001).double())
    model = sine.fit_linear(values.unfold(0, 2, 1)[:-1], values[2:])
    assert float((model(values.unfold(0, 2, 1)[:-1]) - values[2:]).abs().max()) < 1e-9


def test_exercise_vanishing_a_spectral_radius_that_keeps_a_tenth() -> None:
    """In a linear RNN with an orthogonal U times s, the gradient shrinks by s per step: s ** 99 = 0.1."""
    scale = 0.1 ** (1 / 99)
    assert scale == pytest.approx(0.977, abs=0.001)
    u = scale * np.linalg.qr(np.random.default_rng(0).normal(size=(32, 32)))[0]
    assert np.abs(np.linalg.eigvals(u)).max() == pytest.approx(scale)
    gradient = np.linalg.matrix_power(u.T, 99) @ np.ones(32)
    assert np.linalg.norm(gradient) == pytest.approx(0.1 * np.linalg.norm(np.ones(32)))


def test_exercise_forget_bias_that_keeps_a_half_over_15_steps() -> None:
    kept = 0.5 ** (1 / 15)
    bias = math.log(kept / (1 - kept))
    assert bias == pytest.approx(3.05, abs=0.01)
    result = forget_bias.run(forget_bias.Options(biases=(bias,), seeds=3))
    (counts,) = result.numbers["updates_until_solved"].values()
    assert all(count is not None and count < 200 for count in counts), "and it is learnt as soon as with a bias of 5"


def test_exercise_cells_a_gru_with_as_many_weights() -> None:
    """3 * (28 H + H ** 2 + 2 H) is nearest to the 24,064 of an LSTM of 64 units at H = 76."""

    def weights(layer: nn.Module) -> int:
        return sum(weight.numel() for weight in layer.parameters())

    lstm = weights(nn.LSTM(28, 64))
    assert lstm == 24_064
    assert min(range(50, 100), key=lambda units: abs(weights(nn.GRU(28, units)) - lstm)) == 76


def test_exercise_bptt_the_smallest_piece_that_reaches_a_cue() -> None:
    """A cue 39 steps before the end is reached by a piece of 40 steps, and by none of 39: no cut lies between them."""
    model, generator = memory.seeded(0, 4)
    sequences, _ = memory.draw(2, 40, generator)
    sequences.requires_grad_()
    reached = {}
    for piece in (10, 39, 40):
        (gradient,) = torch.autograd.grad(bptt.forward(model, sequences, piece).sum(), sequences)
        reached[piece] = bool(gradient[:, 0].any())
    assert reached == {10: False, 39: False, 40: True}


def test_exercise_scan_steps_and_values_per_step() -> None:
    image = torch.rand(1, 7, 7)
    shapes = {order: tuple(to_sequence(image, order).shape[1:]) for order in load("scan").ORDERS}
    assert shapes == {"rows": (7, 7), "columns": (7, 7), "pixels": (49, 1), "permuted": (49, 1)}


def test_exercise_surgery_after_the_last_row_only_h_counts() -> None:
    torch.manual_seed(0)
    model = RowLSTM(hidden_size=6, bidirectional=False).eval()
    images, partners = torch.randn(4, 28, 28), torch.tensor([1, 2, 3, 0])
    with torch.inference_mode():
        plain = surgery.read(model, images)[0]
        of_c, of_h = (surgery.read(model, images, swap_after=28, swap=swap, partners=partners)[0] for swap in "ch")
    assert torch.equal(of_c, plain), "the head does not see c"
    torch.testing.assert_close(of_h, plain[partners])
