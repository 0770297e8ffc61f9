"""The number of threads, and bfloat16 support of the CPU."""

import pytest
import torch
from conftest import Command, succeed

from mnist_lstm.training.threads import lacks_bfloat16, training_threads

LOGGED = "--trainer.log_every_n_steps=2"


@pytest.mark.parametrize(
    ("sizes", "threads"),
    [((64, 28, 64), 1), ((16, 28, 32), 1), ((256, 28, 64), 6), ((128, 28, 128), 8)],
)
def test_small_networks_use_few_threads(
    sizes: tuple[int, int, int], threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    assert training_threads(*sizes) == threads
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    assert training_threads(*sizes) == 8, "OMP_NUM_THREADS overrides it"


@pytest.mark.parametrize(
    ("capabilities", "lacks"),
    [
        ({"architecture": "x86_64", "amx_bf16": False, "avx512_bf16": False}, True),
        ({"architecture": "x86_64", "amx_bf16": False, "avx512_bf16": True}, False),
        ({"architecture": "x86_64", "amx_bf16": True, "avx512_bf16": False}, False),
        ({"architecture": "aarch64"}, False),
        ({}, False),
    ],
)
def test_bfloat16_support_follows_capabilities(
    capabilities: dict, lacks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert lacks_bfloat16() is lacks


@pytest.mark.parametrize(
    ("precision", "lacks", "warns"),
    [("bf16-mixed", True, True), ("bf16-mixed", False, False), ("32-true", True, False)],
)
def test_fit_warns_about_emulated_bfloat16(
    fit: Command, precision: str, lacks: bool, warns: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mnist_lstm.training.run.lacks_bfloat16", lambda: lacks)
    options = (LOGGED, "--trainer.max_epochs=1", "--test_after_fit=false")
    _, err = succeed(fit, "--trainer.precision", precision, *options)
    assert ("neither AMX nor AVX512-BF16" in err) == warns


def test_fit_restores_the_number_of_threads(fit: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[int] = []
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 7)
    monkeypatch.setattr(torch, "set_num_threads", used.append)
    succeed(fit, LOGGED, "--trainer.max_epochs=1", "--test_after_fit=false")
    assert used == [1, 7]
