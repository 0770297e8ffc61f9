"""Cells written as equations match PyTorch's layers in outputs and gradients, for any shape."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from mnist_lstm.errors import InputError
from mnist_lstm.network.cells import GRU, LSTM, RNN, Recurrent, by_equations

KINDS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
SIZE = st.integers(1, 12)


def max_relative_error(ours: Tensor, theirs: Tensor) -> float:
    """Return the max relative error: the largest difference over the largest value."""
    if not theirs.numel():
        return 0.0
    return float((ours - theirs).detach().abs().max() / theirs.detach().abs().max().clamp(min=1e-30))


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    kind=st.sampled_from(sorted(KINDS)),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    sizes=st.tuples(SIZE, st.integers(1, 40), st.integers(1, 3)),
    batch=st.one_of(st.none(), st.integers(1, 6)),
    steps=st.integers(1, 30),
    options=st.fixed_dictionaries(
        {"bias": st.booleans(), "batch_first": st.booleans(), "bidirectional": st.booleans()}
    ),
    projected=st.booleans(),
    starts=st.booleans(),
    seed=st.integers(0, 10_000),
)
def test_outputs_and_gradients_equal_pytorchs(
    kind: str,
    dtype: torch.dtype,
    sizes: tuple[int, int, int],
    batch: int | None,
    steps: int,
    options: dict[str, bool],
    projected: bool,
    starts: bool,
    seed: int,
) -> None:
    torch.manual_seed(seed)
    input_size, hidden_size, num_layers = sizes
    proj_size = hidden_size // 2 if projected and kind == "lstm" else 0
    more = {"proj_size": proj_size} if proj_size else {}
    theirs = KINDS[kind](input_size, hidden_size, num_layers, **more, **options).to(dtype)
    ours = by_equations(theirs)
    shape = (steps,) if batch is None else (batch, steps) if options["batch_first"] else (steps, batch)
    data = torch.randn(*shape, input_size, dtype=dtype)
    states = num_layers * (2 if options["bidirectional"] else 1)
    batch_shape = () if batch is None else (batch,)
    first = [torch.randn(states, *batch_shape, size, dtype=dtype) for size in (proj_size or hidden_size, hidden_size)]
    weighing = torch.randn(*shape, (proj_size or hidden_size) * (2 if options["bidirectional"] else 1), dtype=dtype)

    results = []
    for layer in (ours, theirs):
        x, begin = data.clone().requires_grad_(), [s.clone().requires_grad_() for s in first]
        state = None if not starts else (begin[0], begin[1]) if kind == "lstm" else begin[0]
        outputs, last = layer(x, state)
        last = list(last) if isinstance(last, tuple) else [last]
        ((outputs * weighing).sum() + sum(s.square().sum() for s in last)).backward()
        gradients = {name: weight.grad for name, weight in layer.named_parameters()}
        # compared as one vector: a single gradient may be a small difference of large numbers
        together = torch.cat([gradients[name].flatten() for name in sorted(gradients)])
        results.append([outputs, *last, x.grad, together, *(s.grad for s in begin[: len(last)] if starts)])
    limit = 1e-6 if dtype == torch.float32 else 1e-14
    for mine, expected in zip(*results, strict=True):
        assert mine.shape == expected.shape
        assert max_relative_error(mine, expected) < limit


def test_trace_returns_every_gate_of_every_step() -> None:
    torch.manual_seed(0)
    layer = nn.LSTM(3, 5, num_layers=2, bidirectional=True, batch_first=True)
    data = torch.randn(4, 7, 3)
    outputs, (h, c), gates = LSTM.like(layer).trace(data)
    assert len(gates) == 4
    for values in gates:
        assert list(values) == ["i", "f", "g", "o", "c", "h"]
        assert all(value.shape == (4, 7, 5) for value in values.values())
        assert all(values[name].min() > 0 and values[name].max() < 1 for name in "ifo")
        torch.testing.assert_close(values["h"], values["o"] * values["c"].tanh())
    torch.testing.assert_close(torch.cat([gates[2]["h"], gates[3]["h"]], dim=2), outputs)
    # the forward direction carries states to the right, the backward to the left
    torch.testing.assert_close(
        gates[2]["c"][:, 1:], (gates[2]["f"] * gates[2]["c"].roll(1, 1) + gates[2]["i"] * gates[2]["g"])[:, 1:]
    )
    torch.testing.assert_close(
        gates[3]["c"][:, :-1], (gates[3]["f"] * gates[3]["c"].roll(-1, 1) + gates[3]["i"] * gates[3]["g"])[:, :-1]
    )
    last = [values["c"][:, step] for values, step in zip(gates, (-1, 0, -1, 0), strict=True)]
    torch.testing.assert_close(torch.stack(last), c)
    torch.testing.assert_close(h[3], gates[3]["h"][:, 0])


@pytest.mark.parametrize(("cell", "kind"), [(LSTM, nn.LSTM), (GRU, nn.GRU), (RNN, nn.RNN)])
def test_training_losses_equal_pytorchs(cell: type[Recurrent], kind: type[nn.RNNBase]) -> None:
    torch.manual_seed(0)
    data, target = torch.randn(8, 6, 3, dtype=torch.float64), torch.randn(8, 4, dtype=torch.float64)
    theirs = kind(3, 4, batch_first=True).double()
    losses = []
    for layer in (cell.like(theirs), copy.deepcopy(theirs)):
        optimizer = torch.optim.Adam(layer.parameters(), 0.01)
        curve = []
        for _ in range(50):
            loss = (layer(data)[0][:, -1] - target).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            curve.append(loss.item())
        losses.append(curve)
    assert losses[0][-1] < 0.8 * losses[0][0]
    assert losses[0] == pytest.approx(losses[1], rel=1e-9)


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
def test_initial_weights_equal_pytorchs() -> None:
    torch.manual_seed(3)
    ours = LSTM(5, 7, 2, bidirectional=True, proj_size=2)
    torch.manual_seed(3)
    theirs = nn.LSTM(5, 7, 2, bidirectional=True, proj_size=2)
    assert {name: weight.shape for name, weight in ours.named_parameters()} == {
        name: weight.shape for name, weight in theirs.named_parameters()
    }
    assert {weight.requires_grad for weight in ours.parameters()} == {True}
    for name, weight in theirs.named_parameters():
        assert torch.equal(weight, ours.get_parameter(name)), name
    data = torch.randn(3, 2, 5)
    torch.testing.assert_close(ours(data), theirs(data))


def test_dropout_acts_only_during_training() -> None:
    torch.manual_seed(0)
    layer = LSTM.like(nn.LSTM(3, 5, 2, dropout=0.5))
    data = torch.randn(4, 2, 3)
    assert not torch.equal(layer(data)[0], layer(data)[0])
    assert torch.equal(layer.eval()(data)[0], layer(data)[0])
    assert not LSTM.like(layer_in_eval := nn.LSTM(3, 5).eval()).training
    assert not layer_in_eval.training


def test_unsupported_inputs_are_refused() -> None:
    packed = nn.utils.rnn.pack_sequence([torch.randn(3, 2)])
    with pytest.raises(InputError, match="one tensor"):
        LSTM(2, 4)(packed)
    with pytest.raises(InputError, match="2 values per step"):
        LSTM(2, 4)(torch.randn(3, 1, 5))
    with pytest.raises(InputError, match="2 values per step"):
        LSTM(2, 4)(torch.randn(0, 1, 2))
    with pytest.raises(InputError, match="initial state"):
        LSTM(2, 4)(torch.randn(3, 1, 2), (torch.zeros(1, 1, 4), torch.zeros(1, 2, 4)))
    with pytest.raises(InputError, match="equations"):
        LSTM.like(nn.GRU(2, 4))
    for build in (RNN.like, by_equations):
        with pytest.raises(InputError, match="equations"):
            build(nn.RNN(2, 4, nonlinearity="relu"))
    with pytest.raises(InputError, match="not an LSTM"):
        by_equations(nn.LSTMCell(2, 4))
    for cell, proj_size in ((GRU, 2), (LSTM, 4), (LSTM, -1)):
        with pytest.raises(InputError, match=f"proj_size {proj_size}"):
            cell(2, 4, proj_size=proj_size)
