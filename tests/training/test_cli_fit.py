"""``mnist-lstm fit``, ``validate``, ``test`` and ``predict`` on a tiny MNIST: runs, checkpoints, logs, resuming."""

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
from conftest import GPU_MARKS, REPOSITORY, TEST_SIZE, Command, Evil, fail, succeed, write_archive
from drawing import draw
from lightning.pytorch import Callback, Trainer
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mnist_lstm.data import mnist_files
from mnist_lstm.training.module import DigitClassifier

LOGGED = "--trainer.log_every_n_steps=2"
RUNS = Path("runs/mnist")
EMA = ("--config", REPOSITORY / "configs/ema.yaml")


def accuracy_in(out: str) -> str:
    (accuracy,) = re.findall(r"^test accuracy (\d+\.\d\d) %$", out, flags=re.MULTILINE)
    return accuracy


def load(path: str | Path) -> dict:
    return torch.load(path, weights_only=True)


def assert_same_weights(*versions: int, name: str = "last") -> None:
    first, second = (load(RUNS / f"version_{n}/checkpoints/{name}.ckpt")["state_dict"] for n in versions)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_fit_trains_tests_and_prints_a_summary(fit: Command, command: Command) -> None:
    out, _ = succeed(fit, LOGGED, "--trainer.max_epochs=8")
    run = RUNS / "version_0"
    assert float(accuracy_in(out)) > 50
    for line in ("dataset     mnist", "training    48 steps in", f"checkpoint  {run}/checkpoints/best.ckpt"):
        assert line in out
    assert re.search(r"^epoch 8/8  .* s  train/loss .*  train/acc .*%  val/loss .*  val/acc .*%$", out, re.MULTILINE)
    files = {path.name for path in run.iterdir() if "tfevents" not in path.name}
    assert files == {"checkpoints", "config.yaml", "curves.png", "hparams.yaml"}
    assert (run / "curves.png").read_bytes().startswith(b"\x89PNG")

    # the printed next steps work as they stand
    Image.fromarray(draw(7)).save("seven.png")
    for step in ("test it", "use it"):
        (line,) = re.findall(rf"^{step} +(.*)$", out, flags=re.MULTILINE)
        program, *args = line.replace("YOUR_PICTURE.png", "seven.png").split()
        assert program.endswith("mnist-lstm")
        step_out, _ = succeed(command, *args)
        if step == "test it":
            assert accuracy_in(step_out) == accuracy_in(out)
    assert step_out.splitlines()[1].split()[:1] == ["seven.png"]


def test_ema_summary_equals_a_fresh_test_of_the_checkpoint(fit: Command, command: Command) -> None:
    out, _ = succeed(fit, *EMA, "--trainer.max_epochs=6", "--model.learning_rate=0.03")
    best = RUNS / "version_0/checkpoints/best.ckpt"
    _, tested, _ = command("test", "--ckpt_path", best)
    assert accuracy_in(tested) == accuracy_in(out)
    # the tested weights are the averaged ones, not the raw ones
    checkpoint = load(best)
    name = "model.head.weight"
    assert not torch.equal(checkpoint["state_dict"][name], checkpoint["current_model_state"][name])
    model = DigitClassifier.load_from_checkpoint(best, weights_only=True)
    assert torch.equal(model.state_dict()[name], checkpoint["state_dict"][name])


def test_tensorboard_reads_the_logs(fit: Command) -> None:
    out, _ = succeed(fit, LOGGED, "--pictures_every_n_epochs=1")
    events = EventAccumulator(f"{RUNS}/version_0", size_guidance={"scalars": 0, "images": 0}).Reload()
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
    # TensorBoard opens with groups of curves, not with single points
    assert {tag.split("/")[0] for tag in tags["scalars"]} == {"train", "val"}
    best = [event.value for event in events.Scalars("val/best_acc")]
    assert best == np.maximum.accumulate([event.value for event in events.Scalars("val/acc")]).tolist()

    # the HPARAMS tab: options and metric
    hparams = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    assert b"hidden_size" in hparams
    assert b"batch_size" in hparams
    assert b"dataset" in hparams
    assert b"val/best_acc" in events.SummaryMetadata("_hparams_/experiment").plugin_data.content


