"""The structure: a folder is what it may import, and files and classes are small."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import REPOSITORY

PACKAGE = REPOSITORY / "mnist_lstm"

MAY_IMPORT = {
    "errors": set(),
    "console": set(),
    "files": {"errors"},
    "data": {"errors", "files"},
    "network": {"errors", "data"},
    "plots": {"data"},
    "inference": {"errors", "console", "files", "data", "network"},
    "explain": {"errors", "console", "files", "data", "network", "plots", "inference"},
    "page": {"errors", "console", "files", "data", "network", "inference", "explain"},
    "export": {"errors", "console", "files", "data", "network", "inference"},
    "verify": {"errors", "console", "data", "network", "inference"},
    "serve": {"errors", "console", "files", "data", "network", "inference", "explain", "page"},
    "lessons": {"errors", "console", "files", "data", "network", "plots"},
    "training": {"errors", "console", "files", "data", "network", "plots", "explain"},
    "sweep": {"errors", "console", "files", "plots", "training"},
    "cli": {
        *{"errors", "console", "training", "inference", "explain", "page", "export", "serve", "verify", "lessons"},
        "sweep",
    },
    "__main__": {"cli"},
    "__init__": set(),
}
"""Folders and modules of the package, each with what it may import beside itself."""

ONLY_IN = {
    "lightning": {"training"},
    "torchmetrics": {"training"},
    "jsonargparse": {"training", "lessons"},
    "tensorboard": {"training"},
    "torchvision": {"data"},
    "sklearn": {"data"},
    "onnxruntime": {"inference"},
    "pyarrow": {"inference"},
    "matplotlib": {"plots", "explain", "lessons", "training", "sweep"},
    "fastapi": {"serve"},
    "uvicorn": {"serve"},
    "optuna": {"sweep"},
    "sqlalchemy": {"sweep"},
}
"""Libraries that only some folders may import."""


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def folder_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imports_of(path: Path) -> Iterator[str]:
    """Yield the dotted names of everything that a module imports, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_folder_imports_only_what_it_may(path: Path) -> None:
    folder = folder_of(path)
    for name in imports_of(path):
        first, *rest = name.split(".")
        if first == "mnist_lstm" and rest:
            assert rest[0] in MAY_IMPORT[folder] | {folder}, f"imports {name}"
        assert folder in ONLY_IN.get(first, {folder}), f"imports {name}"


def test_commands_are_imported_by_name_only_from_allowed_folders() -> None:
    named = re.findall(r'"mnist_lstm\.(\w+)[\w.]*"', (PACKAGE / "cli.py").read_text())
    assert set(named) <= MAY_IMPORT["cli"]


def test_imports_between_folders_have_no_cycle() -> None:
    done: set[str] = set()
    while len(done) < len(MAY_IMPORT):
        ready = {folder for folder, allowed in MAY_IMPORT.items() if folder not in done and allowed <= done}
        assert ready, f"a cycle among {sorted(MAY_IMPORT.keys() - done)}"
        done |= ready


def test_files_and_classes_are_small() -> None:
    for path in modules():
        assert len(path.read_text().splitlines()) <= 300, path
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                length = (node.end_lineno or 0) - node.lineno + 1
                assert length <= (150 if node.name == "DigitClassifier" else 200), f"{path}: {node.name} has {length}"


def test_few_modules_lie_outside_of_folders() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= 6
