"""The READMEs are true: their commands parse, their Python runs, their links and paths exist."""

import importlib
import re
import shlex
from pathlib import Path

import pytest
from conftest import REPOSITORY

from mnist_lstm.cli import COMMANDS, USAGE, main
from mnist_lstm.explain import cli as explain
from mnist_lstm.export import cli as export
from mnist_lstm.inference import cli as classify
from mnist_lstm.lessons import MODULES
from mnist_lstm.lessons import cli as lesson
from mnist_lstm.page import cli as page
from mnist_lstm.serve import cli as serve
from mnist_lstm.sweep import cli as sweep
from mnist_lstm.sweep.space import read_space
from mnist_lstm.training import cli as lightning_cli
from mnist_lstm.training import parsing
from mnist_lstm.verify import cli as verify

MAX_LINES = 220
"""Of the main README; details belong into those of the folders."""

FOLDERS = ("configs", "mnist_lstm", "scripts", "tests")
PAGES = [
    REPOSITORY / "README.md",
    *sorted(path for folder in FOLDERS for path in (REPOSITORY / folder).rglob("README.md")),
    *sorted((REPOSITORY / ".github").glob("*.md")),
]
TEXTS = {path.relative_to(REPOSITORY).as_posix(): path.read_text(encoding="utf-8") for path in PAGES}
README = TEXTS["README.md"]

PARSERS = {"classify": classify, "explain": explain, "page": page, "export": export, "serve": serve, "verify": verify}
SCRIPTS = {"scripts/train.py": "fit ", "scripts/classify.py": "classify "}
"""Scripts that are a command under another name."""


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)


def commands(text: str) -> list[str]:
    """Find every call of the command or of a script that is one, up to where the shell would end it."""
    joined = text.replace("\\\n", " ")
    return [
        SCRIPTS.get(call[0], "") + call[1].strip()
        for call in re.findall(r"(mnist-lstm|scripts/train\.py|scripts/classify\.py) ([^&|;>#\n]*)", joined)
    ]


