"""The explain command: its files, its output, its errors; and explanations in TensorBoard."""

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import REPOSITORY, Command
from drawing import draw
from matplotlib.figure import Figure
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mnist_lstm.data.datasets import load_sklearn_digits
from mnist_lstm.explain import cli, figures
from mnist_lstm.explain.explanation import Explanation, explain
from mnist_lstm.network.model import RowLSTM
from mnist_lstm.training.callbacks import tensorboard

QUICK = ["--test_after_fit=false", "--trainer.log_every_n_steps=2"]


@pytest.fixture(autouse=True)
def _small_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "DPI", 20)


@pytest.fixture
def picture() -> str:
    Image.fromarray(draw(4)).save("four.png")
    return "four.png"


def skip_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    for sheet in ("gates_sheet", "rows_sheet"):
        monkeypatch.setattr(figures, sheet, lambda *args: Figure())


def save_checkpoint(name: str, **options: Any) -> str:
    torch.manual_seed(0)
    network = RowLSTM(**{"hidden_size": 4, "bidirectional": False, **options})
    weights = {f"model.{key}": value for key, value in network.state_dict().items()}
    torch.save({"state_dict": weights, "hyper_parameters": asdict(network.options)}, name)
    return name


def test_picture_gives_figures_and_numbers(command: Command, picture: str) -> None:
    code, out, err = command("explain", picture)
    assert (code, err) == (0, "")
    folder = Path("explained/four/version_0")
    files = {"predictions.png", "gates-00.png", "rows-00.png", "numbers.json"}
    assert {path.name for path in folder.iterdir()} == files
    for path in folder.glob("*.png"):
        assert np.asarray(Image.open(path).convert("L")).std() > 5, path
    (numbers,) = json.loads((folder / "numbers.json").read_text())
    assert numbers["picture"] == picture
    assert numbers["prediction"] == 4
    assert len(numbers["prefix_probabilities"]) == 28
    assert set(numbers["gradient_norms"]) == {"this network", "untrained LSTM", "untrained RNN"}
    lines = dict(line.split(None, 1) for line in out.splitlines() if line)
    assert lines["prediction"].startswith("4  (")
    assert lines["settles"].startswith(f"at row {numbers['settles_at']} of 28, if the sequence ends there")
    assert numbers["ending"] == "cut"
    assert lines["log-odds"].startswith(f"{numbers['log_odds']:.1f}; {min(numbers['occluded_log_odds']):.1f} without")
    assert lines["figures"] == str(folder)


def test_existing_results_are_not_overwritten(command: Command, picture: str) -> None:
    checkpoint = save_checkpoint("small.ckpt")
    for version in (0, 1):
        assert command("explain", picture, "--ckpt_path", checkpoint)[0] == 0
        assert Path(f"explained/four/version_{version}/predictions.png").is_file()


