"""The network: shapes, pooling, scan orders, initial weights, invalid arguments."""

import re
from typing import get_args

import pytest
import torch
from torch import nn

from mnist_lstm.errors import InputError
from mnist_lstm.network.model import RowLSTM
from mnist_lstm.network.scan_order import ScanOrder, permutation


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("pooling", ["final", "avgmax"])
def test_images_map_to_logits(cell: str, bidirectional: bool, num_layers: int, pooling: str) -> None:
    model = RowLSTM(hidden_size=8, num_layers=num_layers, bidirectional=bidirectional, cell=cell, pooling=pooling)
    assert model(torch.rand(5, 28, 28)).shape == (5, 10)


def test_any_sequence_length_and_number_of_classes() -> None:
    assert RowLSTM(input_size=1, num_classes=2)(torch.rand(3, 5, 1)).shape == (3, 2)
    assert RowLSTM(input_size=1, hidden_size=4)(torch.rand(2, 784, 1)).shape == (2, 10)
    assert RowLSTM()(torch.rand(0, 28, 28)).shape == (0, 10)


def test_the_order_of_the_rows_matters() -> None:
    torch.manual_seed(0)
    images = torch.rand(4, 28, 28)
    model = RowLSTM(hidden_size=16)
    assert not torch.allclose(model(images), model(images.flip(1)), atol=1e-3)
    assert not torch.allclose(model(images), model(images.roll(1, dims=1)), atol=1e-3)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_logits_of_each_direction_depend_on_every_row(bidirectional: bool) -> None:
    torch.manual_seed(0)
    images = torch.rand(1, 28, 28, requires_grad=True)
    model = RowLSTM(hidden_size=16, bidirectional=bidirectional)
    for half in model.head.weight.split(16, dim=1):
        # the logits of one direction: the other's weights in the head are 0
        alone = RowLSTM(hidden_size=16, bidirectional=bidirectional)
        alone.load_state_dict(model.state_dict())
        with torch.no_grad():
            alone.head.weight[:] = torch.where(torch.isin(model.head.weight, half), model.head.weight, 0.0)
        (gradient,) = torch.autograd.grad(alone(images).square().sum(), images)
        assert (gradient.abs().sum(dim=2) > 0).all()


def test_the_final_states_of_both_directions_are_concatenated() -> None:
    torch.manual_seed(0)
    images = torch.rand(3, 28, 28)
    both = RowLSTM(hidden_size=16, bidirectional=True)
    one = nn.LSTM(28, 16, batch_first=True)
    states = []
    for suffix, read in (("", images), ("_reverse", images.flip(1))):
        one.load_state_dict({name: getattr(both.rnn, name + suffix) for name in one.state_dict()})
        states.append(one(read)[0][:, -1])
    torch.testing.assert_close(both(images), both.head(torch.cat(states, dim=1)))


def test_avgmax_pools_over_all_steps() -> None:
    torch.manual_seed(0)
    images = torch.rand(3, 28, 28)
    model = RowLSTM(hidden_size=16, num_layers=2, bidirectional=True, pooling="avgmax")
    states = model.rnn(images)[0]  # (3, 28, 32)
    highest = torch.stack([states[:, step] for step in range(28)]).max(dim=0).values
    summary = torch.cat([sum(states[:, step] for step in range(28)) / 28, highest], dim=1)
    torch.testing.assert_close(model(images), model.head(summary))
    assert model.head.in_features == 4 * 16


def test_scan_orders() -> None:
    torch.manual_seed(0)
    images = torch.rand(3, 28, 28)
    models = {order: RowLSTM(hidden_size=8, bidirectional=False, scan_order=order) for order in get_args(ScanOrder)}
    for order, width in (("rows", 28), ("columns", 28), ("pixels", 1), ("permuted", 1)):
        assert models[order].rnn.input_size == width
    states = models["columns"].rnn(images.transpose(1, 2))[0]
    torch.testing.assert_close(models["columns"](images), models["columns"].head(states[:, -1]))
    states = models["pixels"].rnn(images.reshape(3, 784, 1))[0]
    torch.testing.assert_close(models["pixels"](images), models["pixels"].head(states[:, -1]))
    shuffled = models["permuted"].to_sequence(images)[:, :, 0]
    assert not torch.equal(shuffled, images.flatten(1))
    assert torch.equal(shuffled.sort(dim=1).values, images.flatten(1).sort(dim=1).values)


def test_the_permuted_order_never_changes() -> None:
    torch.manual_seed(1)  # has no effect
    order = permutation(784)
    assert torch.equal(order.sort().values, torch.arange(784))
    assert order[:8].tolist() == [35, 507, 108, 214, 505, 581, 622, 350]


