"""Opening a pickle runs what it names, a whole model breaks with its code, and resuming needs more than weights."""

import io
import pickletools
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Command, fail
from torch import nn
from torch.optim import Adam

from mnist_lstm.lessons import Result, saving
from mnist_lstm.lessons.memory import draw, seeded
from mnist_lstm.network.model import RowLSTM


@pytest.fixture(scope="module")
def result() -> Result:
    return saving.run(saving.Options(seeds=3))


@pytest.fixture(scope="module")
def numbers(result: Result) -> dict[str, Any]:
    return result.numbers


def test_opening_the_file_runs_code_unless_weights_only(numbers: dict[str, Any]) -> None:
    opened = numbers["hostile_file"]
    assert opened["torch.load, weights_only=False"] == ("opened", "yes")
    assert opened["torch.load, weights_only=True"] == ("UnpicklingError: Weights only load failed", "no")
    message, ran = opened["mnist-lstm classify"]
    assert "could run code and is refused" in message
    assert ran == "no"


def test_classify_refuses_the_file_with_the_lessons_words(command: Command, numbers: dict[str, Any]) -> None:
    saving.open_hostile_file(Path())
    Path("it ran").unlink(missing_ok=True)
    error = fail(command, "classify", "digit.png", "--ckpt_path", "hostile.ckpt")
    assert numbers["hostile_file"]["mnist-lstm classify"][0].removeprefix("InputError: ") in error
    assert not Path("it ran").exists()


def test_a_state_dict_survives_what_breaks_a_whole_model(numbers: dict[str, Any]) -> None:
    changes = numbers["code_changes"]
    assert changes["code unchanged"] == ("works", "works")
    assert changes["class renamed"] == ("does not open: AttributeError", "works")
    assert changes["module gone"] == ("does not open: ModuleNotFoundError", "works")
    assert changes["new attribute"] == ("opens, fails when used: AttributeError", "works")


def test_sizes_are_four_bytes_a_weight_and_three_times_that_with_averages(numbers: dict[str, Any]) -> None:
    ways = numbers["ways"]
    weights = 4 * saving.UNITS * (4 + saving.UNITS + 2) + (saving.UNITS + 1) * 4
    assert {one["weights"] for one in ways.values()} == {weights}
    assert 4 * weights < ways["state_dict"]["bytes"] < ways["state_dict, options"]["bytes"] < 5 * weights
    everything = ways["state_dict, options, optimizer, generator"]
    assert 12 * weights < everything["bytes"] < 14 * weights
    assert {way: one["runs_code"] for way, one in ways.items()} == dict.fromkeys(ways, "no") | {"whole model": "yes"}


def test_weights_of_rows_fit_a_reader_of_columns_and_answer_otherwise(numbers: dict[str, Any]) -> None:
    assert numbers["rows_as_columns"] > 0.1
    rows, other_size = RowLSTM(hidden_size=4), RowLSTM(hidden_size=5)
    with pytest.raises(RuntimeError, match="size mismatch"):
        other_size.load_state_dict(rows.state_dict())


def test_only_with_optimizer_and_generator_is_the_run_the_same(numbers: dict[str, Any]) -> None:
    for run in numbers["runs"]:
        straight, everything, no_optimizer, no_generator = (run[way] for way in ("uninterrupted", *saving.RESUMED))
        assert everything["losses"] == straight["losses"], "bit for bit"
        assert everything["first_update"] == straight["first_update"] < 0.2
        assert no_optimizer["first_update"] > 0.8
        assert sum(no_optimizer["losses"]) > sum(straight["losses"])
        assert no_optimizer["losses"][0] == straight["losses"][0], "the first loss is that of the same weights"
        assert no_optimizer["difference"] > 1e-3
        assert no_generator["losses"][0] != straight["losses"][0]


def test_first_update_of_adam_is_the_learning_rate_times_the_sign_of_the_gradient() -> None:
    weight = nn.Parameter(torch.tensor([3.0, -0.002, 1e-5], dtype=torch.float64))
    gradient = torch.tensor([-40.0, 0.3, 1e-3], dtype=torch.float64)
    before = weight.detach().clone()
    weight.grad = gradient
    Adam([weight], lr=0.01).step()
    expected = -0.01 * gradient / (gradient.abs() + 1e-8)
    torch.testing.assert_close(weight.detach() - before, expected, rtol=0, atol=1e-12)
    assert torch.allclose(expected.abs(), torch.full_like(expected, 0.01), rtol=1e-4)


def test_the_module_of_the_saved_class_is_gone_afterwards() -> None:
    with pytest.raises(ModuleNotFoundError):
        __import__(saving.MODULE)


def test_exercise_the_names_in_a_file_can_be_read_without_opening_it(tmp_path: Path) -> None:
    """Exercise: what would a file call when it is opened? List the names in its pickle without running it.

    `pickletools.genops` goes through the instructions without carrying them out. The whole model names its own classes;
    the state_dict names only what PyTorch builds tensors with.
    """
    model, generator = seeded(0, 4)
    optimizer = Adam(model.parameters())
    sequences, _ = draw(2, 5, generator)
    assert model(sequences).shape == (2, 4)

    def names(content: object) -> set[str]:
        file = io.BytesIO()
        torch.save(content, file)
        with zipfile.ZipFile(file) as archive:
            (inner,) = (name for name in archive.namelist() if name.endswith("/data.pkl"))
            operations = pickletools.genops(archive.read(inner))
            return {str(argument) for operation, argument, _ in operations if operation.name == "GLOBAL"}

    assert "mnist_lstm.network.model RowLSTM" in names(model)
    safe = {"collections OrderedDict", "torch FloatStorage", "torch ByteStorage", "torch._utils _rebuild_tensor_v2"}
    assert names(model.state_dict()) <= safe
    assert names(saving.contents(model, optimizer, generator)) <= safe
    trace = tmp_path / "it ran"
    assert any("getattr" in name for name in names(saving.RunsCode(trace)))
    assert not trace.exists()
