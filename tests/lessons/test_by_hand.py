"""Back-propagation through time by hand: every number against PyTorch's own."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mnist_lstm.lessons import by_hand


@pytest.mark.parametrize("seed", range(10))
def test_every_value_and_derivative_of_every_row_is_that_of_pytorch(seed: int) -> None:
    rows = np.random.default_rng(seed).random((by_hand.SIDE, by_hand.SIDE))
    layer, head = by_hand.networks(3, seed)
    weights = by_hand.read_weights(layer, head)
    steps = by_hand.forward(rows, weights)
    back, _, loss = by_hand.backward(rows, 7, steps, weights)

    states = [tuple(torch.zeros(3, dtype=torch.float64, requires_grad=True) for _ in range(2))]
    for row in torch.tensor(rows):
        h, c = states[-1]
        z = layer.weight_ih_l0 @ row + layer.bias_ih_l0 + layer.weight_hh_l0 @ h + layer.bias_hh_l0
        i, f, g, o = z.chunk(4)  # PyTorch's order
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        states.append((o.sigmoid() * c.tanh(), c))
        for value in states[-1]:
            value.retain_grad()
    theirs = F.cross_entropy(head(states[-1][0]), torch.tensor(7))
    theirs.backward()
    assert loss == pytest.approx(theirs.item(), rel=1e-12)
    for step, d, before, after in zip(steps, back, states, states[1:], strict=False):
        for ours, value in (("h'", before[0]), ("c'", before[1]), ("h", after[0]), ("c", after[1])):
            np.testing.assert_allclose(step[ours], value.detach(), rtol=1e-12)
        np.testing.assert_allclose(d["dh"], after[0].grad, rtol=1e-10)
        np.testing.assert_allclose(d["dc"], after[1].grad, rtol=1e-10)
    for ours, value in (("dh'", states[0][0]), ("dc'", states[0][1])):
        np.testing.assert_allclose(back[0][ours], value.grad, rtol=1e-10)


def test_the_lesson_prints_the_row_that_is_asked_for() -> None:
    result = by_hand.run(by_hand.Options(digit=4, row=2, seeds=10))
    assert max(result.numbers["differences"]) < 1e-12
    assert result.lines[0].startswith("a 4 of 4x4 pixels; row 2: ")
    (line,) = (line for line in result.lines if line.startswith("dz_f"))
    assert [float(value) for value in line.split()[1:]] == pytest.approx(
        result.numbers["backward"][1]["dz_f"], abs=5e-5
    )


def test_a_wrong_slope_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    right = by_hand.check(np.eye(4), 3, 2, 0)
    monkeypatch.setattr(
        by_hand, "forward", lambda rows, weights: [step | {"c": step["c"] * 1.001} for step in real(rows, weights)]
    )
    assert by_hand.check(np.eye(4), 3, 2, 0) > 1e6 * right


real = by_hand.forward