def test_orthogonal_init() -> None:
    model = RowLSTM(hidden_size=16, num_layers=2, bidirectional=True)
    for name, parameter in model.rnn.named_parameters():
        if name.startswith("weight_hh"):
            for gate in parameter.detach().split(16):
                torch.testing.assert_close(gate @ gate.T, torch.eye(16), atol=1e-5, rtol=0)
        if name.startswith("bias"):
            i, f, g, o = parameter.detach().split(16)
            assert not torch.cat([i, g, o]).any()
            assert (f == (1 if name.startswith("bias_ih") else 0)).all()


@pytest.mark.parametrize(("scan_order", "steps"), [("rows", 28), ("permuted", 784)])
def test_chrono_init_draws_memories_up_to_the_whole_sequence(scan_order: str, steps: int) -> None:
    torch.manual_seed(0)
    rnn = RowLSTM(hidden_size=512, num_layers=2, init="chrono", scan_order=scan_order).rnn
    drawn = []
    for suffix in ("_l0", "_l0_reverse", "_l1", "_l1_reverse"):
        biases = rnn.get_parameter(f"bias_ih{suffix}") + rnn.get_parameter(f"bias_hh{suffix}")
        inputs, forget, candidate, output = biases.detach().split(512)
        memory = 1 + forget.exp()  # steps
        assert 2 <= memory.min() < 2 + 0.02 * steps
        assert 0.98 * steps < memory.max() <= steps + 0.01
        assert float(memory.mean()) == pytest.approx(1 + steps / 2, rel=0.1)
        assert torch.equal(inputs, -forget)
        assert not torch.cat([candidate, output]).any()
        recurrent = rnn.get_parameter(f"weight_hh{suffix}").detach()[:512]
        torch.testing.assert_close(recurrent @ recurrent.T, torch.eye(512), atol=1e-5, rtol=0)
        drawn.append(forget)
    assert not torch.equal(drawn[0], drawn[1])


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_pytorch_init_keeps_pytorchs_weights(cell: str) -> None:
    torch.manual_seed(3)
    expected = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}[cell](28, 16).state_dict()
    torch.manual_seed(3)
    for name, parameter in (
        RowLSTM(hidden_size=16, bidirectional=False, cell=cell, init="pytorch").rnn.state_dict().items()
    ):
        assert torch.equal(parameter, expected[name]), name


@pytest.mark.parametrize("init", ["orthogonal", "pytorch"])
def test_forget_bias_is_the_sum_of_both_biases(init: str) -> None:
    rnn = RowLSTM(hidden_size=16, init=init, forget_bias=2.5).rnn
    assert ((rnn.bias_ih_l0 + rnn.bias_hh_l0)[16:32] == 2.5).all()


@pytest.mark.parametrize(
    ("shape", "hint"),
    [((28, 28), "unsqueeze"), ((5, 1, 28, 28), "squeeze"), ((5, 28, 20), "expected"), ((784,), "expected")],
)
def test_wrong_shapes_are_refused_with_a_hint(shape: tuple[int, ...], hint: str) -> None:
    with pytest.raises(InputError, match=re.escape(str(shape)) + f".*{hint}"):
        RowLSTM(hidden_size=4)(torch.zeros(shape))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_size": 0}, "input_size 0"),
        ({"hidden_size": -3}, "hidden_size -3"),
        ({"num_layers": 0}, "num_layers 0"),
        ({"num_classes": 0}, "num_classes 0"),
        ({"dropout": 1.0, "num_layers": 2}, "dropout 1.0"),
        ({"dropout": -0.1, "num_layers": 2}, "dropout -0.1"),
        ({"dropout": float("nan"), "num_layers": 2}, "dropout nan"),
        ({"dropout": 0.5}, "dropout 0.5: .*layers"),
        ({"pooling": "last"}, "pooling 'last': .*final.*avgmax"),
        ({"scan_order": "diagonal"}, "scan_order 'diagonal': .*rows.*columns.*pixels.*permuted"),
        ({"cell": "transformer"}, "cell 'transformer'"),
        ({"init": "zeros"}, "init 'zeros'"),
        ({"init": "chrono", "cell": "gru"}, "init chrono: .*cell is gru"),
        ({"init": "chrono", "forget_bias": 2.0}, "forget_bias 2.0: init chrono"),
        ({"cell": "gru", "forget_bias": 1.0}, "forget_bias .*lstm"),
    ],
)
def test_invalid_arguments_are_named(arguments: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        RowLSTM(**arguments)
