"""scripts/fit.sbatch, with programs in the place of SLURM's: `srun` starts tasks, `scontrol` requeues the job."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import REPOSITORY

SCRIPT = REPOSITORY / "scripts" / "fit.sbatch"
CHECKPOINT = Path("runs/digits/version_0/checkpoints/last.ckpt")

SRUN = f"""\
#!{sys.executable}
import os, signal, subprocess, sys
while sys.argv[1].startswith("-"):  # srun's own options
    del sys.argv[1]
tasks = [
    subprocess.Popen(sys.argv[1:], env=os.environ | {{"SLURM_PROCID": str(task), "SLURM_LOCALID": str(task)}})
    for task in range(int(os.environ["SLURM_NTASKS"]))
]
with open("tasks", "w") as file:
    file.write(" ".join(str(task.pid) for task in tasks))
sys.exit(max(task.wait() for task in tasks))
"""

SCONTROL = """\
#!/bin/sh
echo "$@" >> scontrol.log
kill -TERM $(cat tasks)  # SLURM ends a job that is requeued
"""


def install(name: str, program: str) -> None:
    """Put a program before all others of its name."""
    path = Path("bin", name)
    path.parent.mkdir(exist_ok=True)
    path.write_text(program)
    path.chmod(0o755)


def start(*args: str, **environment: str) -> "subprocess.Popen[str]":
    path = os.pathsep.join([str(Path("bin").absolute()), os.environ["PATH"]])
    own = {"PATH": path, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", **environment}
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.Popen(["bash", str(SCRIPT), *args], env=os.environ | own, text=True, **pipes)


def test_options_go_to_fit_and_its_exit_code_is_the_jobs() -> None:
    install("srun", f"#!{sys.executable}\nimport sys\nprint(sys.argv[1:])\nsys.exit(7)\n")
    script = start("--config", "a file.yaml", "--seed_everything=3")
    output, _ = script.communicate(timeout=60)
    ours = ["--kill-on-bad-exit=1", "mnist-lstm", "fit", "--checkpoint_every_n_minutes", "5"]
    assert output == f"{[*ours, '--config', 'a file.yaml', '--seed_everything=3']}\n"
    assert script.returncode == 7


def test_the_job_asks_for_as_many_tasks_as_gpus_and_is_signalled_before_its_end() -> None:
    asked = dict(re.findall(r"^#SBATCH --([\w-]+)=?(.*)$", SCRIPT.read_text(), re.MULTILINE))
    assert asked["ntasks-per-node"] == asked["gpus-per-node"]
    assert re.fullmatch(r"USR1@\d+", asked["signal"]), "to the tasks, not to the shell of the script (B:)"
    assert asked["open-mode"] == "append", "a requeued job would overwrite its output"
    assert "requeue" in asked


@pytest.mark.slow
def test_a_job_of_two_tasks_is_requeued_and_goes_on() -> None:
    install("srun", SRUN)
    install("scontrol", SCONTROL)
    install("mnist-lstm", f'#!/bin/sh\nexec "{sys.executable}" -m mnist_lstm "$@"\n')
    args = [f"--config={REPOSITORY}/configs/{name}.yaml" for name in ("cpu", "ddp")]
    args += [
        "--data.dataset=digits",
        "--model.hidden_size=8",
        "--trainer.max_epochs=40",
        "--checkpoint_every_n_steps=5",
    ]
    job = {"JOB_ID": "12077", "JOB_NAME": "digits", "NTASKS": "2", "NTASKS_PER_NODE": "2", "NNODES": "1"}
    slurm = {f"SLURM_{name}": value for name, value in {**job, "NODELIST": "localhost", "NODEID": "0"}.items()}
    script = start(*args, **slurm)
    while not CHECKPOINT.is_file():
        assert script.poll() is None, script.communicate()[0]
        time.sleep(0.1)
    for task in Path("tasks").read_text().split():
        os.kill(int(task), signal.SIGUSR1)
    output, _ = script.communicate(timeout=120)
    assert script.returncode == 143, output
    assert Path("scontrol.log").read_text() == "requeue 12077\n"
    assert len(re.findall(r"mnist-lstm: SIGUSR1: saved at step \d+, epoch \d+; job 12077 requeued\n", output)) == 1
    assert "processes   2 (gloo), each with 64 of the 128 images of a batch" in output
    step = torch.load(CHECKPOINT, weights_only=True)["global_step"]
    assert step < 400

    script = start(*args, **slurm, SLURM_RESTART_COUNT="1")
    output, _ = script.communicate(timeout=300)
    assert script.returncode == 0, output
    assert f"checkpoint  {CHECKPOINT}\n" in output
    assert "test accuracy" in output
    last = CHECKPOINT.parents[2] / "version_1/checkpoints/last.ckpt"
    assert torch.load(last, weights_only=True)["global_step"] == 400, "1,257 images in batches of 128, 40 epochs"