def test_disabled_pictures_are_not_drawn(fit: Command) -> None:
    succeed(fit, "--pictures_every_n_epochs=0", "--test_after_fit=false")
    assert EventAccumulator(f"{RUNS}/version_0").Reload().Tags()["images"] == []


def test_only_the_final_test_reads_the_test_set(fit: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[str] = []
    load, teardown = mnist_files.load, Trainer._teardown
    monkeypatch.setattr(mnist_files, "load", lambda folder, pair: reads.append(pair.images) or load(folder, pair))
    monkeypatch.setattr(
        Trainer, "_teardown", lambda self: reads.append(f"end of {self.state.fn.value}") or teardown(self)
    )
    succeed(fit)
    assert reads == [mnist_files.TRAIN.images, "end of fit", mnist_files.TEST.images, "end of test"]


@pytest.mark.usefixtures("trained")
def test_the_final_test_can_be_disabled(fit: Command) -> None:
    for name in mnist_files.TEST:
        (mnist_files.raw_folder(Path("data")) / name).write_bytes(b"not to be read")
    out, _ = succeed(fit, "--test_after_fit=false")
    assert "test accuracy" not in out
    assert "t10k-images-idx3-ubyte" in fail(fit)


def test_a_new_run_leaves_older_runs_untouched(fit: Command, trained: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in Path("runs").rglob("*") if path.is_file()}
    assert trained / "best.ckpt" in before
    (RUNS / "version_7").mkdir()
    fit("--trainer.max_epochs=1")
    assert before == {path: path.stat().st_mtime_ns for path in before}
    assert (RUNS / "version_8/checkpoints/best.ckpt").is_file()


def test_without_a_logger_nothing_is_written_outside_the_run(fit: Command) -> None:
    out, _ = succeed(fit, "--trainer.logger=false")
    assert {path.name for path in Path().iterdir()} == {"data", "runs"}
    assert {path.name for path in (RUNS / "version_0").iterdir()} == {"checkpoints", "config.yaml"}
    accuracy_in(out)


def test_without_checkpoints_nothing_is_tested(fit: Command) -> None:
    out, _ = succeed(fit, "--trainer.enable_checkpointing=false")
    assert "checkpoint  none" in out
    assert "test accuracy" not in out


def test_val_size_0_trains_on_all_images(fit: Command, command: Command) -> None:
    out, err = succeed(fit, "--data.val_size=0", LOGGED)
    assert "Warning" not in err
    assert "training    14 steps" in out, "400 images, not 350"
    assert "validation  none; this is the last epoch\n" in out
    assert {path.name for path in (RUNS / "version_0/checkpoints").iterdir()} == {"last.ckpt", "previous.ckpt"}
    tested, _ = succeed(command, "test", "--ckpt_path=last")
    assert accuracy_in(tested) == accuracy_in(out)
    assert "--data.val_size 0: " in fail(command, "validate", "--ckpt_path=last")
    succeed(fit, "--data.val_size=0", "--ckpt_path=last", "--trainer.max_epochs=3")


def test_runs_are_created_under_default_root_dir(fit: Command, command: Command) -> None:
    out, _ = succeed(fit, "--trainer.default_root_dir=else where", "--trainer.max_epochs=1")
    assert Path("else where/runs/mnist/version_0/checkpoints/best.ckpt").is_file()
    assert "--ckpt_path 'else where/runs/mnist/version_0/checkpoints/best.ckpt'" in out
    tested, _ = succeed(command, "test", "--ckpt_path=best", "--trainer.default_root_dir=else where")
    assert accuracy_in(tested) == accuracy_in(out)


def test_the_saved_config_reproduces_the_run(fit: Command, command: Command) -> None:
    fit("--model.dropout=0.2", "--model.num_layers=2")
    config = ("--config", RUNS / "version_0/config.yaml")
    succeed(command, "fit", *config)
    assert_same_weights(0, 1)
    succeed(command, "test", *config, "--ckpt_path=best")


@pytest.mark.parametrize("extra", [(), EMA, ("--data.augment=true",)], ids=["plain", "EMA", "augmented"])
def test_a_resumed_run_equals_an_uninterrupted_one(fit: Command, extra: tuple) -> None:
    options = ("--model.dropout=0.3", "--model.num_layers=2", *extra)
    whole, _ = succeed(fit, *options, "--trainer.max_epochs=4")
    # the schedule is that of four epochs, but the process dies after two
    code, _, _ = fit(*options, "--trainer.max_epochs=4", *stop_after(2))
    assert code == 1
    resumed, _ = succeed(fit, *extra, "--ckpt_path=last", "--trainer.max_epochs=4", "--seed_everything=5")
    assert re.search("^training    12 steps in .* s; 4 epochs in all$", resumed, re.MULTILINE)
    for name in ("last", "best"):
        assert_same_weights(0, 2, name=name)
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


def test_a_resumed_run_keeps_an_earlier_best_checkpoint(fit: Command) -> None:
    fit("--trainer.max_epochs=4")
    # after resuming, the learning rate is so high that no epoch is better
    worse = ("--trainer.max_epochs=5", "--model.learning_rate=10", "--model.schedule=constant")
    out, _ = succeed(fit, "--ckpt_path=last", *worse)
    assert_same_weights(0, 1, name="best")
    assert f"checkpoint  {RUNS}/version_1/checkpoints/best.ckpt" in out


@pytest.mark.usefixtures("trained")
def test_last_and_best_mean_the_newest_run(fit: Command) -> None:
    fit("--trainer.max_epochs=2")
    (RUNS / "version_9/checkpoints").mkdir(parents=True)
    for name in ("last", "best"):
        _, err = succeed(fit, f"--ckpt_path={name}", "--trainer.max_epochs=3")
        shutil.rmtree(RUNS / "version_10")
        assert f"checkpoint  {RUNS}/version_1/checkpoints/{name}.ckpt" in err


def test_the_command_line_overrides_the_checkpoint_which_overrides_configs(fit: Command) -> None:
    fit("--model.label_smoothing=0.1", "--model.weight_decay=0.2", "--data.split_seed=3")
    Path("other.yaml").write_text("model: {weight_decay: 0.3, label_smoothing: 0.4, learning_rate: 1.0}")
    given = ("--trainer.max_epochs=3", "--model.learning_rate=0.001", "--config", "other.yaml")
    succeed(fit, "--ckpt_path=last", *given)
    config = yaml.safe_load((RUNS / "version_1/config.yaml").read_text())
    assert config["model"]["learning_rate"] == 0.001
    assert config["model"]["weight_decay"] == 0.2
    assert config["model"]["label_smoothing"] == 0.1
    assert config["data"]["split_seed"] == 3
    assert load(RUNS / "version_1/checkpoints/last.ckpt")["hyper_parameters"]["learning_rate"] == 0.001


def test_missing_options_of_a_checkpoint_use_legacy_defaults(command: Command, trained: Path) -> None:
    checkpoint = load(trained / "best.ckpt")
    for name in ("pooling", "deskew", "scan_order", "gradient_features"):
        del checkpoint["hyper_parameters"][name]
    del checkpoint["datamodule_hyper_parameters"]["split"]
    torch.save(checkpoint, "old.ckpt")
    Path("new.yaml").write_text(
        "model: {pooling: avgmax, deskew: true, scan_order: columns, gradient_features: true}\ndata: {split: writers}\n"
    )
    expected, _ = succeed(command, "test", "--ckpt_path", trained / "best.ckpt")
    # the config asks for another network than the checkpoint's
    tested, _ = succeed(command, "test", "--config=new.yaml", "--ckpt_path=old.ckpt")
    assert accuracy_in(tested) == accuracy_in(expected)


def test_runs_with_missing_options_resume_with_legacy_defaults(fit: Command, trained: Path) -> None:
    checkpoint = load(trained / "last.ckpt")
    del checkpoint["datamodule_hyper_parameters"]["split"], checkpoint["hyper_parameters"]["gradient_features"]
    torch.save(checkpoint, "old.ckpt")
    Path("new.yaml").write_text("model: {gradient_features: true}\ndata: {split: writers}\n")
    succeed(fit, "--config=new.yaml", "--ckpt_path=old.ckpt")
    assert re.search("--data.split random .* writers", fail(fit, "--ckpt_path=old.ckpt", "--data.split=writers"))


@pytest.mark.usefixtures("trained")
def test_last_fails_if_the_newest_run_has_no_checkpoint(fit: Command) -> None:
    fit(*stop_after(0))
    err = fail(fit, "--ckpt_path=last", "--trainer.max_epochs=3")
    assert re.search(f"{RUNS}/version_1, has no .* {RUNS}/version_0/checkpoints/last.ckpt", err)


@pytest.mark.parametrize(
    ("option", "last"), [("--trainer.val_check_interval=0.5", 2), ("--trainer.check_val_every_n_epoch=2", 1)]
)
def test_resuming_is_exact_for_any_validation_interval(fit: Command, option: str, last: int) -> None:
    options = ("--model.dropout=0.3", "--model.num_layers=2", "--trainer.max_epochs=4", option, LOGGED)
    succeed(fit, *options)
    fit(*options, *stop_after(3))
    succeed(fit, *options, "--ckpt_path=last")
    assert load(RUNS / "version_1/checkpoints/last.ckpt")["epoch"] == last
    assert_same_weights(0, 2)


def test_epochs_without_validation_are_kept_only_at_the_end(fit: Command) -> None:
    out, _ = succeed(fit, "--trainer.check_val_every_n_epoch=2", "--trainer.max_epochs=3")
    assert load(RUNS / "version_0/checkpoints/best.ckpt")["epoch"] == 1
    assert load(RUNS / "version_0/checkpoints/last.ckpt")["epoch"] == 2
    lines = re.findall("^epoch .*$", out, flags=re.MULTILINE)
    assert ["val/acc" in line for line in lines] == [False, True, False]


@pytest.mark.usefixtures("trained")
@pytest.mark.parametrize(
    "change", ["--data.dataset=digits", "--data.split_seed=1", "--data.val_size=40", "--data.split=writers"]
)
def test_resuming_with_other_images_is_refused(fit: Command, change: str) -> None:
    assert re.search(f"{change.split('=')[0]} .*cannot continue", fail(fit, "--ckpt_path=last", change))
    assert len(list(Path("runs").glob("*/version_*"))) == 1


@pytest.mark.usefixtures("trained")
def test_auto_resumes_on_the_data_set_of_the_checkpoint(fit: Command) -> None:
    succeed(fit, "--ckpt_path=last", "--data.dataset=auto")


@pytest.mark.usefixtures("trained")
def test_the_config_of_a_resumed_run_does_not_set_ckpt_path(fit: Command, command: Command) -> None:
    fit("--ckpt_path=last")
    assert re.search("test needs .*--ckpt_path", fail(command, "test", f"--config={RUNS}/version_1/config.yaml"))


def test_printed_next_steps_set_data_dir(fit: Command, command: Command) -> None:
    out, _ = succeed(fit, "--trainer.max_epochs=1", "--data.data_dir=my data")
    (line,) = re.findall(r"^test it +(.*)$", out, flags=re.MULTILINE)
    tested, _ = succeed(command, *shlex.split(line)[1:])
    assert accuracy_in(tested) == accuracy_in(out)


@pytest.mark.usefixtures("trained")
def test_resuming_a_finished_run_is_refused(fit: Command) -> None:
    err = fail(fit, "--ckpt_path=last", "--trainer.max_epochs=1")
    assert re.search("trained for 1 epoch .*--trainer.max_epochs 2$", err, re.MULTILINE)
    err = fail(fit, "--ckpt_path=last", "--trainer.max_epochs=5", "--trainer.max_steps=6")
    assert re.search("trained for 6 steps.*--trainer.max_steps 12$", err, re.MULTILINE)
    assert not (RUNS / "version_1").exists()


def test_test_uses_the_data_set_of_the_checkpoint(command: Command) -> None:
    options = ("--data.dataset=digits", "--trainer.max_epochs=1", "--model.hidden_size=8", "--trainer.accelerator=cpu")
    out, _ = succeed(command, "fit", *options)
    tested, _ = succeed(command, "test", "--ckpt_path=best")
    assert accuracy_in(tested) == accuracy_in(out)
    (validation,) = re.findall("^validation +(.*) %", out, re.MULTILINE)
    assert f"validation accuracy {validation} %" in command("validate", "--ckpt_path=best")[1]
    # an explicit option overrides it
    mnist = ("--data.dataset=mnist", "--data.mirror=http://127.0.0.1:9/")
    assert "MNIST cannot be" in fail(command, "test", "--ckpt_path=best", *mnist)


@pytest.mark.usefixtures("trained")
def test_predict_writes_csv(command: Command, tmp_path: Path) -> None:
    out, _ = succeed(command, "predict", "--ckpt_path=best")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert list(rows[0]) == ["index", "prediction", "probability", "label"]
    assert [int(row["index"]) for row in rows] == list(range(TEST_SIZE))
    images, labels = mnist_files.load(Path("data"), mnist_files.TEST)
    assert [int(row["label"]) for row in rows] == labels.tolist()
    correct = np.mean([row["prediction"] == row["label"] for row in rows])
    _, tested, _ = command("test", "--ckpt_path=best")
    assert f"{100 * correct:.2f}" == accuracy_in(tested)
    assert all(0.1 <= float(row["probability"]) <= 1 for row in rows)

    # the same images from a file, without MNIST on disk
    shutil.rmtree("data")
    write_archive(tmp_path / "mine.gz", images)
    args = ("predict", "--ckpt_path=best", "--data.predict_images", tmp_path / "mine.gz", "--output", "mine.csv")
    assert succeed(command, *args)[0] == ""
    written = list(csv.DictReader(Path("mine.csv").read_text().splitlines()))
    assert [row["prediction"] for row in written] == [row["prediction"] for row in rows]
    assert {row["label"] for row in written} == {""}
    assert "mine.csv: exists" in fail(command, *args)


@pytest.mark.usefixtures("trained")
def test_predict_names_a_bad_file(command: Command) -> None:
    Path("bad").write_bytes(b"not an IDX file")
    assert "bad: wrong magic number" in fail(command, "predict", "--ckpt_path=best", "--data.predict_images=bad")


def test_bad_checkpoints_are_named_and_never_run_code(command: Command, trained: Path) -> None:
    content = load(trained / "best.ckpt")

    def check(message: str, **changes: object) -> None:
        if changes:
            torch.save({**content, **changes}, "bad.ckpt")
        for name in ("test", "fit"):
            assert re.search(f"bad.ckpt: .*{message}", fail(command, name, "--ckpt_path=bad.ckpt"))
        assert not Path("it ran").exists()

    def options(**changes: object) -> dict[str, object]:
        return {**content["hyper_parameters"], **changes}

    Path("bad.ckpt").write_bytes(pickle.dumps(Evil()))
    check("could run code")
    torch.save({"state_dict": Evil()}, "bad.ckpt")
    check("could run code")
    Path("bad.ckpt").write_bytes((trained / "best.ckpt").read_bytes()[:5000])
    check("cut short or damaged")
    Path("bad.ckpt").write_text("hello")
    check("no(t a)? checkpoint")
    torch.save([1, 2, 3], "bad.ckpt")
    check("no(t a)? checkpoint")
    check("options .*: heads", hyper_parameters=options(heads=3))
    check("hidden_size of type list", hyper_parameters=options(hidden_size=[16]))
    foreign = {"dataset": "mnist", "data_dir": "pwned", "mirror": "http://127.0.0.1:9/"}
    check("options .*: data_dir, mirror", datamodule_hyper_parameters=foreign)
    assert not Path("pwned").exists()
    check(re.escape("a\\x1b[31mb\\nc"), hyper_parameters=options(**{"a\x1b[31mb\nc": 3}))
    check("hyper_parameters", hyper_parameters=7)
    check("state_dict", state_dict={"model.head.weight": 7})
    check("shape 64x28 .* 32x28", hyper_parameters=options(hidden_size=8))
    assert len(list(RUNS.iterdir())) == 1, "no run folder was created"


DAMAGE = {
    "no loops": {"loops": {}},
    "no version": {"pytorch-lightning_version": None},
    "odd callbacks": {"callbacks": {"HyperParameters": {"worst": 0}}},
    "no optimizer": {"optimizer_states": [{"state": {}, "param_groups": []}]},
    "odd generator": {"MNISTDataModule": {"shuffling": 7}},
    "weights alone": {"loops": None, "callbacks": None, "optimizer_states": None, "lr_schedulers": None},
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_training_state_is_refused(fit: Command, trained: Path, damage: dict) -> None:
    content = load(trained / "last.ckpt") | damage
    torch.save({key: value for key, value in content.items() if value is not None}, "bad.ckpt")
    assert "error: bad.ckpt: " in fail(fit, "--ckpt_path=bad.ckpt")


def test_a_non_finite_loss_exits_with_code_1(fit: Command) -> None:
    diverging = ("--model.learning_rate=1e30", "--model.schedule=constant", "--trainer.gradient_clip_val=null")
    code, out, err = fit(*diverging, "--model.cell=rnn")
    assert code == 1
    assert re.search(r"error: .*loss became (nan|inf) at step \d+ \(epoch \d\)", err)
    assert "Traceback" not in out + err


CONFIGS = [
    pytest.param(path, id=path.stem, marks=GPU_MARKS if "gpu" in path.stem else ())
    for path in sorted((REPOSITORY / "configs").glob("*.yaml"))
]


@pytest.mark.parametrize("config", CONFIGS)
def test_every_config_passes_a_fast_dev_run(fit: Command, config: Path) -> None:
    succeed(fit, "--config", config, "--trainer.fast_dev_run=true")
    assert not Path("runs").exists()


@pytest.mark.parametrize("recipe", ["ema", "baseline", "record"])
def test_hardware_and_recipe_configs_stack(fit: Command, recipe: str) -> None:
    for hardware in ("cpu", "cpu_mixed"):
        configs = (REPOSITORY / f"configs/{name}.yaml" for name in (hardware, recipe))
        out, _ = succeed(fit, *(part for config in configs for part in ("--config", config)), "--trainer.max_epochs=1")
        accuracy_in(out)
    saved = yaml.safe_load((RUNS / "version_1/config.yaml").read_text())
    assert saved["trainer"]["precision"] == "bf16-mixed"
    own = yaml.safe_load((REPOSITORY / f"configs/{recipe}.yaml").read_text())
    assert len(saved["trainer"]["callbacks"] or ()) == len(own["trainer"].get("callbacks+", ()))
    assert saved["data"]["augment"] == own.get("data", {}).get("augment", False)


def test_the_record_recipe_is_one_lstm_and_one_linear_layer() -> None:
    recipe = yaml.safe_load((REPOSITORY / "configs/record.yaml").read_text())
    network = DigitClassifier(**recipe["model"]).model
    assert [type(part).__name__ for part in network.children()] == ["LSTM", "Linear"]
    assert sum(weight.numel() for weight in network.parameters()) <= 1_500_000


def test_quickstart_without_mnist_announces_its_fallback_to_digits(command: Command) -> None:
    quickstart = ("fit", "--config", REPOSITORY / "configs/quickstart.yaml", "--data.mirror=http://127.0.0.1:9/")
    out, err = succeed(command, *quickstart, "--trainer.max_epochs=1", "--trainer.accelerator=cpu")
    assert "THIS RUN DOES NOT USE MNIST" in err
    assert "dataset     digits (not MNIST)" in out
    checkpoint = load("runs/digits/version_0/checkpoints/best.ckpt")
    assert checkpoint["datamodule_hyper_parameters"]["dataset"] == "digits"


def test_quickstart_uses_mnist_if_available(fit: Command) -> None:
    out, err = succeed(fit, "--config", REPOSITORY / "configs/quickstart.yaml", "--trainer.max_epochs=1")
    assert "dataset     mnist\n" in out
    assert "DOES NOT USE MNIST" not in err


def test_only_quickstart_sets_dataset_auto() -> None:
    configs = {path.stem: yaml.safe_load(path.read_text()) for path in (REPOSITORY / "configs").glob("*.yaml")}
    assert [name for name, config in configs.items() if "dataset" in config.get("data", {})] == ["quickstart"]
    assert configs["quickstart"]["data"]["dataset"] == "auto"
