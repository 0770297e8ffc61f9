"""scripts/lesson_results.py writes the table of results, and finds results that have left it."""

from pathlib import Path
from types import ModuleType

import pytest
from conftest import REAL_ARCHIVES, REPOSITORY

from mnist_lstm.lessons import MODULES, Measure

SCRIPT = REPOSITORY / "scripts" / "lesson_results.py"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The script, with a README of its own that knows other results of `gates` than there are, and one of `toy`."""
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    import lesson_results

    readme = tmp_path / "README.md"
    table = "| lesson | measured | median |\n| --- | --- | --- |\n| `gates` | largest \\|h\\| | 2 |\n| `toy` | a | 1 |"
    readme.write_text(f"before\n{lesson_results.BEGIN}\n{table}\n{lesson_results.END}\nafter\n")
    monkeypatch.setattr(lesson_results, "README", readme)
    monkeypatch.setattr(lesson_results, "FIGURES", tmp_path / "figures")
    return lesson_results


def test_table_and_figures_are_written_and_then_hold(
    script: ModuleType, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert script.main(["gates", "--check"]) == 1
    assert "largest |h|: 0.9994 is not within 2" in capsys.readouterr().out
    assert script.main(["gates", "--update"]) == 0
    text = script.README.read_text()
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "| `gates` | c after writing 1 (f = 0, i = 1) | 0.7616 |\n" in text
    assert "|  | largest \\|h\\| | 0.9994 |\n" in text
    assert text.index("`gates`") < text.index("| `toy` | a | 1 |"), "what was not run keeps its results"
    assert [path.name for path in (tmp_path / "figures").iterdir()] == ["gates.png"]
    assert script.main(["gates", "--check"]) == 0


@pytest.mark.parametrize(
    ("known", "values", "holds"),
    [
        ("0.5 (0.1 to 0.9)", [0.2, 0.9, 0.95], True),
        ("0.5 (0.1 to 0.9)", [0.2, 0.95, 0.95], False),
        ("0.100", [0.1004], True),
        ("0.100", [0.102], False),
    ],
)
def test_a_median_must_lie_within_the_range(script: ModuleType, known: str, values: list[float], holds: bool) -> None:
    measure = Measure("loss", values)
    assert (list(script.compare([measure], {"loss": known})) == []) is holds
    assert list(script.compare([measure._replace(is_time=True)], {"loss": known})) == []
    assert list(script.compare([measure], {})) == ["not in the table: loss"]


def test_numbers_of_all_styles_are_read(script: ModuleType) -> None:
    shares = script.value_of(Measure("accuracy", [0.5, 0.25, 1], ".1%"))
    assert shares == "50.0 % (25.0 % to 100.0 %)"
    assert script.numbers_in(shares) == [50, 25, 100]
    assert script.numbers_in(script.value_of(Measure("ratio", [1e13, -2e-5], ".0e"))) == [5e12, -2e-5, 1e13]
    assert script.numbers_in("2,656") == [2656]


def test_bad_options_are_named(script: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert script.main(["dance"]) == 2
    assert "'dance'" in capsys.readouterr().err
    assert script.main(["gates", "--jobs", "0"]) == 2
    assert "--jobs 0" in capsys.readouterr().err
    script.README.write_text("no table")
    assert script.main(["gates"]) == 2
    assert "has no table" in capsys.readouterr().err


def test_every_lesson_is_in_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    import lesson_results

    table = lesson_results.read_table(lesson_results.README.read_text(encoding="utf-8"))
    assert list(table) == list(MODULES)


@pytest.mark.slow
@pytest.mark.skipif(REAL_ARCHIVES is None, reason="needs MNIST: set MNIST_LSTM_ARCHIVES")
def test_results_of_all_lessons_are_within_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    monkeypatch.setenv("MNIST_LSTM_ARCHIVES", str(REAL_ARCHIVES))
    import lesson_results

    assert lesson_results.main(["--check", "--jobs", "2"]) == 0
