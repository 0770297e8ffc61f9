"""The answers to the five questions of the lessons' README."""

import math

import pytest
import torch
from torch import nn

from mnist_lstm.lessons import bptt, memory


def test_with_the_output_gate_closed_the_memory_is_in_c_alone() -> None:
    f, i, g, o, before = 0.0, 1.0, 0.5, 0.0, 3.0
    c = f * before + i * g
    assert (c, o * math.tanh(c)) == (0.5, 0.0)


def test_c_grows_by_nearly_one_per_step_and_h_stays_below_one() -> None:
    cell = nn.LSTMCell(1, 1)
    with torch.no_grad():
        for weight in cell.parameters():
            weight.zero_()
        cell.bias_ih += 20  # all gates open, the candidate at 1
        h, c = cell(torch.zeros(1, 1))
        for _ in range(3):
            h, c = cell(torch.zeros(1, 1), (h, c))
    assert c.item() == pytest.approx(4, abs=1e-3)
    assert h.item() < 1


def test_the_factor_per_step() -> None:
    assert pytest.approx(0.63, abs=0.005) == (1e-11 / 1e-1) ** (1 / 50)


def test_states_cross_a_cut_and_gradients_do_not() -> None:
    model, generator = memory.seeded(0, 8)
    sequences, _ = memory.draw(4, 40, generator, place=9)
    sequences.requires_grad_()
    logits = bptt.forward(model, sequences, 10)
    (gradient,) = torch.autograd.grad(logits.sum(), sequences)
    assert gradient[:, 30:].any()
    assert not gradient[:, :30].any()
    other = sequences.detach().clone()
    other[:, 9] += 10
    assert not torch.equal(bptt.forward(model, other, 10), logits)


def test_the_weights_of_an_lstm_do_not_depend_on_the_number_of_rows() -> None:
    layer = nn.LSTM(28, 64)
    assert sum(weight.numel() for weight in layer.parameters()) == 4 * (64 * 28 + 64 * 64 + 2 * 64) == 24_064
    assert layer(torch.zeros(56, 1, 28))[0].shape == (56, 1, 64)
