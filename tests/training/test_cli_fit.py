"""``mnist-lstm fit`` and what comes after it, on a tiny MNIST: runs, checkpoints, logs, resuming."""

import csv
import io
import pickle
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from conftest import REPOSITORY, TEST_SIZE, Command, write_archive
from drawing import draw
from lightning.pytorch import Callback, Trainer
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mnist_lstm.data import mnist_files
from mnist_lstm.training.module import DigitClassifier

LOGGED = "--trainer.log_every_n_steps=2"
EMA = ("--config", REPOSITORY / "configs/ema.yaml")


def accuracy_in(out: str) -> str:
    (accuracy,) = re.findall(r"^test accuracy (\d+\.\d\d) %$", out, flags=re.MULTILINE)
    return accuracy


def weights(path: str | Path) -> dict[str, torch.Tensor]:
    return torch.load(path, weights_only=True)["state_dict"]


def assert_same_weights(one: str | Path, other: str | Path) -> None:
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_fit_trains_tests_and_says_what_has_come_of_it(fit: Command, command: Command) -> None:
    code, out, err = fit(LOGGED, "--trainer.max_epochs=8")
    assert code == 0, err
    run = Path("runs/mnist/version_0")
    assert float(accuracy_in(out)) > 50
    for line in ("dataset     mnist", "training    48 steps in", f"checkpoint  {run}/checkpoints/best.ckpt"):
        assert line in out
    assert re.search(r"^epoch 8/8  .* s  train/loss .*  train/acc .*%  val/loss .*  val/acc .*%$", out, re.MULTILINE)
    assert {path.name for path in run.iterdir() if "tfevents" not in path.name} == {
        "checkpoints",
        "config.yaml",
        "curves.png",
        "hparams.yaml",
    }
    assert (run / "curves.png").read_bytes().startswith(b"\x89PNG")

    # the next steps that it names work as they stand
    Image.fromarray(draw(7)).save("seven.png")
    for step in ("test it", "use it"):
        (line,) = re.findall(rf"^{step} +(.*)$", out, flags=re.MULTILINE)
        program, *args = line.replace("YOUR_PICTURE.png", "seven.png").split()
        assert program.endswith("mnist-lstm")
        code, step_out, err = command(*args)
        assert code == 0, err
        if step == "test it":
            assert accuracy_in(step_out) == accuracy_in(out)
    assert step_out.splitlines()[1].split()[:1] == ["seven.png"]


def test_with_ema_the_figure_is_that_of_a_fresh_test_of_the_checkpoint(fit: Command, command: Command) -> None:
    code, out, err = fit(*EMA, "--trainer.max_epochs=6", "--model.learning_rate=0.03")
    assert code == 0, err
    best = Path("runs/mnist/version_0/checkpoints/best.ckpt")
    _, tested, _ = command("test", "--ckpt_path", best)
    assert accuracy_in(tested) == accuracy_in(out)
    # and the weights it is the figure of are the averaged ones, not those that were trained
    checkpoint = torch.load(best, weights_only=True)
    name = "model.head.weight"
    assert not torch.equal(checkpoint["state_dict"][name], checkpoint["current_model_state"][name])
    model = DigitClassifier.load_from_checkpoint(best, weights_only=True)
    assert torch.equal(model.state_dict()[name], checkpoint["state_dict"][name])


