"""Configs from anyone: which classes they may name, how large they may be, and how more is allowed."""

import os
from pathlib import Path

import lightning.pytorch  # noqa: F401 - its log keeps the stream of its import, which must outlive a test
import pytest
from conftest import Command, fail, succeed

from mnist_lstm.errors import InputError
from mnist_lstm.training.trust import MAX_DEPTH, MAX_VALUES, restrict_configs

EVIL = (
    "from pathlib import Path\nPath('it ran').touch()\nfrom lightning.pytorch import Callback\nclass C(Callback): ...\n"
)


@pytest.fixture(autouse=True)
def _evil_module(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a module that leaves a file when it is imported where Python finds it."""
    Path("stranger.py").write_text(EVIL)
    monkeypatch.syspath_prepend(Path.cwd())


def config(text: str) -> str:
    Path("config.yaml").write_text(text)
    return "--config=config.yaml"


NAMING = {
    "callback": "callbacks: {class_path: stranger.C}",
    "list of callbacks": "callbacks: [{class_path: stranger.C}]",
    "string": "callbacks: stranger.C",
    "appended": "callbacks+: {class_path: stranger.C}",
    "logger": "logger: {class_path: stranger.C}",
    "profiler": "profiler: {class_path: stranger.C}",
    "strategy": "strategy: {class_path: stranger.C}",
    "plugins": "plugins: [{class_path: stranger.C}]",
    "nested": "callbacks: [{class_path: lightning.pytorch.callbacks.RichProgressBar, init_args: {theme: "
    "{class_path: stranger.C}}}]",
    "function": "callbacks: {class_path: LambdaCallback, init_args: {on_fit_start: os.system}}",
    "function of torch": "callbacks: {class_path: LambdaCallback, init_args: {on_fit_start: torch.hub.load}}",
    "module of an allowed module": "callbacks: {class_path: LambdaCallback, init_args: "
    "{on_fit_start: lightning.pytorch.loggers.tensorboard.os.system}}",
    "function of jsonargparse": "callbacks: {class_path: LambdaCallback, init_args: "
    "{on_fit_start: jsonargparse.set_parsing_settings}}",
}


@pytest.mark.parametrize("trainer", NAMING.values(), ids=NAMING)
def test_a_config_cannot_import_other_code(command: Command, trainer: str) -> None:
    err = fail(command, "fit", config(f"trainer:\n  {trainer}\n"))
    assert "--allow_custom_classes" in err
    assert not Path("it ran").exists()


@pytest.mark.parametrize("args", [["--trainer.callbacks=stranger.C"], ["--trainer.callbacks.help=stranger.C"]], ids=str)
@pytest.mark.parametrize("name", ["fit", "predict"])
def test_neither_can_an_option(command: Command, name: str, args: list[str]) -> None:
    assert "--allow_custom_classes" in fail(command, name, *args, "--print_config")
    assert not Path("it ran").exists()


def test_a_config_cannot_allow_more(command: Command) -> None:
    fail(command, "fit", config("allow_custom_classes: stranger\ntrainer:\n  callbacks: {class_path: stranger.C}\n"))
    assert not Path("it ran").exists()


def test_packages_that_are_named_are_allowed(command: Command) -> None:
    # a name of its own: what has been allowed in a process stays so
    Path("stranger.py").rename("friend.py")
    allowed = ("--allow_custom_classes", "friend", "--trainer.callbacks=friend.C", "--print_config")
    out, _ = succeed(command, "fit", *allowed)
    assert "class_path: friend.C" in out
    assert Path("it ran").exists()


def test_the_option_is_taken_out_of_the_arguments() -> None:
    args = ["fit", "--allow_custom_classes", "a.b", "--data.dataset", "digits", "--allow_custom_classes=c"]
    assert restrict_configs(args) == ["fit", "--data.dataset", "digits"]
    with pytest.raises(InputError, match="a package or module"):
        restrict_configs(["fit", "--allow_custom_classes", "a/b"])
    with pytest.raises(InputError, match="--allow_custom_classes: expected one argument"):
        restrict_configs(["fit", "--allow_custom_classes"])


LARGE = {
    "many values": "data:\n  archives: [" + "1," * MAX_VALUES + "]\n",
    "aliases": "a: &a [" + "1," * 20 + "]\nb: &b [" + "*a," * 20 + "]\nc: [" + "*b," * 20 + "]\n",
    "alias of itself": "a: &a [*a]\n",
    "levels": "a: " + "[" * MAX_DEPTH + "]" * MAX_DEPTH,
}


@pytest.mark.parametrize("text", LARGE.values(), ids=LARGE)
def test_large_configs_are_refused(command: Command, text: str) -> None:
    assert f"{MAX_VALUES:,} values at most" in fail(command, "fit", config(text))


def test_aliases_are_read(command: Command) -> None:
    out, _ = succeed(command, "fit", config("model: {hidden_size: &n 17}\ndata: {batch_size: *n}\n"), "--print_config")
    assert "hidden_size: 17" in out
    assert "batch_size: 17" in out


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs")
def test_neither_configs_nor_their_values_are_read_without_end(command: Command) -> None:
    os.mkfifo("fifo")
    assert "not a regular file" in fail(command, "fit", "--config", "fifo")
    assert "not a regular file" in fail(command, "fit", config("trainer: fifo\n"))
    assert "not a regular file" in fail(command, "fit", config("trainer: fifo"))
    assert "not a regular file" in fail(command, "fit", "--config=/dev/zero")
    Path("large.yaml").write_bytes(b"#" * (2**20 + 1))
    assert "1,048,576 at most" in fail(command, "fit", "--config", "large.yaml")


def test_yaml_tags_build_nothing(command: Command) -> None:
    fail(command, "fit", config('trainer: {callbacks: [!!python/object/apply:os.system ["touch it\\\\ ran"]]}\n'))
    assert not Path("it ran").exists()


def test_help_names_the_option(command: Command) -> None:
    out, _ = succeed(command, "test", "--help")
    assert "--allow_custom_classes PACKAGE" in out


@pytest.mark.parametrize("name", ["16-true", "bf16-true", "64-true", "64", "transformer-engine"])
def test_precisions_of_other_weights_are_refused(command: Command, name: str) -> None:
    err = fail(command, "fit", "--data.dataset=digits", f"--trainer.precision={name}")
    assert f"--trainer.precision {name}:" in err
    assert "32-true" in err


@pytest.mark.parametrize(
    "plugin",
    [
        '{"class_path": "lightning.pytorch.plugins.HalfPrecision", "init_args": {"precision": "16-true"}}',
        '{"class_path": "lightning.pytorch.plugins.DoublePrecision"}',
    ],
)
def test_plugins_of_other_weights_are_refused(command: Command, plugin: str) -> None:
    err = fail(command, "fit", "--data.dataset=digits", f"--trainer.plugins={plugin}")
    assert "--trainer.plugins" in err
    assert "32-true" in err


def test_checkpoints_within_epochs_need_checkpoints(command: Command) -> None:
    options = ("--trainer.enable_checkpointing=false", "--checkpoint_every_n_steps=5")
    err = fail(command, "fit", "--data.dataset=digits", *options)
    assert "--checkpoint_every_n_steps 5: with --trainer.enable_checkpointing false there are none" in err
