"""Randomly damaged files, see fuzz.py."""

import json
import subprocess
import sys

import pytest
from conftest import REPOSITORY


@pytest.mark.parametrize("cases", [300, pytest.param(5000, marks=pytest.mark.slow)])
def test_damaged_files_give_an_answer_or_an_input_error(cases: int) -> None:
    program = [sys.executable, REPOSITORY / "tests/fuzz.py", str(cases), str(cases)]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    print(result)
    assert result["answer"] + result["error"] == result["cases"] == cases
    assert min(result["answer"], result["error"]) > cases / 10, "both occur"