def test_tensorboard_can_read_what_was_logged(fit: Command) -> None:
    code, out, err = fit(LOGGED, "--pictures_every_n_epochs=1")
    assert code == 0, err
    events = EventAccumulator("runs/mnist/version_0", size_guidance={"scalars": 0, "images": 0})
    events.Reload()
    tags = events.Tags()
    assert {
        "train/loss",
        "train/acc",
        "train/learning_rate",
        "train/grad_norm",
        "train/images_per_second",
        "val/loss",
        "val/acc",
        "val/best_acc",
    } <= set(tags["scalars"])
    assert "hp_metric" not in tags["scalars"]
    assert set(tags["images"]) == {"input/digits", "val/confusion", "val/worst_mistakes", "test/confusion"}
    assert tags["graph"]
    assert [event.step for event in events.Scalars("train/loss")] == [1, 3, 5, 7, 9, 11]
    assert len(events.Images("val/confusion")) == 2
    (results,) = events.Tensors("test/results/text_summary")
    assert f"{float(accuracy_in(out)) / 100:.4f}" in str(results.tensor_proto.string_val)
    # the first screen of TensorBoard has groups of curves, not single points
    assert {tag.split("/")[0] for tag in tags["scalars"]} == {"train", "val"}
    best = [event.value for event in events.Scalars("val/best_acc")]
    assert best == np.maximum.accumulate([event.value for event in events.Scalars("val/acc")]).tolist()

    # the HPARAMS tab: the options, and the metric beside them
    hparams = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    assert b"hidden_size" in hparams
    assert b"batch_size" in hparams
    assert b"dataset" in hparams
    assert b"val/best_acc" in events.SummaryMetadata("_hparams_/experiment").plugin_data.content


def test_without_pictures_there_are_none(fit: Command) -> None:
    fit("--pictures_every_n_epochs=0", "--test_after_fit=false")
    events = EventAccumulator("runs/mnist/version_0")
    events.Reload()
    assert events.Tags()["images"] == []


