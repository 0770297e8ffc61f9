"""The README says what is true: its commands parse, its Python runs, its list of files is the tree."""

import re
import shlex
from pathlib import Path

import pytest
from conftest import REPOSITORY

from mnist_lstm import lightning_cli
from mnist_lstm.cli import COMMANDS, USAGE, main
from mnist_lstm.explain import command as explain
from mnist_lstm.inference import command as classify
from mnist_lstm.lessons import MODULES
from mnist_lstm.lessons import command as lesson

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.DOTALL | re.MULTILINE)


SCRIPTS = {"scripts/train.py": "fit ", "scripts/classify.py": "classify "}


def commands(text: str) -> list[str]:
    """Find every call of the command or of the training script, up to where the shell would end it."""
    joined = text.replace("\\\n", " ")
    return [
        SCRIPTS.get(call[0], "") + call[1].strip()
        for call in re.findall(r"(mnist-lstm|scripts/train\.py|scripts/classify\.py) ([^&|;>#\n]*)", joined)
    ]


README_COMMANDS = [command for block in blocks("bash") for command in commands(block)]


def test_the_readme_has_commands() -> None:
    assert len(README_COMMANDS) >= 10
    assert {command.split()[0] for command in README_COMMANDS} >= set(COMMANDS)


@pytest.mark.parametrize("command", [*README_COMMANDS, *commands(USAGE.split("examples:")[1])])
def test_every_command_in_the_readme_parses(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # the folder that the README speaks of: a clone in which one run has been made
    Path("configs").symlink_to(REPOSITORY / "configs")
    Path("runs/mnist/version_0").mkdir(parents=True)
    Path("runs/mnist/version_0/config.yaml").write_text("trainer: {max_epochs: 12}")
    monkeypatch.setattr(lightning_cli, "find_checkpoint", lambda name, runs: Path(name))
    monkeypatch.setattr(lightning_cli, "with_checkpoint_options", lambda args, path: args)
    parsed = []
    monkeypatch.setattr(lightning_cli.MNISTCLI, "_set_seed", lambda self: None)
    monkeypatch.setattr(lightning_cli.MNISTCLI, "before_instantiate_classes", lambda self: None)
    monkeypatch.setattr(lightning_cli.MNISTCLI, "instantiate_classes", lambda self: parsed.append(self.config))
    monkeypatch.setattr(lightning_cli.MNISTCLI, "_run_subcommand", lambda self, subcommand: None)
    args = [arg.replace("$seed", "0") for arg in shlex.split(command)]
    if args[0] in ("classify", "explain") and "--help" not in args:
        {"classify": classify, "explain": explain}[args[0]].parser().parse_args(args[1:])
    elif args[0] == "lesson" and "--help" not in args:
        lesson.parser(args[1]).parse_args(args[2:])
    elif "--help" in args:
        with pytest.raises(SystemExit, match="0"):
            main(args)
    else:
        assert main(args) == 0
        assert len(parsed) == 1


def test_every_lesson_is_in_the_readme() -> None:
    assert {command.split()[1] for command in README_COMMANDS if command.startswith("lesson ")} == set(MODULES)


def test_the_two_commands_at_the_top_are_one_line_each() -> None:
    first, second, *_ = blocks("bash")
    assert first.startswith("python3 -m venv .venv && ")
    assert first.endswith("mnist-lstm fit --config configs/quickstart.yaml\n")
    assert second.startswith("python3 -m venv .venv && ")
    assert second.endswith("pytest\n")
    assert first.count("\n") == second.count("\n") == 1


@pytest.mark.filterwarnings("ignore:.*isinstance.treespec, LeafSpec")
@pytest.mark.parametrize("program", blocks("python"))
def test_the_python_in_the_readme_runs(program: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(program, "README.md", "exec"), {})
    out = capsys.readouterr().out
    assert ("test/acc" in out) == ("trainer.test" in program)
    assert out


def test_the_list_of_files_is_the_tree() -> None:
    (listing,) = (block for block in blocks("text") if "pyproject.toml" in block)
    listed = [line.split()[0] for line in listing.splitlines() if line.strip()]
    assert len(listed) == len(set(listed))
    for path in listed:
        assert (REPOSITORY / path).exists(), path
    folders = ("mnist_lstm", "scripts", "configs", "tests")
    files = {
        path.relative_to(REPOSITORY).as_posix()
        for folder in folders
        for path in (REPOSITORY / folder).rglob("*")
        if path.suffix in (".py", ".yaml")
    }
    assert files <= set(listed)


def test_links_and_pictures_exist() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", README):
        assert (REPOSITORY / target).exists(), target