def test_ten_digits_share_one_figure(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    skip_figures(monkeypatch)
    np.save("digits.npy", load_sklearn_digits()[0][:12])
    code, out, _ = command("explain", "digits.npy", "--ckpt_path", save_checkpoint("small.ckpt"), "--output", "ten")
    assert code == 0
    numbers = json.loads(Path("ten/numbers.json").read_text())
    assert [digit["picture"] for digit in numbers] == [f"digits.npy[{index}]" for index in range(10)]
    assert len(list(Path("ten").glob("gates-*.png"))) == len(list(Path("ten").glob("rows-*.png"))) == 10
    assert out.count("settles ") == 10


def test_checkpoint_is_compared_with_another(command: Command, picture: str) -> None:
    columns = save_checkpoint("columns.ckpt", scan_order="columns", cell="gru")
    code, _, err = command(
        "explain", picture, "--ckpt_path", columns, "--compare", columns, "--label", "2", "--output", "out"
    )
    assert (code, err) == (0, "")
    (numbers,) = json.loads(Path("out/numbers.json").read_text())
    assert numbers["label"] == 2
    assert list(numbers["gates"][0]) == ["r", "z", "n", "h"]
    norms = numbers["gradient_norms"]
    assert norms[columns] == norms["this network"] != norms["untrained RNN"]
    # an image read by columns is transposed
    by_rows = save_checkpoint("rows.ckpt", cell="rnn")
    assert command("explain", picture, "--ckpt_path", by_rows, "--output", "rows")[0] == 0
    (others,) = json.loads(Path("rows/numbers.json").read_text())
    assert np.array_equal(np.transpose(others["image"]), numbers["image"])


def test_ending_block_and_units_are_options(command: Command, picture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    monkeypatch.setattr(figures, "gates_sheet", lambda explanation, chosen, title: drawn.extend(chosen) or Figure())
    checkpoint = save_checkpoint("both.ckpt", bidirectional=True, num_layers=2)
    options = ["--ending", "blank", "--block", "1", "--layer", "0", "--direction", "both", "--units", "0"]
    code, out, err = command("explain", picture, "--ckpt_path", checkpoint, "--output", "out", *options)
    assert (code, err) == (0, "")
    (numbers,) = json.loads(Path("out/numbers.json").read_text())
    assert numbers["ending"] == "blank"
    assert len(numbers["occluded_log_odds"]) == 28
    assert "if the rest is blank paper" in out
    names = [(1, "forward"), (1, "backward"), (2, "forward"), (2, "backward")]
    assert [(each.layer, each.direction) for each in drawn] == names
    assert all(len(each.units) == 4 for each in drawn)


def test_unreadable_pictures_are_reported_and_skipped(command: Command, picture: str) -> None:
    Image.new("L", (80, 80), 255).save("empty.png")
    Path("notes.txt").write_text("no picture")
    code, out, err = command("explain", "empty.png", "notes.txt", picture, "--output", "out")
    assert code == 2
    assert re.findall(r"error: ([\w.]+): ", err) == ["empty.png", "notes.txt"]
    assert "prediction  4" in out
    code, _, err = command("explain", "empty.png")
    assert code == 2
    assert "no digit to explain" in err.splitlines()[-1]
    assert not Path("explained").exists()
    Image.fromarray(np.concatenate([draw(4), draw(7)], axis=1)).save("both.png")
    code, _, err = command("explain", "both.png")
    assert code == 2
    assert re.search(r"both\.png: .* 2 digits", err)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["four.png", "--output", "."], r"--output \.: "),
        (["four.png", "--ckpt_path", "no.ckpt"], r"--ckpt_path no\.ckpt: "),
        (["four.png", "--compare", "no.ckpt"], r"--compare no\.ckpt: "),
        (["four.png", "--compare", "columns.ckpt"], r"--compare columns\.ckpt: .*columns.* rows"),
        (["four.png", "--ckpt_path", "large.ckpt"], r"--ckpt_path large\.ckpt: .*17 layers"),
        (["four.png", "--label", "10"], "--label"),
        (["four.png", "--limit", "21"], "--limit"),
        (["four.png", "--block", "0"], "--block"),
        (["four.png", "--ending", "white"], "--ending"),
        (["four.png", "--layer", "3"], "--layer 3: .* 2;"),
        (["four.png", "--units", "-1"], "--units -1"),
        (["four.png", "--ckpt_path", "forward.ckpt", "--direction", "backward"], "--direction backward"),
        (["no.png"], r"no\.png: "),
    ],
)
def test_bad_options_are_named(command: Command, picture: str, args: list[str], message: str) -> None:
    save_checkpoint("columns.ckpt", scan_order="columns")
    save_checkpoint("large.ckpt", num_layers=17)
    save_checkpoint("forward.ckpt")
    code, _, err = command("explain", *args)
    assert code == 2
    assert re.search(message, err)
    assert "Traceback" not in err


def test_dollar_signs_in_names_are_not_mathematics(command: Command) -> None:
    name = r"_$\frac$ and $\x$.png"
    Image.fromarray(draw(4)).save(name)
    checkpoint = save_checkpoint("small.ckpt")
    assert command("explain", name, name, "--ckpt_path", checkpoint, "--output", "out")[0] == 0
    assert len(json.loads(Path("out/numbers.json").read_text())) == 2


def test_fit_without_validation_refuses_explanations(fit: Command) -> None:
    code, _, err = fit("--explain_every_n_epochs=1", "--data.val_size=0")
    assert code == 2
    assert re.search(r"--explain_every_n_epochs 1: .*--data\.val_size 0", err)
    assert not Path("runs/mnist").exists() or not list(Path("runs/mnist").iterdir())


def test_explanations_during_training_show_averaged_weights(fit: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = []

    def record(network: RowLSTM, image: torch.Tensor, label: int) -> Explanation:
        shown.append({name: value.clone() for name, value in network.state_dict().items()})
        return explain(network, image, label)

    monkeypatch.setattr(tensorboard, "explain", record)
    skip_figures(monkeypatch)
    ema = REPOSITORY / "configs/ema.yaml"
    assert fit("--config", ema, *QUICK, "--trainer.max_epochs=1", "--explain_every_n_epochs=1")[0] == 0
    saved = torch.load("runs/mnist/version_0/checkpoints/best.ckpt", weights_only=True)["state_dict"]
    assert len(shown) == 3
    for name, value in shown[0].items():
        assert torch.equal(value, saved[f"model.{name}"]), name


def test_explanations_during_training_do_not_change_it(fit: Command) -> None:
    weights, events = [], []
    for root, every in (("a", 2), ("b", 0)):
        options = ["--data.augment=true", "--trainer.max_epochs=3", "--trainer.default_root_dir", root]
        assert fit(f"--explain_every_n_epochs={every}", *QUICK, *options)[0] == 0
        events.append(EventAccumulator(f"{root}/runs/mnist/version_0").Reload())
        last = torch.load(f"{root}/runs/mnist/version_0/checkpoints/last.ckpt", weights_only=True)
        weights.append(last["state_dict"])
    drawn = {"explain/predictions", *(f"explain/{kind}_{index}" for kind in ("gates", "rows") for index in range(3))}
    assert drawn <= set(events[0].Tags()["images"])
    assert not drawn & set(events[1].Tags()["images"])
    assert [image.step for image in events[0].Images("explain/predictions")] == [12, 18]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
