"""Run the page's JavaScript modules in Node: the machine's, or the one that Playwright brings."""

import importlib.util
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from mnist_lstm.page.build import STATIC


def find_node() -> str | None:
    """Return the path of a Node; None if there is none."""
    if found := shutil.which("node"):
        return found
    spec = importlib.util.find_spec("playwright")
    folder = Path(spec.submodule_search_locations[0] if spec and spec.submodule_search_locations else "") / "driver"
    return shutil.which("node", path=str(folder))


NODE = find_node()
needs_node = pytest.mark.skipif(NODE is None, reason="needs Node or Playwright, to run the page's scripts")


def run_node(folder: Path, script: Path, data: Any) -> Any:
    """Run a script beside a copy of the page's modules; it takes data as JSON, and returns some."""
    assert NODE is not None
    shutil.copytree(STATIC, folder)
    (folder / "package.json").write_text('{"type": "module"}')  # to Node, .js is else not a module
    shutil.copy(script, folder)
    process = subprocess.run(
        [NODE, script.name], cwd=folder, input=json.dumps(data), capture_output=True, text=True, timeout=120
    )
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout)