def all_commands(text: str) -> list[str]:
    """Find the commands in blocks and in inline code, without those that stand for many (``mnist-lstm fit ARGS``)."""
    inline = re.findall(
        r"`(mnist-lstm [^\s`]+ [^`\n]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    )
    found = [command for block in [*blocks(text, "bash"), *inline] for command in commands(block)]
    return [command for command in found if not re.search(r"\b(ARGS|COMMAND|NAME|PICTURE)\b", command)]


PAGE_COMMANDS = {page: all_commands(text) for page, text in TEXTS.items()}
EVERY_COMMAND = sorted({command for page in PAGE_COMMANDS.values() for command in page})
SCRIPT_CALLS = sorted(
    {
        (script, options.strip())
        for text in TEXTS.values()
        for script, options in re.findall(
            r"python scripts/(evaluate|evaluate_pictures|make_pretrained|benchmark)\.py([^&|;>#`\n]*)",
            text.replace("\\\n", " "),
        )
    }
)
PROGRAMS = [pytest.param(program, id=page) for page, text in TEXTS.items() for program in blocks(text, "python")]


def test_readme_shows_every_command() -> None:
    assert len(PAGE_COMMANDS["README.md"]) >= 10
    shown = {command.split()[0] for command in EVERY_COMMAND}
    assert shown == set(COMMANDS)
    assert {command.split()[0] for command in PAGE_COMMANDS["README.md"]} >= set(COMMANDS) - {"validate"}


@pytest.mark.parametrize("command", sorted({*EVERY_COMMAND, *commands(USAGE.split("examples:")[1])}))
def test_every_command_parses(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # the folder that the READMEs speak of: a clone in which one run has been made
    Path("configs").symlink_to(REPOSITORY / "configs")
    Path("runs/mnist/version_0").mkdir(parents=True)
    Path("runs/mnist/version_0/config.yaml").write_text("trainer: {max_epochs: 12}")
    monkeypatch.setattr(parsing, "Checkpoint", lambda name, *_, **__: _Checkpoint(name))
    parsed = []
    monkeypatch.setattr(lightning_cli.MNISTCLI, "_set_seed", lambda self: None)
    monkeypatch.setattr(lightning_cli.MNISTCLI, "before_instantiate_classes", lambda self: None)
    monkeypatch.setattr(lightning_cli.MNISTCLI, "instantiate_classes", lambda self: parsed.append(self.config))
    monkeypatch.setattr(lightning_cli.MNISTCLI, "after_instantiate_classes", lambda self: None)
    monkeypatch.setattr(lightning_cli.MNISTCLI, "_run_subcommand", lambda self, subcommand: None)
    args = [arg.replace("$seed", "0") for arg in shlex.split(command)]
    if "--help" in args:
        with pytest.raises(SystemExit, match="0"):
            main(args)
    elif args[0] in PARSERS:
        PARSERS[args[0]].parser().parse_args(args[1:])
    elif args[0] == "sweep":
        assert read_space(Path(args[1]))
        _, of_fit = sweep.parser().parse_known_args(args[2:])
        assert main(["fit", *of_fit]) == 0
    elif args == ["lesson"]:
        assert main(args) == 2  # shows the lessons
    elif args[0] == "lesson":
        lesson.parser(args[1]).parse_args(args[2:])
    else:
        assert main(args) == 0
        assert len(parsed) == 1


class _Checkpoint:
    """A checkpoint without options, so that no file is needed."""

    def __init__(self, name: str) -> None:
        self.path = Path(name)

    def arguments(self) -> list[str]:
        return []

    def describe_options(self, *_: object) -> list[str]:
        return []


@pytest.mark.parametrize(("script", "options"), SCRIPT_CALLS)
def test_every_option_of_a_script_exists(
    script: str, options: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(REPOSITORY / "scripts")
    words = shlex.split(options)
    with pytest.raises(SystemExit, match="0"):
        importlib.import_module(script).main([*(words[:1] if script == "benchmark" else []), "--help"])
    text = capsys.readouterr().out
    for word in words:
        assert not word.startswith("--") or re.search(rf"{word}\b", text), word


def test_every_search_space_is_in_the_readme_of_sweeps() -> None:
    spaces = list((REPOSITORY / "configs" / "spaces").glob("*.yaml"))
    assert spaces
    assert all(f"[`{space.name}`]" in TEXTS["mnist_lstm/sweep/README.md"] for space in spaces)


def test_every_lesson_is_in_the_readme() -> None:
    assert {command.split()[1] for command in PAGE_COMMANDS["README.md"] if command[:7] == "lesson "} == set(MODULES)
    assert all(f"| `{name}` |" in TEXTS["mnist_lstm/lessons/README.md"] for name in MODULES)


def test_every_config_and_script_has_a_line() -> None:
    for config in (REPOSITORY / "configs").glob("*.yaml"):
        assert f"| `configs/{config.name}` |" in README
    for script in (REPOSITORY / "scripts").glob("*.py"):
        assert script.name in TEXTS["scripts/README.md"]


def test_the_two_commands_at_the_top_are_one_line_each() -> None:
    first, second, *_ = blocks(README, "bash")
    install = "python3 -m venv .venv && .venv/bin/pip install -e "
    assert first == f"{install}. && .venv/bin/mnist-lstm fit --config configs/quickstart.yaml\n"
    assert second == f"{install}'.[test]' && .venv/bin/pytest\n"


def test_readme_stays_short() -> None:
    assert len(README.splitlines()) <= MAX_LINES


@pytest.mark.filterwarnings("ignore:.*isinstance.treespec, LeafSpec")
@pytest.mark.parametrize("program", PROGRAMS)
def test_python_runs(program: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path(".github").symlink_to(REPOSITORY / ".github")
    exec(compile(program, "README.md", "exec"), {})
    out = capsys.readouterr().out
    assert ("test/acc" in out) == bool(re.search(r"\btest(_checkpoint)?\(", program))
    assert out


@pytest.mark.parametrize("page", TEXTS)
def test_links_and_pictures_exist(page: str) -> None:
    folder = (REPOSITORY / page).parent
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", TEXTS[page]):
        path = (folder / target).resolve() if target else REPOSITORY / page
        assert path.exists(), target
        assert path.is_relative_to(REPOSITORY), target
        if anchor:
            assert anchor in anchors(path.read_text(encoding="utf-8")), f"{target}#{anchor}"


def anchors(text: str) -> set[str]:
    """Return the names that GitHub gives to headings."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [page for page in TEXTS if page != ".github/CHANGELOG.md"])
def test_paths_in_the_text_exist(page: str) -> None:
    for path in re.findall(r"(?<![\w./-])((?:mnist_lstm|configs|scripts|tests|\.github)/[\w./-]*\w)", TEXTS[page]):
        assert (REPOSITORY / path).exists(), path


def test_four_is_read_as_the_readme_says(capsys: pytest.CaptureFixture[str]) -> None:
    Path(".github").symlink_to(REPOSITORY / ".github")
    assert main(["classify", ".github/four.png"]) == 0
    (shown,) = [block for block in blocks(README, "text") if block.startswith("picture ")]
    assert capsys.readouterr().out == shown
