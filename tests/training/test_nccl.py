"""`configs/ddp.yaml` with NCCL, on as many GPUs as this machine has."""

import subprocess
import sys

import torch
from conftest import GPU_MARKS, REPOSITORY

pytestmark = list(GPU_MARKS)


def test_torchrun_trains_on_all_gpus() -> None:
    assert torch.distributed.is_nccl_available()
    configs = [f"--config={REPOSITORY / 'configs' / name}.yaml" for name in ("gpu_mixed", "ddp")]
    torchrun = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={torch.cuda.device_count()}"]
    fit = [str(REPOSITORY / "scripts" / "train.py"), *configs, "--data.dataset=digits", "--data.batch_size=128"]
    found = subprocess.run([*torchrun, *fit, "--trainer.max_epochs=4"], capture_output=True, text=True, timeout=180)
    assert found.returncode == 0, found.stdout + found.stderr
    assert found.stdout.count("test accuracy") == 1
    for noise in ("AccumulateGrad", "Tensor Cores", "distributed_backend"):
        assert noise not in found.stderr