def test_the_test_set_is_not_touched_before_the_final_test(fit: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[str] = []
    load, teardown = mnist_files.load, Trainer._teardown
    monkeypatch.setattr(mnist_files, "load", lambda folder, pair: reads.append(pair.images) or load(folder, pair))
    monkeypatch.setattr(
        Trainer, "_teardown", lambda self: reads.append(f"end of {self.state.fn.value}") or teardown(self)
    )
    code, _, err = fit()
    assert code == 0, err
    assert reads == [mnist_files.TRAIN.images, "end of fit", mnist_files.TEST.images, "end of test"]


def test_the_final_test_can_be_left_out(fit: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    fit("--trainer.max_epochs=1")
    for name in mnist_files.TEST:
        (mnist_files.raw_folder(Path("data")) / name).write_bytes(b"not to be read")
    code, out, err = fit("--test_after_fit=false")
    assert code == 0, err
    assert "test accuracy" not in out
    code, _, err = fit()
    assert code == 2
    assert "t10k-images-idx3-ubyte" in err


def test_a_new_run_never_touches_an_old_one(fit: Command) -> None:
    fit("--trainer.max_epochs=1")
    before = {path: path.stat().st_mtime_ns for path in Path("runs").rglob("*") if path.is_file()}
    Path("runs/mnist/version_7").mkdir()
    fit("--trainer.max_epochs=1")
    assert before == {path: path.stat().st_mtime_ns for path in before}
    assert Path("runs/mnist/version_8/checkpoints/best.ckpt").is_file()


def test_without_a_logger_nothing_is_written_outside_the_run(fit: Command) -> None:
    code, out, err = fit("--trainer.logger=false")
    assert code == 0, err
    assert {path.name for path in Path().iterdir()} == {"data", "runs"}
    assert {path.name for path in Path("runs/mnist/version_0").iterdir()} == {"checkpoints", "config.yaml"}
    accuracy_in(out)


def test_without_checkpoints_there_is_nothing_to_test(fit: Command) -> None:
    code, out, err = fit("--trainer.enable_checkpointing=false")
    assert code == 0, err
    assert "checkpoint  none" in out
    assert "test accuracy" not in out


def test_all_images_can_be_trained_on_when_every_choice_is_made(fit: Command, command: Command) -> None:
    code, out, err = fit("--data.val_size=0", LOGGED)
    assert code == 0, err
    assert "Warning" not in err
    assert "training    14 steps" in out, "400 images, not 350"
    assert "validation  none; this is the last epoch\n" in out
    last = Path("runs/mnist/version_0/checkpoints/last.ckpt")
    assert [path.name for path in last.parent.iterdir()] == [last.name]
    code, tested, err = command("test", "--ckpt_path=last")
    assert (code, accuracy_in(tested)) == (0, accuracy_in(out)), err
    code, _, err = command("validate", "--ckpt_path=last")
    assert code == 2
    assert "--data.val_size 0: the network was trained on all images; none is left" in err
    code, _, err = fit("--data.val_size=0", "--ckpt_path=last", "--trainer.max_epochs=3")
    assert code == 0, err


def test_runs_go_below_the_root_folder(fit: Command, command: Command) -> None:
    code, out, err = fit("--trainer.default_root_dir=else where", "--trainer.max_epochs=1")
    assert code == 0, err
    assert Path("else where/runs/mnist/version_0/checkpoints/best.ckpt").is_file()
    assert "--ckpt_path 'else where/runs/mnist/version_0/checkpoints/best.ckpt'" in out
    code, tested, _ = command("test", "--ckpt_path=best", "--trainer.default_root_dir=else where")
    assert (code, accuracy_in(tested)) == (0, accuracy_in(out))


def test_the_saved_config_repeats_the_run(fit: Command, command: Command) -> None:
    fit("--model.dropout=0.2", "--model.num_layers=2")
    code, _, err = command("fit", "--config", "runs/mnist/version_0/config.yaml")
    assert code == 0, err
    assert_same_weights(*(f"runs/mnist/version_{n}/checkpoints/last.ckpt" for n in (0, 1)))
    code, _, err = command("test", "--config", "runs/mnist/version_0/config.yaml", "--ckpt_path=best")
    assert code == 0, err


@pytest.mark.parametrize("extra", [(), EMA, ("--data.augment=true",)], ids=["plain", "EMA", "augmented"])
def test_a_resumed_run_is_the_run_that_was_not_interrupted(fit: Command, extra: tuple) -> None:
    options = ("--model.dropout=0.3", "--model.num_layers=2", *extra)
    code, whole, err = fit(*options, "--trainer.max_epochs=4")
    assert code == 0, err
    # the interruption: the schedule is that of four epochs, but after two the process is gone
    code, _, _ = fit(*options, "--trainer.max_epochs=4", *stop_after(2))
    assert code == 1
    code, resumed, err = fit(*extra, "--ckpt_path=last", "--trainer.max_epochs=4", "--seed_everything=5")
    assert code == 0, err
    assert re.search("^training    12 steps in .* s; 4 epochs in all$", resumed, re.MULTILINE)
    for name in ("last", "best"):
        assert_same_weights(*(f"runs/mnist/version_{n}/checkpoints/{name}.ckpt" for n in (0, 2)))
    assert accuracy_in(resumed) == accuracy_in(whole)


def stop_after(epochs: int) -> tuple[str, ...]:
    callback = f'{{"class_path": "test_cli_fit.StopHard", "init_args": {{"epochs": {epochs}}}}}'
    return (f"--trainer.callbacks+={callback}",)


class StopHard(Callback):
    """End a run at the start of an epoch, as a crash would."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def on_train_epoch_start(self, trainer, pl_module) -> None:
        if trainer.current_epoch == self.epochs:
            raise RuntimeError("stopped")


def test_the_best_of_an_interrupted_run_stays_the_best(fit: Command) -> None:
    fit("--trainer.max_epochs=4")
    # a run that goes on so badly that nothing in it is better
    code, out, err = fit(
        "--ckpt_path=last", "--trainer.max_epochs=5", "--model.learning_rate=10", "--model.schedule=constant"
    )
    assert code == 0, err
    assert_same_weights(*(f"runs/mnist/version_{n}/checkpoints/best.ckpt" for n in (0, 1)))
    assert "checkpoint  runs/mnist/version_1/checkpoints/best.ckpt" in out


def test_last_and_best_are_those_of_the_newest_run(fit: Command) -> None:
    fit("--trainer.max_epochs=1")
    fit("--trainer.max_epochs=2")
    Path("runs/mnist/version_9/checkpoints").mkdir(parents=True)
    for name in ("last", "best"):
        code, _, err = fit(f"--ckpt_path={name}", "--trainer.max_epochs=3")
        assert code == 0, err
        shutil.rmtree("runs/mnist/version_10")
        assert f"checkpoint  runs/mnist/version_1/checkpoints/{name}.ckpt" in err


def test_the_command_line_beats_the_checkpoint_which_beats_configs(fit: Command) -> None:
    fit("--model.label_smoothing=0.1", "--model.weight_decay=0.2", "--data.split_seed=3")
    Path("other.yaml").write_text("model: {weight_decay: 0.3, label_smoothing: 0.4, learning_rate: 1.0}")
    code, _, err = fit(
        "--ckpt_path=last", "--trainer.max_epochs=3", "--model.learning_rate=0.001", "--config", "other.yaml"
    )
    assert code == 0, err
    config = yaml.safe_load(Path("runs/mnist/version_1/config.yaml").read_text())
    assert config["model"]["learning_rate"] == 0.001
    assert config["model"]["weight_decay"] == 0.2
    assert config["model"]["label_smoothing"] == 0.1
    assert config["data"]["split_seed"] == 3
    hparams = torch.load("runs/mnist/version_1/checkpoints/last.ckpt", weights_only=True)["hyper_parameters"]
    assert hparams["learning_rate"] == 0.001


def test_a_checkpoint_from_before_an_option_is_what_networks_were_then(fit: Command, command: Command) -> None:
    fit("--trainer.max_epochs=1")
    path = Path("runs/mnist/version_0/checkpoints/best.ckpt")
    checkpoint = torch.load(path, weights_only=True)
    for name in ("pooling", "deskew", "scan_order", "gradient_features"):
        del checkpoint["hyper_parameters"][name]
    del checkpoint["datamodule_hyper_parameters"]["split"]
    torch.save(checkpoint, "old.ckpt")
    Path("new.yaml").write_text(
        "model: {pooling: avgmax, deskew: true, scan_order: columns, gradient_features: true}\ndata: {split: writers}\n"
    )
    new = ("--config", "new.yaml")  # which asks for what the network is not
    results = [command("test", *config, "--ckpt_path", file) for config, file in (((), path), (new, "old.ckpt"))]
    assert [code for code, _, _ in results] == [0, 0]
    assert len({accuracy_in(out) for _, out, _ in results}) == 1


def test_a_run_from_before_an_option_goes_on(fit: Command) -> None:
    fit("--trainer.max_epochs=1")
    checkpoint = torch.load("runs/mnist/version_0/checkpoints/last.ckpt", weights_only=True)
    del checkpoint["datamodule_hyper_parameters"]["split"], checkpoint["hyper_parameters"]["gradient_features"]
    torch.save(checkpoint, "old.ckpt")
    Path("new.yaml").write_text("model: {gradient_features: true}\ndata: {split: writers}\n")
    code, _, err = fit("--config=new.yaml", "--ckpt_path=old.ckpt", "--trainer.max_epochs=2")
    assert code == 0, err
    code, _, err = fit("--ckpt_path=old.ckpt", "--trainer.max_epochs=2", "--data.split=writers")
    assert code == 2
    assert "--data.split random and cannot continue with writers" in err


def test_the_newest_run_is_meant_even_if_it_has_kept_nothing(fit: Command) -> None:
    fit("--trainer.max_epochs=1")
    fit(*stop_after(0))
    code, _, err = fit("--ckpt_path=last", "--trainer.max_epochs=3")
    assert code == 2
    assert "the newest run, runs/mnist/version_1, has no such checkpoint" in err
    assert "the newest one is runs/mnist/version_0/checkpoints/last.ckpt" in err


@pytest.mark.parametrize("option", ["--trainer.val_check_interval=0.5", "--trainer.check_val_every_n_epoch=2"])
@pytest.mark.filterwarnings("ignore:.ModelCheckpoint.monitor='val/acc'.. could not find the monitored key")
def test_resuming_is_exact_however_often_is_validated(fit: Command, option: str) -> None:
    options = ("--model.dropout=0.3", "--model.num_layers=2", "--trainer.max_epochs=4", option, LOGGED)
    code, _, err = fit(*options)
    assert code == 0, err
    fit(*options, *stop_after(3))
    code, _, err = fit(*options, "--ckpt_path=last")
    assert code == 0, err
    assert torch.load("runs/mnist/version_1/checkpoints/last.ckpt", weights_only=True)["epoch"] == 2
    assert_same_weights(*(f"runs/mnist/version_{n}/checkpoints/last.ckpt" for n in (0, 2)))


@pytest.mark.parametrize(
    "change",
    [("--data.dataset=digits",), ("--data.split_seed=1",), ("--data.val_size=40",), ("--data.split=writers",)],
    ids=lambda c: c[0],
)
def test_a_run_does_not_go_on_with_other_images(fit: Command, change: tuple) -> None:
    fit("--trainer.max_epochs=1")
    code, _, err = fit("--ckpt_path=last", "--trainer.max_epochs=2", *change)
    assert code == 2
    assert "cannot continue with" in err
    assert len(list(Path("runs").glob("*/version_*"))) == 1


def test_auto_goes_on_with_the_data_set_that_it_meant(fit: Command) -> None:
    fit("--trainer.max_epochs=1")
    code, _, err = fit("--ckpt_path=last", "--data.dataset=auto")
    assert code == 0, err


def test_a_config_of_a_resumed_run_does_not_name_the_old_checkpoint(fit: Command, command: Command) -> None:
    fit("--trainer.max_epochs=1")
    fit("--trainer.max_epochs=2", "--ckpt_path=last")
    code, _, err = command("test", "--config=runs/mnist/version_1/config.yaml")
    assert code == 2
    assert "test needs a trained network" in err


def test_the_next_steps_find_the_data(fit: Command, command: Command) -> None:
    code, out, _ = fit("--trainer.max_epochs=1", "--data.data_dir=my data")
    assert code == 0
    (line,) = re.findall(r"^test it +(.*)$", out, flags=re.MULTILINE)
    code, tested, err = command(*shlex.split(line)[1:])
    assert code == 0, err
    assert accuracy_in(tested) == accuracy_in(out)


def test_a_run_that_is_complete_is_not_resumed_in_vain(fit: Command) -> None:
    fit("--trainer.max_epochs=2")
    code, _, err = fit("--ckpt_path=last", "--trainer.max_epochs=2")
    assert code == 2
    assert "has been trained for 2 epochs already; give more, such as --trainer.max_epochs 4" in err
    code, _, err = fit("--ckpt_path=last", "--trainer.max_epochs=5", "--trainer.max_steps=12")
    assert code == 2
    assert "has been trained for 12 steps already; give more, such as --trainer.max_steps 24" in err
    assert not Path("runs/mnist/version_1").exists()


def test_test_takes_the_data_set_from_the_checkpoint(command: Command) -> None:
    code, out, err = command(
        "fit", "--data.dataset=digits", "--trainer.max_epochs=1", "--model.hidden_size=8", "--trainer.accelerator=cpu"
    )
    assert code == 0, err
    code, tested, err = command("test", "--ckpt_path=best")
    assert code == 0, err
    assert accuracy_in(tested) == accuracy_in(out)
    assert (
        f"validation accuracy {re.findall('^validation +(.*) %', out, re.MULTILINE)[0]} %"
        in command("validate", "--ckpt_path=best")[1]
    )
    code, _, err = command("test", "--ckpt_path=best", "--data.dataset=mnist", "--data.mirror=http://127.0.0.1:9/")
    assert code == 2, "told otherwise"
    assert "MNIST cannot be fetched" in err


def test_predict_streams_csv(fit: Command, command: Command, tmp_path: Path) -> None:
    fit("--trainer.max_epochs=4")
    code, out, err = command("predict", "--ckpt_path=best")
    assert code == 0, err
    rows = list(csv.DictReader(io.StringIO(out)))
    assert list(rows[0]) == ["index", "prediction", "probability", "label"]
    assert [int(row["index"]) for row in rows] == list(range(TEST_SIZE))
    labels = mnist_files.load(Path("data"), mnist_files.TEST)[1]
    assert [int(row["label"]) for row in rows] == labels.tolist()
    right = np.mean([row["prediction"] == row["label"] for row in rows])
    _, tested, _ = command("test", "--ckpt_path=best")
    assert f"{100 * right:.2f}" == accuracy_in(tested)
    assert all(0.1 <= float(row["probability"]) <= 1 for row in rows)

    # the same images from a file, packed or not, where there is no MNIST at all
    images = mnist_files.load(Path("data"), mnist_files.TEST)[0]
    shutil.rmtree("data")
    write_archive(tmp_path / "mine.gz", images)
    args = ("predict", "--ckpt_path=best", "--data.predict_images", tmp_path / "mine.gz")
    code, mine, err = command(*args, "--output", "mine.csv")
    assert (code, mine) == (0, ""), err
    written = list(csv.DictReader(Path("mine.csv").read_text().splitlines()))
    assert [row["prediction"] for row in written] == [row["prediction"] for row in rows]
    assert {row["label"] for row in written} == {""}
    code, _, err = command(*args, "--output", "mine.csv")
    assert code == 2
    assert "mine.csv: exists already and is not overwritten" in err


def test_predict_names_a_bad_file(fit: Command, command: Command) -> None:
    fit("--trainer.max_epochs=1")
    Path("bad").write_bytes(b"not an IDX file")
    code, _, err = command("predict", "--ckpt_path=best", "--data.predict_images=bad")
    assert code == 2
    assert "bad: wrong magic number" in err


class Evil:
    def __reduce__(self):
        return (Path("it ran").touch, ())


def test_bad_checkpoints_are_named_and_run_nothing(fit: Command, command: Command) -> None:
    fit("--trainer.max_epochs=1")
    good = Path("runs/mnist/version_0/checkpoints/best.ckpt")
    content = torch.load(good, weights_only=True)

    def edited(**changes) -> None:
        torch.save({**content, **changes}, "bad.ckpt")

    def check(message: str) -> None:
        for name in ("test", "fit"):
            code, out, err = command(name, "--ckpt_path=bad.ckpt")
            assert code == 2, err
            assert "bad.ckpt: " in err
            assert message in err
            assert "Traceback" not in out + err
        assert not Path("it ran").exists()

    Path("bad.ckpt").write_bytes(pickle.dumps(Evil()))
    check("could run code and is refused")
    torch.save({"state_dict": Evil()}, "bad.ckpt")
    check("could run code and is refused")
    Path("bad.ckpt").write_bytes(good.read_bytes()[:5000])
    check("cut short or damaged")
    Path("bad.ckpt").write_text("hello")
    check("bad.ckpt: is no checkpoint")
    torch.save([1, 2, 3], "bad.ckpt")
    check("is no checkpoint of mnist-lstm fit")
    edited(hyper_parameters={**content["hyper_parameters"], "heads": 3})
    check("has options that this version does not know: heads")
    edited(hyper_parameters={**content["hyper_parameters"], "hidden_size": [16]})
    check("hidden_size of type list")
    edited(datamodule_hyper_parameters={"dataset": "mnist", "data_dir": "pwned", "mirror": "http://127.0.0.1:9/"})
    check("has options that this version does not know: data_dir, mirror")
    assert not Path("pwned").exists()
    edited(hyper_parameters={**content["hyper_parameters"], "a\x1b[31mb\nc": 3})
    check("a\\x1b[31mb\\nc")
    edited(hyper_parameters=7)
    check("hyper_parameters")
    edited(state_dict={"model.head.weight": 7})
    check("state_dict")
    edited(hyper_parameters={**content["hyper_parameters"], "hidden_size": 8})
    check("has the shape 64x28 instead of 32x28")
    assert len(list(Path("runs/mnist").iterdir())) == 1, "no run folder was made for any of them"


DAMAGE = {
    "no loops": {"loops": {}},
    "no version": {"pytorch-lightning_version": None},
    "odd callbacks": {"callbacks": {"HyperParameters": {"worst": 0}}},
    "no optimiser": {"optimizer_states": [{"state": {}, "param_groups": []}]},
    "odd generator": {"MNISTDataModule": {"shuffling": 7}},
    "weights alone": {"loops": None, "callbacks": None, "optimizer_states": None, "lr_schedulers": None},
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_run_with_a_damaged_state_is_not_resumed(fit: Command, damage: dict) -> None:
    fit("--trainer.max_epochs=1")
    content = torch.load("runs/mnist/version_0/checkpoints/last.ckpt", weights_only=True) | damage
    torch.save({key: value for key, value in content.items() if value is not None}, "bad.ckpt")
    code, out, err = fit("--ckpt_path=bad.ckpt", "--trainer.max_epochs=2")
    assert code == 2, err
    assert "error: bad.ckpt: " in err
    assert "Traceback" not in out + err


def test_a_loss_that_is_not_finite_is_one_line_and_exit_code_1(fit: Command) -> None:
    code, out, err = fit(
        "--model.learning_rate=1e30",
        "--model.schedule=constant",
        "--trainer.gradient_clip_val=null",
        "--model.cell=rnn",
    )
    assert code == 1
    assert re.search(r"error: the loss became (nan|inf) at step \d+ \(epoch \d\); try a smaller", err)
    assert "Traceback" not in out + err


@pytest.mark.parametrize("config", sorted((REPOSITORY / "configs").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_config_does_a_fast_dev_run(fit: Command, config: Path) -> None:
    if "gpu" in config.name and not torch.cuda.is_available():
        pytest.skip("this machine has no GPU")
    code, _, err = fit("--config", config, "--trainer.fast_dev_run=true")
    assert code == 0, err
    assert not Path("runs").exists()


@pytest.mark.parametrize("recipe", ["ema", "baseline", "record"])
def test_configs_stack(fit: Command, recipe: str) -> None:
    for hardware in ("cpu", "cpu_mixed"):
        configs = (REPOSITORY / f"configs/{name}.yaml" for name in (hardware, recipe))
        code, out, err = fit(*(part for config in configs for part in ("--config", config)), "--trainer.max_epochs=1")
        assert code == 0, err
        accuracy_in(out)
    saved = yaml.safe_load(Path("runs/mnist/version_1/config.yaml").read_text())
    assert saved["trainer"]["precision"] == "bf16-mixed"
    own = yaml.safe_load((REPOSITORY / f"configs/{recipe}.yaml").read_text())
    assert len(saved["trainer"]["callbacks"] or ()) == len(own["trainer"].get("callbacks+", ()))
    assert saved["data"]["augment"] == own.get("data", {}).get("augment", False)


def test_the_record_is_one_lstm_and_one_linear_layer() -> None:
    recipe = yaml.safe_load((REPOSITORY / "configs/record.yaml").read_text())
    network = DigitClassifier(**recipe["model"]).model
    assert [type(part).__name__ for part in network.children()] == ["LSTM", "Linear"]
    assert sum(weight.numel() for weight in network.parameters()) <= 1_500_000


def test_quickstart_without_mnist_says_so_and_uses_digits(command: Command) -> None:
    quickstart = ("fit", "--config", REPOSITORY / "configs/quickstart.yaml", "--data.mirror=http://127.0.0.1:9/")
    code, out, err = command(*quickstart, "--trainer.max_epochs=1", "--trainer.accelerator=cpu")
    assert code == 0, err
    assert "THIS RUN DOES NOT USE MNIST" in err
    assert "dataset     digits (not MNIST)" in out
    checkpoint = torch.load("runs/digits/version_0/checkpoints/best.ckpt", weights_only=True)
    assert checkpoint["datamodule_hyper_parameters"]["dataset"] == "digits"


def test_quickstart_with_mnist_uses_it(fit: Command) -> None:
    code, out, err = fit("--config", REPOSITORY / "configs/quickstart.yaml", "--trainer.max_epochs=1")
    assert code == 0, err
    assert "dataset     mnist\n" in out
    assert "DOES NOT USE MNIST" not in err


def test_only_quickstart_says_auto() -> None:
    configs = {path.stem: yaml.safe_load(path.read_text()) for path in (REPOSITORY / "configs").glob("*.yaml")}
    assert [name for name, config in configs.items() if "dataset" in config.get("data", {})] == ["quickstart"]
    assert configs["quickstart"]["data"]["dataset"] == "auto"
