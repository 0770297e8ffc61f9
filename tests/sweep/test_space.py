"""Search spaces: what a file may say, and what Optuna chooses from it."""

from pathlib import Path

import optuna
import pytest

from mnist_lstm.errors import InputError
from mnist_lstm.sweep.space import Choice, Range, corners, read_space, suggest

WHOLE = """
model.learning_rate: {log_uniform: [1e-3, 0.03]}
model.dropout: {uniform: [0, 0.5]}
data.batch_size: {int: [32, 128], step: 32}
model.hidden_size: {log_int: [8, 64]}
model.deskew: {choice: [true, false]}
model.optimizer:
  choice:
    adam:
    adamw:
      model.weight_decay: {uniform: [0, 0.1]}
"""


def space_of(text: str) -> Path:
    file = Path("space.yaml")
    file.write_text(text)
    return file


def test_every_kind_is_read_and_chosen_from() -> None:
    space = read_space(space_of(WHOLE))
    assert space["model.learning_rate"] == Range(0.001, 0.03, log=True, step=None)  # PyYAML reads 1e-3 as a text
    assert space["data.batch_size"] == Range(32, 128, log=False, step=32)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    chosen = [suggest(space, study.ask()) for _ in range(40)]
    assert {options["data.batch_size"] for options in chosen} == {32, 64, 96, 128}
    assert {options["model.deskew"] for options in chosen} == {True, False}
    assert all(0.001 <= options["model.learning_rate"] <= 0.03 for options in chosen)
    assert sum(options["model.learning_rate"] < 0.0055 for options in chosen) > 10  # half of it, by the logarithm


def test_options_of_a_branch_exist_only_in_it() -> None:
    space = read_space(space_of(WHOLE))
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    chosen = [suggest(space, study.ask()) for _ in range(20)]
    assert {options["model.optimizer"] for options in chosen} == {"adam", "adamw"}
    for options in chosen:
        assert ("model.weight_decay" in options) == (options["model.optimizer"] == "adamw")


def test_the_ends_of_each_range_are_to_be_checked_in_their_branch() -> None:
    found = list(corners(read_space(space_of(WHOLE))))
    assert ("model.weight_decay", {"model.optimizer": "adamw", "model.weight_decay": 0.1}) in found
    assert ("model.weight_decay", {"model.weight_decay": 0.1}) not in found
    assert [options for option, options in found if option == "data.batch_size"] == [
        {"data.batch_size": 32},
        {"data.batch_size": 128},
    ]


def test_numbers_and_truth_are_different_values() -> None:
    space = read_space(space_of("a: {choice: [1, '1', null]}"))
    assert isinstance(space["a"], Choice)
    assert [value for value, _ in space["a"].branches] == [1, "1", None]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "space.yaml: must have options of fit as keys"),
        ("- a", "space.yaml: must have options of fit as keys"),
        ("a: [", "space.yaml: is not YAML"),
        ("a: {uniform: [0, 1]}\na: {uniform: [0, 2]}", "the key a stands there twice"),
        ("a: 3", "space.yaml: a: needs one kind"),
        ("a: {gauss: [0, 1]}", "space.yaml: a: unknown kind 'gauss'"),
        ("a: {uniform: [0, 1], int: [0, 1]}", "space.yaml: a: needs one kind"),
        ("a: {uniform: [2, 1]}", "space.yaml: a: low must be less than high; 2 is not less than 1"),
        ("a: {uniform: [0, one]}", "space.yaml: a: uniform needs two numbers"),
        ("a: {uniform: [0, .inf]}", "space.yaml: a: uniform needs two numbers"),
        ("a: {log_uniform: [0, 1]}", "space.yaml: a: log_uniform needs numbers greater than 0"),
        ("a: {int: [0.5, 1]}", "space.yaml: a: int needs whole numbers"),
        ("a: {int: [0, 10], step: 3}", "space.yaml: a: step 3"),
        ("a: {uniform: [0, 1], step: 1}", "space.yaml: a: step is for int"),
        ("a: {choice: []}", "space.yaml: a: choice needs"),
        ("a: {choice: [1, 1]}", "space.yaml: a: 1: stands there twice"),
        ("a: {choice: [[1]]}", "space.yaml: a: [1]: a value must be"),
        ("a: {choice: {x: {b: {uniform: [1, 0]}}}}", "space.yaml: a=x: b: low must be less"),
        ("a: {choice: {x: {b: {uniform: [0, 1]}}}}\nb: {uniform: [0, 1]}", "a=x: b: stands outside of the branch"),
    ],
)
def test_mistakes_are_refused_with_file_and_key(text: str, message: str) -> None:
    with pytest.raises(InputError, match=r"^space\.yaml") as error:
        read_space(space_of(text))
    assert message in str(error.value)


def test_a_missing_file_is_refused() -> None:
    with pytest.raises(InputError, match=r"none.yaml: cannot be read \(No such file"):
        read_space(Path("none.yaml"))
