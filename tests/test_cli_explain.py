"""The explain command: what it writes, what it tells, and what it does with what cannot be explained."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import REPOSITORY, Command
from drawing import draw
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mnist_lstm import callbacks
from mnist_lstm.data import load_digits
from mnist_lstm.explain.explanation import Explanation, explain
from mnist_lstm.model import RowLSTM
from mnist_lstm.module import DigitClassifier

QUICK = ["--test_after_fit=false", "--trainer.log_every_n_steps=2"]


@pytest.fixture
def picture() -> str:
    Image.fromarray(draw(4)).save("four.png")
    return "four.png"


def test_one_picture_becomes_figures_and_numbers(command: Command, picture: str) -> None:
    code, out, err = command("explain", picture)
    assert (code, err) == (0, "")
    folder = Path("explained/four/version_0")
    assert {path.name for path in folder.iterdir()} == {"belief.png", "gates-00.png", "rows-00.png", "numbers.json"}
    for path in folder.glob("*.png"):
        assert np.asarray(Image.open(path).convert("L")).std() > 5, path
    (numbers,) = json.loads((folder / "numbers.json").read_text())
    assert numbers["picture"] == picture
    assert numbers["answer"] == 4
    assert len(numbers["belief"]) == 28
    assert set(numbers["gradient_norms"]) == {"this network", "an untrained LSTM", "an untrained RNN"}
    lines = dict(line.split(None, 1) for line in out.replace("knows it", "knows").splitlines() if line)
    assert lines["answer"].startswith("4  (")
    assert lines["knows"].startswith(f"from row {numbers['known_from']} of 28 on")
    assert lines["figures"] == str(folder)
    # nothing is overwritten
    assert command("explain", picture)[0] == 0
    assert Path("explained/four/version_1/belief.png").is_file()


def test_ten_digits_in_one_figure(command: Command) -> None:
    np.save("digits.npy", load_digits()[0][:12])
    code, out, _ = command("explain", "digits.npy", "--output", "ten")
    assert code == 0
    numbers = json.loads(Path("ten/numbers.json").read_text())
    assert [digit["picture"] for digit in numbers] == [f"digits.npy[{index}]" for index in range(10)]
    assert len(list(Path("ten").glob("gates-*.png"))) == len(list(Path("ten").glob("rows-*.png"))) == 10
    assert out.count("knows it") == 10


def test_any_checkpoint_beside_another(command: Command, fit: Command, picture: str) -> None:
    for root, options in (("a", ["--model.scan=columns", "--model.cell=gru"]), ("b", ["--model.cell=rnn"])):
        assert fit(*options, *QUICK, "--trainer.max_epochs=1", "--trainer.default_root_dir", root)[0] == 0
    paths = [f"{root}/runs/mnist/version_0/checkpoints/best.ckpt" for root in "ab"]
    code, _, err = command(
        "explain", picture, "--ckpt_path", paths[0], "--compare", paths[0], "--label", "2", "--output", "out"
    )
    assert (code, err) == (0, "")
    (numbers,) = json.loads(Path("out/numbers.json").read_text())
    assert numbers["label"] == 2
    assert list(numbers["gates"][0]) == ["r", "z", "n", "h"]
    norms = numbers["gradient_norms"]
    assert norms[paths[0]] == norms["this network"] != norms["an untrained RNN"]
    # read by columns, a digit lies on its side
    code, _, _ = command("explain", picture, "--ckpt_path", paths[1], "--output", "upright")
    (upright,) = json.loads(Path("upright/numbers.json").read_text())
    assert np.array_equal(np.transpose(upright["image"]), numbers["image"])


def test_what_cannot_be_explained(command: Command, picture: str) -> None:
    Image.new("L", (80, 80), 255).save("empty.png")
    Path("notes.txt").write_text("no picture")
    code, out, err = command("explain", "empty.png", "notes.txt", picture, "--output", "out")
    assert code == 2
    assert "empty.png: there is nothing written in it" in err
    assert "notes.txt: is no picture" in err
    assert "answer      4" in out
    code, _, err = command("explain", "empty.png")
    assert code == 2
    assert err.splitlines()[-1] == "mnist-lstm: error: there is no digit to explain"
    assert not Path("explained").exists()
    both = np.concatenate([draw(4), draw(7)], axis=1)
    Image.fromarray(both).save("both.png")
    code, _, err = command("explain", "both.png")
    assert code == 2
    assert "both.png: it holds 2 digits; give a picture of one" in err


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["four.png", "--output", "."], "--output .: holds files already"),
        (["four.png", "--ckpt_path", "no.ckpt"], "--ckpt_path no.ckpt: no such file"),
        (["four.png", "--compare", "no.ckpt"], "--compare no.ckpt: no such file"),
        (["four.png", "--compare", "by-columns.ckpt"], "--compare by-columns.ckpt: reads by columns"),
        (["four.png", "--ckpt_path", "large.ckpt"], "--ckpt_path large.ckpt: has 17 layers in all directions"),
        (["four.png", "--label", "10"], "--label"),
        (["four.png", "--limit", "21"], "--limit"),
        (["no.png"], "no.png: cannot be read"),
    ],
)
def test_bad_options(command: Command, picture: str, args: list[str], message: str) -> None:
    for name, options in (("by-columns", {"scan": "columns"}), ("large", {"num_layers": 17, "bidirectional": False})):
        module = DigitClassifier(hidden_size=2, **options)
        content = {"state_dict": module.state_dict(), "hyper_parameters": dict(module.hparams)}
        torch.save(content, f"{name}.ckpt")
    code, _, err = command("explain", *args)
    assert code == 2
    assert message in err
    assert "Traceback" not in err


def test_names_are_not_taken_for_mathematics(command: Command) -> None:
    name = r"_$\frac$ and $\x$.png"
    Image.fromarray(draw(4)).save(name)
    assert command("explain", name, name, "--output", "out")[0] == 0
    assert len(json.loads(Path("out/numbers.json").read_text())) == 2


def test_without_validation_digits_there_is_nothing_to_explain(fit: Command) -> None:
    code, _, err = fit("--explain_every_n_epochs=1", "--data.val_size=0")
    assert code == 2
    assert "--explain_every_n_epochs 1: shows validation digits, and with --data.val_size 0 there are none" in err
    assert not Path("runs/mnist").exists() or not list(Path("runs/mnist").iterdir())


def test_what_is_shown_are_the_averaged_weights(fit: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = []

    def note(network: RowLSTM, image: torch.Tensor, label: int) -> Explanation:
        shown.append({name: value.clone() for name, value in network.state_dict().items()})
        return explain(network, image, label)

    monkeypatch.setattr(callbacks, "explain", note)
    ema = REPOSITORY / "configs/ema.yaml"
    assert fit("--config", ema, *QUICK, "--trainer.max_epochs=1", "--explain_every_n_epochs=1")[0] == 0
    saved = torch.load("runs/mnist/version_0/checkpoints/best.ckpt", weights_only=True)["state_dict"]
    assert len(shown) == 3
    for name, value in shown[0].items():
        assert torch.equal(value, saved[f"model.{name}"]), name


def test_a_run_explains_validation_digits_and_is_none_the_worse(fit: Command) -> None:
    for root, option in (("a", "--explain_every_n_epochs=2"), ("b", "--explain_every_n_epochs=0")):
        assert (
            fit(option, *QUICK, "--data.augment=true", "--trainer.max_epochs=3", "--trainer.default_root_dir", root)[0]
            == 0
        )
    tags = {root: EventAccumulator(f"{root}/runs/mnist/version_0").Reload() for root in "ab"}
    drawn = {"explain/belief", *(f"explain/{kind}_{index}" for kind in ("gates", "rows") for index in range(3))}
    assert drawn <= set(tags["a"].Tags()["images"])
    assert not drawn & set(tags["b"].Tags()["images"])
    assert [image.step for image in tags["a"].Images("explain/belief")] == [12, 18]
    weights = [
        torch.load(f"{root}/runs/mnist/version_0/checkpoints/last.ckpt", weights_only=True)["state_dict"]
        for root in "ab"
    ]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
