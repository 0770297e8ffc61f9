"""Run the page's JavaScript modules in Node, where there is one."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from mnist_lstm.page.build import STATIC

NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="needs Node, to run the page's scripts")


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
