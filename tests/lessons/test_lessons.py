"""The claim of each lesson, at a reduced size."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Command
from matplotlib.figure import Figure
from PIL import Image

from mnist_lstm.data import datasets
from mnist_lstm.data.format import normalise
from mnist_lstm.lessons import MODULES, Result, cli, load, memory, spread, table
from mnist_lstm.lessons.digits import batches, load_train_and_val
from mnist_lstm.lessons.options import DigitOptions
from mnist_lstm.network.model import RowLSTM
from mnist_lstm.plots.style import CURVES

REDUCED: dict[str, dict[str, Any]] = {
    "gates": {},
    "scratch": {"updates": 100, "hidden_size": 24, "learning_rate": 0.01, "dataset": "digits", "seeds": 2},
    "toy": {"seeds": 5},
}


def run(name: str, **options: Any) -> Result:
    lesson = load(name)
    return lesson.run(lesson.Options(**(REDUCED[name] | options)))


def test_every_module_is_a_lesson_or_a_helper() -> None:
    folder = Path(load("gates").__file__).parent
    helpers = {"__init__", "cli", "digits", "gradients", "memory", "ngrams", "options", "selectivity", "text"}
    assert {path.stem for path in folder.glob("*.py")} - helpers == set(MODULES.values())
    assert set(TINY) == set(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_help_shows_the_docstring(name: str, command: Command) -> None:
    code, out, _ = command("lesson", name, "--help")
    assert code == 0
    text = load(name).__doc__
    assert text.strip() in out, "line breaks of equations are kept"
    assert len(text.split()) > 100
    assert "--output" in out
    code, overview, _ = command("lesson", "--help")
    assert f"  {name} " in overview


TINY: dict[str, dict[str, Any]] = {
    "gates": {"firmness": 0.01},
    "scratch": {"seeds": 1, "updates": 1, "hidden_size": 1, "batch_size": 1, "dataset": "digits"},
    "by-hand": {"row": 1, "hidden_size": 1, "seeds": 1},
    "toy": {"seeds": 1, "updates": 1, "hidden_size": 1},
    "sine": {"epochs": 1, "hidden_size": 1, "noise": 0, "ahead": 400, "seeds": 1},
    "vanishing": {"seeds": 1, "length": 1, "updates": 1, "clip_updates": 1, "hidden_size": 1, "batch_size": 1},
    "forget-bias": {"length": 1, "seeds": 1, "updates": 1, "hidden_size": 1, "batch_size": 1, "biases": [-1.5]},
    "cells": {"seeds": 1, "updates": 1, "hidden_size": 1, "batch_size": 4096, "dataset": "digits"},
    "bptt": {"seeds": 1, "length": 3, "piece": 2, "updates": 1, "hidden_size": 1, "batch_size": 1},
    "scan": {"seeds": 1, "side": 7, "updates": 1, "hidden_size": 1, "batch_size": 1, "dataset": "digits"},
    "surgery": {"seeds": 1, "updates": 1, "hidden_size": 1, "batch_size": 1, "dataset": "digits"},
    "rows": {"seeds": 1, "updates": 1, "hidden_size": 1, "batch_size": 1, "dataset": "digits"},
    "units": {"seeds": 1, "updates": 1, "hidden_size": 1, "batch_size": 1, "dataset": "digits"},
    "characters": {"seeds": 1, "updates": 1, "hidden_size": 1, "piece": 1, "batch_size": 1},
    "capacity": {"seeds": 1, "updates": 1, "batch_size": 1},
    "time-scales": {"gaps": [2, 3], "seeds": 1, "updates": 1, "hidden_size": 1, "batch_size": 1},
    "gru": {"seeds": 1, "updates": 1, "hidden_size": 1, "batch_size": 1, "length": 1},
    "saving": {"seeds": 1, "updates": 1, "more": 1, "hidden_size": 1, "batch_size": 1},
    "init": {"seeds": 1, "hidden_size": 1, "length": 20},
    "paths": {"seeds": 1, "length": 2, "updates": 1, "hidden_size": 1, "batch_size": 1},
}
"""The smallest experiments, or nearly."""


@pytest.mark.parametrize("name", TINY)
def test_lesson_writes_figure_and_numbers(name: str, command: Command) -> None:
    options = [f"--{key}={value}" for key, value in TINY[name].items()]
    code, out, err = command("lesson", name, *options)
    assert (code, err) == (0, "")
    folder = Path("lessons", name, "version_0")
    assert np.asarray(Image.open(folder / f"{name}.png").convert("L")).std() > 5
    numbers = json.loads((folder / f"{name}.json").read_text())
    assert numbers["options"].items() >= TINY[name].items()
    assert str(folder / f"{name}.png") in out
    assert out.startswith(load(name).__doc__.splitlines()[0][:60])


@pytest.mark.parametrize("name", MODULES)
def test_quick_changes_defaults_alone(name: str) -> None:
    whole, quick = (cli.parser(name, quick=quick).parse_args([]).as_dict() for quick in (False, True))
    changed = {key: value for key, value in quick.items() if value != whole[key]}
    assert changed == getattr(load(name), "QUICK", {})
    for key in changed:
        args = ["--quick", f"--{key}={whole[key]}"]
        assert cli.parser(name, quick=True).parse_args(args)[key] == whole[key], "an option overrides --quick"


def test_further_figures_are_saved_under_their_names(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    result = Result(["text"], {}, Figure(), {"second": Figure()})
    monkeypatch.setattr(load("gates"), "run", lambda options: result)
    _, out, _ = command("lesson", "gates", "--quick")
    assert {path.name for path in Path("lessons/gates/version_0").glob("*.png")} == {"gates.png", "gates-second.png"}
    assert "gates-second.png" in out


def test_spread_is_the_median_with_lowest_and_highest() -> None:
    assert spread([3, 1, 2], ".1f") == "2.0 (1.0 to 3.0)"
    assert spread([0.5]) == "0.500"


def test_output_folder_is_as_given_or_new(command: Command) -> None:
    assert command("lesson", "gates", "--output", "mine")[0] == 0
    assert {path.name for path in Path("mine").iterdir()} == {"gates.png", "gates.json"}
    assert command("lesson", "gates")[0] == command("lesson", "gates")[0] == 0
    assert len(list(Path("lessons/gates").iterdir())) == 2


def test_nan_is_an_error_and_leaves_no_folder(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load("gates"), "run", lambda options: Result([], {"loss": float("nan")}, Figure()))
    code, _, err = command("lesson", "gates")
    assert code == 1
    assert re.fullmatch(r"mnist-lstm: error: .*NaN.*--learning_rate\n", err)
    assert not list(Path("lessons/gates").iterdir())


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["dance"], "'dance'.* gates, by-hand"),
        (["gates", "--firmness", "-1"], "firmness"),
        (["gates", "--colour", "red"], "colour"),
        (["gates", "--output", "."], r"--output \.: "),
        (["bptt", "--piece", "99"], "--piece 99: .*40"),
        (["forget-bias", "--biases", "[]"], "--biases: "),
        (["forget-bias", "--biases", "[1, 1.0]"], "--biases: "),
        (["forget-bias", "--biases", "[.inf]"], "biases"),
        (["bptt", "--seeds", "0"], "seeds"),
        (["sine", "--noise", ".inf"], "noise"),
        (["sine", "--ahead", "401"], "ahead"),
        (["cells", "--hidden_size", str(10**9)], "hidden_size"),
        (["forget-bias", "--biases", "[a]"], "biases"),
        (["scan", "--side", "9"], "side"),
        (["toy", "--seeds", "0"], "seeds"),
        (["init", "--length", "19"], "--length 19: .*20 to 400"),
        (["init", "--hidden_size", "257"], "at most 256"),
        (["paths", "--length", "1"], "--length 1: .*2 to 100"),
    ],
)
def test_bad_options_are_named(command: Command, args: list[str], message: str) -> None:
    Path("here").touch()
    code, _, err = command("lesson", *args)
    assert code == 2
    assert re.search(message, err)
    assert "Traceback" not in err


def test_missing_name_lists_the_lessons(command: Command) -> None:
    code, out, err = command("lesson")
    assert (code, out) == (2, "")
    assert "lessons:" in err


def test_gates_write_and_keep_c_and_only_h_is_bounded() -> None:
    numbers = run("gates").numbers
    assert numbers["c"][0] == pytest.approx(np.tanh(1.0))
    assert numbers["change_while_kept"] < 1e-7
    assert numbers["h"][3] == pytest.approx(0, abs=1e-7)  # kept, but hidden
    assert numbers["largest_h"] < 1 < 4 < numbers["largest_c"]
    after = numbers["c_overwritten_after_two_pasts"]
    assert after["0"] == pytest.approx([np.tanh(0.5)] * 2)
    assert after["1"][0] > after["1"][1] + 0.9, "f = 0 does not hide h' from the candidate"
    assert run("gates", firmness=2.0).numbers["change_while_kept"] > 0.05, "a gate with a small logit leaks"


def test_scratch_equals_nn_lstm_and_the_two_mistakes_learn_less() -> None:
    numbers = run("scratch").numbers
    assert numbers["max_relative_error"]["outputs"] < 1e-6
    assert numbers["max_relative_error"]["gradients"] < 1e-6
    assert max(numbers["loss_differences"][:20]) < 1e-3
    accuracy = numbers["accuracy"]
    for theirs, ours in zip(accuracy["nn.LSTM"], accuracy["equations"], strict=True):
        assert theirs > 0.7
        assert abs(ours - theirs) < 0.05
    assert max(accuracy["loops over the batch"]) < 0.3
    assert max(accuracy["weights not parameters"]) < min(accuracy["nn.LSTM"]) - 0.1
    changes = dict(numbers["change_by_neighbours"])
    assert min(changes.pop("loops over the batch")) > 1e-3
    assert max(max(values) for values in changes.values()) < 1e-5
    assert numbers["trained_weights"]["weights not parameters"] == 24 * 10 + 10, "the head alone"


def test_looping_over_the_batch_mixes_images() -> None:
    torch.manual_seed(0)
    images = torch.rand(4, 28, 28)
    wrong, right = load("scratch").LoopsOverTheBatch(8), RowLSTM(hidden_size=8, bidirectional=False)
    assert not torch.allclose(wrong(images)[1:], wrong(images[1:]))
    torch.testing.assert_close(right(images)[1:], right(images[1:]))
    other = images.clone()
    other[:, :27] = 0  # only the last row matters
    torch.testing.assert_close(wrong(other), wrong(images))


def test_toy_learns_little_in_five_updates() -> None:
    numbers = run("toy").numbers
    assert numbers["loss_after_5"] > 0.9 * numbers["loss_at_start"]
    assert all(20 < steps < 300 for steps in numbers["updates_to_learn"])
    assert max(numbers["losses_at_start"]) < 0.8
    assert run("toy", updates=5).numbers["updates_to_learn"] == [None] * 5


def test_cues_are_at_the_given_step() -> None:
    sequences, cues = memory.draw(50, 9, torch.Generator().manual_seed(0), place=3)
    assert sequences.shape == (50, 9, 4)
    assert torch.equal(sequences[:, 3], torch.eye(4)[cues])
    assert sequences[:, [0, 8]].std() == pytest.approx(memory.NOISE, rel=0.2)
    assert set(cues.tolist()) == {0, 1, 2, 3}


def test_batches_hold_every_image_once_before_any_again() -> None:
    drawn = torch.cat(batches(10, 5, 4, seed=1))
    assert len(drawn) == 20
    assert sorted(drawn[:10].tolist()) == sorted(drawn[10:].tolist()) == list(range(10))
    assert torch.equal(drawn, torch.cat(batches(10, 5, 4, seed=1)))
    assert not torch.equal(drawn, torch.cat(batches(10, 5, 4, seed=2)))


def test_lessons_do_not_read_test_images() -> None:
    train, val, description = load_train_and_val(DigitOptions(dataset="digits"))
    test = normalise(torch.tensor(datasets.load_split("digits", "test").images))
    tested = {image.numpy().tobytes() for image in test}
    assert len(tested) > 300
    assert not tested & {image.numpy().tobytes() for split in (train, val) for image in split[0]}
    assert "not MNIST" in description


def test_curves_differ_in_colour_and_style() -> None:
    assert len({colour for colour, _ in CURVES}) == len({style for _, style in CURVES}) == len(CURVES) == 4


def test_table_columns_are_aligned() -> None:
    assert table(["name", "n"], [["a", "10"], ["long name", "5"]]) == [
        "name        n",
        "a          10",
        "long name   5",
    ]
