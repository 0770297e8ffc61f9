"""The ``mnist-lstm`` command as a whole: help, dispatch, errors, exit codes."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import REPOSITORY, Command, fail

from mnist_lstm.cli import COMMANDS, LIGHTNING_COMMANDS, USAGE


def run_process(*args: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *args], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("args", [["--help"], ["--version"], ["nonsense"], [], ["classify", "--help"], ["classify"]])
def test_help_and_version_import_nothing_heavy(args: list[str]) -> None:
    program = (
        "import atexit, sys; from mnist_lstm.cli import main; atexit.register(lambda: print(*sys.modules))\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    done = run_process("-c", program, *args)
    modules = done.stdout.splitlines()[-1].split()
    assert "mnist_lstm.cli" in modules
    assert not {"torch", "lightning", "numpy", "torchvision", "tensorboard", "sklearn"} & set(modules)


def test_importing_the_package_imports_no_other_module() -> None:
    before, after = (
        set(run_process("-c", f"import sys{extra}; print(*sys.modules)").stdout.split())
        for extra in ("", ", mnist_lstm")
    )
    assert after - before == {"mnist_lstm"}


def test_inference_imports_no_training_libraries() -> None:
    program = (
        "import importlib, pkgutil, sys, mnist_lstm.inference as package\n"
        "names = [m.name for m in pkgutil.walk_packages(package.__path__, 'mnist_lstm.inference.')]\n"
        "for name in names: importlib.import_module(name)\n"
        "print(len(names)); print(*sys.modules)"
    )
    done = run_process("-c", program)
    count, modules = done.stdout.splitlines()
    assert int(count) >= 1
    assert "torch" in modules.split()
    assert not {"lightning", "torchvision", "torchmetrics", "tensorboard"} & set(modules.split())


def test_help_lists_every_command(command: Command) -> None:
    code, out, _ = command("--help")
    assert (code, out) == (0, USAGE)
    assert all(f"\n  {name} " in USAGE for name in COMMANDS)
    code, out, err = command()
    assert (code, out, err) == (2, "", USAGE)


def test_version_equals_that_in_pyproject(command: Command) -> None:
    version = (REPOSITORY / "pyproject.toml").read_text().split('\nversion = "')[1].split('"')[0]
    assert command("--version") == (0, f"mnist-lstm {version}\n", "")


@pytest.mark.parametrize("name", LIGHTNING_COMMANDS)
def test_help_of_commands_comes_from_docstrings(command: Command, name: str) -> None:
    code, out, _ = command(name, "--help")
    assert code == 0
    assert out.startswith(f"usage: mnist-lstm {name} ")
    text = " ".join(out.split())
    assert "--model.hidden_size HIDDEN_SIZE Units " in text
    assert "--data.archives ARCHIVES" in text
    assert ("--test_after_fit" in text) == (name == "fit")


def test_an_unknown_command_gets_a_suggestion(command: Command) -> None:
    assert fail(command, "train") == "mnist-lstm: error: unknown command 'train'; did you mean fit?\n"
    assert "did you mean classify?" in command("clasify")[2]
    assert all(name in command("xyz")[2] for name in COMMANDS)


NO_MNIST = ["--data.mirror", "http://127.0.0.1:9/"]
BAD = {
    "no checkpoint": (["test"], "test needs .*--ckpt_path"),
    "no checkpoint to validate": (["validate"], "validate needs .*--ckpt_path"),
    "no checkpoint to predict with": (["predict"], "predict needs .*--ckpt_path"),
    "missing checkpoint": (["test", "--ckpt_path", "no.ckpt"], "--ckpt_path no.ckpt: no such file"),
    "no run": (["fit", "--ckpt_path", "last"], "--ckpt_path last: .*no run"),
    "no best run": (["test", "--ckpt_path", "best"], "--ckpt_path best: .*no run"),
    "no MNIST": (["fit", *NO_MNIST], "MNIST cannot be downloaded"),
    "no archives": (["fit", "--data.archives", "nowhere"], "nowhere/train-images-idx3-ubyte.gz: no such file"),
    "bad size": (["fit", "--model.hidden_size", "0"], "hidden_size 0: must be"),
    "bad batch": (["fit", "--data.batch_size", "0"], "batch_size 0: must be"),
    "bad root": (
        ["fit", "--data.dataset", "digits", "--trainer.default_root_dir", "/dev/null"],
        "/dev/null/runs/digits: cannot create",
    ),
    "another image size": (["fit", "--model.input_size", "32"], "--model.input_size 32 .*28 pixels"),
    "more classes": (["fit", "--model.num_classes", "12"], "--model.num_classes 12: .*10 classes"),
    "bad trainer option": (["fit", "--data.dataset", "digits", "--trainer.devices", "0"], "error: "),
}


@pytest.mark.parametrize(("args", "message"), BAD.values(), ids=BAD.keys())
def test_bad_input_prints_one_line_and_exits_with_code_2(command: Command, args: list[str], message: str) -> None:
    err = fail(command, *args)
    assert re.search(message, err)
    assert len([line for line in err.splitlines() if "error" in line]) == 1
    assert not list(Path().glob("runs/*/*")), "no run folder is left behind"


UNPARSED = {
    "unknown option": (["fit", "--model.hidden_sise", "3"], "--model.hidden_sise"),
    "not a number": (["fit", "--model.hidden_size", "many"], "hidden_size"),
    "unknown choice": (["fit", "--model.cell", "transformer"], "cell"),
    "missing config": (["fit", "--config", "no.yaml"], "no.yaml"),
}


@pytest.mark.parametrize(("args", "message"), UNPARSED.values(), ids=UNPARSED.keys())
def test_parser_errors_name_the_option(command: Command, args: list[str], message: str) -> None:
    assert message in fail(command, *args)


def test_a_config_of_invalid_yaml_is_named(command: Command) -> None:
    Path("bad.yaml").write_text("trainer: [")
    assert re.search("bad.yaml|config", fail(command, "fit", "--config", "bad.yaml"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
@pytest.mark.parametrize("config", ["gpu", "gpu_mixed"])
def test_a_gpu_config_without_a_gpu_names_the_accelerator(command: Command, config: str) -> None:
    err = fail(command, "fit", "--config", REPOSITORY / f"configs/{config}.yaml", "--data.dataset", "digits")
    assert "--trainer.accelerator gpu: " in err.splitlines()[-1]


def test_debug_raises_the_error(command: Command) -> None:
    from mnist_lstm.errors import InputError

    with pytest.raises(InputError):
        command("fit", "--model.hidden_size", "0", "--debug")


def test_an_internal_error_exits_with_code_1(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> None:
        raise ZeroDivisionError("somewhere")

    monkeypatch.setattr("mnist_lstm.cli._run_lightning", fail)
    code, _, err = command("fit")
    assert (code, err) == (1, "mnist-lstm: error: ZeroDivisionError: somewhere (--debug shows where)\n")


def test_the_package_runs_as_a_module() -> None:
    assert run_process("-m", "mnist_lstm", "--help").stdout == USAGE


def test_the_training_script_runs_fit(archives: Path) -> None:
    done = run_process(REPOSITORY / "scripts/train.py", "--model.hidden_size", "0")
    assert done.returncode == 2
    assert "hidden_size 0" in done.stderr


def test_an_interrupt_prints_no_traceback(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("mnist_lstm.cli._run_lightning", interrupt)
    assert command("fit") == (130, "", "mnist-lstm: error: interrupted\n")


def test_an_interrupted_run_exits_cleanly() -> None:
    program = (
        "import os, signal, sys; from lightning.pytorch import LightningModule\n"
        # a shell's background job inherits that interrupts are ignored
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "LightningModule.on_train_epoch_start = lambda self: os.kill(os.getpid(), signal.SIGINT)\n"
        "from mnist_lstm.cli import main; sys.exit(main(['fit', '--data.dataset=digits', '--trainer.accelerator=cpu']))"
    )
    done = run_process("-c", program)
    assert done.returncode == 130, done.stderr
    assert re.search(r"^mnist-lstm: stopped by SIGINT; resume with: .* --ckpt_path last\n$", done.stderr, re.MULTILINE)
    assert "Traceback" not in done.stderr
